/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_POOL_SECTION_H
#define TOCSIN_PERCPU_POOL_SECTION_H

/*
 * The sections that move a batch between a magazine and memory of the caller. The batch is copied
 * inside the section; as with a single item, the store of the top commits. Layout of a magazine and
 * results: tocsin/pool.h. Injection points 24 (copied out) and 25 (copied in).
 */

#include "tocsin/pool.h"

#define POOL_CELLS 504 /* where the top is in an empty magazine */

/* Batches must fit as a whole: the constants below are written for these. */
_Static_assert(TOCSIN_POOL_MAGAZINE == 64 && TOCSIN_POOL_BATCH == 32, "256 bytes a batch");
_Static_assert(TOCSIN_POOL_MAGAZINE_BYTES == POOL_CELLS + 8 + 8 * TOCSIN_POOL_MAGAZINE, "exactly");

#if TOCSIN_RSEQ_ARCH
/* CLOSED: fewer than a batch are there. */
static inline int pool_pop_batch(uintptr_t area, const struct tocsin_pool *pool, void **items)
{
#	if defined(__x86_64__)
	__asm__ goto(TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		     "cmpl %[nr], %%eax\n\t"
		     "jae %l[none]\n\t"
		     "movq (%[table], %%rax, 8), %%rax\n\t"
		     "testq %%rax, %%rax\n\t"
		     "jz %l[none]\n\t"
		     "movq (%%rax), %%rdx\n\t"
		     "movl %%edx, %%esi\n\t"
		     "andl $1023, %%esi\n\t"
		     "cmpl $504 + 256, %%esi\n\t"
		     "jb %l[few]\n\t"
		     "subq $256, %%rdx\n\t"
		     "xorl %%esi, %%esi\n"
		     "78:\n\t"
		     "movq 8(%%rdx, %%rsi), %%r8\n\t"
		     "movq %%r8, (%[items], %%rsi)\n\t"
		     "addl $8, %%esi\n\t"
		     "cmpl $256, %%esi\n\t"
		     "jb 78b\n\t" TOCSIN_RSEQ_INJECT(24) "movq %%rdx, (%%rax)" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [nr] "r"(pool->nr_cpus), [table] "r"(pool->table),
		       [items] "r"(items)
		     : TOCSIN_RSEQ_CLOBBERS, "rdx", "rsi", "r8"
		     : aborted, none, few);
#	else
	__asm__ goto(TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		     "cmp w16, %w[nr]\n\t"
		     "b.hs %l[none]\n\t"
		     "ldr x16, [%[table], x16, lsl #3]\n\t"
		     "cbz x16, %l[none]\n\t"
		     "ldr x14, [x16]\n\t"
		     "and x15, x14, #1023\n\t"
		     "cmp x15, #504 + 256\n\t"
		     "b.lo %l[few]\n\t"
		     "sub x14, x14, #256\n\t"
		     "mov x15, #0\n"
		     "78:\n\t"
		     "add x13, x14, x15\n\t"
		     "ldr x13, [x13, #8]\n\t"
		     "str x13, [%[items], x15]\n\t"
		     "add x15, x15, #8\n\t"
		     "cmp x15, #256\n\t"
		     "b.lo 78b\n\t" TOCSIN_RSEQ_INJECT(24) "str x14, [x16]\n\t" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [nr] "r"(pool->nr_cpus), [table] "r"(pool->table),
		       [items] "r"(items)
		     : TOCSIN_RSEQ_CLOBBERS, "x13", "x14", "x15"
		     : aborted, none, few);
#	endif
	return TOCSIN_RSEQ_DONE;
few:
	return TOCSIN_RSEQ_CLOSED;
none:
	return TOCSIN_RSEQ_NONE;
aborted:
	return TOCSIN_RSEQ_ABORTED;
}

/* CLOSED: there is no room for a batch. */
static inline int pool_push_batch(uintptr_t area, const struct tocsin_pool *pool,
				  void *const *items)
{
#	if defined(__x86_64__)
	__asm__ goto(
		TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		"cmpl %[nr], %%eax\n\t"
		"jae %l[none]\n\t"
		"movq (%[table], %%rax, 8), %%rax\n\t"
		"testq %%rax, %%rax\n\t"
		"jz %l[none]\n\t"
		"movq (%%rax), %%rdx\n\t"
		"movl %%edx, %%esi\n\t"
		"andl $1023, %%esi\n\t"
		"cmpl $1016 - 256, %%esi\n\t"
		"ja %l[little]\n\t"
		"xorl %%esi, %%esi\n"
		"78:\n\t"
		"movq (%[items], %%rsi), %%r8\n\t"
		"movq %%r8, 8(%%rdx, %%rsi)\n\t"
		"addl $8, %%esi\n\t"
		"cmpl $256, %%esi\n\t"
		"jb 78b\n\t"
		"addq $256, %%rdx\n\t" TOCSIN_RSEQ_INJECT(25) "movq %%rdx, (%%rax)" TOCSIN_RSEQ_END
		:
		: [area] "r"(area), [nr] "r"(pool->nr_cpus), [table] "r"(pool->table),
		  [items] "r"(items)
		: TOCSIN_RSEQ_CLOBBERS, "rdx", "rsi", "r8"
		: aborted, none, little);
#	else
	__asm__ goto(
		TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		"cmp w16, %w[nr]\n\t"
		"b.hs %l[none]\n\t"
		"ldr x16, [%[table], x16, lsl #3]\n\t"
		"cbz x16, %l[none]\n\t"
		"ldr x14, [x16]\n\t"
		"and x15, x14, #1023\n\t"
		"cmp x15, #1016 - 256\n\t"
		"b.hi %l[little]\n\t"
		"mov x15, #0\n"
		"78:\n\t"
		"ldr x13, [%[items], x15]\n\t"
		"add x12, x14, x15\n\t"
		"str x13, [x12, #8]\n\t"
		"add x15, x15, #8\n\t"
		"cmp x15, #256\n\t"
		"b.lo 78b\n\t"
		"add x14, x14, #256\n\t" TOCSIN_RSEQ_INJECT(25) "str x14, [x16]\n\t" TOCSIN_RSEQ_END
		:
		: [area] "r"(area), [nr] "r"(pool->nr_cpus), [table] "r"(pool->table),
		  [items] "r"(items)
		: TOCSIN_RSEQ_CLOBBERS, "x12", "x13", "x14", "x15"
		: aborted, none, little);
#	endif
	return TOCSIN_RSEQ_DONE;
little:
	return TOCSIN_RSEQ_CLOSED;
none:
	return TOCSIN_RSEQ_NONE;
aborted:
	return TOCSIN_RSEQ_ABORTED;
}
#endif

#endif
