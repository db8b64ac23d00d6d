/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_POOL_H
#define TOCSIN_PERCPU_POOL_H

/* What the files of the pool share; how it works is described in pool.c. */

#include <stdbool.h>
#include <stdint.h>

#include "tocsin/pool.h"

/* The stress test builds the pool with other definitions: a delay, and broken variants. */
#ifndef POOL_INJECT
#	define POOL_INJECT()
#endif
#ifndef POOL_CHANGES /* the count of changes of a stack's top */
#	define POOL_CHANGES(top) (((top) >> 32) + 1)
#endif
#ifndef POOL_FENCE
#	define POOL_FENCE(cpu) rseq_fence(cpu)
#endif

struct pool_magazine {
	void **top; /* the cell of the topmost item; only sections of the CPU write, and drains */
	char pad[496];
	void *cells[TOCSIN_POOL_MAGAZINE + 1]; /* [0] is NULL for ever */
} __attribute__((aligned(TOCSIN_POOL_MAGAZINE_BYTES)));

struct pool_batch {
	void *items[TOCSIN_POOL_BATCH]; /* whoever has taken the record off its stack */
	uint32_t next;                  /* of the stack that it is on: index + 1, 0 the last */
	uint32_t pad;
};

/* The top of a lock-free stack: index + 1 below, a count of changes above. */
struct pool_stack {
	uint64_t top;
	char pad[56];
};

/* Private memory that the child of a fork finds wiped: no magazine is closed there for ever. */
struct pool_gates {
	uint64_t is_made; /* 0: wiped */
	void *table[];    /* by CPU */
};

enum pool_item_state { POOL_ITEM_FREE, POOL_ITEM_OUT, POOL_ITEM_BAD };

struct pool {
	struct tocsin_pool public; /* first: users hold a pointer to it */
	uint32_t nr_cpus;          /* of the table, also in a debug pool */
	uint32_t flags;
	size_t stride; /* bytes from item to item */
	size_t item_bytes;
	uint64_t max_items;
	uint32_t chunk_items; /* mapped at a time: whole pages, whole batches */
	uint32_t nr_chunks;   /* that there is room for */
	char *items;          /* all of it reserved, chunks are mapped as they are needed */
	struct pool_gates *gates;
	struct pool_magazine *magazines;
	struct pool_batch *batches; /* as many as there can be batches of items */
	uint32_t *next;             /* by item, on the list of single items: as in pool_batch */
	uint8_t *state;             /* by item, debug: enum pool_item_state */
	size_t gates_bytes, magazines_bytes, items_bytes, batches_bytes, next_bytes, state_bytes;
	void (*on_misuse)(void *arg, enum tocsin_pool_misuse what, void *item);
	void *arg;

	/* Everybody writes the rest, by atomics. */
	struct pool_stack full __attribute__((aligned(64))); /* batch records with 32 items */
	struct pool_stack empty;                             /* without */
	struct pool_stack single;                            /* items */
	uint32_t next_chunk;
	uint32_t lost_chunks;
	uint64_t nr_items; /* that memory was mapped for */
	uint64_t nr_misuses, nr_batches, nr_singles;
	uint64_t nr_out; /* debug only; else it is counted when asked */
};

/** pool_grow() - map a chunk and put its items into the depot, but for one batch.
 * @items: that batch
 * Return: 0, -ENOSPC, -ENOMEM. Signal-safe: yes. */
int pool_grow(struct pool *pool, void **items);

/** pool_index() - of an item; the caller knows that it is one. */
static inline uint32_t pool_index(const struct pool *pool, const void *item)
{
	return (uint32_t)((size_t)((const char *)item - pool->items) / pool->stride);
}

/** pool_item() - the item of an index. */
static inline void *pool_item(const struct pool *pool, uint32_t index)
{
	return pool->items + (size_t)index * pool->stride;
}

/* The depot. A batch put is one taken: 32 items. */
bool pool_depot_take(struct pool *pool, void **items);
void pool_depot_put(struct pool *pool, void *const *items);

/* Single items. */
void *pool_single_take(struct pool *pool);
void pool_single_put(struct pool *pool, void *const *items, unsigned nr);

/* pool_debug.c: take and give where every item is tracked. */
int pool_debug_take(struct pool *pool, void **ret_item);
int pool_debug_give(struct pool *pool, void *item);
void pool_debug_fill(struct pool *pool, void *item);

#endif
