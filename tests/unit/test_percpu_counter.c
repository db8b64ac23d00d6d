// SPDX-License-Identifier: MIT
/* Counters: what they sum to, alone and beside threads, handlers, forks and resets. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "percpu/rseq.h"
#include "tocsin/percpu.h"

#define THREADS 6
#define ADDS    300000

static struct tocsin_counter *counter;
static uint64_t taken, handled;

static void test_limits(void **state)
{
	struct tocsin_counter *c = NULL;

	(void)state;
	assert_int_equal(tocsin_counter_new(0, &c), -EINVAL);
	assert_int_equal(tocsin_counter_new(UINT32_MAX, &c), -EINVAL);
	assert_null(c);
	assert_null(tocsin_counter_free(NULL));
	assert_int_equal(tocsin_counter_new(1, &c), 0);
	assert_int_equal(tocsin_counter_sum(c, 1), 0); /* no such counter */
	assert_int_equal(tocsin_counter_reset(c, 1), 0);
	assert_null(tocsin_counter_free(c));
}

static void test_thousands(void **state)
{
	struct tocsin_counter *c;

	(void)state;
	assert_int_equal(tocsin_counter_new(5000, &c), 0);
	for (uint32_t i = 0; i < 5000; i++)
		tocsin_counter_add(c, i, i);
	for (uint32_t i = 0; i < 5000; i++)
		tocsin_counter_add_slow_(c, i, 1);
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(tocsin_counter_sum(c, i), i + 1);
	tocsin_counter_add(c, 7, (uint64_t)-8);
	assert_int_equal(tocsin_counter_sum(c, 7), 0);
	(void)tocsin_counter_free(c);
}

static void test_reset(void **state)
{
	struct tocsin_counter *c;

	(void)state;
	assert_int_equal(tocsin_counter_new(2, &c), 0);
	tocsin_counter_add(c, 1, 5);
	assert_int_equal(tocsin_counter_reset(c, 1), 5);
	assert_int_equal(tocsin_counter_sum(c, 1), 0);
	tocsin_counter_add(c, 1, 2);
	assert_int_equal(tocsin_counter_sum(c, 1), 2);
	assert_int_equal(tocsin_counter_reset(c, 1), 2);
	assert_int_equal(tocsin_counter_reset(c, 1), 0);
	(void)tocsin_counter_free(c);
}

static void *add(void *arg)
{
	uintptr_t number = (uintptr_t)arg;

	/* All but one have lost their registration: they add by atomics, some of them to the same
	 * words. */
	if (number != 2 && rseq_thread_ready() && !(tocsin_rseq.flags & TOCSIN_RSEQ_F_OWN))
		assert_int_equal(syscall(SYS_rseq, (uintptr_t)rseq_area(), 32, 1, TOCSIN_RSEQ_SIG),
				 0);
	for (unsigned i = 0; i < ADDS; i++)
		tocsin_counter_add(counter, 1, 1);
	return NULL;
}

static void *take(void *arg)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < 2000; i++)
		sum += tocsin_counter_reset(counter, 1);
	(void)__atomic_fetch_add((uint64_t *)arg, sum, __ATOMIC_RELAXED);
	return NULL;
}

static void on_signal(int signal_number)
{
	(void)signal_number;
	tocsin_counter_add(counter, 1, 1);
	(void)__atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

/* Adders, two who reset, and signals into the adders. */
static void test_threads(void **state)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
	pthread_t adder[THREADS], taker[2];

	(void)state;
	taken = handled = 0;
	assert_int_equal(tocsin_counter_new(3, &counter), 0);
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&adder[i], NULL, add, (void *)i), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&taker[i], NULL, take, &taken), 0);
	for (unsigned i = 0; i < 3000; i++)
		(void)pthread_kill(adder[i % THREADS], SIGUSR1); /* joined below: it exists */
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(taker[i], NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(adder[i], NULL), 0);
	assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
	assert_int_equal(taken + tocsin_counter_sum(counter, 1),
			 (uint64_t)THREADS * ADDS + handled);
	assert_int_equal(tocsin_counter_sum(counter, 0), 0);
	assert_int_equal(tocsin_counter_sum(counter, 2), 0);
	counter = tocsin_counter_free(counter);
}

static void test_fork(void **state)
{
	struct tocsin_counter *c;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(tocsin_counter_new(1, &c), 0);
	tocsin_counter_add(c, 0, 5);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		tocsin_counter_add(c, 0, 2);
		_exit(tocsin_counter_sum(c, 0) == 7 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(tocsin_counter_sum(c, 0), 5);
	(void)tocsin_counter_free(c);
}

static void test_where(void **state)
{
	unsigned nr = tocsin_nr_cpus();

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(tocsin_cpu() < nr);
		assert_true(tocsin_cpu_slow_() < nr);
		assert_true(tocsin_node() < 1024);
		assert_true(tocsin_node() == tocsin_node_slow_() || nr > 2);
		assert_true(tocsin_cid() >= -1 && tocsin_cid() < (int)nr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits), cmocka_unit_test(test_thousands),
		cmocka_unit_test(test_reset),  cmocka_unit_test(test_threads),
		cmocka_unit_test(test_fork),   cmocka_unit_test(test_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
