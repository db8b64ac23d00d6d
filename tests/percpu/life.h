/* SPDX-License-Identifier: MIT */
#ifndef TESTS_PERCPU_LIFE_H
#define TESTS_PERCPU_LIFE_H

/* What every moment of a process's life does to the toolkit, and what it must come to. */

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "tocsin/keyed.h"
#include "tocsin/percpu.h"

/* When it is used. */
#define LIFE_MOMENTS(X)   \
	X(ifunc)          \
	X(preinit)        \
	X(constructor)    \
	X(audit)          \
	X(main)           \
	X(thread)         \
	X(handler)        \
	X(nested_handler) \
	X(pthread_exit)   \
	X(key_destructor) \
	X(fork_child)     \
	X(atexit)         \
	X(destructor)

enum life_moment {
#define X(name) LIFE_##name,
	LIFE_MOMENTS(X)
#undef X
		LIFE_MOMENTS_NR
};

static struct tocsin_counter *life_counter; /* one for each moment */
static struct tocsin_percpu *life_percpu;
static struct tocsin_pool *life_pool;
static struct tocsin_keyed *life_keyed;
static uint64_t life_expected[LIFE_MOMENTS_NR];

static inline void life_make(void)
{
	const struct tocsin_pool_opts opts = {.size = sizeof(opts), .item_bytes = 64};
	const struct tocsin_keyed_opts keyed = {
		.size = sizeof(keyed), .item_bytes = 8, .max_items = LIFE_MOMENTS_NR};

	if (!life_counter && tocsin_counter_new(LIFE_MOMENTS_NR, &life_counter))
		_exit(3);
	if (!life_percpu && tocsin_percpu_new(64, 0, &life_percpu))
		_exit(3);
	if (!life_pool && tocsin_pool_new(&opts, &life_pool))
		_exit(3);
	if (!life_keyed && tocsin_keyed_new(&keyed, &life_keyed))
		_exit(3);
}

static inline void life_touch(void *item, int cpu, void *arg)
{
	(void)cpu;
	(void)arg;
	((uint64_t *)item)[1]++;
}

/* One use of everything. Makes what is not there yet. */
static inline void life_use(enum life_moment moment)
{
	struct tocsin_op op = {.code = TOCSIN_OP_ADD, .value = 1};
	uint64_t token;
	void *item;

	life_make();
	token = tocsin_rcu_read_lock();
	if (!tocsin_rcu_is_watching())
		_exit(6);
	if (tocsin_pool_take(life_pool, &item) || tocsin_pool_give(life_pool, item))
		_exit(7);
	if (tocsin_keyed_get(life_keyed, (uint64_t)moment, &item) < 0)
		_exit(9);
	(void)__atomic_fetch_add((uint64_t *)item, 1, __ATOMIC_RELAXED);
	tocsin_rcu_read_unlock(token);
	tocsin_counter_add(life_counter, (uint32_t)moment, 1);
	if (tocsin_percpu_op(life_percpu, TOCSIN_CPU_HERE, &op) < 0)
		_exit(4);
	if (tocsin_do_on_cpu(life_percpu, (int)tocsin_percpu_nr(life_percpu) - 1, life_touch, NULL))
		_exit(10);
	if (tocsin_cpu() >= tocsin_nr_cpus() || tocsin_cid() >= (int)tocsin_nr_cpus())
		_exit(5);
	(void)__atomic_fetch_add(&life_expected[moment], 1, __ATOMIC_RELAXED);
}

/* Did every use of this moment count? */
static inline int life_moment_holds(enum life_moment moment)
{
	uint64_t *item = (uint64_t *)tocsin_keyed_find(life_keyed, (uint64_t)moment);
	uint64_t expected = life_expected[moment];

	return tocsin_counter_sum(life_counter, (uint32_t)moment) == expected &&
	       (item ? *item : 0) == expected;
}

static inline void life_say(const char *text, size_t size, int len)
{
	if (len < 0 || (size_t)len >= size || write(STDERR_FILENO, text, (size_t)len) != len)
		_exit(1);
}

/* Says what came of it, and ends the process with 1 if it is wrong. */
static inline void life_check(const char *who, uint64_t least)
{
	static const char *const names[] = {
#define X(name) #name,
		LIFE_MOMENTS(X)
#undef X
	};
	uint64_t expected = 0, added = 0, touched = 0;
	struct tocsin_pool_stats stats;
	const char *why;
	char text[256];
	int failed = 0;

	for (unsigned cpu = 0; cpu < tocsin_percpu_nr(life_percpu); cpu++) {
		const uint64_t *item = (const uint64_t *)tocsin_percpu_item(life_percpu, (int)cpu);

		added += item[0];
		touched += item[1];
	}
	for (unsigned i = 0; i < LIFE_MOMENTS_NR; i++) {
		int holds = life_moment_holds((enum life_moment)i);

		expected += life_expected[i];
		failed |= !holds;
		life_say(text, sizeof(text),
			 snprintf(text, sizeof(text), "%s: moment %s %llu%s\n", who, names[i],
				  (unsigned long long)life_expected[i], holds ? "" : " LOST"));
	}
	tocsin_pool_get_stats(life_pool, &stats);
	if (stats.out != 0 || tocsin_rcu_synchronize_for(UINT64_C(5000000000), NULL) != 0)
		_exit(8);
	(void)tocsin_percpu_usable(&why);
	life_say(text, sizeof(text),
		 snprintf(text, sizeof(text), "%s: %llu uses, added %llu, from outside %llu (%s)\n",
			  who, (unsigned long long)expected, (unsigned long long)added,
			  (unsigned long long)touched, why));
	if (failed || added != expected || touched != expected || expected < least)
		_exit(1);
}

#endif
