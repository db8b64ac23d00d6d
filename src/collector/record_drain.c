// SPDX-License-Identifier: MIT
/*
 * From rings to files. ring/reader.h gives runs of whole records as they lie in the ring; what is
 * to be known besides is where the last field of the last record ends, since padding behind it is
 * no content of the packet. So one record of each packet is decoded, and no other.
 *
 * A run that reaches past the end of a line of the time base is cut there: each record goes to a
 * file whose clock holds for its time.
 *
 * When the disk takes nothing, the run stays in the ring: recording goes on in memory, and the ring
 * counts what finds no room. An overwriting ring gives copies, which are counted as lost.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../ctf/described.h"
#include "record_kernel.h"

struct piece {
	const uint8_t *data;
	uint64_t bytes, last_at;
	uint64_t events, first, last;
};

struct record_head {
	uint32_t id;
	uint32_t bytes; /* of the whole record */
	uint32_t head_bytes;
	uint64_t time;
};

/* The record at @at, of which the reader said that it is whole; its bytes may have changed since.
 * Return: false when it makes no sense any more. */
static bool head_read(const uint8_t *data, uint64_t at, uint64_t end, uint64_t before,
		      struct record_head *ret)
{
	uint16_t id, words;
	uint32_t low;

	if (end - at < RING_COMPACT_BYTES)
		return false;
	memcpy(&id, data + at, sizeof(id));
	memcpy(&words, data + at + 2, sizeof(words));
	memcpy(&low, data + at + 4, sizeof(low));
	ret->bytes = (uint32_t)words * 8;
	ret->head_bytes = id == RING_ID_EXTENDED ? RING_EXTENDED_BYTES : RING_COMPACT_BYTES;
	if (ret->bytes < ret->head_bytes || ret->bytes > end - at)
		return false;
	if (id == RING_ID_EXTENDED) {
		ret->id = low;
		memcpy(&ret->time, data + at + 8, sizeof(ret->time));
	} else {
		ret->id = id;
		ret->time = (before & ~0xffffffffull) | low;
	}
	return true;
}

/* The part of an extent that comes before @end, a time; the rest stays in @rest. */
static struct piece piece_cut(struct piece *rest, uint64_t end)
{
	struct piece p = {.data = rest->data, .first = rest->first};
	uint64_t time = rest->first;
	struct record_head head;

	if (end == UINT64_MAX || rest->last < end) {
		p = *rest;
		rest->bytes = 0;
		return p;
	}
	while (p.bytes < rest->bytes && head_read(rest->data, p.bytes, rest->bytes, time, &head) &&
	       head.time < end) {
		p.last_at = p.bytes;
		p.last = time = head.time;
		p.bytes += head.bytes;
		p.events++;
	}
	rest->data += p.bytes;
	rest->bytes -= p.bytes;
	rest->last_at -= p.bytes;
	rest->events -= p.events < rest->events ? p.events : rest->events;
	rest->first = end > time ? end : time; /* the upper half of what comes next */
	return p;
}

/* Where the content of a piece ends. Return: false: its last record makes no sense. */
static bool content_end(const struct record_process *p, const struct piece *piece,
			uint64_t *ret_end)
{
	const struct control_class *class;
	struct record_head head;
	uint32_t contexts;
	size_t end;

	if (!p->shape || !head_read(piece->data, piece->last_at, piece->bytes, piece->last, &head))
		return false;
	class = record_shape_class(p->shape, head.id, &contexts);
	if (!class)
		return false;
	if (ctf_described_payload(class, contexts, piece->data + piece->last_at + head.head_bytes,
				  head.bytes - head.head_bytes, &end))
		return false;
	*ret_end = piece->last_at + head.head_bytes + end;
	return true;
}

static uint64_t lost_all(const struct record_ring *ring)
{
	return ring->lost + ring->lost_else;
}

int record_ring_close(struct recorder *rec, struct record_ring *ring)
{
	int r = 0, closed;

	if (ring->stream.file.fd < 0)
		return 0;
	r = ctf_ring_stream_tell(&ring->stream, lost_all(ring) - ring->lost_in_files);
	ring->lost_in_files += ring->stream.discarded;
	rec->chunk_bytes += ring->stream.file.used_bytes;
	closed = ctf_ring_stream_close(&ring->stream);
	return r ?: closed;
}

