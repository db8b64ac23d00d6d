/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RCU_H
#define TOCSIN_RCU_H

/*
 * Read-copy-update: readers that never wait and write nothing that another CPU reads, and an
 * updater that waits until no reader can still see what it took away.
 *
 *	reader                                          updater
 *	uint64_t token = tocsin_rcu_read_lock();        old = config;
 *	struct config *c =                              tocsin_rcu_publish(&config, new);
 *		tocsin_rcu_dereference(&config);        err = tocsin_rcu_synchronize();
 *	... use c ...                                   if (!err)
 *	tocsin_rcu_read_unlock(token);                          free(old);
 *
 * No thread registers itself: the first read_lock() of a thread finds it a slot. Sections nest, and
 * a signal handler may have its own at any moment. Where a thread gets no slot (before the
 * library's constructor, in a vfork() child, with more than TOCSIN_RCU_SLOTS threads, without
 * membarrier) it counts itself in and out with atomics: correct, some 20 to 40 ns instead of 1.
 *
 * Forking: in the child of fork() the forking thread keeps the section it may be in; those of the
 * parent's other threads are gone. After _Fork() or a raw clone() a section that was open is not
 * protected any more; unlocking it is harmless. A vfork() child must leave its sections before exec
 * or _exit().
 *
 * A thread that ends inside a section does not block updaters for ever: they ask the kernel whether
 * it still lives. One that had no slot does block them: nobody knows whose its count was.
 * siglongjmp() out of a handler that interrupted a section leaves the section open:
 * tocsin_rcu_synchronize_for() names the thread.
 *
 * The slots' protocol is that of liburcu (Desnoyers, McKenney et al., "User-Level Implementations
 * of Read-Copy Update", 2012) with a 64-bit counter of grace periods, so that one pass is enough,
 * and with membarrier(2) for the readers' fence. src/percpu/rcu.c has the proof,
 * tests/models/rcu.pml a model.
 *
 * C11 and C++17.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tocsin/rseq.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TOCSIN_RCU_SLOTS 32768 /* threads that can have a slot at a time */

/* A thread's word. Layout of the fast path: part of the ABI. */
struct tocsin_rcu_slot {
	uint64_t mark;  /* its owner writes, updaters read: 0 nobody's, 1 outside of any section,
			   else the grace period that was current when its section began */
	uint64_t owner; /* a claim: thread id, and a count that tells claims apart; 0 free */
	uint64_t claimed_ticks; /* when, in clock ticks since boot */
	uint64_t reserved[5];
} __attribute__((aligned(64)));

#define TOCSIN_RCU_OUTSIDE UINT64_C(1)
/* With the period: the section is the library's own, of the callbacks of a site, and no section of
 * the program is open inside it. Such a one may be given up when longjmp() has left it. */
#define TOCSIN_RCU_TRACING (UINT64_C(1) << 62)

/* NULL until the thread's first section. */
TOCSIN_API extern __thread struct tocsin_rcu_slot *tocsin_rcu_slot
	__attribute__((tls_model("initial-exec")));
/* The current grace period: 2, 3, ... Updaters write, readers copy it into their slot. */
TOCSIN_API extern uint64_t tocsin_rcu_period;

TOCSIN_API uint64_t tocsin_rcu_read_lock_slow(void);
TOCSIN_API void tocsin_rcu_read_unlock_slow(uint64_t token);
TOCSIN_API bool tocsin_rcu_is_watching_slow(void);

/* Test builds put a delay between reading the period and writing the mark. */
#ifndef TOCSIN_RCU_INJECT
#	define TOCSIN_RCU_INJECT()
#endif

/**
 * tocsin_rcu_read_lock() - begin a read-side section.
 *
 * Never waits, fails or takes a lock. The first call of a thread costs some microseconds.
 *
 * Return: the token for the matching tocsin_rcu_read_unlock() of the same thread; sections nest
 * like brackets. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline __attribute__((always_inline, unused)) uint64_t tocsin_rcu_read_lock(void)
{
	struct tocsin_rcu_slot *slot = tocsin_rcu_slot;

	if (__builtin_expect(slot != NULL, 1)) {
		uint64_t outer = __atomic_load_n(&slot->mark, __ATOMIC_RELAXED);

		if (__builtin_expect(outer == TOCSIN_RCU_OUTSIDE, 1)) {
			/* pairs with rcu_period_begin() [A]: who sees the new period sees what was
			 * published before it */
			uint64_t period = __atomic_load_n(&tocsin_rcu_period, __ATOMIC_ACQUIRE);

			TOCSIN_RCU_INJECT();
			__atomic_store_n(&slot->mark, period, __ATOMIC_RELEASE);
			/* For the CPU the fence is the updater's membarrier [B]. */
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
			return outer;
		}
		if (outer) { /* nested: the outer mark stands */
			if (__builtin_expect((outer & TOCSIN_RCU_TRACING) != 0, 0)) {
				__atomic_store_n(&slot->mark, outer & ~TOCSIN_RCU_TRACING,
						 __ATOMIC_RELAXED);
				__atomic_signal_fence(__ATOMIC_SEQ_CST);
			}
			return outer;
		}
	}
	return tocsin_rcu_read_lock_slow();
}

