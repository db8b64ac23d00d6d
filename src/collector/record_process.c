// SPDX-License-Identifier: MIT
/* What a recording reads from control pages: descriptions of classes, the ring table, losses. All
 * of it is copied, checked, and then used from the copy. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../ctf/described.h"
#include "record_internal.h"

void record_say(struct recorder *rec, const struct record_process *p, const char *what,
		const char *text)
{
	char library[32];
	struct record_event_process event = {
		.pid = (uint32_t)p->pid,
		.ns_pid = (uint32_t)p->ns_pid,
		.start_ticks = p->start_ticks,
		.library = library,
		.comm = p->comm,
		.command = p->command,
		.what = what,
		.text = text,
	};

	(void)snprintf(library, sizeof(library), "%u.%u.%u", p->library >> 16,
		       p->library >> 8 & 0xff, p->library & 0xff);
	if (rec->trace)
		(void)record_trace_say(rec->trace, RECORD_EVENT_process, &event); /* counted */
	if (rec->say)
		rec->say(rec->say_arg, p->pid, p->comm, what, text);
}

static void command_read(struct record_process *p)
{
	char path[64];
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)p->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? 0 : read(fd, p->command, sizeof(p->command) - 1);
	/* Words end in zero bytes; the last one needs no blank behind it. */
	while (len > 0 && !p->command[len - 1])
		len--;
	for (ssize_t i = 0; i < len; i++)
		if (!p->command[i])
			p->command[i] = ' ';
}

static void wake_word_map(struct record_process *p)
{
	void *page = mmap(NULL, sizeof(struct control_tracee), PROT_READ, MAP_SHARED, p->page.fd,
			  (off_t)p->page.offset);

	/* Without it the timer has to do. Never read by us: futex_waitv() does, and fails softly.
	 */
	if (page != MAP_FAILED)
		p->wake_word = &((const struct control_tracee *)page)->wake;
}

int record_process_new(struct recorder *rec, struct discovered *found, struct record_process **ret)
{
	struct record_process *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->pid = found->pid;
	p->ns_pid = found->ns_pid;
	p->start_ticks = found->start_ticks;
	memcpy(p->comm, found->comm, sizeof(p->comm));
	p->library = found->head.library;
	p->clock = found->head.clock;
	p->page = found->page;
	found->page = (struct control_file)CONTROL_FILE_NONE;
	p->number = ++rec->nr_processes;
	p->pid_fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	p->is_ended = p->pid_fd < 0;
	p->class = calloc(CONTROL_CLASSES, sizeof(*p->class));
	p->ring = calloc(RECORD_RINGS_MAX, sizeof(*p->ring));
	if (!p->class || !p->ring) {
		record_process_free(p);
		return -ENOMEM;
	}
	wake_word_map(p);
	command_read(p);
	*ret = p;
	return 0;
}

void record_process_free(struct record_process *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->nr_rings; i++) {
		if (p->ring[i]->is_open)
			ring_reader_close(&p->ring[i]->reader);
		(void)ctf_ring_stream_close(&p->ring[i]->stream); /* closed before, as a rule */
		free(p->ring[i]);
	}
	for (uint32_t i = 0; p->class && i < p->nr_classes; i++)
		free(p->class[i]);
	if (p->wake_word)
		(void)munmap(
			(void *)((uintptr_t)p->wake_word - offsetof(struct control_tracee, wake)),
			sizeof(struct control_tracee)); /* ours */
	free(p->class);
	free(p->ring);
	if (p->pid_fd >= 0)
		(void)close(p->pid_fd);
	control_file_close(&p->page);
	free(p);
}

bool record_process_has_ended(struct record_process *p)
{
	struct pollfd poll_fd = {.fd = p->pid_fd, .events = POLLIN};

	if (!p->is_ended && poll(&poll_fd, 1, 0) > 0)
		p->is_ended = true;
	return p->is_ended;
}

/* --- classes --- */

