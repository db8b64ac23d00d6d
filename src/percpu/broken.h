/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_BROKEN_H
#define TOCSIN_PERCPU_BROKEN_H

/*
 * Deliberately broken variants, one change each, for negative tests: the stress test must catch
 * every one of them, or it tests nothing. Without TOCSIN_BROKEN, which no installed build sets,
 * nothing changes.
 */

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rseq.h"

#define BROKEN_NO_FENCE     1 /* close the gate, and do not fence */
#define BROKEN_WEAK_FENCE   2 /* fence by a barrier that does not abort sections */
#define BROKEN_EARLY_FENCE  3 /* fence before the gate is closed */
#define BROKEN_GATE_OUTSIDE 4 /* the gate is tested before the section, not inside */
#define BROKEN_ONE_CPU      5 /* indexed by concurrency id: fence the CPU with that number only */
#define BROKEN_UNARMED      6 /* sections are not armed */

#ifndef TOCSIN_BROKEN
#	define TOCSIN_BROKEN 0
#endif

/* rseq_fence(@cpu) for the item @idx, or what a variant does instead. */
static inline int broken_fence(int cpu, int idx)
{
	if (TOCSIN_BROKEN == BROKEN_NO_FENCE || TOCSIN_BROKEN == BROKEN_EARLY_FENCE)
		return 0;
	if (TOCSIN_BROKEN == BROKEN_ONE_CPU)
		return rseq_fence(idx);
	if (TOCSIN_BROKEN != BROKEN_WEAK_FENCE)
		return rseq_fence(cpu);
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	return (int)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

/* What a variant does before the gate is closed. */
static inline void broken_before_close(int cpu)
{
	if (TOCSIN_BROKEN == BROKEN_EARLY_FENCE)
		(void)rseq_fence(cpu);
}

#if TOCSIN_BROKEN == BROKEN_UNARMED && TOCSIN_RSEQ_ARCH
#	undef TOCSIN_RSEQ_BEGIN
#	define TOCSIN_RSEQ_BEGIN                     \
		".pushsection __rseq_cs, \"aw?\"\n\t" \
		".balign 32\n"                        \
		"70:\n\t"                             \
		".long 0, 0\n\t"                      \
		".quad 71f, 72f - 71f, 74f\n\t"       \
		".popsection\n"                       \
		"71:\n\t"
#endif

#endif
