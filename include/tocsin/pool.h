/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_POOL_H
#define TOCSIN_POOL_H

/*
 * Memory for items of one size, from a stack of free items per CPU.
 *
 *	struct tocsin_pool_opts opts = {.size = sizeof(opts), .item_bytes = sizeof(struct request)};
 *	struct tocsin_pool *pool;
 *	int err = tocsin_pool_new(&opts, &pool);
 *	...
 *	err = tocsin_pool_take(pool, &item);
 *	...
 *	tocsin_pool_give(pool, item);            from any thread, on any CPU
 *
 * A CPU's stack (a magazine) holds up to 64 items and is changed in a restartable sequence: no
 * atomic instruction. Items go to and from the other CPUs 32 at a time, over a lock-free depot.
 * Threads that cannot use sections (no rseq, a debugger that steps through) take single items from
 * a lock-free list and put them there. Neither take nor give ever waits, or calls malloc.
 *
 *	mode         memory                              take() when there is nothing left
 *	growing      mapped as needed, 64 KiB or more    -ENOMEM
 *	             at a time, on the CPU's node
 *	BOUNDED      all at the start, touched           -ENOSPC, without a system call
 *
 * With DEBUG every item is tracked: given twice, given though it is not an item, written after it
 * was given, never given back. Some 70 ns more, as the items' memory is filled.
 *
 * In the child of a fork() the pool goes on; what threads that do not exist there held in their
 * hands (at most 64 items each) is lost. Not to be used in a vfork() child nor in a thread made by
 * a raw clone(CLONE_VM), as everything per-CPU: see <tocsin/percpu.h>.
 *
 * The arrangement is that of Bonwick and Adams, "Magazines and Vmem" (2001), with a restartable
 * sequence for the CPU's lock. C11 and C++17.
 */

#include <stddef.h>
#include <stdint.h>

#include "tocsin/rseq.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Looked into only by libtocsin and the functions below. Layout: part of the ABI. */
struct tocsin_pool {
	void *const *table; /* by CPU: its magazine; NULL while somebody empties it */
	uint32_t nr_cpus;   /* of table; 0: everything takes the slow way (debug) */
	uint32_t reserved;
};

#define TOCSIN_POOL_BOUNDED 1u /* all memory at the start, and never a system call later */
#define TOCSIN_POOL_DEBUG   2u /* find misuse */

#define TOCSIN_POOL_MAGAZINE 64 /* items */
#define TOCSIN_POOL_BATCH    32
#define TOCSIN_POOL_MAX      (UINT64_C(1) << 22) /* items of a growing pool, unless told */

/* What a debug pool may find. */
enum tocsin_pool_misuse {
	TOCSIN_POOL_FOREIGN = 1, /* give: not an item of this pool */
	TOCSIN_POOL_TWICE = 2,   /* give: it was given already */
	TOCSIN_POOL_OVERWRITTEN =
		3, /* take: somebody wrote into it after it was given; it is kept
		      out of use from now on. give: somebody wrote behind its end */
};

struct tocsin_pool_opts {
	size_t size;       /* sizeof(struct tocsin_pool_opts), as the caller was compiled */
	size_t item_bytes; /* 1 to 2^20 */
	size_t align;      /* a power of two up to 4096; 0: 16 */
	/* Bounded: that many can be out at a time, wherever the free ones are; more memory is
	 * taken, 64 items a CPU, so that free items in other CPUs' magazines do not count. But a
	 * thread that moves a batch at this moment has up to 32 free items in its hand, where
	 * nobody finds them; add 32 for each thread (and each handler that may interrupt one) to be
	 * sure. Growing: the most, 0 is TOCSIN_POOL_MAX. Up to 2^31. */
	uint64_t max_items;
	uint32_t flags; /* TOCSIN_POOL_* */
	uint32_t reserved;
	/* Debug: called at a misuse, in the thread that found it, also in signal handlers; may be
	 * NULL */
	void (*on_misuse)(void *arg, enum tocsin_pool_misuse what, void *item);
	void *arg;
};

struct tocsin_pool_stats {
	uint64_t items;       /* that there is memory for */
	uint64_t out;         /* taken and not given back; exact while nobody uses the pool */
	uint64_t bytes;       /* mapped for items */
	uint64_t misuses;     /* found, debug only */
	uint64_t batches;     /* moved between a magazine and the depot */
	uint64_t singles;     /* items that threads without sections took or gave */
	uint64_t lost_chunks; /* parts of the address space that could not be mapped */
};

