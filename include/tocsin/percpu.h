/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_H
#define TOCSIN_PERCPU_H

/*
 * Per-CPU data without locks, on restartable sequences (rseq, Linux >= 4.18).
 *
 * Usable without the tracer. Every function here works everywhere: where the kernel has no rseq,
 * where it is hidden (valgrind, rr, seccomp, gVisor), in early constructors, and under a debugger
 * that steps through the code, it takes a slower way with the same result.
 *
 * What to use for what:
 *
 *	tocsin_cpu(), tocsin_node(), tocsin_cid()   where am I? no system call
 *	struct tocsin_counter     statistics: adds never wait, sums are exact
 *	struct tocsin_percpu      a struct for each CPU, changed by one of a set of operations
 *	                          (tocsin_percpu_op), or by any function on any CPU's copy
 *	                          (tocsin_do_on_cpu)
 *	<tocsin/pool.h>           memory for items of one size, any number of CPUs and handlers
 *	<tocsin/rcu.h>            read-copy-update (this header includes both)
 *	<tocsin/keyed.h>          an item for each 64-bit key, on the two
 *	<tocsin/pmc.h>            cycles and instructions of the thread
 *
 *	struct tocsin_counter *stats;                                   C11 and C++17
 *	int err = tocsin_counter_new(NR_STATS, &stats);                 0 or -errno
 *	...
 *	tocsin_counter_add(stats, REQUESTS, 1);                         any thread, any handler
 *	printf("%" PRIu64, tocsin_counter_sum(stats, REQUESTS));
 *
 * Link with libtocsin: $(pkg-config --cflags --libs tocsin). docs/howto/percpu.md says which of
 * them to take and what they cost; examples/percpu has a program for each.
 *
 * Errors are negative errno values; errno itself is left alone.
 *
 * What may run beside what, on one object:
 *
 *	                      add/op   sum/load   reset   do_on_cpu   free
 *	add, op               yes      yes        yes     yes         no
 *	sum, load             yes      yes        yes     yes         no
 *	reset                 yes      yes        yes     yes         no
 *	do_on_cpu, do_on_each yes      yes        yes     yes         no
 *
 * Not in a vfork() child, nor in a thread made by a raw clone(CLONE_VM): they share the parent's
 * rseq area without being registered, which nothing cheap can tell. fork(), _Fork() and clone()
 * without CLONE_VM are covered.
 *
 * Inline functions put sections into your code. A shared object with sections must not be
 * unloaded while threads run that used them: link it with -z nodelete, or define
 * TOCSIN_PERCPU_OUTLINE before this header, so that all of them are in libtocsin.
 */

#include "tocsin/pool.h"
#include "tocsin/rcu.h"
#include "tocsin/rseq.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * tocsin_percpu_usable() - do restartable sequences work in this process?
 * @ret_why: set to a sentence in either case, a constant; may be NULL
 *
 * Return: 1 or 0. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API int tocsin_percpu_usable(const char **ret_why);

/** tocsin_nr_cpus() - CPU numbers are below this: the possible CPUs. At least 1. Signal-safe: yes,
 * once it was called or libtocsin's constructor has run. Since: 0.1. */
TOCSIN_API unsigned tocsin_nr_cpus(void);

/* ---- where am I? */

TOCSIN_API unsigned tocsin_cpu_slow_(void);
TOCSIN_API unsigned tocsin_node_slow_(void);

#if TOCSIN_RSEQ_ARCH
#	define TOCSIN_AREA_WORD_(name)                                     \
		(*(const volatile uint32_t *)((uintptr_t)tocsin_tp_() +     \
					      (uintptr_t)tocsin_rseq.area + \
					      offsetof(struct tocsin_rseq_area, name)))

static inline __attribute__((always_inline)) uintptr_t tocsin_tp_(void)
{
#	if defined(__x86_64__)
	uintptr_t tp;

	__asm__("movq %%fs:0, %0" : "=r"(tp));
	return tp;
#	else
	return tocsin_thread_pointer_();
#	endif
}
#endif

