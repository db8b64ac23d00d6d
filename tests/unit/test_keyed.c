// SPDX-License-Identifier: MIT
/* Items by key: made once, found, removed, reclaimed; beside each other, in handlers, after a fork.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tocsin/percpu.h"

#include "../../src/percpu/keyed.c"

#define STRAIN_NS UINT64_C(1000000000)

struct state {
	uint64_t key;     /* by init() */
	uint64_t counted; /* by users */
	uint64_t key_again;
};

static int nr_made;

static void state_init(void *arg, void *item, uint64_t key)
{
	struct state *state = item;
	int nr = __atomic_fetch_add((int *)arg, 1, __ATOMIC_RELAXED);

	if (state->key || state->counted || state->key_again)
		abort(); /* it should be all zero */
	state->key = key;
	if (nr % 16 == 15)
		(void)sched_yield(); /* others would see it half written, could they find it */
	state->key_again = key;
}

static struct tocsin_keyed *table(uint64_t max_items)
{
	const struct tocsin_keyed_opts opts = {.size = sizeof(opts),
					       .item_bytes = sizeof(struct state),
					       .max_items = max_items,
					       .init = state_init,
					       .arg = &nr_made};
	struct tocsin_keyed *keyed = NULL;

	nr_made = 0;
	assert_int_equal(tocsin_keyed_new(&opts, &keyed), 0);
	return keyed;
}

static struct tocsin_keyed_stats stats_of(struct tocsin_keyed *keyed)
{
	struct tocsin_keyed_stats stats;

	tocsin_keyed_get_stats(keyed, &stats);
	return stats;
}

static void test_options(void **state)
{
	struct tocsin_keyed_opts opts = {.size = sizeof(opts), .item_bytes = 8, .max_items = 1};
	struct {
		struct tocsin_keyed_opts opts;
		uint64_t later;
	} newer = {.opts = opts, .later = 1};
	struct tocsin_keyed *keyed = NULL;

	(void)state;
	opts.item_bytes = 0;
	assert_int_equal(tocsin_keyed_new(&opts, &keyed), -EINVAL);
	opts.item_bytes = (1 << 20) - 31;
	assert_int_equal(tocsin_keyed_new(&opts, &keyed), -EINVAL);
	opts.item_bytes = 8;
	opts.max_items = 0;
	assert_int_equal(tocsin_keyed_new(&opts, &keyed), -EINVAL);
	opts.max_items = (UINT64_C(1) << 26) + 1;
	assert_int_equal(tocsin_keyed_new(&opts, &keyed), -EINVAL);
	newer.opts.size = sizeof(newer);
	assert_int_equal(tocsin_keyed_new(&newer.opts, &keyed), -E2BIG);
	newer.later = 0;
	assert_int_equal(tocsin_keyed_new(&newer.opts, &keyed), 0);
	assert_null(tocsin_keyed_free(keyed));
	assert_null(tocsin_keyed_free(NULL));
}

