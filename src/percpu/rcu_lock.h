/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_RCU_LOCK_H
#define TOCSIN_PERCPU_RCU_LOCK_H

/*
 * A lock of which a zero word is the open state, so that memory wiped in the child of a fork holds
 * open locks, whoever held them in the parent. pthread_mutex_t promises nothing of the kind. It is
 * no cancellation point. The algorithm is the third of Drepper, "Futexes Are Tricky" (2011).
 */

#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"

struct rcu_lock {
	uint32_t word; /* 0 open, 1 held, 2 held and somebody may wait */
};

/** futex_wait() - sleep while *@word is @value, until woken, disturbed, or @timeout_ns are over. */
static inline void futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};

	/* Whatever it returns, the caller looks at the word again. */
	(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
		      timeout_ns == UINT64_MAX ? NULL : &ts, NULL, 0);
}

static inline void futex_wake(uint32_t *word, int nr)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, nr, NULL, NULL, 0);
}

static inline bool rcu_lock_try(struct rcu_lock *lock)
{
	uint32_t open = 0;

	return __atomic_compare_exchange_n(&lock->word, &open, 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/** rcu_lock_take() - wait for the lock until @deadline_ns of CLOCK_MONOTONIC, UINT64_MAX for ever.
 * Return: 0 or -ETIMEDOUT. */
static inline int rcu_lock_take(struct rcu_lock *lock, uint64_t deadline_ns)
{
	if (rcu_lock_try(lock))
		return 0;
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0) {
		uint64_t left_ns = UINT64_MAX;

		if (deadline_ns != UINT64_MAX) {
			uint64_t now_ns = clock_now_ns();

			if (now_ns >= deadline_ns)
				return -ETIMEDOUT;
			left_ns = deadline_ns - now_ns;
		}
		futex_wait(&lock->word, 2, left_ns);
	}
	return 0;
}

static inline void rcu_lock_drop(struct rcu_lock *lock)
{
	if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
		futex_wake(&lock->word, 1);
}

#endif
