// SPDX-License-Identifier: MIT
/* The pool: modes, limits, misuse, forks, threads without sections. */
#include <errno.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "percpu/rseq.h"
#include "tocsin/percpu.h"
#include "tocsin/pool.h"

#define MANY 5000

static void *items[MANY];

static struct tocsin_pool *pool_make(size_t item_bytes, uint64_t max_items, uint32_t flags)
{
	const struct tocsin_pool_opts opts = {.size = sizeof(opts),
					      .item_bytes = item_bytes,
					      .max_items = max_items,
					      .flags = flags};
	struct tocsin_pool *pool = NULL;

	assert_int_equal(tocsin_pool_new(&opts, &pool), 0);
	return pool;
}

static uint64_t nr_out(struct tocsin_pool *pool)
{
	struct tocsin_pool_stats stats;

	tocsin_pool_get_stats(pool, &stats);
	return stats.out;
}

static void assert_child_ok(pid_t pid)
{
	int status = -1;

	assert_true(pid > 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	assert_int_equal(status, 0);
}

/* Take @nr, write all of each, and see that nobody else's was written to. Return: true all is well.
 */
static bool take_and_give(struct tocsin_pool *pool, unsigned nr, size_t item_bytes)
{
	bool is_well = true;

	for (unsigned i = 0; i < nr; i++) {
		if (tocsin_pool_take(pool, &items[i]) != 0)
			return false;
		memset(items[i], (int)(i & 127), item_bytes);
	}
	for (unsigned i = 0; i < nr; i++) {
		const unsigned char *bytes = items[i];

		for (size_t k = 0; k < item_bytes; k++)
			is_well &= bytes[k] == (i & 127);
		is_well &= tocsin_pool_give(pool, items[i]) == 0;
	}
	return is_well;
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {1, 8, 24, 64, 100, 4096, 5000};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct tocsin_pool *pool = pool_make(sizes[i], 0, 0);
		struct tocsin_pool_stats stats;

		assert_true(take_and_give(pool, 1000, sizes[i]));
		assert_true(take_and_give(pool, 1000, sizes[i]));
		tocsin_pool_get_stats(pool, &stats);
		assert_int_equal(stats.out, 0);
		assert_true(stats.items >= 1000 && stats.items <= 4096);
		assert_null(tocsin_pool_free(pool));
	}
	assert_null(tocsin_pool_free(NULL));
}

static void test_alignment(void **state)
{
	const struct tocsin_pool_opts opts = {.size = sizeof(opts), .item_bytes = 40, .align = 256};
	struct tocsin_pool *pool;
	void *item;

	(void)state;
	assert_int_equal(tocsin_pool_new(&opts, &pool), 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(tocsin_pool_take(pool, &item), 0);
		assert_int_equal((uintptr_t)item % 256, 0);
	}
	assert_int_equal(nr_out(pool), 100);
	(void)tocsin_pool_free(pool);
}

static void test_options(void **state)
{
	struct {
		struct tocsin_pool_opts opts;
		uint64_t tail;
	} newer = {.opts = {.size = sizeof(newer), .item_bytes = 8}};
	static const struct tocsin_pool_opts wrong[] = {
		{.size = 4, .item_bytes = 8},
		{.size = sizeof(wrong[0]), .item_bytes = 0},
		{.size = sizeof(wrong[0]), .item_bytes = (1u << 20) + 1},
		{.size = sizeof(wrong[0]), .item_bytes = 8, .align = 24},
		{.size = sizeof(wrong[0]), .item_bytes = 8, .align = 8192},
		{.size = sizeof(wrong[0]), .item_bytes = 8, .flags = 4},
		{.size = sizeof(wrong[0]), .item_bytes = 8, .reserved = 1},
		{.size = sizeof(wrong[0]), .item_bytes = 8, .flags = TOCSIN_POOL_BOUNDED},
		{.size = sizeof(wrong[0]), .item_bytes = 8, .max_items = UINT64_C(1) << 32},
	};
	struct tocsin_pool *pool = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(tocsin_pool_new(&wrong[i], &pool), -EINVAL);
	newer.tail = 1;
	assert_int_equal(tocsin_pool_new(&newer.opts, &pool), -E2BIG);
	assert_null(pool);
	newer.tail = 0;
	assert_int_equal(tocsin_pool_new(&newer.opts, &pool), 0);
	(void)tocsin_pool_free(pool);
}

