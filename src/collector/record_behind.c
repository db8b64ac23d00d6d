// SPDX-License-Identifier: MIT
/*
 * Behind the recording: a thread that has the kernel write what was put into files, and then drops
 * it from the page cache.
 *
 * Left alone, a fast recording fills memory with pages that nobody is going to read soon: it takes
 * the page cache of the programs that it records, and when a fifth of the memory is dirty the
 * kernel makes the writer wait. In a virtual machine each page that was never used before, or was
 * handed back to the host, costs a fault in the hypervisor besides: 11 us a page on the machine
 * where this was measured, 370 MB/s, when 25 million events of 16 bytes a second are 600 MB/s. The
 * same few pages used again and again cost nothing of this.
 *
 * So each window of a file is queued for writing as soon as it is full, and dropped when some more
 * have followed: those first, so that it does not wait for what is just on its way, and a reader
 * that follows the recording finds the newest in memory. The thread may wait for the disk; the
 * recording does not wait for the thread. Where the disk is slower than the recording, pages pile
 * up as they would without it.
 *
 * A write that fails later, on its way to the disk, is seen here and nowhere else.
 */
#include "record_behind.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define QUEUE 64u /* windows that wait: half a gigabyte */

struct window {
	int fd; /* ours */
	uint64_t at;
};

struct record_behind {
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct window queue[QUEUE];
	unsigned first, nr;
	bool is_closing;
	int failure;
};

static int window_write(const struct window *w, unsigned flags)
{
	return sync_file_range(w->fd, (off_t)w->at, RECORD_BEHIND_WINDOW, flags) < 0 ? -errno : 0;
}

static int window_drop(const struct window *w)
{
	int r = window_write(w, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					SYNC_FILE_RANGE_WAIT_AFTER);

	/* Advice: a file system that does not follow it keeps the pages. */
	(void)posix_fadvise(w->fd, (off_t)w->at, RECORD_BEHIND_WINDOW, POSIX_FADV_DONTNEED);
	(void)close(w->fd); /* a duplicate: the recording closes the file */
	return r;
}

static void *worker(void *arg)
{
	struct record_behind *b = arg;
	struct window kept[RECORD_BEHIND_KEEP];
	unsigned nr_kept = 0; /* ever; window n is kept[n % KEEP] */

	(void)setpriority(PRIO_PROCESS, 0, 10); /* of this thread: draining comes first */
	(void)pthread_mutex_lock(&b->lock);     /* cannot fail, here and below: a plain mutex */
	for (;;) {
		struct window w, *old = &kept[nr_kept % RECORD_BEHIND_KEEP];
		int r;

		while (!b->nr && !b->is_closing)
			(void)pthread_cond_wait(&b->changed, &b->lock);
		if (b->is_closing)
			break;
		w = b->queue[b->first];
		b->first = (b->first + 1) % QUEUE;
		b->nr--;
		(void)pthread_mutex_unlock(&b->lock);
		r = window_write(&w, SYNC_FILE_RANGE_WRITE);
		if (nr_kept >= RECORD_BEHIND_KEEP)
			r = window_drop(old) ?: r;
		*old = w;
		nr_kept++;
		(void)pthread_mutex_lock(&b->lock);
		b->failure = b->failure ?: r;
	}
	(void)pthread_mutex_unlock(&b->lock);
	for (unsigned i = 0; i < RECORD_BEHIND_KEEP && i < nr_kept; i++)
		(void)close(kept[i].fd); /* a duplicate, as above */
	return NULL;
}

static struct record_behind *behind_open(void)
{
	struct record_behind *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	(void)pthread_mutex_init(&b->lock, NULL); /* cannot fail without attributes */
	(void)pthread_cond_init(&b->changed, NULL);
	if (pthread_create(&b->thread, NULL, worker, b)) {
		free(b);
		return NULL;
	}
	return b;
}

void record_behind_wrote(struct record_behind **behind, int fd, uint64_t *from, uint64_t upto)
{
	while (upto - *from >= RECORD_BEHIND_WINDOW) {
		struct window w = {.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .at = *from};
		struct record_behind *b = *behind = *behind ?: behind_open();
		bool is_queued = false;

		*from += RECORD_BEHIND_WINDOW;
		if (w.fd < 0)
			continue;
		if (b) {
			(void)pthread_mutex_lock(&b->lock);
			is_queued = b->nr < QUEUE;
			if (is_queued)
				b->queue[(b->first + b->nr++) % QUEUE] = w;
			(void)pthread_cond_signal(&b->changed);
			(void)pthread_mutex_unlock(&b->lock);
		}
		if (!is_queued)
			(void)close(w.fd); /* a duplicate, as above */
	}
}

struct record_behind *record_behind_close(struct record_behind *b, int *ret_r)
{
	*ret_r = 0;
	if (!b)
		return NULL;
	(void)pthread_mutex_lock(&b->lock);
	b->is_closing = true;
	(void)pthread_cond_signal(&b->changed);
	(void)pthread_mutex_unlock(&b->lock);
	(void)pthread_join(b->thread, NULL); /* ours, joined once */
	for (; b->nr; b->nr--, b->first = (b->first + 1) % QUEUE)
		(void)close(b->queue[b->first].fd); /* a duplicate, as above */
	*ret_r = b->failure;
	(void)pthread_mutex_destroy(&b->lock);
	(void)pthread_cond_destroy(&b->changed);
	free(b);
	return NULL;
}