static int class_add(struct record_process *p, const uint8_t *bytes, size_t len,
		     const char **ret_why)
{
	struct control_class *copy;
	struct control_class head;
	int r;

	if (len < sizeof(head)) {
		*ret_why = "the list of event classes is cut";
		return -EBADMSG;
	}
	memcpy(&head, bytes, sizeof(head));
	if (head.bytes < sizeof(head) || head.bytes > len) {
		*ret_why = "its length is wrong";
		return -EBADMSG;
	}
	copy = malloc(head.bytes);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, bytes, head.bytes);
	r = ctf_described_check(copy, head.bytes, ret_why);
	if (r == 0 && copy->id != p->nr_classes) {
		*ret_why = "its number is not the next one";
		r = -EBADMSG;
	}
	if (r < 0) {
		free(copy);
		return r;
	}
	p->class[p->nr_classes++] = copy;
	p->class_bytes += head.bytes;
	return 0;
}

static void classes_bad(struct recorder *rec, struct record_process *p, const char *why)
{
	char text[160];

	p->is_silent = true;
	(void)snprintf(text, sizeof(text), "event class %u cannot be recorded: %s", p->nr_classes,
		       why);
	record_say(rec, p, "corrupt", text);
}

static int classes_read(struct recorder *rec, struct record_process *p, uint32_t nr, uint32_t bytes)
{
	uint8_t *buf TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	uint32_t first = p->nr_classes, from = p->class_bytes;
	const char *why = "";
	int r = 0;

	if (nr > CONTROL_CLASSES || bytes > CONTROL_CLASS_BYTES || bytes < from) {
		classes_bad(rec, p, "their number is impossible");
		return 0;
	}
	buf = malloc(bytes - from ?: 1);
	if (!buf)
		return -ENOMEM;
	if (control_file_read(&p->page, CONTROL_CLASSES_AT + from, buf, bytes - from))
		return 0; /* again next time */
	while (r == 0 && p->nr_classes < nr)
		r = class_add(p, buf + (p->class_bytes - from), bytes - p->class_bytes, &why);
	if (r == -EBADMSG)
		classes_bad(rec, p, why);
	else if (r)
		return r;
	r = 0;
	if (rec->trace)
		r = record_trace_shape(
			rec->trace, p->shape, p->session.layout, p->session.nr_layouts,
			(const struct control_class *const *)p->class, p->nr_classes, &p->shape);
	if (r == 0 && !rec->is_stopping)
		session_count_on(rec, p, first);
	if (r == 0 && p->is_owner && !rec->is_stopping && p->nr_classes > first)
		(void)session_enable(rec, p, first); /* the page is gone only with the process */
	return r;
}

/* --- rings --- */

/* The file of a ring: in the page's own, or behind a descriptor or a mapping of the process. */
static int ring_file_open(const struct record_process *p, const struct control_ring *entry,
			  int *ret_fd)
{
	char path[96];
	uint64_t bytes;
	ino_t inode;
	int fd, r;

	if (entry->fd < 0) {
		fd = fcntl(p->page.fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
		*ret_fd = fd;
		return 0;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)p->pid, entry->fd);
	r = memfd_open_sealed(path, &fd, &bytes, &inode);
	if (r == 0 && inode == entry->inode) {
		*ret_fd = fd;
		return 0;
	}
	if (r == 0)
		(void)close(fd); /* the number has gone to another file */
	(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)p->pid,
		       (unsigned long long)entry->addr,
		       (unsigned long long)(entry->addr + RING_HEADER_BYTES));
	r = memfd_open_sealed(path, &fd, &bytes, &inode);
	if (r == 0 && inode == entry->inode) {
		*ret_fd = fd;
		return 0;
	}
	if (r == 0)
		(void)close(fd);
	return r ?: -ESTALE;
}

