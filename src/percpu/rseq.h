/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_RSEQ_H
#define TOCSIN_PERCPU_RSEQ_H

/*
 * The ground under percpu/, ring/ and tracee/: is rseq there, which index does this process use,
 * and the fence that aborts sections of other threads.
 *
 * The macros for sections are in tocsin/rseq.h. A fast path looks like this:
 *
 *	intptr_t offset = tocsin_rseq.area;
 *
 *	if (__builtin_expect(!offset, 0))
 *		return slow();                          early, or no rseq
 *	for (unsigned n = 0; n < TOCSIN_RSEQ_ABORT_LIMIT; n++) {
 *		r = section(TOCSIN_RSEQ_AREA(offset), ...);
 *		if (r != TOCSIN_RSEQ_ABORTED)
 *			break;
 *	}
 *	if (r == TOCSIN_RSEQ_NONE)
 *		(void)rseq_thread_register();           may help from the next time on
 *	if (r != TOCSIN_RSEQ_DONE)
 *		return slow();                          atomics, in words of their own
 *
 * One scheme holds for the life of the process: index = mm_cid where kernel and libc give it,
 * else cpu_id. Data that other CPUs must often reach (counters, do_on_cpu) may use cpu_id all the
 * same: then a fence of one CPU is enough. With mm_cid the number says nothing of the CPU, so
 * every CPU is fenced.
 *
 * Not covered: a vfork() child and a raw clone(CLONE_VM) share the parent's area without being
 * registered; there is no cheap test for it. Do nothing per-CPU in them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tocsin/rseq.h"

enum rseq_reason {
#define X(name, text) RSEQ_##name,
#include "reasons.def"
#undef X
	RSEQ_REASONS_NR,
};

enum rseq_scheme {
	RSEQ_BY_CPU, /* index = cpu_id */
	RSEQ_BY_CID, /* index = mm_cid, the concurrency id, Linux >= 6.3 */
};

/**
 * rseq_init() - find out whether and how rseq works; the library's constructor calls it.
 *
 * Repeated calls do nothing. Before it ran, everything takes the path with atomics. It makes some
 * ten system calls, starts no thread, and registers this thread if libc has not. Environment:
 * TOCSIN_RSEQ=0 switches sections off, TOCSIN_RSEQ=cpu forces the scheme RSEQ_BY_CPU.
 *
 * Return: RSEQ_OK, or why sections cannot be used (tocsin_rseq.area is 0 then).
 * Thread-safe: yes. Signal-safe: no.
 */
enum rseq_reason rseq_init(void);

/**
 * percpu_usable() - do restartable sequences work in this process?
 * @ret_why: set to a sentence, a constant, in either case; may be NULL
 *
 * Says nothing about a single thread: see rseq_thread_ready().
 * Thread-safe: yes. Signal-safe: yes.
 */
bool percpu_usable(const char **ret_why);

/** rseq_reason_text() - the sentence, a constant. Signal-safe: yes. */
const char *rseq_reason_text(enum rseq_reason reason);

/**
 * rseq_thread_register() - register the calling thread, where libc has not done it.
 *
 * For slow paths, when a section ended with TOCSIN_RSEQ_NONE. Does nothing, in a few ns, when it
 * has failed in this thread before, or where libc registers threads.
 *
 * Return: 0 registered by now, -ENOSYS, -EBUSY another library has registered an area of its own,
 * -EPERM, -EINVAL; errno is kept.
 * Thread-safe: yes. Signal-safe: yes.
 */
int rseq_thread_register(void);

/** rseq_scheme() - what the index is; constant once the constructor has run. Signal-safe: yes. */
static inline enum rseq_scheme rseq_scheme(void)
{
	return tocsin_rseq.index_offset == offsetof(struct tocsin_rseq_area, mm_cid) ? RSEQ_BY_CID
										     : RSEQ_BY_CPU;
}

/** rseq_nr_indexes() - every index is below this; at least 1 once the constructor has run. */
static inline unsigned rseq_nr_indexes(void)
{
	return tocsin_rseq.nr_indexes;
}

#if TOCSIN_RSEQ_ARCH
/** rseq_area() - this thread's area; only where tocsin_rseq.area is not 0. Signal-safe: yes. */
static inline const volatile struct tocsin_rseq_area *rseq_area(void)
{
	/* The compiler sees where the pointer comes from, but not that it is valid. */
	return (const volatile struct tocsin_rseq_area *)((uintptr_t)__builtin_thread_pointer() +
							  (uintptr_t)tocsin_rseq.area);
}
#endif

/** rseq_thread_ready() - can the calling thread use sections now? Signal-safe: yes. */
static inline bool rseq_thread_ready(void)
{
#if TOCSIN_RSEQ_ARCH
	return tocsin_rseq.area && (int32_t)rseq_area()->cpu_id >= 0;
#else
	return false;
#endif
}

/**
 * rseq_index() - the index of the calling thread, as of now: for slow paths and statistics.
 *
 * Return: 0 .. rseq_nr_indexes() - 1, or -1 where the thread is not registered.
 * Thread-safe: yes. Signal-safe: yes.
 */
static inline int rseq_index(void)
{
#if TOCSIN_RSEQ_ARCH
	if (rseq_thread_ready()) {
		uintptr_t word = (uintptr_t)rseq_area() + tocsin_rseq.index_offset;

		return *(const volatile int32_t *)word;
	}
#endif
	return -1;
}

/**
 * rseq_fence() - abort every section that other threads of this process are in.
 * @cpu: on this CPU only, -1 on all. A number that is no possible CPU is refused.
 *
 * On return every section that had begun before the call has ended or been aborted, and what was
 * written before the call is seen by those that begin after it. Costs 0.3 us where no other thread
 * runs, 2.5 us and an interrupt for each CPU where one does.
 *
 * Return: 0, -EINVAL, -EOPNOTSUPP the kernel has no such fence (Linux < 5.10, or it is hidden);
 * errno is kept. Thread-safe: yes. Signal-safe: yes.
 */
int rseq_fence(int cpu);

/**
 * rseq_selftest() - does this kernel abort a section when another thread runs on the same CPU?
 * @timeout_ms: for how long to try
 *
 * Starts a thread, pins both to one CPU, and restores the caller's CPUs. Not part of start-up,
 * since a traced program gets no thread from us; except on aarch64 with Linux >= 6.19, where
 * kernels without this property exist.
 *
 * Return: 0 it does, -EPROTO it does not, -EAGAIN not one preemption was met in time, -EOPNOTSUPP
 * no sections here, -errno. Thread-safe: no. Signal-safe: no.
 */
int rseq_selftest(unsigned timeout_ms);

#endif