/* Keys of every kind, and one more item than there is room for. */
static void test_life(void **state)
{
	static const uint64_t keys[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63, 4096, 8192};
	const unsigned nr = sizeof(keys) / sizeof(keys[0]);
	struct tocsin_keyed *keyed = table(nr);
	void *item, *same;

	(void)state;
	for (unsigned i = 0; i < nr; i++) {
		assert_null(tocsin_keyed_find(keyed, keys[i]));
		assert_int_equal(tocsin_keyed_remove(keyed, keys[i]), -ENOENT);
		assert_int_equal(tocsin_keyed_get(keyed, keys[i], &item), 1);
		assert_int_equal((uintptr_t)item % 16, 0);
		assert_int_equal(((struct state *)item)->key, keys[i]);
		((struct state *)item)->counted = i + 1;
		assert_int_equal(tocsin_keyed_get(keyed, keys[i], &same), 0);
		assert_ptr_equal(same, item);
	}
	assert_int_equal(nr_made, nr);
	assert_int_equal(tocsin_keyed_get(keyed, 77, &item), -ENOSPC);
	assert_null(tocsin_keyed_find(keyed, 77));
	assert_int_equal(stats_of(keyed).refused, 1);
	for (unsigned i = 0; i < nr; i++)
		assert_int_equal(((struct state *)tocsin_keyed_find(keyed, keys[i]))->counted,
				 i + 1);
	assert_int_equal(tocsin_keyed_remove(keyed, 4096), 0);
	assert_int_equal(tocsin_keyed_remove(keyed, 4096), -ENOENT);
	assert_null(tocsin_keyed_find(keyed, 4096));
	assert_int_equal(stats_of(keyed).items, nr - 1);
	assert_int_equal(tocsin_keyed_get(keyed, 77, &item), -ENOSPC); /* not reclaimed yet */
	assert_int_equal(tocsin_keyed_reclaim(keyed), 1);
	assert_int_equal(tocsin_keyed_reclaim(keyed), 0);
	assert_int_equal(tocsin_keyed_get(keyed, 77, &item), 1); /* init() looks at the zeros */
	assert_null(tocsin_keyed_free(keyed));
}

/* Removed under a reader: it stays what it was, and reclaiming waits or refuses. */
static void test_reader(void **state)
{
	struct tocsin_keyed *keyed = table(4);
	struct state *found;
	uint64_t token;
	void *item;

	(void)state;
	assert_int_equal(tocsin_keyed_get(keyed, 5, &item), 1);
	token = tocsin_rcu_read_lock();
	found = tocsin_keyed_find(keyed, 5);
	assert_int_equal(tocsin_keyed_remove(keyed, 5), 0);
	assert_int_equal(tocsin_keyed_reclaim(keyed), -EDEADLK);
	assert_int_equal(found->key, 5);
	assert_int_equal(stats_of(keyed).removed, 1);
	tocsin_rcu_read_unlock(token);
	assert_int_equal(tocsin_keyed_reclaim(keyed), 1);
	assert_int_equal(stats_of(keyed).removed, 0);
	assert_null(tocsin_keyed_free(keyed));
}

static int odd_goes(void *arg, uint64_t key, void *item)
{
	if (((struct state *)item)->key != key)
		abort();
	*(uint64_t *)arg += key;
	return key & 1;
}

static void test_each(void **state)
{
	struct tocsin_keyed *keyed = table(1000);
	uint64_t sum = 0;
	void *item;

	(void)state;
	for (uint64_t key = 0; key < 1000; key++)
		assert_int_equal(tocsin_keyed_get(keyed, key, &item), 1);
	assert_int_equal(tocsin_keyed_each(keyed, odd_goes, &sum), 1000);
	assert_int_equal(sum, 999 * 500);
	assert_int_equal(stats_of(keyed).items, 500);
	sum = 0;
	assert_int_equal(tocsin_keyed_each(keyed, odd_goes, &sum), 500);
	assert_int_equal(sum, 998 / 2 * 500);
	assert_int_equal(tocsin_keyed_reclaim(keyed), 500);
	assert_null(tocsin_keyed_free(keyed));
}

/* ---- beside each other */

enum { KEYS = 16, THREADS = 6 };

static struct tocsin_keyed *shared_table;
static int stop;
static uint64_t nr_wrong, nr_found, nr_new, nr_removed_once;

static void gap(void)
{
	for (volatile unsigned i = 0; i < 200; i++) {
	}
}

static void look(uint64_t key)
{
	uint64_t token = tocsin_rcu_read_lock();
	struct state *found = tocsin_keyed_find(shared_table, key);

	for (unsigned i = 0; found && i < 4; i++) {
		if (__atomic_load_n(&found->key, __ATOMIC_RELAXED) != key ||
		    __atomic_load_n(&found->key_again, __ATOMIC_RELAXED) != key)
			(void)__atomic_fetch_add(&nr_wrong, 1, __ATOMIC_RELAXED);
		gap();
	}
	tocsin_rcu_read_unlock(token);
	if (found)
		(void)__atomic_fetch_add(&nr_found, 1, __ATOMIC_RELAXED);
}

