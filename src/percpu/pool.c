// SPDX-License-Identifier: MIT
/*
 * Items of one size: magazines, depot, single items.
 *
 * A free item is in exactly one of: the magazine of a CPU; a batch record on the stack `full`; the
 * list of single items; somebody's hand, which is an array on the stack of a function below.
 * Magazines are changed only in sections of their CPU, or by a drain that has closed the gate (the
 * CPU's pointer in the table is NULL) and then fenced, so that no section is under way; everything
 * else by compare-and-exchange. Nobody waits for anybody: who finds a gate closed uses single
 * items.
 *
 * Linearisation points: take and give, the store of the magazine's top, or the exchange on
 * `single`; a batch, the exchange on `full`.
 *
 * The stacks hold indexes, and a count in the upper half of the top's word that changes with every
 * change, so that a top that went and came back is noticed; a thread would have to sleep through
 * exactly a multiple of 2^32 changes between its load and its exchange. Batch records and the array
 * `next` are never unmapped while the pool lives, so what a late comer reads through an index is
 * memory, and if it is stale the exchange fails.
 *
 * A batch record is needed wherever 32 items are: there are as many as the items that exist make
 * batches. Whoever takes a full record copies the items out and puts the record back to `empty`
 * before the items go anywhere; so whoever has 32 items in hand finds an empty record. Should it
 * not, the items go to the list of single items, which always works.
 *
 * Fork: everything is private memory, so the child has a copy, consistent because every change is
 * one store. A gate that a drain in another thread held would stay closed there: the table lies in
 * memory that is wiped in the child, and the first one who finds it wiped writes it anew. No drain
 * goes on in a child behind a gate that was opened so: its signals are blocked while it has closed
 * one, so no handler forks there.
 */
#include "pool.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "../base/banned.h"
#include "pool_section.h"
#include "rseq.h"
#include "signals.h"

_Static_assert(sizeof(struct pool_magazine) == TOCSIN_POOL_MAGAZINE_BYTES,
	       "as the sections assume");
_Static_assert(offsetof(struct pool_magazine, cells) == POOL_CELLS, "as the sections assume");

/* How often a loop that is moved between CPUs, or aborted, goes round before single items serve. */
#define TRIES 8

static inline struct pool *pool_of(struct tocsin_pool *pool)
{
	return (struct pool *)pool;
}

static void count(uint64_t *word)
{
	(void)__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
}

/* ---- lock-free stacks of indexes; *next_of(index) is the link */

static uint32_t *batch_next(struct pool *pool, uint32_t index)
{
	return &pool->batches[index].next;
}

static uint32_t *item_next(struct pool *pool, uint32_t index)
{
	return &pool->next[index];
}

typedef uint32_t *(*next_of_fn)(struct pool *pool, uint32_t index);

