// SPDX-License-Identifier: MIT
/*
 * Does a reader ever see what an updater has poisoned right after tocsin_rcu_synchronize()?
 *
 *	stress_rcu SECONDS [counted] [hotplug]
 *
 * Built several times: as it is, and with one thing broken (STRESS_BREAK), which must be
 * noticed. What makes the broken ones fail (each part was needed): readers that are delayed
 * between reading the period and storing their mark, now and then for 300 us; stores to lines
 * shared with the updater before the lock, so that the mark stays in the store buffer; an updater
 * pinned to a CPU of its own that does nothing else. Besides: handlers with sections of their
 * own, migration, sections without a slot, threads that come and go, some of which end inside a
 * section. With "counted" no reader has a slot, there are two, and one sleeps in every section,
 * the other never: else grace periods are too long to come to their end while a section is open
 * that they should have waited for.
 */
#define STRESS_NOT_BROKEN 0
#define STRESS_NO_FENCE   1 /* no membarrier */
#define STRESS_ONE_BIT    2 /* the period told by its last bit, in one pass */
#define STRESS_ONE_PHASE  3 /* counted sections: one phase looked at */
#define STRESS_NESTING    4 /* the inner unlock ends the section */
#ifndef STRESS_BREAK
#	define STRESS_BREAK STRESS_NOT_BROKEN
#endif

#if STRESS_BREAK == STRESS_NO_FENCE
#	define RCU_FENCE() 0
#	define STRESS_NAME "without the fence"
#elif STRESS_BREAK == STRESS_ONE_BIT
#	define RCU_PASSED(mark, period) \
		((mark) <= TOCSIN_RCU_OUTSIDE || (((mark) ^ (period)) & 1) == 0)
#	define STRESS_NAME "with a period of one bit"
#elif STRESS_BREAK == STRESS_ONE_PHASE
#	define RCU_COUNTED_LOOKS 1
#	define STRESS_NAME       "looking at one phase of counted sections"
#elif STRESS_BREAK == STRESS_NESTING
#	define STRESS_NAME "with an inner unlock that ends the section"
#else
#	define STRESS_NAME "as it is"
#endif

#include <stdint.h>

static void gap(void);
#define TOCSIN_RCU_INJECT() gap()

#include "../../src/percpu/rcu.c"
#include "../../src/percpu/rcu_sync.c"

#include "stress.h"

enum { READERS = 5, ROAMING_READER = 2, COUNTED_READER = 3, OBJECTS = 64, LINES = 64 };

#define LONG_NS  300000
#define LONG_GAP UINT32_MAX
#define ALIVE    1u
#define POISON   0xdeadbeefu

struct object {
	uint64_t value;
	char pad[56];
};

static struct object objects[OBJECTS];
static struct object *shown = &objects[0];
static char lines[LINES][64] __attribute__((aligned(64)));
static uint64_t nr_bad, nr_reads, nr_periods, nr_errors;
static int stop;
static pthread_t readers[READERS];
static unsigned first_counted = COUNTED_READER; /* from this one on they have no slot */
static unsigned nr_readers = READERS;
static __thread uint32_t gap_turns;
static __thread bool counted_only, is_sleeper;
static __thread bool is_ready; /* a handler before counted_only is set would take a slot */

static void gap(void)
{
	uint32_t turns = gap_turns;

	if (turns == LONG_GAP)
		stress_sleep_ns(LONG_NS);
	else
		stress_spin(turns);
}

static uint64_t lock(void)
{
	return counted_only ? counted_lock() : tocsin_rcu_read_lock();
}

static void unlock(uint64_t token, bool is_inner)
{
#if STRESS_BREAK == STRESS_NESTING
	if (is_inner && !(token & TOKEN_COUNTED))
		token = TOCSIN_RCU_OUTSIDE;
#else
	(void)is_inner;
#endif
	tocsin_rcu_read_unlock(token);
}

static void look(const struct object *object)
{
	if (__atomic_load_n(&object->value, __ATOMIC_RELAXED) != ALIVE)
		(void)__atomic_fetch_add(&nr_bad, 1, __ATOMIC_RELAXED);
}

/* One section; its delays are made of the bits of @x. */
static void section(uint32_t x)
{
	bool is_long = first_counted ? (x >> 7 & 127) == 0 : is_sleeper;
	uint32_t turns = x >> 16 & 3 ? x >> 20 & 15 : (x >> 9) % 4000, outer_gap = gap_turns;
	const struct object *object;
	uint64_t token, inner;

	gap_turns = is_long ? LONG_GAP : x & 7 ? 0 : (x >> 3) % 400;
	if (x & 8)
		for (uint32_t i = 0; i < 24; i++)
			*(volatile char *)&lines[(x + i) % LINES][0] = (char)x;
	token = lock();
	object = tocsin_rcu_dereference(&shown);
	for (unsigned i = 0; i < 3; i++) {
		look(object);
		stress_spin(turns);
	}
	if (x & 16) {
		inner = lock();
		look(object);
		unlock(inner, true);
	}
	if (is_long)
		stress_sleep_ns(LONG_NS);
	look(object);
	unlock(token, false);
	gap_turns = outer_gap;
}

