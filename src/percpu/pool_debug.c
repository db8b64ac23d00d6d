// SPDX-License-Identifier: MIT
/*
 * A debug pool: no magazines, a state for each item, and free items filled with a pattern that must
 * be there still when they are taken. All items pass through the list of single items.
 */
#include <errno.h>
#include <string.h>

#include "../base/banned.h"
#include "pool.h"

#define POISON_FREE  0xf5 /* in a free item */
#define POISON_FRESH 0xe1 /* in an item just taken: who reads before he writes sees this */

static int misuse(struct pool *pool, enum tocsin_pool_misuse what, void *item, int error)
{
	(void)__atomic_fetch_add(&pool->nr_misuses, 1, __ATOMIC_RELAXED);
	if (pool->on_misuse)
		pool->on_misuse(pool->arg, what, item);
	return error;
}

void pool_debug_fill(struct pool *pool, void *item)
{
	memset(item, POISON_FREE, pool->stride);
}

static bool is_untouched(const struct pool *pool, const void *item)
{
	const unsigned char *bytes = item;

	for (size_t i = 0; i < pool->stride; i++)
		if (bytes[i] != POISON_FREE)
			return false;
	return true;
}

/* A free item. */
static int free_item(struct pool *pool, void **ret_item)
{
	void *hand[TOCSIN_POOL_BATCH];
	int r;

	*hand = pool_single_take(pool);
	if (!*hand) {
		if (!pool_depot_take(pool, hand)) {
			r = pool_grow(pool, hand);
			if (r < 0)
				return r;
		}
		pool_single_put(pool, hand + 1, TOCSIN_POOL_BATCH - 1);
	}
	*ret_item = *hand;
	return 0;
}

int pool_debug_take(struct pool *pool, void **ret_item)
{
	void *item;
	int r;

	for (;;) {
		uint8_t *state;

		r = free_item(pool, &item);
		if (r < 0)
			return r;
		state = &pool->state[pool_index(pool, item)];
		if (is_untouched(pool, item)) {
			__atomic_store_n(state, POOL_ITEM_OUT, __ATOMIC_RELAXED);
			break;
		}
		__atomic_store_n(state, POOL_ITEM_BAD, __ATOMIC_RELAXED);
		(void)misuse(pool, TOCSIN_POOL_OVERWRITTEN, item, 0);
	}
	(void)__atomic_fetch_add(&pool->nr_out, 1, __ATOMIC_RELAXED);
	/* What lies behind the item stays: an item written beyond its end is found out later. */
	memset(item, POISON_FRESH, pool->item_bytes);
	*ret_item = item;
	return 0;
}

/* Was the space between this item and the next written to? */
static bool is_overrun(const struct pool *pool, const void *item)
{
	const unsigned char *bytes = item;

	for (size_t i = pool->item_bytes; i < pool->stride; i++)
		if (bytes[i] != POISON_FREE)
			return true;
	return false;
}

int pool_debug_give(struct pool *pool, void *item)
{
	uintptr_t at = (uintptr_t)item, start = (uintptr_t)pool->items;
	uint64_t mapped = __atomic_load_n(&pool->next_chunk, __ATOMIC_ACQUIRE);
	uint8_t out = POOL_ITEM_OUT, *state;

	if (at < start || at - start >= mapped * pool->chunk_items * pool->stride ||
	    (at - start) % pool->stride)
		return misuse(pool, TOCSIN_POOL_FOREIGN, item, -EINVAL);
	state = &pool->state[pool_index(pool, item)];
	if (!__atomic_compare_exchange_n(state, &out, POOL_ITEM_FREE, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return misuse(pool, TOCSIN_POOL_TWICE, item, -EALREADY);
	(void)__atomic_fetch_sub(&pool->nr_out, 1, __ATOMIC_RELAXED);
	if (is_overrun(pool, item))
		(void)misuse(pool, TOCSIN_POOL_OVERWRITTEN, item, 0);
	pool_debug_fill(pool, item);
	pool_single_put(pool, &item, 1);
	return 0;
}

long tocsin_pool_each_out(struct tocsin_pool *public, void (*fn)(void *arg, void *item), void *arg)
{
	struct pool *pool = (struct pool *)public;
	uint64_t items;
	long nr = 0;

	if (!pool->state)
		return -EOPNOTSUPP;
	items = (uint64_t)__atomic_load_n(&pool->next_chunk, __ATOMIC_ACQUIRE) * pool->chunk_items;
	for (uint64_t i = 0; i < items; i++) {
		if (__atomic_load_n(&pool->state[i], __ATOMIC_ACQUIRE) != POOL_ITEM_OUT)
			continue;
		fn(arg, pool_item(pool, (uint32_t)i));
		nr++;
	}
	return nr;
}