/**
 * tocsin_cpu() - the CPU that the calling thread is on, or was a moment ago.
 *
 * Without rseq by the vDSO's getcpu, never by a system call where there is a vDSO for it.
 *
 * Return: 0 .. tocsin_nr_cpus() - 1. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline unsigned tocsin_cpu(void)
{
#if TOCSIN_RSEQ_ARCH
	if (__builtin_expect(tocsin_rseq.area != 0, 1)) {
		int32_t cpu = (int32_t)TOCSIN_AREA_WORD_(cpu_id);

		if (__builtin_expect(cpu >= 0, 1))
			return (unsigned)cpu;
	}
#endif
	return tocsin_cpu_slow_();
}

/**
 * tocsin_node() - the NUMA node of that CPU.
 *
 * From the rseq area on Linux >= 6.3, else by the vDSO's getcpu.
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline unsigned tocsin_node(void)
{
#if TOCSIN_RSEQ_ARCH
	if (__builtin_expect(tocsin_rseq.area != 0 && tocsin_rseq.feature_bytes >= 24, 1) &&
	    (int32_t)TOCSIN_AREA_WORD_(cpu_id) >= 0)
		return TOCSIN_AREA_WORD_(node_id);
#endif
	return tocsin_node_slow_();
}

/**
 * tocsin_cid() - the thread's concurrency id: small numbers, different for threads that run at the
 * same time.
 *
 * Return: 0 .. min(threads, CPUs the process may use) - 1, or -1 where there is none (Linux < 6.3,
 * no rseq). Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline int tocsin_cid(void)
{
#if TOCSIN_RSEQ_ARCH
	if (__builtin_expect(tocsin_rseq.area != 0 && tocsin_rseq.feature_bytes >= 28, 1) &&
	    (int32_t)TOCSIN_AREA_WORD_(cpu_id) >= 0)
		return (int)TOCSIN_AREA_WORD_(mm_cid);
#endif
	return -1;
}

/* ---- counters */

/* An array of 64-bit sums, in one allocation. Only libtocsin and the functions below look inside.
 */
struct tocsin_counter {
	uint64_t *const *table; /* by CPU: the words that only sections on that CPU change */
	uint32_t nr_cpus;
	uint32_t nr;
};

/**
 * tocsin_counter_new() - make an array of counters, all 0.
 * @nr:          how many, 1 to 2^24
 * @ret_counter: the array, to be given to tocsin_counter_free()
 *
 * Takes 8 bytes for each counter and each CPU that has added to one nearby. In the child of a
 * fork() the counters go on from the values they had.
 *
 * Return: 0, -EINVAL, -ENOMEM. Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API int tocsin_counter_new(uint32_t nr, struct tocsin_counter **ret_counter);

/** tocsin_counter_free() - @c may be NULL; nobody may use it any more. Return: NULL. Since: 0.1. */
TOCSIN_API struct tocsin_counter *tocsin_counter_free(struct tocsin_counter *c);

/**
 * tocsin_counter_sum() - everything added to a counter since it was made or reset.
 *
 * Exact: an add that has returned is in it, one that begins later is not.
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API uint64_t tocsin_counter_sum(const struct tocsin_counter *c, uint32_t idx);

/**
 * tocsin_counter_reset() - start again at 0.
 *
 * Return: the sum up to now. Each add is in the result of exactly one reset, or in the sum.
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API uint64_t tocsin_counter_reset(struct tocsin_counter *c, uint32_t idx);

/* What tocsin_counter_add() does when its section does not succeed at once. */
TOCSIN_API void tocsin_counter_add_slow_(struct tocsin_counter *c, uint32_t idx, uint64_t n);