/**
 * tocsin_pool_new() - make a pool.
 * @opts:     lent
 * @ret_pool: to be given to tocsin_pool_free()
 *
 * Return: 0, -EINVAL an option is out of range, -E2BIG @opts has fields that this library does not
 * know, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API int tocsin_pool_new(const struct tocsin_pool_opts *opts, struct tocsin_pool **ret_pool);

/** tocsin_pool_free() - unmap a pool and all its items; nobody may use either any more. @pool may
 * be NULL. Return: NULL. Thread-safe: no. Signal-safe: no. Since: 0.1. */
TOCSIN_API struct tocsin_pool *tocsin_pool_free(struct tocsin_pool *pool);

/**
 * tocsin_pool_get_stats() - counts, cheap enough for once a second.
 *
 * Thread-safe: yes, but .out is exact only while nobody takes or gives. Signal-safe: yes. Since:
 * 0.1.
 */
TOCSIN_API void tocsin_pool_get_stats(struct tocsin_pool *pool,
				      struct tocsin_pool_stats *ret_stats);

/**
 * tocsin_pool_each_out() - the leak check of a debug pool: call @fn for each item that is out.
 *
 * Return: how many, or -EOPNOTSUPP the pool is not a debug pool.
 * Thread-safe: yes, but items may change hands meanwhile. Signal-safe: as @fn. Since: 0.1.
 */
TOCSIN_API long tocsin_pool_each_out(struct tocsin_pool *pool, void (*fn)(void *arg, void *item),
				     void *arg);

/**
 * tocsin_pool_drain() - move all CPUs' free items to the depot, where any CPU finds them.
 *
 * For when a CPU has gone offline, or a bounded pool is nearly empty. One membarrier(2) a CPU;
 * those who take or give meanwhile do not wait.
 *
 * Return: how many items were moved, -EOPNOTSUPP the kernel has no such fence (Linux < 5.10).
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API long tocsin_pool_drain(struct tocsin_pool *pool);

TOCSIN_API int tocsin_pool_take_slow_(struct tocsin_pool *pool, void **ret_item);
TOCSIN_API int tocsin_pool_give_slow_(struct tocsin_pool *pool, void *item);

/*
 * A magazine is 1024 bytes, aligned to that:
 *
 *	0     address of the topmost free item's cell
 *	504   NULL: where the top is when the magazine is empty
 *	512   64 cells, from the bottom; behind the last one the address is a multiple of 1024 again
 *
 * so that neither empty nor full needs a count or a second word. The commit is the store of the
 * top. Return of the sections: TOCSIN_RSEQ_DONE, _ABORTED, _NONE no section possible here and now,
 * _CLOSED the magazine is empty (take) or full (give).
 */
#define TOCSIN_POOL_MAGAZINE_BYTES 1024

#if TOCSIN_RSEQ_ARCH
/* Injection points 20 and 21. */
static inline __attribute__((always_inline, unused)) int tocsin_pool_pop_(
	uintptr_t area, const struct tocsin_pool *pool, void **ret_item)
{
#	if defined(__x86_64__)
	__asm__ goto(TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		     "cmpl %[nr], %%eax\n\t"
		     "jae %l[none]\n\t"
		     "movq (%[table], %%rax, 8), %%rax\n\t"
		     "testq %%rax, %%rax\n\t"
		     "jz %l[none]\n\t"
		     "movq (%%rax), %%rdx\n\t" TOCSIN_RSEQ_INJECT(
			     20) "movq (%%rdx), %%rsi\n\t"
				 "testq %%rsi, %%rsi\n\t"
				 "jz %l[empty]\n\t"
				 "movq %%rsi, (%[item])\n\t"
				 "subq $8, %%rdx\n\t" TOCSIN_RSEQ_INJECT(
					 21) "movq %%rdx, (%%rax)" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [nr] "r"(pool->nr_cpus), [table] "r"(pool->table),
		       [item] "r"(ret_item)
		     : TOCSIN_RSEQ_CLOBBERS, "rdx", "rsi"
		     : aborted, none, empty);
#	else
	__asm__ goto(TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		     "cmp w16, %w[nr]\n\t"
		     "b.hs %l[none]\n\t"
		     "ldr x16, [%[table], x16, lsl #3]\n\t"
		     "cbz x16, %l[none]\n\t"
		     "ldr x14, [x16]\n\t" TOCSIN_RSEQ_INJECT(
			     20) "ldr x15, [x14]\n\t"
				 "cbz x15, %l[empty]\n\t"
				 "str x15, [%[item]]\n\t"
				 "sub x14, x14, #8\n\t" TOCSIN_RSEQ_INJECT(
					 21) "str x14, [x16]\n\t" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [nr] "r"(pool->nr_cpus), [table] "r"(pool->table),
		       [item] "r"(ret_item)
		     : TOCSIN_RSEQ_CLOBBERS, "x14", "x15"
		     : aborted, none, empty);
#	endif
	return TOCSIN_RSEQ_DONE;
empty:
	return TOCSIN_RSEQ_CLOSED;
none:
	return TOCSIN_RSEQ_NONE;
aborted:
	return TOCSIN_RSEQ_ABORTED;
}

