// SPDX-License-Identifier: MIT
/*
 * The trace on disk.
 *
 * A kill at any time leaves a trace that reads whole: packet_file.c has the steps. When a packet
 * cannot be written (disk full), its events are counted as lost: the counter is in the head of
 * every later packet, where readers find it, and in struct ctf_stats, where the summary does.
 *
 * Time never goes back in a stream: an event that is earlier than the one before gets that one's
 * time. A packet begins at the time at which the packet before ended, so the reader knows the upper
 * half of the clock at its start; a record whose upper half is another carries it (record.c).
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "metadata.h"
#include "packet_file.h"
#include "record.h"
#include "trace_dir.h"

_Static_assert(CTF_RECORD_MAX + CTF_HEAD_BYTES_CPU <= CTF_PACKET_MAX, "every record fits a packet");
_Static_assert(CTF_PACKET_MAX % CTF_PAGE_BYTES == 0, "packets are whole pages");

struct ctf_stream {
	struct ctf_stream *next;
	struct ctf_writer *writer;
	const struct ctf_stream_class *class;
	unsigned class_id;
	uint32_t cpu;
	struct ctf_packet_file file;
	uint64_t written_ns;  /* end of the last packet in the file */
	uint64_t last_ns;     /* of the last event taken */
	uint64_t discarded;   /* events lost so far */
	uint64_t nr_buffered; /* events in buf */
	size_t len_bytes;     /* up to the end of the last one's last field */
	uint64_t begin_ns;    /* of the first event in buf */
	bool has_packet;      /* written_ns means something */
	uint8_t buf[CTF_PACKET_MAX - CTF_HEAD_BYTES_CPU];
};

struct ctf_writer {
	int dir_fd;
	const struct ctf_trace_class *trace;
	struct ctf_stream *streams; /* newest first */
	unsigned *nr_files;         /* of each stream class */
	uint64_t flushed_ns;        /* last ctf_writer_tick() that flushed */
	struct ctf_stats stats;
	uint8_t uuid[16];
};

static void lose_events(struct ctf_stream *s, uint64_t nr_events)
{
	s->discarded += nr_events;
	s->writer->stats.lost += nr_events;
}

/* Where the clock stands when a reader comes to the next packet, whose first event is at @first_ns.
 */
static uint64_t packet_begin_ns(const struct ctf_stream *s, uint64_t first_ns)
{
	return s->has_packet ? s->written_ns : first_ns;
}

static int commit_packet(struct ctf_stream *s, const struct ctf_packet *p)
{
	struct ctf_stats *stats = &s->writer->stats;
	uint64_t before = s->file.used_bytes;
	struct ctf_packet_head head = {
		.magic = CTF_MAGIC,
		.stream_id = s->class_id,
		.begin_ns = packet_begin_ns(s, p->first_ns),
		.end_ns = p->last_ns,
		.discarded = s->discarded,
		.cpu_id = s->cpu,
	};
	int r;

	memcpy(head.uuid, s->writer->uuid, sizeof(head.uuid));
	r = ctf_packet_file_put(&s->file, &head, p->records, p->len_bytes);
	if (r < 0) {
		lose_events(s, p->nr_events);
		stats->failures++;
		stats->last_failure = r;
		return r;
	}
	s->written_ns = p->last_ns;
	s->has_packet = true;
	stats->packets++;
	stats->bytes += s->file.used_bytes - before;
	stats->events += p->nr_events;
	return 0;
}

static int flush_stream(struct ctf_stream *s)
{
	struct ctf_packet packet = {
		.records = s->buf,
		.len_bytes = s->len_bytes,
		.nr_events = s->nr_buffered,
		.first_ns = s->begin_ns,
		.last_ns = s->last_ns,
	};

	if (!s->nr_buffered)
		return 0;
	s->len_bytes = 0;
	s->nr_buffered = 0;
	return commit_packet(s, &packet);
}

int ctf_stream_append(struct ctf_stream *s, const struct ctf_event_class *event, uint64_t t_ns,
		      const void *values)
{
	int r, flushed = 0;

	if (t_ns < s->last_ns || t_ns > CTF_TIME_MAX) {
		t_ns = s->last_ns;
		s->writer->stats.retimed++;
	}
	for (;;) {
		uint64_t clock_ns = s->nr_buffered ? s->last_ns : packet_begin_ns(s, t_ns);
		size_t start =
			(s->len_bytes + CTF_RECORD_ALIGN - 1) & ~(size_t)(CTF_RECORD_ALIGN - 1);
		struct ctf_room room = {s->buf + start, sizeof(s->buf) - start};
		size_t len;

		r = ctf_record_write(event, values, t_ns, clock_ns >> 32 != t_ns >> 32, room, &len);
		if (r == 0) {
			if (!s->nr_buffered)
				s->begin_ns = t_ns;
			s->len_bytes = start + len;
			s->nr_buffered++;
			s->last_ns = t_ns;
			return flushed;
		}
		/* Once the buffer is empty, every record that there may be has room in it. */
		if (!s->nr_buffered)
			break;
		flushed = flush_stream(s);
	}
	lose_events(s, 1);
	return r;
}

