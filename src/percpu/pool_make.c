// SPDX-License-Identifier: MIT
/* The pool's memory: reserved as a whole when it is made, mapped chunk by chunk as it grows. */
#include <errno.h>
#include <linux/mempolicy.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/banned.h"
#include "pool.h"
#include "tocsin/percpu.h"

#define ALIGN_DEFAULT  16u
#define ALIGN_MAX      4096u
#define ITEM_MAX       (1u << 20)
#define ITEMS_MAX      (UINT64_C(1) << 31)
#define CHUNK_MIN      65536u
#define NODES_MAX      1024u                                  /* of a mask for mbind() */
#define OPTS_BYTES_MIN offsetof(struct tocsin_pool_opts, arg) /* of 0.1 */

static size_t round_up(size_t value, size_t to)
{
	return (value + to - 1) / to * to;
}

/* Memory that costs nothing until it is touched. */
static void *reserve(size_t bytes, int protection)
{
	void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, size_t bytes)
{
	if (p)
		(void)munmap(p, bytes); /* whole and ours: cannot fail */
}

/* On the node of the CPU that needs it; where that cannot be had, elsewhere. */
static void bind_to_node(void *p, size_t bytes)
{
	unsigned long mask[NODES_MAX / (8 * sizeof(unsigned long))] = {0};
	unsigned node = tocsin_node();

	if (node >= NODES_MAX)
		return;
	mask[node / (8 * sizeof(mask[0]))] = 1ul << node % (8 * sizeof(mask[0]));
	(void)syscall(SYS_mbind, p, bytes, MPOL_PREFERRED, mask, NODES_MAX, 0); /* a wish */
}

