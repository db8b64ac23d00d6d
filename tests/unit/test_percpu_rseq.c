// SPDX-License-Identifier: MIT
/* The ground under the per-CPU toolkit, on the machine that runs the tests. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "percpu/rseq.h"

/* Skips where this machine has no rseq, with the reason. */
static void need_rseq(void)
{
	const char *why;

	if (!percpu_usable(&why)) {
		print_message("# no restartable sequences: %s\n", why);
		skip();
	}
}

static void test_constructor_ran(void **state)
{
	const char *why = NULL;

	(void)state;
	assert_int_not_equal(rseq_init(), RSEQ_EARLY);
	(void)percpu_usable(&why);
	assert_non_null(why);
	assert_true(rseq_nr_indexes() >= 1);
	for (int r = 0; r < RSEQ_REASONS_NR; r++)
		assert_true(rseq_reason_text((enum rseq_reason)r)[0]);
	assert_string_equal(rseq_reason_text((enum rseq_reason)RSEQ_REASONS_NR), "unknown");
}

static void test_index(void **state)
{
	(void)state;
	need_rseq();
	assert_true(rseq_thread_ready());
	assert_int_equal(rseq_thread_register(), 0);
	for (int i = 0; i < 1000; i++) {
		int index = rseq_index();

		assert_in_range(index, 0, rseq_nr_indexes() - 1);
	}
}

/* The area's CPU is the kernel's: pinned, both must say the same. */
static void test_cpu_is_right(void **state)
{
	cpu_set_t before, one;

	(void)state;
	need_rseq();
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
		assert_int_equal(rseq_area()->cpu_id, cpu);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void test_fence(void **state)
{
	(void)state;
	assert_int_equal(rseq_fence(-2), -EINVAL);
	assert_int_equal(rseq_fence((int)rseq_nr_indexes()), -EINVAL); /* the kernel says 0 to it */
	if (!(tocsin_rseq.flags & TOCSIN_RSEQ_F_FENCE)) {
		assert_int_equal(rseq_fence(-1), -EOPNOTSUPP);
		return;
	}
	errno = 77;
	assert_int_equal(rseq_fence(-1), 0);
	assert_int_equal(rseq_fence(0), 0);
	assert_int_equal(errno, 77);
}

static void test_selftest(void **state)
{
	cpu_set_t before, after;
	int r;

	(void)state;
	need_rseq();
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	r = rseq_selftest(2000);
	assert_int_equal(r, 0);
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
}

/* A thread whose registration was taken away is told from one that has it. */
static void *unregister(void *arg)
{
	int *result = arg;
	long r = syscall(SYS_rseq, (uintptr_t)rseq_area(), 32, 1, TOCSIN_RSEQ_SIG);

	if (r) {
		*result = -errno;
		return NULL;
	}
	*result = rseq_thread_ready() || rseq_index() != -1 || rseq_thread_register() == 0;
	return NULL;
}

static void test_unregistered_thread(void **state)
{
	pthread_t thread;
	int result = 1;

	(void)state;
	need_rseq();
	if (tocsin_rseq.flags & TOCSIN_RSEQ_F_OWN)
		skip(); /* it would register itself again, and may */
	assert_int_equal(pthread_create(&thread, NULL, unregister, &result), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(result, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constructor_ran),     cmocka_unit_test(test_index),
		cmocka_unit_test(test_cpu_is_right),        cmocka_unit_test(test_fence),
		cmocka_unit_test(test_unregistered_thread), cmocka_unit_test(test_selftest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
