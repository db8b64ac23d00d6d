/* SPDX-License-Identifier: MIT */
#ifndef TESTS_PERCPU_LIFE_H
#define TESTS_PERCPU_LIFE_H

/* What every moment of a process's life does to the toolkit, and what it must come to. */

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "tocsin/percpu.h"

static struct tocsin_counter *life_counter;
static struct tocsin_percpu *life_percpu;
static struct tocsin_pool *life_pool;
static uint64_t life_expected;

/* One use of everything. Makes what is not there yet. */
static inline void life_use(void)
{
	const struct tocsin_pool_opts opts = {.size = sizeof(opts), .item_bytes = 64};
	struct tocsin_op op = {.code = TOCSIN_OP_ADD, .value = 1};
	uint64_t token;
	void *item;

	if (!life_counter && tocsin_counter_new(4, &life_counter))
		_exit(3);
	if (!life_percpu && tocsin_percpu_new(64, 0, &life_percpu))
		_exit(3);
	if (!life_pool && tocsin_pool_new(&opts, &life_pool))
		_exit(3);
	token = tocsin_rcu_read_lock();
	if (!tocsin_rcu_is_watching())
		_exit(6);
	if (tocsin_pool_take(life_pool, &item) || tocsin_pool_give(life_pool, item))
		_exit(7);
	tocsin_rcu_read_unlock(token);
	tocsin_counter_add(life_counter, 2, 1);
	if (tocsin_percpu_op(life_percpu, TOCSIN_CPU_HERE, &op) < 0)
		_exit(4);
	if (tocsin_cpu() >= tocsin_nr_cpus() || tocsin_cid() >= (int)tocsin_nr_cpus())
		_exit(5);
	(void)__atomic_fetch_add(&life_expected, 1, __ATOMIC_RELAXED);
}

/* Says what came of it, and ends the process with 1 if it is wrong. */
static inline void life_check(const char *who, uint64_t least)
{
	uint64_t sum = 0, count = tocsin_counter_sum(life_counter, 2);
	struct tocsin_pool_stats stats;
	const char *why;
	char text[256];
	int len;

	for (unsigned cpu = 0; cpu < tocsin_percpu_nr(life_percpu); cpu++)
		sum += *(uint64_t *)tocsin_percpu_item(life_percpu, (int)cpu);
	tocsin_pool_get_stats(life_pool, &stats);
	if (stats.out != 0 || tocsin_rcu_synchronize_for(UINT64_C(5000000000), NULL) != 0)
		_exit(8);
	(void)tocsin_percpu_usable(&why);
	len = snprintf(text, sizeof(text), "%s: %llu uses, counted %llu, added %llu (%s)\n", who,
		       (unsigned long long)life_expected, (unsigned long long)count,
		       (unsigned long long)sum, why);
	if (write(STDERR_FILENO, text, (size_t)len) != len || sum != life_expected ||
	    count != life_expected || life_expected < least)
		_exit(1);
}

#endif