/* A growing pool that may not grow any more. */
static void test_most(void **state)
{
	struct tocsin_pool *pool = pool_make(4096, 64, 0);
	unsigned nr = 0;

	(void)state;
	while (nr < MANY && tocsin_pool_take(pool, &items[nr]) == 0)
		nr++;
	assert_true(nr >= 64 && nr < 128);
	assert_int_equal(tocsin_pool_take(pool, &items[nr]), -ENOMEM);
	assert_int_equal(tocsin_pool_give(pool, items[--nr]), 0);
	assert_int_equal(tocsin_pool_take(pool, &items[nr]), 0);
	(void)tocsin_pool_free(pool);
}

/* A bounded pool has what was asked for, and says -ENOSPC without a single system call. */
static void test_bounded(void **state)
{
	struct tocsin_pool *pool = pool_make(64, 1000, TOCSIN_POOL_BOUNDED);
	pid_t pid;

	(void)state;
	assert_true(take_and_give(pool, 1000, 64));
	pid = fork();
	if (pid == 0) {
		unsigned nr = 0;
		int r = 0;

		/* Written to once, so that the child has pages of its own: not the pool's doing. */
		if (!take_and_give(pool, 1000, 64) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) != 0)
			_exit(1);
		/* A system call other than read, write and this exit kills from here on. */
		while (nr < MANY && (r = tocsin_pool_take(pool, &items[nr])) == 0)
			nr++;
		if (r != -ENOSPC || nr < 1000)
			(void)syscall(SYS_exit, 2);
		for (unsigned i = 0; i < nr; i++)
			if (tocsin_pool_give(pool, items[i]) != 0)
				(void)syscall(SYS_exit, 3);
		(void)syscall(SYS_exit, 0);
	}
	assert_child_ok(pid);
	(void)tocsin_pool_free(pool);
}

/* Free items in another CPU's magazine do not count against what was asked for; a drain finds them.
 */
static void test_drain(void **state)
{
	struct tocsin_pool *pool = pool_make(64, 0, 0);
	long nr;

	(void)state;
	assert_true(take_and_give(pool, 40, 64));
	nr = tocsin_pool_drain(pool);
	if (nr == -EOPNOTSUPP || !tocsin_percpu_usable(NULL))
		skip();
	assert_true(nr > 0 && nr <= 2 * TOCSIN_POOL_MAGAZINE);
	assert_int_equal(tocsin_pool_drain(pool), 0);
	assert_true(take_and_give(pool, 2000, 64));
	assert_int_equal(nr_out(pool), 0);
	(void)tocsin_pool_free(pool);
}

/* Both sides go on, each with its own copy. */
static void test_fork(void **state)
{
	struct tocsin_pool *pool = pool_make(64, 0, 0);
	struct tocsin_pool_stats stats;
	void *mine;
	pid_t pid;

	(void)state;
	assert_true(take_and_give(pool, 500, 64));
	assert_int_equal(tocsin_pool_take(pool, &mine), 0);
	pid = fork();
	if (pid == 0) {
		bool is_well = take_and_give(pool, 2000, 64);

		is_well &=
			nr_out(pool) == 1 && tocsin_pool_give(pool, mine) == 0 && nr_out(pool) == 0;
		is_well &= tocsin_pool_drain(pool) != -EINVAL && take_and_give(pool, 2000, 64);
		/* Magazines are in use there too: a single item or two at the first touch. */
		tocsin_pool_get_stats(pool, &stats);
		is_well &= stats.singles < 100 || !rseq_thread_ready();
		_exit(is_well ? 0 : 1);
	}
	assert_child_ok(pid);
	assert_int_equal(nr_out(pool), 1);
	assert_true(take_and_give(pool, 2000, 64));
	(void)tocsin_pool_free(pool);
}

static void *without_sections(void *arg)
{
	intptr_t is_well;

#if TOCSIN_RSEQ_ARCH
	uintptr_t area = (uintptr_t)__builtin_thread_pointer() + (uintptr_t)tocsin_rseq.area;

	if (tocsin_rseq.area && syscall(SYS_rseq, area, 32, 1, TOCSIN_RSEQ_SIG) != 0)
		return NULL;
#endif
	is_well = take_and_give(arg, 1000, 64);
	return (void *)is_well;
}

/* A thread that has no rseq takes and gives single items, which the others get too. */
static void test_without_sections(void **state)
{
	struct tocsin_pool *pool = pool_make(64, 0, 0);
	struct tocsin_pool_stats stats;
	pthread_t thread;
	void *is_well;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, without_sections, pool), 0);
	(void)pthread_join(thread, &is_well);
	assert_non_null(is_well);
	tocsin_pool_get_stats(pool, &stats);
	assert_true(stats.singles >= 2000);
	assert_int_equal(stats.out, 0);
	assert_true(take_and_give(pool, 1000, 64));
	tocsin_pool_get_stats(pool, &stats);
	assert_true(stats.items <= 1024);
	(void)tocsin_pool_free(pool);
}

