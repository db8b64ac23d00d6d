/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_RCU_HOLDER_H
#define TOCSIN_TESTS_RCU_HOLDER_H

/* What the tests of read-copy-update share: a thread that stays in a section, a child that checks.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tocsin/rcu.h"

#define LIMIT_S 20

static inline void nap(void)
{
	const struct timespec ts = {.tv_nsec = 1000000};

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

/* In a child process: a check that does not hold ends it with its line. */
#define CHILD_CHECK(condition)                     \
	do {                                       \
		if (!(condition))                  \
			_exit(__LINE__ % 255 + 1); \
	} while (0)

static inline void assert_child_ok(pid_t pid)
{
	int status = -1;

	assert_true(pid > 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	if (status)
		print_message("child: status 0x%x\n", (unsigned)status);
	assert_int_equal(status, 0);
}

/* A thread that is inside a section from inside until leave. */
struct holder {
	pthread_t thread;
	int32_t tid;
	int inside, leave;
};

static inline void *hold(void *arg)
{
	struct holder *h = arg;
	uint64_t token = tocsin_rcu_read_lock();

	h->tid = gettid();
	__atomic_store_n(&h->inside, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&h->leave, __ATOMIC_SEQ_CST))
		nap();
	tocsin_rcu_read_unlock(token);
	return tocsin_rcu_slot;
}

static inline void holder_start(struct holder *h)
{
	memset(h, 0, sizeof(*h));
	if (pthread_create(&h->thread, NULL, hold, h) != 0)
		abort();
	while (!__atomic_load_n(&h->inside, __ATOMIC_SEQ_CST))
		nap();
}

static inline void *holder_end(struct holder *h)
{
	void *slot = NULL;

	__atomic_store_n(&h->leave, 1, __ATOMIC_SEQ_CST);
	(void)pthread_join(h->thread, &slot);
	return slot;
}

#endif