/* Put a chain on the stack: @first is its first, @last its last. */
static inline void stack_push(struct pool *pool, struct pool_stack *stack, next_of_fn next_of,
			      uint32_t first, uint32_t last)
{
	uint64_t old = __atomic_load_n(&stack->top, __ATOMIC_RELAXED), top;

	do {
		__atomic_store_n(next_of(pool, last), (uint32_t)old, __ATOMIC_RELAXED);
		top = POOL_CHANGES(old) << 32 | (first + 1);
	} while (!__atomic_compare_exchange_n(&stack->top, &old, top, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

static inline bool stack_pop(struct pool *pool, struct pool_stack *stack, next_of_fn next_of,
			     uint32_t *ret_index)
{
	uint64_t old = __atomic_load_n(&stack->top, __ATOMIC_ACQUIRE), top;
	uint32_t index;

	do {
		if ((uint32_t)old == 0)
			return false;
		index = (uint32_t)old - 1;
		top = POOL_CHANGES(old) << 32 |
		      __atomic_load_n(next_of(pool, index), __ATOMIC_RELAXED);
		POOL_INJECT();
	} while (!__atomic_compare_exchange_n(&stack->top, &old, top, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	*ret_index = index;
	return true;
}

bool pool_depot_take(struct pool *pool, void **items)
{
	uint32_t index;

	if (!stack_pop(pool, &pool->full, batch_next, &index))
		return false;
	memcpy(items, pool->batches[index].items, sizeof(pool->batches[index].items));
	stack_push(pool, &pool->empty, batch_next, index, index);
	count(&pool->nr_batches);
	return true;
}

void pool_depot_put(struct pool *pool, void *const *items)
{
	uint32_t index;

	if (!stack_pop(pool, &pool->empty, batch_next, &index)) {
		pool_single_put(pool, items, TOCSIN_POOL_BATCH);
		return;
	}
	memcpy(pool->batches[index].items, items, sizeof(pool->batches[index].items));
	stack_push(pool, &pool->full, batch_next, index, index);
	count(&pool->nr_batches);
}

void *pool_single_take(struct pool *pool)
{
	uint32_t index;

	if (!stack_pop(pool, &pool->single, item_next, &index))
		return NULL;
	return pool_item(pool, index);
}

void pool_single_put(struct pool *pool, void *const *items, unsigned nr)
{
	uint32_t first, last;

	if (!nr)
		return;
	first = pool_index(pool, items[0]);
	last = first;
	for (unsigned i = 1; i < nr; i++) {
		uint32_t index = pool_index(pool, items[i]);

		__atomic_store_n(&pool->next[last], index + 1, __ATOMIC_RELAXED);
		last = index;
	}
	stack_push(pool, &pool->single, item_next, first, last);
}

/* ---- the gates */

/* In the child of a fork the table was wiped: who gets there first writes it anew. */
static void gates_renew(struct pool *pool)
{
	uint64_t wiped = 0;

	if (__atomic_load_n(&pool->gates->is_made, __ATOMIC_RELAXED) ||
	    !__atomic_compare_exchange_n(&pool->gates->is_made, &wiped, 1, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	for (uint32_t cpu = 0; cpu < pool->nr_cpus; cpu++)
		__atomic_store_n(&pool->gates->table[cpu], &pool->magazines[cpu], __ATOMIC_RELEASE);
}

/* Try a section until it is not aborted, or too often. One count for all of an operation. */
#define SECTION(tries, section)                                    \
	({                                                         \
		int r_ = TOCSIN_RSEQ_NONE;                         \
		while (*(tries) > 0) {                             \
			r_ = (section);                            \
			if (r_ != TOCSIN_RSEQ_ABORTED)             \
				break;                             \
			--*(tries);                                \
		}                                                  \
		r_ == TOCSIN_RSEQ_ABORTED ? TOCSIN_RSEQ_NONE : r_; \
	})

#if TOCSIN_RSEQ_ARCH
/* The area of a thread that may use sections now; false: single items. */
static bool sections_usable(struct pool *pool, uintptr_t *ret_area)
{
	if (!tocsin_rseq.area || (!rseq_thread_ready() && rseq_thread_register() < 0))
		return false;
	gates_renew(pool);
	*ret_area = TOCSIN_RSEQ_AREA(tocsin_rseq.area);
	return true;
}
#endif

/* ---- take */

/* 32 items from wherever there are some; fewer only if the rest is single. Return: how many, or
 * -ENOSPC, -ENOMEM. */
static int hand_fill(struct pool *pool, void **hand)
{
	unsigned nr = 0;
	int r;

	if (pool_depot_take(pool, hand))
		return TOCSIN_POOL_BATCH;
	while (nr < TOCSIN_POOL_BATCH && (hand[nr] = pool_single_take(pool)) != NULL)
		nr++;
	if (nr)
		return (int)nr;
	r = pool_grow(pool, hand);
	return r < 0 ? r : TOCSIN_POOL_BATCH;
}

/* Without a section: one item for the caller, the others for those after him. */
static int take_single(struct pool *pool, void **ret_item)
{
	void *hand[TOCSIN_POOL_BATCH];
	int nr;

	count(&pool->nr_singles);
	*hand = pool_single_take(pool);
	if (!*hand) {
		nr = hand_fill(pool, hand);
		if (nr < 0)
			return nr;
		pool_single_put(pool, hand + 1, (unsigned)nr - 1);
	}
	*ret_item = *hand;
	return 0;
}

#if TOCSIN_RSEQ_ARCH
/* Put what the hand holds where this CPU's next takes find it. */
static void hand_store(struct pool *pool, uintptr_t area, int *tries, void **hand, unsigned nr)
{
	if (nr < TOCSIN_POOL_BATCH) {
		pool_single_put(pool, hand, nr);
		return;
	}
	if (SECTION(tries, pool_push_batch(area, &pool->public, hand)) != TOCSIN_RSEQ_DONE)
		pool_depot_put(pool, hand); /* moved to a CPU whose magazine has some */
}
#endif

int tocsin_pool_take_slow_(struct tocsin_pool *public, void **ret_item)
{
	struct pool *pool = pool_of(public);
#if TOCSIN_RSEQ_ARCH
	int aborts = TOCSIN_RSEQ_ABORT_LIMIT;
	void *hand[TOCSIN_POOL_BATCH], *item;
	uintptr_t area;
#endif

	if (pool->flags & TOCSIN_POOL_DEBUG)
		return pool_debug_take(pool, ret_item);
#if TOCSIN_RSEQ_ARCH
	for (int i = 0; i < TRIES && sections_usable(pool, &area); i++) {
		int r = SECTION(&aborts, tocsin_pool_pop_(area, public, &item));

		if (r == TOCSIN_RSEQ_DONE) {
			*ret_item = item;
			return 0;
		}
		if (r == TOCSIN_RSEQ_NONE)
			break;
		r = hand_fill(pool, hand);
		if (r < 0)
			return r;
		if (r < TOCSIN_POOL_BATCH) {
			*ret_item = hand[0];
			hand_store(pool, area, &aborts, hand + 1, (unsigned)r - 1);
			return 0;
		}
		hand_store(pool, area, &aborts, hand, TOCSIN_POOL_BATCH);
	}
#endif
	return take_single(pool, ret_item);
}

/* ---- give */

int tocsin_pool_give_slow_(struct tocsin_pool *public, void *item)
{
	struct pool *pool = pool_of(public);
#if TOCSIN_RSEQ_ARCH
	int aborts = TOCSIN_RSEQ_ABORT_LIMIT;
	void *hand[TOCSIN_POOL_BATCH];
	uintptr_t area;
#endif

	if (pool->flags & TOCSIN_POOL_DEBUG)
		return pool_debug_give(pool, item);
#if TOCSIN_RSEQ_ARCH
	for (int i = 0; i < TRIES && sections_usable(pool, &area); i++) {
		int r = SECTION(&aborts, tocsin_pool_push_(area, public, item));

		if (r == TOCSIN_RSEQ_DONE)
			return 0;
		if (r == TOCSIN_RSEQ_NONE)
			break;
		if (SECTION(&aborts, pool_pop_batch(area, public, hand)) == TOCSIN_RSEQ_DONE)
			pool_depot_put(pool, hand);
	}
#endif
	count(&pool->nr_singles);
	pool_single_put(pool, &item, 1);
	return 0;
}

/* ---- drain */

/* Takes what is in a CPU's magazine. Return: how many items, or as POOL_FENCE(). */
static long magazine_empty(struct pool *pool, uint32_t cpu, void **hand)
{
	struct pool_magazine *magazine;
	long nr;
	int r;

	magazine = __atomic_exchange_n(&pool->gates->table[cpu], NULL, __ATOMIC_SEQ_CST);
	if (!magazine)
		return 0; /* somebody else is at it */
	r = POOL_FENCE((int)cpu);
	if (r < 0) {
		__atomic_store_n(&pool->gates->table[cpu], magazine, __ATOMIC_RELEASE);
		return r;
	}
	nr = magazine->top - magazine->cells;
	memcpy(hand, magazine->cells + 1, (size_t)nr * sizeof(*hand));
	magazine->top = magazine->cells;
	__atomic_store_n(&pool->gates->table[cpu], magazine, __ATOMIC_RELEASE);
	return nr;
}

static long magazine_drain(struct pool *pool, uint32_t cpu)
{
	void *hand[TOCSIN_POOL_MAGAZINE];
	uint64_t signals = signals_block();
	long nr = magazine_empty(pool, cpu, hand), at = 0;

	signals_restore(signals);
	for (; at + TOCSIN_POOL_BATCH <= nr; at += TOCSIN_POOL_BATCH)
		pool_depot_put(pool, hand + at);
	if (at < nr)
		pool_single_put(pool, hand + at, (unsigned)(nr - at));
	return nr;
}

long tocsin_pool_drain(struct tocsin_pool *public)
{
	struct pool *pool = pool_of(public);
	long nr = 0;

	if (pool->flags & TOCSIN_POOL_DEBUG)
		return 0; /* its magazines are never filled */
	gates_renew(pool);
	for (uint32_t cpu = 0; cpu < pool->nr_cpus; cpu++) {
		long r = magazine_drain(pool, cpu);

		if (r < 0)
			return r;
		nr += r;
	}
	return nr;
}

/* ---- counts */

static uint64_t stack_length(struct pool *pool, struct pool_stack *stack, next_of_fn next_of,
			     uint64_t limit)
{
	uint32_t link = (uint32_t)__atomic_load_n(&stack->top, __ATOMIC_ACQUIRE);
	uint64_t nr = 0;

	/* The limit: beside changes the links may run in a circle. */
	for (; link && nr < limit; nr++)
		link = __atomic_load_n(next_of(pool, link - 1), __ATOMIC_RELAXED);
	return nr;
}

void tocsin_pool_get_stats(struct tocsin_pool *public, struct tocsin_pool_stats *ret_stats)
{
	struct pool *pool = pool_of(public);
	uint64_t items = __atomic_load_n(&pool->nr_items, __ATOMIC_ACQUIRE), idle = 0;

	*ret_stats = (struct tocsin_pool_stats){
		.items = items,
		.bytes = items * pool->stride,
		.misuses = __atomic_load_n(&pool->nr_misuses, __ATOMIC_RELAXED),
		.batches = __atomic_load_n(&pool->nr_batches, __ATOMIC_RELAXED),
		.singles = __atomic_load_n(&pool->nr_singles, __ATOMIC_RELAXED),
		.lost_chunks = __atomic_load_n(&pool->lost_chunks, __ATOMIC_RELAXED),
	};
	if (pool->flags & TOCSIN_POOL_DEBUG) {
		ret_stats->out = __atomic_load_n(&pool->nr_out, __ATOMIC_RELAXED);
		return;
	}
	for (uint32_t cpu = 0; cpu < pool->nr_cpus; cpu++)
		idle += (uint64_t)(__atomic_load_n(&pool->magazines[cpu].top, __ATOMIC_RELAXED) -
				   pool->magazines[cpu].cells);
	idle += TOCSIN_POOL_BATCH * stack_length(pool, &pool->full, batch_next, items);
	idle += stack_length(pool, &pool->single, item_next, items);
	ret_stats->out = items > idle ? items - idle : 0;
}
