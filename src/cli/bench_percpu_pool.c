// SPDX-License-Identifier: MIT
/* `tocsin bench percpu`: the pool beside general allocators, all with items of 64 bytes. */
#include <errno.h>

#include "bench_percpu.h"
#include "bench_percpu_rival.h"
#include "tocsin/keyed.h"
#include "tocsin/pool.h"

#define ITEM_BYTES 64
#define KEYS       10000

static struct tocsin_pool *pool; /* made once: the process ends after the bench */
static void *volatile held;

static inline void pool_pair(void)
{
	void *item;

	if (tocsin_pool_take(pool, &item) != 0)
		return; /* cannot be: one item at a time */
	held = item;
	*(volatile char *)item = 1;
	(void)tocsin_pool_give(pool, item); /* 0: not a debug pool */
}

static void pool_pair_loop(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++) {
		pool_pair();
		__asm__ __volatile__("" ::: "memory");
	}
}

double bench_percpu_pool_pair_ns(struct bench_run *run)
{
	const struct tocsin_pool_opts opts = {.size = sizeof(opts), .item_bytes = ITEM_BYTES};

	(void)run;
	if (!pool && tocsin_pool_new(&opts, &pool) != 0)
		return BENCH_NOT_HERE;
	return bench_percpu_time(pool_pair_loop);
}

static struct tocsin_keyed *keyed; /* as the pool */

static void keyed_find_loop(unsigned turns)
{
	uint64_t key = 0;

	for (unsigned i = 0; i < turns; i++) {
		held = tocsin_keyed_find(keyed, key);
		key = (key + 4111) % KEYS; /* all of them, in no order of memory */
	}
}

/* Return: a table with KEYS items, NULL. */
static struct tocsin_keyed *keyed_make(void)
{
	const struct tocsin_keyed_opts opts = {
		.size = sizeof(opts), .item_bytes = ITEM_BYTES, .max_items = KEYS};
	struct tocsin_keyed *table;
	void *item;

	if (tocsin_keyed_new(&opts, &table) != 0)
		return NULL;
	for (uint64_t key = 0; key < KEYS; key++)
		if (tocsin_keyed_get(table, key, &item) < 0)
			return tocsin_keyed_free(table);
	return table;
}

double bench_percpu_keyed_find_ns(struct bench_run *run)
{
	(void)run;
	if (!keyed)
		keyed = keyed_make();
	return keyed ? bench_percpu_time(keyed_find_loop) : BENCH_NOT_HERE;
}

double bench_percpu_malloc_pair_ns(struct bench_run *run)
{
	return bench_rival(
		run, &(struct bench_rival){.what = "malloc", .part = "libc.so", .preload = ""});
}

double bench_percpu_jemalloc_pair_ns(struct bench_run *run)
{
	return bench_rival(run, &(struct bench_rival){.what = "malloc",
						      .part = "jemalloc",
						      .preload = "libjemalloc.so.2",
						      .package = "libjemalloc2"});
}

double bench_percpu_mimalloc_pair_ns(struct bench_run *run)
{
	return bench_rival(run, &(struct bench_rival){.what = "malloc",
						      .part = "mimalloc",
						      .preload = "libmimalloc.so.2.0",
						      .package = "libmimalloc2.0"});
}
