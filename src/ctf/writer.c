// SPDX-License-Identifier: MIT
/*
 * The trace on disk.
 *
 * A kill at any time leaves a trace that reads whole. Readers refuse a stream file whose last
 * packet is cut, and one large write is cut when the process is killed in it (seen in 49 of 60
 * kills on tmpfs, with writes of 256 KiB). What the kernel never cuts is a write within one page.
 * So packets are padded to whole pages, and the file only ever grows by a page that is a packet of
 * its own. A packet of several pages is put in place like this:
 *
 *   1. append its pages one by one, each an empty packet       [E][E][E]
 *   2. rewrite the first: one empty packet over all of them    [E          ]
 *   3. write the rest of the content, which is padding so far  [E..content.]
 *   4. rewrite the first page: its head now owns the content   [HEAD.......]
 *
 * Steps 1, 2 and 4 are writes of one page each, step 3 writes where no reader looks: after each of
 * them the file is a row of whole packets. A packet of one page is step 4 alone. When a step fails
 * (disk full), the file is cut back to where it was, and the events are counted as lost: the
 * counter is in the head of every later packet, where readers find it, and in struct ctf_stats,
 * where the summary does.
 *
 * The metadata is written under a hidden name and renamed when it is whole; stream files come after
 * it.
 *
 * Time never goes back in a stream: an event that is earlier than the one before gets that one's
 * time. A packet begins at the time at which the packet before ended, so the reader knows the upper
 * half of the clock at its start; a record whose upper half is another carries it (record.c).
 */
#include "writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "metadata.h"
#include "record.h"

#define PAGE_BYTES    4096 /* never cut by a kill: no page of any machine is smaller */
#define METADATA_TEMP ".metadata"

_Static_assert(CTF_RECORD_MAX + CTF_HEAD_BYTES_CPU <= CTF_PACKET_MAX, "every record fits a packet");
_Static_assert(CTF_PACKET_MAX % PAGE_BYTES == 0, "packets are whole pages");

struct ctf_stream {
	struct ctf_stream *next;
	struct ctf_writer *writer;
	const struct ctf_stream_class *class;
	unsigned class_id;
	uint32_t cpu;
	size_t head_bytes;
	int fd;
	uint64_t file_bytes;  /* whole packets, always a multiple of PAGE_BYTES */
	uint64_t written_ns;  /* end of the last packet in the file */
	uint64_t last_ns;     /* of the last event taken */
	uint64_t discarded;   /* events lost so far */
	uint64_t nr_buffered; /* events in buf */
	size_t len_bytes;     /* up to the end of the last one's last field */
	uint64_t begin_ns;    /* of the first event in buf */
	bool has_packet;      /* written_ns means something */
	int broken; /* -errno: the file could not be cut back and takes no more packets; 0: sound */
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

/* All of it, or an error. */
static int write_at(int fd, const void *bytes, size_t len, uint64_t pos)
{
	const uint8_t *p = bytes;

	while (len) {
		ssize_t nr = pwrite(fd, p, len, (off_t)pos);

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr < 0)
			return -errno;
		if (nr == 0)
			return -ENOSPC;
		p += nr;
		pos += (uint64_t)nr;
		len -= (size_t)nr;
	}
	return 0;
}

static struct ctf_packet_head packet_head(const struct ctf_stream *s, uint64_t content_bytes,
					  uint64_t packet_bytes, uint64_t begin_ns, uint64_t end_ns)
{
	struct ctf_packet_head head = {
		.magic = CTF_MAGIC,
		.stream_id = s->class_id,
		.begin_ns = begin_ns,
		.end_ns = end_ns,
		.content_bits = (s->head_bytes + content_bytes) * 8,
		.packet_bits = packet_bytes * 8,
		.discarded = s->discarded,
		.cpu_id = s->cpu,
	};

	memcpy(head.uuid, s->writer->uuid, sizeof(head.uuid));
	return head;
}

/* One page at the file's offset @pos: a head, and what fits of the content behind it. */
static int write_page(const struct ctf_stream *s, const struct ctf_packet_head *head,
		      const uint8_t *content, size_t len, uint64_t pos)
{
	uint8_t page[PAGE_BYTES] = {0};
	size_t room = sizeof(page) - s->head_bytes;

	memcpy(page, head, s->head_bytes);
	if (len)
		memcpy(page + s->head_bytes, content, len < room ? len : room);
	return write_at(s->fd, page, sizeof(page), pos);
}

