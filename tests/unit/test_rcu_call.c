// SPDX-License-Identifier: MIT
/* Deferred calls of read-copy-update, and the worker that makes them. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tocsin/rcu.h"

#include "rcu_holder.h"

struct object {
	struct tocsin_rcu_head head;
	unsigned nr;
};

static unsigned called[8], nr_called;
static struct object again = {.nr = 7};

static void note(struct tocsin_rcu_head *head)
{
	const struct object *o = (const struct object *)head;

	if (nr_called < 8)
		called[nr_called] = o->nr;
	__atomic_store_n(&nr_called, nr_called + 1, __ATOMIC_SEQ_CST);
}

static void note_and_more(struct tocsin_rcu_head *head)
{
	note(head);
	if (tocsin_rcu_drain() == -EBUSY)
		tocsin_rcu_call(&again.head, note);
}

static void test_call(void **state)
{
	struct object objects[3] = {{.nr = 0}, {.nr = 1}, {.nr = 2}};
	struct holder h;

	(void)state;
	nr_called = 0;
	assert_int_equal(tocsin_rcu_drain(), 0);
	tocsin_rcu_call(&objects[0].head, note);
	tocsin_rcu_call(&objects[1].head, note_and_more);
	tocsin_rcu_call(&objects[2].head, note);
	assert_int_equal(nr_called, 0);
	assert_int_equal(tocsin_rcu_drain(), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(called[i], i);
	assert_int_equal(tocsin_rcu_drain(), 1);
	assert_int_equal(called[3], 7);
	holder_start(&h);
	tocsin_rcu_call(&objects[0].head, note);
	assert_int_equal(nr_called, 4);
	(void)holder_end(&h);
	assert_int_equal(tocsin_rcu_drain(), 1);
}

static void test_worker(void **state)
{
	struct object objects[8];

	(void)state;
	nr_called = 0;
	assert_int_equal(tocsin_rcu_worker_stop(), -ESRCH);
	assert_int_equal(tocsin_rcu_worker_start(), 0);
	assert_int_equal(tocsin_rcu_worker_start(), -EALREADY);
	for (unsigned i = 0; i < 7; i++) {
		objects[i].nr = i;
		tocsin_rcu_call(&objects[i].head, note);
		if (i % 3 == 0)
			nap(); /* it sleeps now and then, and is woken */
	}
	for (unsigned i = 0; i < 5000 && __atomic_load_n(&nr_called, __ATOMIC_SEQ_CST) < 7; i++)
		nap();
	assert_int_equal(__atomic_load_n(&nr_called, __ATOMIC_SEQ_CST), 7);
	tocsin_rcu_call(&objects[7].head, note);
	assert_int_equal(tocsin_rcu_worker_stop(), 0);
	assert_int_equal(nr_called, 8);
}

static int in_worker_start, in_worker_stop;

/* While the main thread waits in tocsin_rcu_worker_stop(), or nearly. */
static void ask_for_a_worker(struct tocsin_rcu_head *head)
{
	(void)head;
	for (unsigned i = 0; i < 50; i++)
		nap();
	in_worker_start = tocsin_rcu_worker_start();
	in_worker_stop = tocsin_rcu_worker_stop();
}

static void test_worker_asks_for_a_worker(void **state)
{
	struct tocsin_rcu_head head;

	(void)state;
	assert_int_equal(tocsin_rcu_worker_start(), 0);
	tocsin_rcu_call(&head, ask_for_a_worker);
	(void)alarm(LIMIT_S);
	assert_int_equal(tocsin_rcu_worker_stop(), 0);
	(void)alarm(0);
	assert_int_equal(in_worker_start, -EALREADY);
	assert_int_equal(in_worker_stop, -EDEADLK);
}

static void *stop_worker(void *arg)
{
	*(int *)arg = tocsin_rcu_worker_stop();
	pthread_testcancel();
	return NULL;
}

/* A thread that is cancelled while it waits for the worker's end leaves nothing locked. */
static void test_worker_stop_cancelled(void **state)
{
	struct object object = {.nr = 3};
	int stopped = 1;
	pthread_t thread;
	struct holder h;
	void *how;

	(void)state;
	nr_called = 0;
	assert_int_equal(tocsin_rcu_worker_start(), 0);
	holder_start(&h); /* so that the worker waits */
	tocsin_rcu_call(&object.head, note);
	assert_int_equal(pthread_create(&thread, NULL, stop_worker, &stopped), 0);
	for (unsigned i = 0; i < 20; i++)
		nap();
	assert_int_equal(pthread_cancel(thread), 0);
	for (unsigned i = 0; i < 20; i++)
		nap();
	(void)holder_end(&h);
	assert_int_equal(pthread_join(thread, &how), 0);
	assert_ptr_equal(how, PTHREAD_CANCELED);
	assert_int_equal(stopped, 0);
	assert_int_equal(nr_called, 1);
	(void)alarm(LIMIT_S);
	assert_int_equal(tocsin_rcu_worker_stop(), -ESRCH);
	(void)alarm(0);
}

/* Both sides of a fork have what was queued; the worker is the parent's. */
static void test_call_across_fork(void **state)
{
	struct object object = {.nr = 5};
	struct holder h;
	pid_t pid;

	(void)state;
	nr_called = 0;
	assert_int_equal(tocsin_rcu_worker_start(), 0);
	holder_start(&h); /* so that the worker waits */
	tocsin_rcu_call(&object.head, note);
	for (unsigned i = 0; i < 20; i++)
		nap();
	pid = fork();
	if (pid == 0) {
		(void)alarm(LIMIT_S);
		CHILD_CHECK(tocsin_rcu_worker_stop() == -ESRCH);
		CHILD_CHECK(tocsin_rcu_drain() == 1);
		CHILD_CHECK(nr_called == 1 && called[0] == 5);
		CHILD_CHECK(tocsin_rcu_worker_start() == 0);
		CHILD_CHECK(tocsin_rcu_worker_stop() == 0);
		_exit(0);
	}
	assert_child_ok(pid);
	assert_int_equal(nr_called, 0);
	(void)holder_end(&h);
	assert_int_equal(tocsin_rcu_worker_stop(), 0);
	assert_int_equal(nr_called, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_worker),
		cmocka_unit_test(test_worker_asks_for_a_worker),
		cmocka_unit_test(test_worker_stop_cancelled),
		cmocka_unit_test(test_call_across_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