/**
 * tocsin_rcu_read_unlock() - end a read-side section.
 * @token: what tocsin_rcu_read_lock() returned
 *
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline __attribute__((always_inline, unused)) void tocsin_rcu_read_unlock(uint64_t token)
{
	struct tocsin_rcu_slot *slot = tocsin_rcu_slot;

	/* 0: a fork wiped the slot, or this section was counted with atomics. */
	if (__builtin_expect(__atomic_load_n(&slot->mark, __ATOMIC_RELAXED) != 0, 1))
		/* pairs with rcu_slot_passed() [C]: all reads of the section come before */
		__atomic_store_n(&slot->mark, token, __ATOMIC_RELEASE);
	else
		tocsin_rcu_read_unlock_slow(token);
}

/**
 * tocsin_rcu_is_watching() - is the calling thread inside a read-side section?
 *
 * For code that can be entered from anywhere and wants protection only where there is none yet: a
 * load and a comparison instead of a second section.
 *
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline __attribute__((always_inline, unused)) bool tocsin_rcu_is_watching(void)
{
	struct tocsin_rcu_slot *slot = tocsin_rcu_slot;

	if (__builtin_expect(slot != NULL, 1)) {
		uint64_t mark = __atomic_load_n(&slot->mark, __ATOMIC_RELAXED);

		if (__builtin_expect(mark != 0, 1))
			return mark != TOCSIN_RCU_OUTSIDE;
	}
	return tocsin_rcu_is_watching_slow();
}

/* Load a pointer that an updater may replace; store one so that readers see what it points to. */
#define tocsin_rcu_dereference(pp) __atomic_load_n((pp), __ATOMIC_ACQUIRE)
#define tocsin_rcu_publish(pp, p)  __atomic_store_n((pp), (p), __ATOMIC_RELEASE)

/**
 * tocsin_rcu_synchronize() - wait until every section that was open at the call has ended.
 *
 * Costs a membarrier(2) (0.3 us, 2.5 us where other CPUs run this process) and a look at each slot
 * that was ever used. Waits as long as a living reader stays in its section. Callers that wait at
 * the same time share grace periods. Not a cancellation point.
 *
 * Return: 0; -EDEADLK the caller is inside a section itself, or is a signal handler that has
 * interrupted a waiting updater; -ENOSYS the kernel no longer permits membarrier(2) nor, instead of
 * it, sched_setaffinity(2), so nothing is known: do not free.
 * Thread-safe: yes. Signal-safe: yes, though it waits. Since: 0.1.
 */
TOCSIN_API int tocsin_rcu_synchronize(void);

/**
 * tocsin_rcu_synchronize_for() - the same, but not for longer than a while.
 * @timeout_ns: from now, CLOCK_MONOTONIC; UINT64_MAX: for ever
 * @ret_tid:    on -ETIMEDOUT only: a thread that is inside a section, 0 where it is not known; may
 * be NULL
 *
 * Return: as tocsin_rcu_synchronize(); -ETIMEDOUT not every section has ended: what was to be freed
 * must be kept.
 * Thread-safe: yes. Signal-safe: yes, though it waits. Since: 0.1.
 */
TOCSIN_API int tocsin_rcu_synchronize_for(uint64_t timeout_ns, int32_t *ret_tid);

/** struct tocsin_rcu_head - put into an object that tocsin_rcu_call() is to dispose of. */
struct tocsin_rcu_head {
	struct tocsin_rcu_head *next;
	void (*fn)(struct tocsin_rcu_head *head);
};

/**
 * tocsin_rcu_call() - have @fn called with @head once the sections open now have ended.
 * @head: in the object, not queued already; the queue's until @fn is called
 * @fn:   called outside of any section, by a worker or by a caller of tocsin_rcu_drain(); may call
 *        tocsin_rcu_call() again
 *
 * Only queues: no memory, no lock, and a system call only to wake a sleeping worker. Nothing is
 * called before tocsin_rcu_drain() or a worker does it. After fork() both sides have what was
 * queued.
 *
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API void tocsin_rcu_call(struct tocsin_rcu_head *head,
				void (*fn)(struct tocsin_rcu_head *head));

/**
 * tocsin_rcu_drain() - wait for a grace period and call what was queued before this call.
 *
 * Return: how many were called, or as tocsin_rcu_synchronize(); nothing is lost then, it stays
 * queued. -EBUSY: called by a function that a drain is calling. Thread-safe: yes. Signal-safe: no.
 * Since: 0.1.
 */
TOCSIN_API long tocsin_rcu_drain(void);

/**
 * tocsin_rcu_worker_start() - start the one thread that drains whenever something is queued.
 *
 * With all signals blocked. A child of fork() has none; it may start its own.
 *
 * Return: 0, -EALREADY it runs, or calls this function itself, -errno of pthread_create().
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API int tocsin_rcu_worker_start(void);

/**
 * tocsin_rcu_worker_stop() - drain once more and end the worker.
 *
 * Not a cancellation point.
 *
 * Return: 0, -ESRCH there is none, -EDEADLK called by the worker itself or inside a section.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API int tocsin_rcu_worker_stop(void);

#ifdef __cplusplus
}
#endif

#endif