static void *reader_run(void *arg)
{
	unsigned nr = (unsigned)(uintptr_t)arg;
	uint32_t x = nr * 7919 + 1;
	uint64_t n = 0;

	if (nr != ROAMING_READER)
		stress_pin(1);
	counted_only = nr >= first_counted;
	is_sleeper = nr == 0;
	is_ready = true;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		x = stress_random(x);
		section(x * 2654435761u ^ x >> 7);
		n++;
	}
	(void)__atomic_fetch_add(&nr_reads, n, __ATOMIC_RELAXED);
	return NULL;
}

static void handler(int nr)
{
	(void)nr;
	if (is_ready)
		section(0x05100005u);
}

/* Disturbs: signals to the readers, and one of them from CPU to CPU. */
static void *disturb_run(void *arg)
{
	for (unsigned n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		for (unsigned i = 0; i < nr_readers; i++)
			(void)pthread_kill(readers[i], SIGUSR1); /* they live until stop */
		if (nr_readers > ROAMING_READER)
			stress_pin_thread(readers[ROAMING_READER], n & 1);
		stress_sleep_ns(1500000);
	}
	return arg;
}

static void *short_run(void *arg)
{
	for (unsigned i = 0; i < 20; i++)
		section(0x00100003u);
	if (arg)
		(void)tocsin_rcu_read_lock(); /* and ends inside */
	return NULL;
}

static void *churn_run(void *arg)
{
	for (unsigned n = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		pthread_t thread;

		/* Without a slot nobody would know that it has ended inside. */
		stress_start(&thread, short_run, n % 100 == 0 && rcu_arena ? &stop : NULL);
		(void)pthread_join(thread, NULL);
		stress_sleep_ns(5000000);
	}
	return arg;
}

static void *update_run(void *arg)
{
	uint64_t n = 0;

	stress_pin(0);
	for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		struct object *fresh = &objects[n % OBJECTS], *old;

		__atomic_store_n(&fresh->value, ALIVE, __ATOMIC_RELAXED);
		old = __atomic_exchange_n(&shown, fresh, __ATOMIC_SEQ_CST);
		for (unsigned i = 0; i < LINES; i += 2)
			*(volatile char *)&lines[i][0] = (char)n;
		if (tocsin_rcu_synchronize() != 0)
			nr_errors++;
		else if (old != fresh)
			__atomic_store_n(&old->value, POISON, __ATOMIC_RELAXED);
	}
	nr_periods = n;
	return arg;
}

int main(int argc, char **argv)
{
	bool must_fail = STRESS_BREAK != STRESS_NOT_BROKEN;
	uint64_t end_ns = stress_end_ns(argc, argv);
	bool is_hotplug = stress_asked_for(argc, argv, "hotplug");
	pthread_t disturber, churner, updater;
	unsigned turn = 0;

	if (!stress_has_cpus(2))
		return stress_skip("two CPUs are needed");
	rcu_init();
	if (!rcu_arena && must_fail)
		return stress_skip("no membarrier(2) here: every section is counted");
	if (!rcu_arena || stress_asked_for(argc, argv, "counted")) {
		first_counted = 0;
		nr_readers = 2;
	}
	stress_handle(SIGUSR1, handler);
	for (unsigned i = 0; i < OBJECTS; i++)
		objects[i].value = ALIVE;
	for (uintptr_t i = 0; i < nr_readers; i++)
		stress_start(&readers[i], reader_run, (void *)i);
	stress_start(&disturber, disturb_run, NULL);
	stress_start(&churner, churn_run, NULL);
	stress_start(&updater, update_run, NULL);
	while (clock_now_ns() < end_ns &&
	       !(must_fail && __atomic_load_n(&nr_bad, __ATOMIC_RELAXED))) {
		stress_sleep_ns(is_hotplug ? 200000000 : 10000000);
		if (is_hotplug)
			stress_switch(turn++ & 1);
	}
	if (turn & 1)
		stress_switch(true);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	(void)pthread_join(updater, NULL);
	(void)pthread_join(disturber, NULL);
	(void)pthread_join(churner, NULL);
	for (unsigned i = 0; i < nr_readers; i++)
		(void)pthread_join(readers[i], NULL);
	(void)printf("# %" PRIu64 " sections, %" PRIu64 " grace periods, %" PRIu64 " bad reads\n",
		     nr_reads, nr_periods, nr_bad);
	if (must_fail)
		return stress_done(nr_bad > 0, "rcu " STRESS_NAME " is caught");
	return stress_done(!nr_bad && !nr_errors && nr_periods > 100 && nr_reads > 100,
			   "rcu " STRESS_NAME " shows nothing that was freed");
}