/* A chunk that nobody else maps. Return: 0, -ENOSPC. */
static int chunk_claim(struct pool *pool, uint32_t *ret_chunk)
{
	uint32_t chunk = __atomic_load_n(&pool->next_chunk, __ATOMIC_RELAXED);

	do {
		if (chunk >= pool->nr_chunks)
			return -ENOSPC;
	} while (!__atomic_compare_exchange_n(&pool->next_chunk, &chunk, chunk + 1, true,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	*ret_chunk = chunk;
	return 0;
}

static int chunk_map(struct pool *pool, uint32_t chunk)
{
	size_t bytes = (size_t)pool->chunk_items * pool->stride;
	char *start = pool->items + chunk * bytes;
	int populate = pool->flags & TOCSIN_POOL_BOUNDED ? MAP_POPULATE : 0;
	uint32_t next = chunk + 1;

	if (mmap(start, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | populate, -1, 0) == MAP_FAILED) {
		/* Give the number back, unless somebody has taken the next one. */
		if (!__atomic_compare_exchange_n(&pool->next_chunk, &next, chunk, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			(void)__atomic_fetch_add(&pool->lost_chunks, 1, __ATOMIC_RELAXED);
		return -ENOMEM;
	}
	if (!populate)
		bind_to_node(start, bytes);
	return 0;
}

int pool_grow(struct pool *pool, void **items)
{
	uint32_t chunk, first;
	int saved_errno = errno, r;

	r = chunk_claim(pool, &chunk);
	if (r == 0)
		r = chunk_map(pool, chunk);
	errno = saved_errno;
	if (r < 0)
		return pool->flags & TOCSIN_POOL_BOUNDED ? -ENOSPC : -ENOMEM;
	first = chunk * pool->chunk_items;
	for (uint32_t i = 0; pool->state && i < pool->chunk_items; i++)
		pool_debug_fill(pool, pool_item(pool, first + i));
	/* The records of a chunk come with it: as many as its items make batches. */
	for (uint32_t i = 0; i < pool->chunk_items; i += TOCSIN_POOL_BATCH) {
		struct pool_batch *batch = &pool->batches[(first + i) / TOCSIN_POOL_BATCH];
		struct pool_stack *stack = i ? &pool->full : &pool->empty;
		void **to = i ? batch->items : items;
		uint64_t old = __atomic_load_n(&stack->top, __ATOMIC_RELAXED), top;

		for (uint32_t k = 0; k < TOCSIN_POOL_BATCH; k++)
			to[k] = pool_item(pool, first + i + k);
		do {
			__atomic_store_n(&batch->next, (uint32_t)old, __ATOMIC_RELAXED);
			top = POOL_CHANGES(old) << 32 | ((first + i) / TOCSIN_POOL_BATCH + 1);
		} while (!__atomic_compare_exchange_n(&stack->top, &old, top, true,
						      __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	}
	(void)__atomic_fetch_add(&pool->nr_items, pool->chunk_items, __ATOMIC_RELEASE);
	return 0;
}

/* ---- made and unmade */

static int opts_check(const struct tocsin_pool_opts *opts, struct tocsin_pool_opts *ret_opts)
{
	const char *tail = (const char *)opts + sizeof(*opts);
	struct tocsin_pool_opts known = {0};

	if (opts->size < OPTS_BYTES_MIN)
		return -EINVAL;
	for (size_t i = sizeof(*opts); i < opts->size; i++)
		if (*tail++)
			return -E2BIG;
	memcpy(&known, opts, opts->size < sizeof(known) ? opts->size : sizeof(known));
	if (!known.align)
		known.align = ALIGN_DEFAULT;
	if (!known.max_items && !(known.flags & TOCSIN_POOL_BOUNDED))
		known.max_items = TOCSIN_POOL_MAX;
	if (known.item_bytes < 1 || known.item_bytes > ITEM_MAX || known.align > ALIGN_MAX ||
	    (known.align & (known.align - 1)) || !known.max_items || known.max_items > ITEMS_MAX ||
	    known.flags & ~(TOCSIN_POOL_BOUNDED | TOCSIN_POOL_DEBUG) || known.reserved)
		return -EINVAL;
	*ret_opts = known;
	return 0;
}

static void geometry(struct pool *pool, const struct tocsin_pool_opts *opts)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	bool is_bounded = opts->flags & TOCSIN_POOL_BOUNDED;
	uint64_t wanted = opts->max_items;

	pool->nr_cpus = tocsin_nr_cpus();
	pool->flags = opts->flags;
	pool->item_bytes = opts->item_bytes;
	pool->stride = round_up(opts->item_bytes, opts->align < 8 ? 8 : opts->align);
	pool->on_misuse = opts->on_misuse;
	pool->arg = opts->arg;
	if (is_bounded && !(opts->flags & TOCSIN_POOL_DEBUG))
		wanted += (uint64_t)pool->nr_cpus * TOCSIN_POOL_MAGAZINE;
	pool->chunk_items = TOCSIN_POOL_BATCH;
	while (pool->chunk_items * pool->stride % page ||
	       (!is_bounded && pool->chunk_items * pool->stride < CHUNK_MIN))
		pool->chunk_items *= 2;
	if (is_bounded) /* one, of what was asked for */
		pool->chunk_items = (uint32_t)round_up(wanted, pool->chunk_items);
	pool->nr_chunks = (uint32_t)((wanted + pool->chunk_items - 1) / pool->chunk_items);
	pool->max_items = (uint64_t)pool->nr_chunks * pool->chunk_items;
}

static int memory_make(struct pool *pool)
{
	const int rw = PROT_READ | PROT_WRITE;

	pool->gates_bytes = sizeof(*pool->gates) + pool->nr_cpus * sizeof(void *);
	pool->magazines_bytes = pool->nr_cpus * sizeof(*pool->magazines);
	pool->items_bytes = pool->max_items * pool->stride;
	pool->batches_bytes = pool->max_items / TOCSIN_POOL_BATCH * sizeof(*pool->batches);
	pool->next_bytes = pool->max_items * sizeof(*pool->next);
	pool->state_bytes = pool->max_items;
	pool->gates = reserve(pool->gates_bytes, rw);
	pool->magazines = reserve(pool->magazines_bytes, rw);
	pool->items = reserve(pool->items_bytes, PROT_NONE);
	pool->batches = reserve(pool->batches_bytes, rw);
	pool->next = reserve(pool->next_bytes, rw);
	if (pool->flags & TOCSIN_POOL_DEBUG)
		pool->state = reserve(pool->state_bytes, rw);
	if (!pool->gates || !pool->magazines || !pool->items || !pool->batches || !pool->next ||
	    (pool->flags & TOCSIN_POOL_DEBUG && !pool->state))
		return -ENOMEM;
	/* Linux < 4.14 has no such advice; then a drain at the moment of a fork leaves a CPU of the
	 * child with single items. */
	(void)madvise(pool->gates, pool->gates_bytes, MADV_WIPEONFORK);
	for (uint32_t cpu = 0; cpu < pool->nr_cpus; cpu++) {
		pool->magazines[cpu].top = pool->magazines[cpu].cells;
		pool->gates->table[cpu] = &pool->magazines[cpu];
	}
	pool->gates->is_made = 1;
	pool->public.table = pool->gates->table;
	pool->public.nr_cpus = pool->flags & TOCSIN_POOL_DEBUG ? 0 : pool->nr_cpus;
	return 0;
}

/* Everything that a bounded pool will ever need, touched now. */
static int memory_fill(struct pool *pool)
{
	void *hand[TOCSIN_POOL_BATCH];

	memset(pool->next, 0, pool->next_bytes);
	memset(pool->batches, 0, pool->batches_bytes);
	if (pool->state)
		memset(pool->state, POOL_ITEM_FREE, pool->state_bytes);
	for (uint32_t chunk = 0; chunk < pool->nr_chunks; chunk++) {
		int r = pool_grow(pool, hand);

		if (r < 0)
			return -ENOMEM;
		pool_depot_put(pool, hand);
	}
	return 0;
}

int tocsin_pool_new(const struct tocsin_pool_opts *opts, struct tocsin_pool **ret_pool)
{
	struct tocsin_pool_opts known;
	struct pool *pool;
	int r;

	r = opts_check(opts, &known);
	if (r < 0)
		return r;
	pool = reserve(sizeof(*pool), PROT_READ | PROT_WRITE);
	if (!pool)
		return -ENOMEM;
	geometry(pool, &known);
	r = memory_make(pool);
	if (r == 0 && pool->flags & TOCSIN_POOL_BOUNDED)
		r = memory_fill(pool);
	if (r < 0) {
		(void)tocsin_pool_free(&pool->public); /* NULL */
		return r;
	}
	*ret_pool = &pool->public;
	return 0;
}

struct tocsin_pool *tocsin_pool_free(struct tocsin_pool *public)
{
	struct pool *pool = (struct pool *)public;

	if (!pool)
		return NULL;
	release(pool->state, pool->state_bytes);
	release(pool->next, pool->next_bytes);
	release(pool->batches, pool->batches_bytes);
	release(pool->items, pool->items_bytes);
	release(pool->magazines, pool->magazines_bytes);
	release(pool->gates, pool->gates_bytes);
	release(pool, sizeof(*pool));
	return NULL;
}