static int ring_add(struct recorder *rec, struct record_process *p, uint32_t place,
		    const struct control_ring *entry)
{
	struct record_ring *ring;
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	char text[160], why[64];
	int r = ring_file_open(p, entry, &fd);

	if (r == -ESRCH || (r < 0 && record_process_has_ended(p))) {
		/* It was gone before we came: its records with it. */
		rec->stats.missed_rings++;
		return 0;
	}
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->place = place;
	ring->file_offset = entry->offset;
	ring->file_bytes = entry->bytes;
	ring->stream = (struct ctf_ring_stream)CTF_RING_STREAM_NONE;
	if (r == 0)
		r = ring_reader_open(&ring->reader, fd, entry->offset, true);
	if (r == 0 && ring->reader.clock != p->clock) {
		ring_reader_close(&ring->reader);
		r = -EBADMSG;
	}
	ring->is_open = r == 0;
	ring->is_done = r != 0;
	p->ring[p->nr_rings++] = ring;
	if (r == 0)
		return 0;
	rec->stats.corrupt_rings++;
	(void)snprintf(text, sizeof(text), "ring %u cannot be read: %s", place,
		       tocsin_errno_text(r, why, sizeof(why)));
	record_say(rec, p, "corrupt", text);
	return 0;
}

/* Places are used again when a session with other sizes begins, so each is looked at anew. */
static int rings_read(struct recorder *rec, struct record_process *p, uint32_t nr)
{
	struct control_ring entry[64];
	int r = 0;

	if (nr > CONTROL_RINGS)
		nr = CONTROL_RINGS;
	for (uint32_t i = 0; i < nr && r == 0; i++) {
		const struct control_ring *e = &entry[i % 64];
		uint32_t some = nr - i < 64 ? nr - i : 64;

		if (i % 64 == 0 && control_file_read(&p->page, CONTROL_RINGS_AT + i * sizeof(*e),
						     entry, some * sizeof(*e)))
			return 0; /* again next time */
		if (e->state != CONTROL_RING_READY ||
		    (p->place_inode[i] == e->inode && p->place_offset[i] == e->offset + 1) ||
		    p->nr_rings == RECORD_RINGS_MAX)
			continue;
		p->place_inode[i] = e->inode;
		p->place_offset[i] = e->offset + 1; /* 0: none */
		r = ring_add(rec, p, i, e);
	}
	return r;
}

bool record_process_heirs(struct record_process *p)
{
	uint32_t heirs, before = p->heirs;

	if (p->is_kernel || control_file_read(&p->page, offsetof(struct control_tracee, heirs),
					      &heirs, sizeof(heirs)))
		return false; /* as of the last look */
	if (!p->has_looked && !p->is_inherited)
		p->heirs_before = heirs;
	p->heirs = heirs - p->heirs_before;
	return p->heirs != before;
}

int record_process_refresh(struct recorder *rec, struct record_process *p)
{
	struct {
		uint32_t class_bytes, nr_classes, nr_rings, wake;
	} now;
	int r = 0;

	if (p->is_kernel)
		return 0; /* its list is complete */
	_Static_assert(offsetof(struct control_tracee, wake) -
				       offsetof(struct control_tracee, class_bytes) ==
			       offsetof(__typeof__(now), wake),
		       "four words in a row");
	if (control_file_read(&p->page, offsetof(struct control_tracee, class_bytes), &now,
			      sizeof(now)))
		return 0; /* out of memory for a hole: again next time */
	if (!p->is_silent && (now.nr_classes > p->nr_classes || !p->shape))
		r = classes_read(rec, p, now.nr_classes, now.class_bytes);
	(void)session_answered(rec, p); /* asked again next time */
	if (!p->has_looked)
		(void)record_process_heirs(p); /* where the count begins */
	/* Who is killed between making a ring and saying so does not say so. */
	if (r == 0 && (!p->has_looked || now.wake != p->wake || p->is_ended || rec->is_stopping)) {
		r = rings_read(rec, p, now.nr_rings);
		p->wake = now.wake;
		p->has_looked = true;
	}
	return r;
}

void record_process_losses(struct record_process *p)
{
	uint64_t loss[TRACEE_LOSS_NR];

	if (control_file_read(&p->page, offsetof(struct control_tracee, loss), loss, sizeof(loss)))
		return; /* those of the last look stand */
	memcpy(p->library_lost, loss, sizeof(loss));
}