/* ---- debug */

static enum tocsin_pool_misuse last_misuse;
static void *last_item;

static void on_misuse(void *arg, enum tocsin_pool_misuse what, void *item)
{
	last_misuse = what;
	last_item = item;
	++*(unsigned *)arg;
}

static void test_misuse(void **state)
{
	unsigned nr = 0;
	const struct tocsin_pool_opts opts = {.size = sizeof(opts),
					      .item_bytes = 40,
					      .flags = TOCSIN_POOL_DEBUG,
					      .on_misuse = on_misuse,
					      .arg = &nr};
	struct tocsin_pool_stats stats;
	struct tocsin_pool *pool;
	void *a, *b, *c;
	char elsewhere[64];

	(void)state;
	assert_int_equal(tocsin_pool_new(&opts, &pool), 0);
	assert_true(take_and_give(pool, 1000, 40));
	assert_int_equal(nr, 0);
	assert_int_equal(tocsin_pool_take(pool, &a), 0);
	assert_int_equal(tocsin_pool_take(pool, &b), 0);
	assert_int_equal(tocsin_pool_give(pool, elsewhere), -EINVAL);
	assert_int_equal(last_misuse, TOCSIN_POOL_FOREIGN);
	assert_int_equal(tocsin_pool_give(pool, (char *)a + 8), -EINVAL);
	assert_ptr_equal(last_item, (char *)a + 8);
	assert_int_equal(tocsin_pool_give(pool, a), 0);
	assert_int_equal(tocsin_pool_give(pool, a), -EALREADY);
	assert_int_equal(last_misuse, TOCSIN_POOL_TWICE);
	assert_int_equal(nr, 3);
	((char *)a)[39] = 1; /* after it was given: never handed out again */
	assert_int_equal(tocsin_pool_take(pool, &c), 0);
	assert_int_equal(last_misuse, TOCSIN_POOL_OVERWRITTEN);
	assert_ptr_equal(last_item, a);
	assert_ptr_not_equal(c, a);
	((char *)c)[40] = 1; /* behind the end */
	assert_int_equal(nr, 4);
	assert_int_equal(tocsin_pool_give(pool, c), 0);
	assert_int_equal(nr, 5);
	assert_ptr_equal(last_item, c);
	tocsin_pool_get_stats(pool, &stats);
	assert_int_equal(stats.misuses, 5);
	assert_int_equal(stats.out, 1);
	(void)tocsin_pool_free(pool);
}

static struct tocsin_pool *drained;
static unsigned nr_handled, nr_closed;

static void look_at_gates(int number)
{
	(void)number;
	nr_handled++;
	for (uint32_t cpu = 0; cpu < drained->nr_cpus; cpu++)
		nr_closed += !drained->table[cpu];
}

/* No handler runs while its thread has closed a gate: it might fork, and the child's first look
 * opens what the drain there goes on to empty. */
static void test_drain_and_handlers(void **state)
{
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
	const struct sigaction action = {.sa_handler = look_at_gates};
	struct sigaction before;

	(void)state;
	drained = pool_make(64, 0, 0);
	nr_handled = nr_closed = 0;
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	while (nr_handled < 200 && tocsin_pool_drain(drained) >= 0) {
	}
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	assert_int_equal(nr_closed, 0);
	(void)tocsin_pool_free(drained);
}

static void see(void *arg, void *item)
{
	*(uintptr_t *)arg ^= (uintptr_t)item;
}

static void test_leaks(void **state)
{
	struct tocsin_pool *pool = pool_make(64, 100, TOCSIN_POOL_DEBUG | TOCSIN_POOL_BOUNDED);
	struct tocsin_pool *plain = pool_make(64, 0, 0);
	uintptr_t seen = 0;
	void *a, *b;

	(void)state;
	assert_true(take_and_give(pool, 100, 64));
	assert_int_equal(tocsin_pool_each_out(pool, see, &seen), 0);
	assert_int_equal(tocsin_pool_take(pool, &a), 0);
	assert_int_equal(tocsin_pool_take(pool, &b), 0);
	assert_int_equal(tocsin_pool_each_out(pool, see, &seen), 2);
	assert_int_equal(seen, (uintptr_t)a ^ (uintptr_t)b);
	assert_int_equal(tocsin_pool_each_out(plain, see, &seen), -EOPNOTSUPP);
	(void)tocsin_pool_free(pool);
	(void)tocsin_pool_free(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_most),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_without_sections),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_leaks),
		cmocka_unit_test(test_drain_and_handlers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