#if TOCSIN_RSEQ_ARCH
/* Return: TOCSIN_RSEQ_DONE, _ABORTED, _NONE. Injection point 0. */
static inline __attribute__((always_inline)) int tocsin_counter_section_(
	uintptr_t area, const struct tocsin_counter *c, uintptr_t off, uint64_t n)
{
#	if defined(__x86_64__)
	__asm__ goto(
		TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		"cmpl %[nr], %%eax\n\t"
		"jae %l[none]\n\t"
		"movq (%[table], %%rax, 8), %%rax\n\t"
		"addq %[off], %%rax\n\t" TOCSIN_RSEQ_INJECT(0) "addq %[n], (%%rax)" TOCSIN_RSEQ_END
		:
		: [area] "r"(area), [nr] "rm"(c->nr_cpus), [table] "r"(c->table), [off] "er"(off),
		  [n] "er"(n)
		: TOCSIN_RSEQ_CLOBBERS
		: aborted, none);
#	else
	__asm__ goto(TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		     "cmp w16, %w[nr]\n\t"
		     "b.hs %l[none]\n\t"
		     "ldr x16, [%[table], x16, lsl #3]\n\t" TOCSIN_RSEQ_INJECT(
			     0) "ldr x17, [x16, %[off]]\n\t"
				"add x17, x17, %[n]\n\t"
				"str x17, [x16, %[off]]\n\t" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [nr] "r"(c->nr_cpus), [table] "r"(c->table),
		       [off] "r"(off), [n] "r"(n)
		     : TOCSIN_RSEQ_CLOBBERS
		     : aborted, none);
#	endif
	return TOCSIN_RSEQ_DONE;
none:
	return TOCSIN_RSEQ_NONE;
aborted:
	return TOCSIN_RSEQ_ABORTED;
}
#endif

/**
 * tocsin_counter_add() - add to a counter; never waits.
 * @idx: below the number of counters; not checked
 * @n:   may be "negative": sums are modulo 2^64
 *
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline void tocsin_counter_add(struct tocsin_counter *c, uint32_t idx, uint64_t n)
{
#if TOCSIN_RSEQ_ARCH && !defined(TOCSIN_PERCPU_OUTLINE)
	intptr_t area = tocsin_rseq.area;

	if (__builtin_expect(area != 0, 1) &&
	    __builtin_expect(tocsin_counter_section_(TOCSIN_RSEQ_AREA(area), c, (uintptr_t)idx * 8,
						     n) == TOCSIN_RSEQ_DONE,
			     1))
		return;
#endif
	tocsin_counter_add_slow_(c, idx, n);
}

/* ---- data per CPU */

struct tocsin_percpu;

/* Flags of tocsin_percpu_new(). */
#define TOCSIN_PERCPU_BY_CID 1u /* index by concurrency id: less memory; from outside costlier */

/* A place of the set of operations that is whichever CPU the thread is on. */
#define TOCSIN_CPU_HERE (-1)

/**
 * tocsin_percpu_new() - make an item for each possible CPU, all zero.
 * @size_bytes: of one item, 8 to 2^30; items are aligned to 64 bytes
 * @flags:      TOCSIN_PERCPU_BY_CID (ignored where there is no such id), else 0
 * @ret_percpu: to be given to tocsin_percpu_free()
 *
 * An item is memory once it is touched. The child of a fork() has a copy of the items; one that
 * another thread was changing by tocsin_do_on_cpu() at that moment is zero there, which
 * tocsin_percpu_wiped() counts.
 *
 * Return: 0, -EINVAL, -ENOMEM. Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API int tocsin_percpu_new(size_t size_bytes, uint32_t flags,
				 struct tocsin_percpu **ret_percpu);

/** tocsin_percpu_free() - @p may be NULL; nobody may use it any more. Return: NULL. Since: 0.1. */
TOCSIN_API struct tocsin_percpu *tocsin_percpu_free(struct tocsin_percpu *p);

/** tocsin_percpu_nr() - how many items there are, indexes 0 to this - 1. Signal-safe: yes. Since:
 * 0.1. */
TOCSIN_API unsigned tocsin_percpu_nr(const struct tocsin_percpu *p);

/** tocsin_percpu_wiped() - items lost by a fork() in the midst of a change. Signal-safe: yes.
 * Since: 0.1. */
TOCSIN_API unsigned tocsin_percpu_wiped(const struct tocsin_percpu *p);

/** tocsin_percpu_item() - the item of an index, for looking at: others may change it. NULL: no such
 * index. Signal-safe: yes. Since: 0.1. */
TOCSIN_API void *tocsin_percpu_item(const struct tocsin_percpu *p, int cpu);

typedef void (*tocsin_cpu_fn)(void *item, int cpu, void *arg);