/* Injection points 22 and 23. */
static inline __attribute__((always_inline, unused)) int tocsin_pool_push_(
	uintptr_t area, const struct tocsin_pool *pool, void *item)
{
#	if defined(__x86_64__)
	__asm__ goto(TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		     "cmpl %[nr], %%eax\n\t"
		     "jae %l[none]\n\t"
		     "movq (%[table], %%rax, 8), %%rax\n\t"
		     "testq %%rax, %%rax\n\t"
		     "jz %l[none]\n\t"
		     "movq (%%rax), %%rdx\n\t" TOCSIN_RSEQ_INJECT(
			     22) "addq $8, %%rdx\n\t"
				 "testl $1023, %%edx\n\t"
				 "jz %l[full]\n\t"
				 "movq %[item], (%%rdx)\n\t" TOCSIN_RSEQ_INJECT(
					 23) "movq %%rdx, (%%rax)" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [nr] "r"(pool->nr_cpus), [table] "r"(pool->table),
		       [item] "r"(item)
		     : TOCSIN_RSEQ_CLOBBERS, "rdx"
		     : aborted, none, full);
#	else
	__asm__ goto(TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_CPU
		     "cmp w16, %w[nr]\n\t"
		     "b.hs %l[none]\n\t"
		     "ldr x16, [%[table], x16, lsl #3]\n\t"
		     "cbz x16, %l[none]\n\t"
		     "ldr x14, [x16]\n\t" TOCSIN_RSEQ_INJECT(
			     22) "add x14, x14, #8\n\t"
				 "tst x14, #1023\n\t"
				 "b.eq %l[full]\n\t"
				 "str %[item], [x14]\n\t" TOCSIN_RSEQ_INJECT(
					 23) "str x14, [x16]\n\t" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [nr] "r"(pool->nr_cpus), [table] "r"(pool->table),
		       [item] "r"(item)
		     : TOCSIN_RSEQ_CLOBBERS, "x14"
		     : aborted, none, full);
#	endif
	return TOCSIN_RSEQ_DONE;
full:
	return TOCSIN_RSEQ_CLOSED;
none:
	return TOCSIN_RSEQ_NONE;
aborted:
	return TOCSIN_RSEQ_ABORTED;
}
#endif

/**
 * tocsin_pool_take() - take an item.
 * @ret_item: its memory; what is in it is undefined
 *
 * Return: 0; -ENOSPC a bounded pool has none left, or the last free ones are in the hands of
 * threads that move a batch right now (32 each; the next try may succeed), -ENOMEM the same of a
 * growing pool, or it cannot grow. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline __attribute__((always_inline, unused)) int tocsin_pool_take(struct tocsin_pool *pool,
									  void **ret_item)
{
#if TOCSIN_RSEQ_ARCH && !defined(TOCSIN_PERCPU_OUTLINE)
	intptr_t area = tocsin_rseq.area;
	void *item;

	if (__builtin_expect(area != 0, 1) &&
	    __builtin_expect(
		    tocsin_pool_pop_(TOCSIN_RSEQ_AREA(area), pool, &item) == TOCSIN_RSEQ_DONE, 1)) {
		*ret_item = item;
		return 0;
	}
#endif
	return tocsin_pool_take_slow_(pool, ret_item);
}

/**
 * tocsin_pool_give() - give an item back.
 * @item: of this pool; not NULL
 *
 * Return: 0. Only a debug pool finds out and returns -EINVAL it is not an item of this pool,
 * -EALREADY it was given already; in other pools both destroy it. Thread-safe: yes. Signal-safe:
 * yes. Since: 0.1.
 */
static inline __attribute__((always_inline, unused)) int tocsin_pool_give(struct tocsin_pool *pool,
									  void *item)
{
#if TOCSIN_RSEQ_ARCH && !defined(TOCSIN_PERCPU_OUTLINE)
	intptr_t area = tocsin_rseq.area;

	if (__builtin_expect(area != 0, 1) &&
	    __builtin_expect(
		    tocsin_pool_push_(TOCSIN_RSEQ_AREA(area), pool, item) == TOCSIN_RSEQ_DONE, 1))
		return 0;
#endif
	return tocsin_pool_give_slow_(pool, item);
}

#ifdef __cplusplus
}
#endif

#endif