static int stream_open(struct recorder *rec, struct record_process *p, struct record_ring *ring,
		       int class_id, uint64_t first)
{
	struct ctf_ring_identity id = {
		.stream_id = (uint32_t)class_id,
		.ring = ring->reader.kind == RING_SIDE ? UINT32_MAX : ring->reader.index,
		.pid = (uint32_t)p->pid,
	};
	char name[96];
	int r;

	if (p->is_kernel)
		(void)snprintf(name, sizeof(name), "kernel_ring_%u_%u", ring->place,
			       ring->nr_files);
	else
		(void)snprintf(name, sizeof(name), "process_%u_%d_ring_%u_%u", p->number,
			       (int)p->pid, ring->place, ring->nr_files);
	r = record_trace_stream_open(rec->trace, &ring->stream, name, &id, first);
	if (r < 0)
		return r;
	ring->behind = 0;
	ring->nr_files++;
	ring->class_id = class_id;
	ring->chunk = record_trace_chunk(rec->trace);
	return 0;
}

/* The file that a piece belongs into. */
static int stream_choose(struct recorder *rec, struct record_process *p, struct record_ring *ring,
			 unsigned clock, uint64_t first)
{
	int class_id = record_trace_stream_class(rec->trace, p->shape, clock);

	if (class_id < 0)
		return class_id;
	if (ring->stream.file.fd >= 0 && ring->class_id == class_id &&
	    ring->chunk == record_trace_chunk(rec->trace))
		return 0;
	(void)record_ring_close(rec, ring); /* an uncut end does no harm */
	return stream_open(rec, p, ring, class_id, first);
}

/* The first packet of a file has no packet before it, so a reader would not know what its count
 * began with: losses before it need one that says 0. */
static int packet_put(struct recorder *rec, struct record_ring *ring,
		      struct ctf_ring_packet *packet)
{
	uint64_t before = ring->stream.file.used_bytes;
	int r = 0;

	packet->discarded = lost_all(ring) - ring->lost_in_files;
	if (!before && packet->discarded) {
		struct ctf_ring_packet none = {.last = packet->first};

		r = record_trace_stream_put(rec->trace, &ring->stream, &none);
	}
	r = r ?: record_trace_stream_put(rec->trace, &ring->stream, packet);
	if (r < 0)
		return r;
	rec->stats.bytes += ring->stream.file.used_bytes - before;
	record_behind_wrote(&rec->behind, ring->stream.file.fd, &ring->behind,
			    ring->stream.file.used_bytes);
	return 0;
}

static int piece_write(struct recorder *rec, struct record_process *p, struct record_ring *ring,
		       const struct piece *piece, uint64_t content, unsigned clock)
{
	struct ctf_ring_packet packet = {
		.records = piece->data,
		.len_bytes = content,
		.first = piece->first,
		.last = piece->last,
	};
	int r = stream_choose(rec, p, ring, clock, piece->first);

	if (r < 0)
		return r;
	r = packet_put(rec, ring, &packet);
	if (r == -EFBIG) {
		(void)record_ring_close(rec, ring); /* an uncut end does no harm */
		r = stream_open(rec, p, ring, ring->class_id, piece->first);
		r = r ?: packet_put(rec, ring, &packet);
	}
	if (r == 0)
		rec->stats.events += piece->events;
	if (r == 0 && p->is_kernel)
		rec->stats.kernel_events += piece->events;
	return r;
}

static void ring_corrupt(struct recorder *rec, struct record_process *p, struct record_ring *ring,
			 const char *why)
{
	char text[160];

	ring->is_done = true;
	rec->stats.corrupt_rings++;
	(void)snprintf(text, sizeof(text), "ring %u is no longer read: %s", ring->place, why);
	record_say(rec, p, "corrupt", text);
}

/* All of an extent. @ret_done: events that are in files. Return: 0, -EBADMSG it makes no sense,
 * -errno of the disk. */
static int extent_write(struct recorder *rec, struct record_process *p, struct record_ring *ring,
			const struct ring_extent *ext)
{
	struct piece rest = {.data = ext->data,
			     .bytes = ext->bytes,
			     .last_at = ext->last_at,
			     .events = ext->events,
			     .first = ext->time_first,
			     .last = ext->time_last};

	while (rest.bytes) {
		uint64_t line_end = UINT64_MAX, content;
		unsigned clock = UINT_MAX;
		struct piece piece;
		int r;

		if (p->clock == CONTROL_CLOCK_TSC)
			clock = timebase_line_at(&rec->tb, rest.first, &line_end);
		piece = piece_cut(&rest, line_end);
		if (!piece.bytes)
			continue; /* nothing before the end: the next line */
		if (!content_end(p, &piece, &content))
			return -EBADMSG;
		r = piece_write(rec, p, ring, &piece, content, clock);
		if (r < 0)
			return r;
	}
	return 0;
}