static void *strain(void *arg)
{
	uint32_t x = (uint32_t)(uintptr_t)arg * 7919 + 1;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t key;
		void *item;
		int r;

		x = x * 1103515245u + 12345u;
		key = x >> 16 & (KEYS - 1);
		switch (x >> 8 & 7) {
		case 0:
			if (tocsin_keyed_remove(shared_table, key) == 0)
				(void)__atomic_fetch_add(&nr_removed_once, 1, __ATOMIC_RELAXED);
			break;
		case 1:
			if (tocsin_keyed_reclaim(shared_table) < 0)
				(void)__atomic_fetch_add(&nr_wrong, 1, __ATOMIC_RELAXED);
			break;
		case 2:
		case 3:
			r = tocsin_keyed_get(shared_table, key, &item);
			if (r == 1)
				(void)__atomic_fetch_add(&nr_new, 1, __ATOMIC_RELAXED);
			break;
		default: look(key); break;
		}
	}
	return NULL;
}

static void on_signal(int number)
{
	void *item;

	(void)number;
	look(3);
	if (tocsin_keyed_get(shared_table, 3, &item) == 1)
		(void)__atomic_fetch_add(&nr_new, 1, __ATOMIC_RELAXED);
	if (tocsin_keyed_remove(shared_table, 5) == 0)
		(void)__atomic_fetch_add(&nr_removed_once, 1, __ATOMIC_RELAXED);
}

/* No key has two items: @arg has a bit for each key met. */
static int met_once(void *arg, uint64_t key, void *item)
{
	uint64_t *met = arg;

	(void)item;
	if (*met >> key & 1)
		(void)__atomic_fetch_add(&nr_wrong, 1, __ATOMIC_RELAXED);
	*met |= UINT64_C(1) << key;
	return 0;
}

/* Whatever was made was made once, and whatever was removed once; nobody saw another's. In a child
 * that is forked in the midst of it the table works, and soon. */
static void test_beside(void **state)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	uint64_t end_ns = clock_now_ns() + STRAIN_NS;
	pthread_t threads[THREADS];
	unsigned nr_children = 0;
	int status;

	(void)state;
	shared_table = table(KEYS + 4); /* removed ones may be in the way: -ENOSPC is right */
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, strain, (void *)i), 0);
	while (clock_now_ns() < end_ns) {
		uint64_t met = 0;
		pid_t child;

		(void)tocsin_keyed_each(shared_table, met_once, &met);
		for (unsigned i = 0; i < THREADS; i++)
			assert_int_equal(pthread_kill(threads[i], SIGUSR1), 0);
		if (++nr_children % 50)
			continue;
		child = fork();
		if (!child) {
			void *item;

			(void)alarm(5); /* a lock that stays shut ends it */
			for (uint64_t key = 0; key < KEYS; key++) {
				(void)tocsin_keyed_remove(shared_table, key);
				look(key);
			}
			if (tocsin_keyed_reclaim(shared_table) < 0)
				_exit(2);
			_exit(tocsin_keyed_get(shared_table, 1, &item) == 1 ? 0 : 3);
		}
		assert_true(child > 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(nr_wrong, 0);
	assert_true(nr_found > 1000 && nr_new > 1000);
	assert_int_equal(nr_new, nr_made);
	assert_int_equal(nr_new - nr_removed_once, stats_of(shared_table).items);
	(void)tocsin_keyed_reclaim(shared_table);
	assert_int_equal(stats_of(shared_table).removed, 0);
	assert_int_equal(shared_table->nr_room + stats_of(shared_table).items, KEYS + 4);
	shared_table = tocsin_keyed_free(shared_table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options), cmocka_unit_test(test_life),
		cmocka_unit_test(test_reader),  cmocka_unit_test(test_each),
		cmocka_unit_test(test_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