/* The steps in the essay above. */
static int write_packet(const struct ctf_stream *s, const uint8_t *content, size_t len,
			uint64_t begin_ns, uint64_t end_ns, uint64_t *ret_packet_bytes)
{
	uint64_t packet_bytes = (s->head_bytes + len + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	size_t first = PAGE_BYTES - s->head_bytes; /* content in the first page */
	struct ctf_packet_head head;
	int r;

	if (packet_bytes > PAGE_BYTES) {
		head = packet_head(s, 0, PAGE_BYTES, begin_ns, begin_ns);
		for (uint64_t pos = 0; pos < packet_bytes; pos += PAGE_BYTES) {
			r = write_page(s, &head, NULL, 0, s->file_bytes + pos);
			if (r < 0)
				return r;
		}
		head = packet_head(s, 0, packet_bytes, begin_ns, begin_ns);
		r = write_page(s, &head, NULL, 0, s->file_bytes);
		if (r < 0)
			return r;
		r = write_at(s->fd, content + first, len - first, s->file_bytes + PAGE_BYTES);
		if (r < 0)
			return r;
	}
	head = packet_head(s, len, packet_bytes, begin_ns, end_ns);
	r = write_page(s, &head, content, len, s->file_bytes);
	if (r < 0)
		return r;
	*ret_packet_bytes = packet_bytes;
	return 0;
}

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
	uint64_t packet_bytes = 0;
	int r = s->broken;

	if (r == 0)
		r = write_packet(s, p->records, p->len_bytes, packet_begin_ns(s, p->first_ns),
				 p->last_ns, &packet_bytes);
	if (r < 0) {
		lose_events(s, p->nr_events);
		stats->failures++;
		stats->last_failure = r;
		if (ftruncate(s->fd, (off_t)s->file_bytes) < 0)
			s->broken = -errno;
		return r;
	}
	s->file_bytes += packet_bytes;
	s->written_ns = p->last_ns;
	s->has_packet = true;
	stats->packets++;
	stats->bytes += packet_bytes;
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
	int len;

	if (class_id >= w->trace->nr_streams)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->writer = w;
	s->class = &w->trace->stream[class_id];
	s->class_id = class_id;
	s->cpu = cpu;
	s->head_bytes = s->class->per_cpu ? CTF_HEAD_BYTES_CPU : CTF_HEAD_BYTES;
	len = snprintf(name, sizeof(name), "%s_%u", s->class->name, w->nr_files[class_id]);
	if (len < 0 || (size_t)len >= sizeof(name))
		return -ENAMETOOLONG;
	s->fd = openat(w->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (s->fd < 0)
		return -errno;
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
		(void)close(s->fd); /* every write was checked */
		free(s);
	}
	tocsin_close_fdp(&w->dir_fd);
	free(w->nr_files);
	free(w);
	return NULL;
}

/* Return: 0 empty, -EEXIST not, -errno. */
static int dir_check_empty(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	for (errno = 0; r == 0 && (entry = readdir(dir)); errno = 0) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = -EEXIST;
	}
	if (r == 0)
		r = -errno;
	(void)closedir(dir); /* was only read */
	return r;
}

static int write_metadata(struct ctf_writer *w)
{
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	size_t len;
	int r = ctf_metadata_text(w->trace, w->uuid, &text, &len);

	if (r < 0)
		return r;
	fd = openat(w->dir_fd, METADATA_TEMP, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	r = write_at(fd, text, len, 0);
	if (r == 0 && renameat(w->dir_fd, METADATA_TEMP, w->dir_fd, "metadata") < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(w->dir_fd, METADATA_TEMP,
			       0); /* the failure before it is the one to tell */
	return r;
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
	if (getrandom(w->uuid, sizeof(w->uuid), 0) != (ssize_t)sizeof(w->uuid))
		return tocsin_err_fail(-EIO, err, "cannot make trace '%s': no random numbers", dir);
	w->uuid[6] = (uint8_t)((w->uuid[6] & 0x0f) | 0x40); /* version 4: random */
	w->uuid[8] = (uint8_t)((w->uuid[8] & 0x3f) | 0x80);
	made = mkdir(dir, 0777) == 0;
	if (!made && errno != EEXIST)
		return tocsin_err_fail(-errno, err, "cannot make trace directory '%s': %s", dir,
				       strerror(errno));
	w->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = w->dir_fd < 0 ? -errno : dir_check_empty(w->dir_fd);
	if (r == -EEXIST)
		return tocsin_err_fail(r, err, "trace directory '%s' is not empty", dir);
	if (r == 0)
		r = write_metadata(w);
	if (r < 0) {
		if (made)
			(void)rmdir(dir); /* the failure before it is the one to tell */
		return tocsin_err_fail(r, err, "cannot write trace '%s': %s", dir, strerror(-r));
	}
	*ret_writer = tocsin_take_ptr(&w);
	return 0;
}
