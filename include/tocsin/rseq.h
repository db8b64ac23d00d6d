/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RSEQ_H
#define TOCSIN_RSEQ_H

/*
 * Restartable sequences: what the inline fast paths of Tocsin are made of.
 *
 * A restartable sequence ("section" in this file) is a run of instructions that the kernel
 * aborts, by jumping to its abort label, when the thread is preempted, migrated or gets a signal
 * inside it. So it may read and write data of the current CPU with plain instructions, if
 * everything before its last store (the commit) can be thrown away.
 *
 * This header is for Tocsin's own headers and for those who write sections of their own; programs
 * use <tocsin/percpu.h>.
 *
 * How a section is written:
 *
 *	static inline int add(uintptr_t area, void *table, ...)
 *	{
 *		__asm__ goto(TOCSIN_RSEQ_BEGIN
 *			     ... load the index, test the gate, load, compute ...
 *			     TOCSIN_RSEQ_INJECT(1)
 *			     ... one store that commits, the last instruction ...
 *			     TOCSIN_RSEQ_END
 *			     :
 *			     : [area] "r"(area), ...
 *			     : TOCSIN_RSEQ_CLOBBERS
 *			     : aborted, none, closed);
 *		return TOCSIN_RSEQ_DONE;
 *	aborted:
 *		return TOCSIN_RSEQ_ABORTED;
 *	...
 *
 *	TOCSIN_RSEQ_BEGIN     arms the section. Needs the operand [area] =
 *	                      TOCSIN_RSEQ_AREA(offset); uses %rax (x16) as scratch.
 *	TOCSIN_RSEQ_END       after the commit; goes to the label `aborted` when the kernel says so.
 *	TOCSIN_RSEQ_CPU       loads the CPU number into %eax (w16). As a signed number it is
 *	                      negative where the thread is not registered. Compare it, unsigned,
 *	                      with the table's size.
 *	TOCSIN_RSEQ_INDEX     loads the process's index (mm_cid or cpu_id) into %eax (w16); goes
 *	                      to the label `none` where the thread is not registered. Needs [area]
 *	                      and [index] = [area] + tocsin_rseq.index_offset.
 *	TOCSIN_RSEQ_INJECT(n) nothing; in test builds (TOCSIN_RSEQ_WITH_INJECT) a delay of
 *	                      tocsin_rseq_delay[n] turns, n < TOCSIN_RSEQ_POINTS, which also says in
 *	                      tocsin_rseq_unmet[n] that it was met. Uses %rcx (x17) and the flags.
 *	TOCSIN_RSEQ_CLOBBERS  the scratch registers, "cc" and "memory".
 *	Numeric labels 70 to 76 are taken.
 *
 * Rules: no system call and no call inside; the index, then the gate (a pointer that is NULL when
 * closed), are loaded inside the section; nothing armed while tocsin_rseq.area is 0; after
 * TOCSIN_RSEQ_ABORT_LIMIT aborts of one operation give up and take the path with atomics, which
 * must use other words: a debugger that steps through the code would never get out of the section
 * else. Code with sections must not be unloaded while a thread may have armed one: link with -z
 * nodelete.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__x86_64__) && defined(__LP64__)
#	define TOCSIN_RSEQ_ARCH 1
#	include "tocsin/arch/x86_64.h"
#elif defined(__aarch64__) && defined(__LP64__)
#	define TOCSIN_RSEQ_ARCH 1
#	include "tocsin/arch/aarch64.h"
#else
#	define TOCSIN_RSEQ_ARCH   0 /* everything takes the path with atomics */
#	define TOCSIN_CPU_RELAX() __asm__ __volatile__("" ::: "memory")
#endif

#ifndef TOCSIN_API
#	define TOCSIN_API __attribute__((visibility("default")))
#endif

/* Aborts of one operation, nested retries included, before it takes the path with atomics. */
#define TOCSIN_RSEQ_ABORT_LIMIT 64

/* How a section ended. */
enum {
	TOCSIN_RSEQ_DONE = 0,
	TOCSIN_RSEQ_ABORTED = 1, /* try again, up to the limit */
	TOCSIN_RSEQ_NONE = 2,    /* this thread is not registered: use the path with atomics */
	TOCSIN_RSEQ_CLOSED = 3,  /* the gate is closed, or there is nothing yet: the same */
	TOCSIN_RSEQ_UNEQUAL = 4, /* compared, and was not equal */
};

/* The kernel's area of a thread (struct rseq of linux/rseq.h, as far as Tocsin reads it). Only
 * rseq_cs is ever written. */
struct tocsin_rseq_area {
	uint32_t cpu_id_start; /* other libraries may overlay this one: not used */
	uint32_t cpu_id;       /* as int32_t: -1 not registered, -2 registration failed */
	uint64_t rseq_cs;
	uint32_t flags;
	uint32_t node_id; /* there if tocsin_rseq.feature_bytes >= 24 */
	uint32_t mm_cid;  /* there if tocsin_rseq.feature_bytes >= 28 */
	uint32_t reserved;
};

/*
 * What the constructor found out; constant from then on. All zero before, and area stays 0 where
 * sections cannot be used, so `area != 0` is the one test that every fast path begins with.
 * Exported data: the size is part of the ABI.
 */
struct tocsin_rseq_state {
	intptr_t area;         /* from the thread pointer to the area; 0: do not use sections */
	uint32_t index_offset; /* in the area, of the process's index: 24 (mm_cid) or 4 (cpu_id) */
	uint32_t nr_indexes; /* indexes are below this: the possible CPUs; 0 before the constructor
			      */
	uint32_t feature_bytes; /* of the area that the kernel fills in: 20, 28 or more; 0: none */
	uint32_t flags;         /* TOCSIN_RSEQ_F_* */
	uint64_t reserved[5];
};

#define TOCSIN_RSEQ_F_OWN    1u /* registered by Tocsin, thread by thread, since libc does not */
#define TOCSIN_RSEQ_F_FENCE  2u /* membarrier can abort sections of other threads, all CPUs */
#define TOCSIN_RSEQ_F_FENCE1 4u /* ... and of one CPU */

TOCSIN_API extern struct tocsin_rseq_state tocsin_rseq;

#define TOCSIN_RSEQ_POINTS 32
#ifdef TOCSIN_RSEQ_WITH_INJECT
/* Turns of each delay; only in test builds, where it is linked into the same object. */
extern volatile int32_t tocsin_rseq_delay[TOCSIN_RSEQ_POINTS] __attribute__((visibility("hidden")));
/* 1 at first; a section that comes by a point stores 0 there. */
extern volatile int32_t tocsin_rseq_unmet[TOCSIN_RSEQ_POINTS] __attribute__((visibility("hidden")));
#endif

#ifdef __cplusplus
}
#endif

#endif