/**
 * tocsin_do_on_cpu() - run a function on a CPU's item, as if on that CPU and alone.
 * @cpu: whose item: 0 to tocsin_percpu_nr() - 1; the CPU may be offline, idle, busy with other
 *       processes, or forbidden to the caller
 * @fn:  runs in the calling thread, with all signals blocked. No operation on @p runs on that item
 *       meanwhile: others that want it wait. It must return (no longjmp, no pthread_exit) and must
 *       not use @p itself
 *
 * Nothing is moved to that CPU. Its gate is closed, which is one word that every operation on the
 * item reads first; then membarrier() aborts the operation that may be under way there; then @fn
 * runs, and the gate opens. A round trip takes 0.4 us where that CPU is idle, 3 us where it runs
 * this process.
 *
 * Without that membarrier command (Linux < 5.10, or hidden) when @p is made: the gate is a plain
 * lock that operations take too. The results are the same, at some 400 ns an operation, most of it
 * for the signals, which are blocked meanwhile.
 *
 * Return: 0, -EINVAL no such index, -EDEADLK called from within @fn of the same item, -EOPNOTSUPP
 * the membarrier command was there once and is no more (a sandbox closed since); @fn has not run
 * then. Thread-safe: yes. Signal-safe: yes, as handlers do not run while a gate is closed by their
 * thread. Since: 0.1.
 */
TOCSIN_API int tocsin_do_on_cpu(struct tocsin_percpu *p, int cpu, tocsin_cpu_fn fn, void *arg);

/**
 * tocsin_do_on_each() - the same on every item, or on a set; one fence for all of them.
 * @mask: bit n of word n / 64 is index n; NULL: all
 * @nr_bits: of @mask; indexes beyond are not in it
 *
 * All gates are closed before the first @fn runs and open after the last: so @fn may also compare
 * items, or move things between them.
 *
 * Return: 0, -EINVAL a bit beyond the last index, -EDEADLK, -EOPNOTSUPP as above.
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API int tocsin_do_on_each(struct tocsin_percpu *p, const uint64_t *mask, unsigned nr_bits,
				 tocsin_cpu_fn fn, void *arg);

/* The element of a list; put it into your struct. */
struct tocsin_link {
	struct tocsin_link *next;
};

enum tocsin_op_code {
	TOCSIN_OP_LOAD = 1,  /* value = *word */
	TOCSIN_OP_STORE = 2, /* *word = value */
	TOCSIN_OP_ADD = 3,   /* *word += value */
	TOCSIN_OP_CMPSTORE =
		4,          /* if *word == expect: *word = value; else value = *word, -ECANCELED */
	TOCSIN_OP_PUSH = 5, /* node->next = *word; *word = node */
	TOCSIN_OP_POP = 6,  /* node = *word, may be NULL; if not, *word = node->next */
	TOCSIN_OP_COPY = 7, /* copy len_bytes from src to copy_off, then *word = value */
};

/* One operation on one item. */
struct tocsin_op {
	uint32_t code;      /* enum tocsin_op_code */
	uint32_t len_bytes; /* COPY */
	size_t off;         /* of the word in the item: a multiple of 8 */
	size_t copy_off;    /* COPY: where the bytes go; not over the word */
	uint64_t value;     /* in or out, as the code says */
	uint64_t expect;    /* CMPSTORE */
	union {
		struct tocsin_link *node; /* PUSH in, POP out */
		const void *src;          /* COPY, lent */
	} u;
};

/**
 * tocsin_percpu_op() - one operation on this CPU's item, or on any other's, with the same result.
 * @cpu: an index, or TOCSIN_CPU_HERE
 * @op:  what to do; results are written into it
 *
 * On the item of the CPU that it runs on this is a section: no lock, no atomic operation. Else, and
 * where a section does not get through (TOCSIN_RSEQ_ABORT_LIMIT), it is done behind the gate
 * as tocsin_do_on_cpu() does, and waits where another holds the gate. An operation is done once and
 * wholly, or not at all; but the bytes of a COPY that was not done may be there, which is why its
 * word is stored last. Nodes must stay memory while anybody may pop.
 *
 * Return: the index that it was done on, or -EINVAL, -ECANCELED not equal (CMPSTORE), -EDEADLK from
 * within tocsin_do_on_cpu() of the same item, -EOPNOTSUPP as there. Thread-safe: yes. Signal-safe:
 * yes. Since: 0.1.
 */
TOCSIN_API int tocsin_percpu_op(struct tocsin_percpu *p, int cpu, struct tocsin_op *op);

#ifdef __cplusplus
}
#endif

#endif
