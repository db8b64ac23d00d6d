// SPDX-License-Identifier: MIT
/* One file of a ring. The bytes go from the ring's memory into the file; only heads are made here.
 */
#include "ring_stream.h"

#include <string.h>

static struct ctf_packet_head head_make(const struct ctf_ring_stream *s)
{
	struct ctf_packet_head head = {
		.magic = CTF_MAGIC,
		.stream_id = s->id.stream_id,
		.begin_ns = s->end,
		.end_ns = s->end,
		.discarded = s->discarded,
		.cpu_id = s->id.ring,
		.pid = s->id.pid,
	};

	memcpy(head.uuid, s->id.uuid, sizeof(head.uuid));
	return head;
}

int ctf_ring_stream_open(struct ctf_ring_stream *s, int dir_fd, const char *name,
			 const struct ctf_ring_identity *id, uint64_t first)
{
	struct ctf_packet_head head;

	s->id = *id;
	s->end = first;
	s->discarded = 0;
	head = head_make(s);
	return ctf_packet_file_open_place(&s->file, dir_fd, name, &head);
}

int ctf_ring_stream_put(struct ctf_ring_stream *s, const struct ctf_ring_packet *packet)
{
	struct ctf_packet_head head = head_make(s);
	int r;

	if (packet->last > head.end_ns)
		head.end_ns = packet->last;
	head.discarded = packet->discarded;
	r = ctf_packet_file_put(&s->file, &head, packet->records, packet->len_bytes);
	if (r < 0)
		return r;
	s->end = head.end_ns;
	s->discarded = packet->discarded;
	return 0;
}

int ctf_ring_stream_tell(struct ctf_ring_stream *s, uint64_t discarded)
{
	struct ctf_ring_packet none = {.last = s->end, .discarded = discarded};

	return discarded == s->discarded ? 0 : ctf_ring_stream_put(s, &none);
}

int ctf_ring_stream_close(struct ctf_ring_stream *s)
{
	return ctf_packet_file_close(&s->file);
}