/* As extent_write(), of any process. */
static int extent_put(struct recorder *rec, struct record_process *p, struct record_ring *ring,
		      const struct ring_extent *ext)
{
	struct kernel_clock_stream before = ring->kernel_stream;
	struct ring_extent converted;
	int r;

	if (!p->is_kernel)
		return extent_write(rec, p, ring, ext);
	r = record_kernel_convert(rec, ring, ext, &converted);
	r = r ?: extent_write(rec, p, ring, &converted);
	if (r)
		ring->kernel_stream = before; /* it may come again */
	return r;
}

/* Return: bytes dealt with, 0: stop here, -errno. */
static int64_t extent_take(struct recorder *rec, struct record_process *p, struct record_ring *ring,
			   const struct ring_extent *ext)
{
	uint64_t events = rec->stats.events;
	int r = record_process_refresh(rec, p); /* classes that these records may be of */

	if (r < 0)
		return r;
	ring->lost = ext->lost - ring->lost_before;
	r = extent_put(rec, p, ring, ext);
	events = ext->events - (rec->stats.events - events);
	if (r == -EBADMSG) {
		ring->lost_else += events;
		rec->stats.lost_corrupt += events;
		ring_corrupt(rec, p, ring, "a record is of no known event, or not as it says");
		return 0;
	}
	if (r == -ENOMEM)
		return r;
	rec->stats.disk_failure = r;
	if (r < 0) {
		rec->stats.last_disk_failure = r;
		if (ring->reader.mode != RING_OVERWRITE) {
			/* It stays in the ring, to be read again. */
			ring_reader_back(&ring->reader, ext, ext->events - events);
			return 0;
		}
		ring->lost_else += events;
		rec->stats.lost_disk += events;
	}
	ring_reader_release(&ring->reader, ext);
	return (int64_t)ext->bytes;
}

static void gone(struct recorder *rec, struct record_ring *ring, enum ring_read state,
		 const struct ring_extent *ext)
{
	if (state == RING_READ_LAPPED && ring->reader.kind != RING_SIDE) {
		rec->stats.lapped_bytes += ext->gone;
		return;
	}
	ring->lost_else += ext->gone;
	rec->stats.lost_corrupt += ext->gone;
}

/* What an overwriting ring lost before its oldest is its nature. In the middle it is a hole. */
static void hole_say(struct recorder *rec, struct record_process *p, const struct record_ring *ring,
		     const struct ring_extent *ext)
{
	char text[80];

	if (!ext->gone || !ring->nr_files || ring->reader.kind == RING_SIDE)
		return;
	(void)snprintf(text, sizeof(text),
		       "ring %u: %" PRIu64 " bytes were overwritten before they were read",
		       ring->place, ext->gone);
	record_say(rec, p, "lapped", text);
}

int64_t record_drain(struct recorder *rec, struct record_process *p, struct record_ring *ring,
		     uint64_t limit)
{
	uint64_t bytes = 0;

	while (!ring->is_done && bytes < limit) {
		struct ring_extent ext;
		enum ring_read state = ring_reader_next(&ring->reader, RECORD_EXTENT_BYTES, &ext);
		int64_t r;

		switch (state) {
		case RING_READ_END: return (int64_t)bytes;
		case RING_READ_LAPPED:
			hole_say(rec, p, ring, &ext);
			gone(rec, ring, state, &ext);
			continue;
		case RING_READ_SKIPPED:
			gone(rec, ring, state, &ext);
			ring_reader_release(&ring->reader, &ext);
			continue;
		case RING_READ_CORRUPT:
			ring_corrupt(rec, p, ring, ring_corrupt_text(ring->reader.corrupt));
			return (int64_t)bytes;
		case RING_READ_MORE: break;
		}
		r = extent_take(rec, p, ring, &ext);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		bytes += (uint64_t)r;
	}
	return (int64_t)bytes;
}

void record_ring_discard(struct recorder *rec, struct record_ring *ring)
{
	struct ring_extent ext;
	enum ring_read state;

	if (ring->is_done || !ring->is_open)
		return;
	while ((state = ring_reader_next(&ring->reader, RECORD_EXTENT_BYTES, &ext)) !=
		       RING_READ_END &&
	       state != RING_READ_CORRUPT) {
		if (state != RING_READ_MORE) {
			gone(rec, ring, state, &ext);
			if (state == RING_READ_LAPPED)
				continue;
		} else {
			ring->lost = ext.lost - ring->lost_before;
			ring->lost_else += ext.events;
			rec->stats.lost_disk += ext.events;
		}
		ring_reader_release(&ring->reader, &ext);
	}
}