int ctf_stream_packet(struct ctf_stream *s, const struct ctf_packet *packet)
{
	int r = flush_stream(s);

	if (packet->first_ns < s->last_ns || packet->last_ns < packet->first_ns ||
	    packet->last_ns > CTF_TIME_MAX) {
		lose_events(s, packet->nr_events);
		return -EINVAL;
	}
	s->last_ns = packet->last_ns;
	return commit_packet(s, packet) ?: r;
}

void ctf_stream_discard(struct ctf_stream *s, uint64_t nr_events)
{
	s->discarded += nr_events;
}

int ctf_writer_flush(struct ctf_writer *w)
{
	int ret = 0;

	for (struct ctf_stream *s = w->streams; s; s = s->next) {
		int r = flush_stream(s);

		ret = ret ?: r;
	}
	return ret;
}

int ctf_writer_tick(struct ctf_writer *w, uint64_t now_ns)
{
	if (now_ns - w->flushed_ns < CTF_FLUSH_NS)
		return 0;
	w->flushed_ns = now_ns;
	return ctf_writer_flush(w);
}

struct ctf_stats ctf_writer_get_stats(const struct ctf_writer *w)
{
	return w->stats;
}

int ctf_writer_add_stream(struct ctf_writer *w, unsigned class_id, uint32_t cpu,
			  struct ctf_stream **ret_stream)
{
	struct ctf_stream *s TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	char name[NAME_MAX + 1];
	int len, r;

	if (class_id >= w->trace->nr_streams)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->writer = w;
	s->class = &w->trace->stream[class_id];
	s->class_id = class_id;
	s->cpu = cpu;
	len = snprintf(name, sizeof(name), "%s_%u", s->class->name, w->nr_files[class_id]);
	if (len < 0 || (size_t)len >= sizeof(name))
		return -ENAMETOOLONG;
	r = ctf_packet_file_open(&s->file, w->dir_fd, name,
				 s->class->per_cpu ? CTF_HEAD_BYTES_CPU : CTF_HEAD_BYTES);
	if (r < 0)
		return r;
	w->nr_files[class_id]++;
	s->next = w->streams;
	w->streams = s;
	*ret_stream = tocsin_take_ptr(&s);
	return 0;
}

struct ctf_writer *ctf_writer_close(struct ctf_writer *w)
{
	if (!w)
		return NULL;
	(void)ctf_writer_flush(w); /* counted; the caller who wants to know has flushed before */
	while (w->streams) {
		struct ctf_stream *s = w->streams;

		w->streams = s->next;
		(void)ctf_packet_file_close(&s->file); /* every write was checked */
		free(s);
	}
	tocsin_close_fdp(&w->dir_fd);
	free(w->nr_files);
	free(w);
	return NULL;
}

static int write_metadata(struct ctf_writer *w)
{
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	size_t len;
	int r = ctf_metadata_text(w->trace, w->uuid, &text, &len);

	return r < 0 ? r : ctf_metadata_replace(w->dir_fd, text, len);
}

static struct ctf_writer *writer_new(const struct ctf_trace_class *trace)
{
	struct ctf_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->dir_fd = -1;
	w->trace = trace;
	w->nr_files = calloc(trace->nr_streams ?: 1, sizeof(*w->nr_files));
	return w->nr_files ? w : ctf_writer_close(w);
}

static void writer_closep(struct ctf_writer **w)
{
	(void)ctf_writer_close(*w); /* always NULL */
}

int ctf_writer_open(const char *dir, const struct ctf_trace_class *trace, struct tocsin_err *err,
		    struct ctf_writer **ret_writer)
{
	struct ctf_writer *w TOCSIN_CLEANUP(writer_closep) = writer_new(trace);
	bool made;
	int r;

	if (!w)
		return tocsin_err_fail(-ENOMEM, err, "cannot make trace '%s': out of memory", dir);
	r = ctf_uuid_make(w->uuid);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot make trace '%s': no random numbers", dir);
	r = ctf_trace_dir_open(dir, err, &w->dir_fd, &made);
	if (r < 0)
		return r;
	r = write_metadata(w);
	if (r < 0) {
		if (made)
			(void)rmdir(dir); /* the failure before it is the one to tell */
		return tocsin_err_fail(r, err, "cannot write trace '%s': %s", dir, strerror(-r));
	}
	*ret_writer = tocsin_take_ptr(&w);
	return 0;
}

int ctf_writer_open_in(int dir_fd, const struct ctf_trace_class *trace,
		       const uint8_t uuid[static 16], struct ctf_writer **ret_writer)
{
	struct ctf_writer *w TOCSIN_CLEANUP(writer_closep) = writer_new(trace);

	if (!w)
		return -ENOMEM;
	memcpy(w->uuid, uuid, sizeof(w->uuid));
	w->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	if (w->dir_fd < 0)
		return -errno;
	*ret_writer = tocsin_take_ptr(&w);
	return 0;
}
