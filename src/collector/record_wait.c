// SPDX-License-Identifier: MIT
/*
 * Sleeping, and the arena.
 *
 * The words that processes wake us by are futexes in their pages; futex_waitv() (Linux 5.16) waits
 * for many. Where it is not there, or there are more than it takes, the interval has to do, and is
 * cut to what a full-speed writer needs to fill half a ring.
 */
#include "record_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"

#define WAITERS_MAX 128 /* FUTEX_WAITV_MAX */
#define BLIND_NS    5000000ull

static bool waiter_add(struct futex_waitv *w, unsigned *nr, const uint32_t *word, uint32_t value)
{
	if (!word)
		return true;
	if (*nr == WAITERS_MAX)
		return false;
	w[(*nr)++] =
		(struct futex_waitv){.val = value, .uaddr = (uintptr_t)word, .flags = FUTEX_32};
	return true;
}

void record_wait_wake(struct recorder *rec, uint64_t ns)
{
	struct futex_waitv w[WAITERS_MAX];
	struct timespec t;
	unsigned nr = 0;
	bool all = waiter_add(w, &nr, rec->arena.wake_word, rec->arena.wake);
	uint64_t end;

	for (const struct record_process *p = rec->processes; p && all; p = p->next)
		if (!p->is_done && !p->is_ended)
			all = waiter_add(w, &nr, p->wake_word, p->wake);
	if (!all && ns > BLIND_NS)
		ns = BLIND_NS;
	end = clock_now_ns() + ns;
	t = (struct timespec){.tv_sec = (time_t)(end / 1000000000),
			      .tv_nsec = (long)(end % 1000000000)};
	if (nr && (syscall(SYS_futex_waitv, w, nr, 0, &t, CLOCK_MONOTONIC) >= 0 ||
		   errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT))
		return;
	if (nr && ns > BLIND_NS) { /* no such call, or a page that makes trouble */
		end -= ns - BLIND_NS;
		t = (struct timespec){.tv_sec = (time_t)(end / 1000000000),
				      .tv_nsec = (long)(end % 1000000000)};
	}
	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t,
			      NULL); /* a signal ends it: fine */
}

/* --- the arena --- */

int record_arena(struct recorder *rec, uint64_t bytes, int *ret_fd)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = memfd_create(ARENA_NAME, MFD_ALLOW_SEALING);
	struct control_session session = {0};
	struct control_file whole = {.fd = fd};
	const struct record_wish *wish = &rec->opts->wish;
	struct {
		uint64_t magic;
		uint32_t abi, reserved;
		uint64_t bytes, next;
	} head = {ARENA_MAGIC, CONTROL_ABI, 0, bytes, ARENA_HEAD_BYTES};
	uint8_t *seen TOCSIN_CLEANUP(tocsin_free_voidp) = calloc(ARENA_PLACES, 1);
	void *page;

	if (!seen)
		return -ENOMEM;
	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	session_make(&session, wish, rec->session_id);
	if ((wish->filters &&
	     control_file_write(&whole, ARENA_FILTERS_AT, wish->filters, CONTROL_FILTER_BYTES)) ||
	    control_file_write(&whole, offsetof(struct arena, session), &session,
			       sizeof(session)) ||
	    control_file_write(&whole, 0, &head, sizeof(head)))
		return -EIO;
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED)
		rec->arena.wake_word = &((const struct arena *)page)->wake;
	rec->arena.seen = tocsin_take_ptr(&seen);
	rec->arena.bytes = bytes;
	rec->arena.fd = tocsin_take_fd(&fd);
	*ret_fd = rec->arena.fd;
	return 0;
}

int record_arena_places(struct recorder *rec, uint32_t *ret_nr)
{
	struct control_file whole = {.fd = rec->arena.fd};
	struct {
		uint32_t nr_places, wake;
	} now;

	_Static_assert(offsetof(struct arena, wake) - offsetof(struct arena, nr_places) == 4,
		       "two words in a row");
	if (control_file_read(&whole, offsetof(struct arena, nr_places), &now, sizeof(now)))
		return 0; /* again next time */
	rec->arena.wake = now.wake;
	*ret_nr = now.nr_places < ARENA_PLACES ? now.nr_places : ARENA_PLACES;
	return 0;
}

int record_arena_page(struct recorder *rec, uint32_t place, struct discovered *ret)
{
	struct control_file whole = {.fd = rec->arena.fd};
	struct arena_place entry;
	int fd, r;

	if (control_file_read(&whole, offsetof(struct arena, place) + place * sizeof(entry), &entry,
			      sizeof(entry)) ||
	    !entry.offset)
		return -EAGAIN;
	if (entry.offset % ARENA_ALIGN || entry.offset < ARENA_HEAD_BYTES)
		return -ENOENT;
	fd = fcntl(rec->arena.fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*ret = (struct discovered){.pid = (pid_t)entry.pid, .ns_pid = (pid_t)entry.pid};
	r = control_file_open(&ret->page, fd, entry.offset, rec->arena.bytes, ret->ns_pid,
			      &ret->head, NULL);
	if (r < 0)
		return r == -ENOENT || r == -EPROTO ? -ENOENT : r;
	ret->start_ticks = ret->head.start_ticks;
	memcpy(ret->comm, ret->head.comm, sizeof(ret->head.comm) - 1);
	return 0;
}

static void punch(int fd, uint64_t offset, uint64_t bytes)
{
	/* Memory that stays until we end, if it cannot be done. */
	(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			(off_t)bytes);
}

void record_arena_give_back(struct recorder *rec, struct record_process *p)
{
	if (p->page.file_bytes != rec->arena.bytes || !p->page.offset)
		return; /* it has a memfd of its own */
	for (uint32_t i = 0; i < p->nr_rings; i++) {
		const struct record_ring *ring = p->ring[i];

		if (ring->file_offset >= ARENA_HEAD_BYTES &&
		    ring->file_bytes <= rec->arena.bytes - ring->file_offset &&
		    ring->file_offset <= rec->arena.bytes)
			punch(rec->arena.fd, ring->file_offset, ring->file_bytes);
	}
	punch(rec->arena.fd, p->page.offset, CONTROL_BYTES);
}
