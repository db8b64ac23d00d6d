// SPDX-License-Identifier: MIT
/* Operations on a CPU's item: the same from the CPU itself, from outside, and without sections. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "percpu/rseq.h"
#include "tocsin/percpu.h"

struct item {
	uint64_t word;
	uint64_t head;
	char text[48];
	uint64_t len_bytes;
};

static int op_word(struct tocsin_percpu *p, int cpu, uint32_t code, uint64_t *value)
{
	struct tocsin_op op = {.code = code, .off = 0, .value = *value};
	int r = tocsin_percpu_op(p, cpu, &op);

	*value = op.value;
	return r;
}

/* Every operation once, on one item. */
static void run_all(struct tocsin_percpu *p, int cpu)
{
	struct tocsin_link node[3];
	struct tocsin_op op;
	struct item *item = tocsin_percpu_item(p, cpu);
	uint64_t value = 40;

	assert_int_equal(op_word(p, cpu, TOCSIN_OP_STORE, &value), cpu);
	value = 2;
	assert_int_equal(op_word(p, cpu, TOCSIN_OP_ADD, &value), cpu);
	assert_int_equal(op_word(p, cpu, TOCSIN_OP_LOAD, &value), cpu);
	assert_int_equal(value, 42);

	op = (struct tocsin_op){.code = TOCSIN_OP_CMPSTORE, .value = 1, .expect = 41};
	assert_int_equal(tocsin_percpu_op(p, cpu, &op), -ECANCELED);
	assert_int_equal(op.value, 42);
	assert_int_equal(item->word, 42);
	op = (struct tocsin_op){.code = TOCSIN_OP_CMPSTORE, .value = 1, .expect = 42};
	assert_int_equal(tocsin_percpu_op(p, cpu, &op), cpu);
	assert_int_equal(item->word, 1);

	for (int i = 0; i < 3; i++) {
		op = (struct tocsin_op){.code = TOCSIN_OP_PUSH,
					.off = offsetof(struct item, head),
					.u.node = &node[i]};
		assert_int_equal(tocsin_percpu_op(p, cpu, &op), cpu);
	}
	for (int i = 3; i >= 0; i--) {
		op = (struct tocsin_op){.code = TOCSIN_OP_POP, .off = offsetof(struct item, head)};
		assert_int_equal(tocsin_percpu_op(p, cpu, &op), cpu);
		assert_ptr_equal(op.u.node, i ? &node[i - 1] : NULL);
	}

	op = (struct tocsin_op){.code = TOCSIN_OP_COPY,
				.off = offsetof(struct item, len_bytes),
				.copy_off = offsetof(struct item, text) + 3,
				.len_bytes = 11,
				.value = 14,
				.u.src = "hello world"};
	assert_int_equal(tocsin_percpu_op(p, cpu, &op), cpu);
	assert_memory_equal(item->text, "\0\0\0hello world\0", 15);
	assert_int_equal(item->len_bytes, 14);
	op.len_bytes = 0;
	op.u.src = NULL;
	op.value = 0;
	assert_int_equal(tocsin_percpu_op(p, cpu, &op), cpu);
	assert_memory_equal(item->text, "\0\0\0hello world\0", 15);
	assert_int_equal(item->len_bytes, 0);
}

static void pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void run_from_everywhere(uint32_t flags)
{
	struct tocsin_percpu *p;
	cpu_set_t before;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (size_t on = 0; on < CPU_SETSIZE; on++) {
		if (!CPU_ISSET(on, &before))
			continue;
		pin((int)on);
		assert_int_equal(tocsin_percpu_new(sizeof(struct item), flags, &p), 0);
		for (unsigned cpu = 0; cpu < tocsin_percpu_nr(p); cpu++)
			run_all(p, (int)cpu);
		assert_null(tocsin_percpu_free(p));
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void test_by_cpu(void **state)
{
	(void)state;
	run_from_everywhere(0);
}

static void test_by_cid(void **state)
{
	(void)state;
	run_from_everywhere(TOCSIN_PERCPU_BY_CID);
}

static void *without_rseq(void *arg)
{
	(void)arg;
	if (rseq_thread_ready() && !(tocsin_rseq.flags & TOCSIN_RSEQ_F_OWN))
		assert_int_equal(syscall(SYS_rseq, (uintptr_t)rseq_area(), 32, 1, TOCSIN_RSEQ_SIG),
				 0);
	run_from_everywhere(0);
	return NULL;
}

static void test_unregistered(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, without_rseq, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_here(void **state)
{
	struct tocsin_percpu *p;
	cpu_set_t before;
	uint64_t value = 7;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(tocsin_percpu_new(8, 0, &p), 0);
	for (size_t on = 0; on < CPU_SETSIZE; on++) {
		if (!CPU_ISSET(on, &before))
			continue;
		pin((int)on);
		assert_int_equal(op_word(p, TOCSIN_CPU_HERE, TOCSIN_OP_STORE, &value), on);
		assert_int_equal(*(uint64_t *)tocsin_percpu_item(p, (int)on), 7);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	(void)tocsin_percpu_free(p);
}

static void test_refused(void **state)
{
	struct tocsin_percpu *p = NULL;
	struct tocsin_op op = {.code = TOCSIN_OP_LOAD};

	(void)state;
	assert_int_equal(tocsin_percpu_new(0, 0, &p), -EINVAL);
	assert_int_equal(tocsin_percpu_new(7, 0, &p), -EINVAL);
	assert_int_equal(tocsin_percpu_new(SIZE_MAX, 0, &p), -EINVAL);
	assert_int_equal(tocsin_percpu_new(8, 8, &p), -EINVAL);
	assert_null(p);
	assert_null(tocsin_percpu_free(NULL));
	assert_int_equal(tocsin_percpu_new(64, 0, &p), 0);
	assert_null(tocsin_percpu_item(p, -1));
	assert_null(tocsin_percpu_item(p, (int)tocsin_percpu_nr(p)));
	assert_int_equal(tocsin_percpu_op(p, -2, &op), -EINVAL);
	assert_int_equal(tocsin_percpu_op(p, (int)tocsin_percpu_nr(p), &op), -EINVAL);
	op.off = 60;
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	op.off = 64;
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	op.off = SIZE_MAX - 7;
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	op = (struct tocsin_op){.code = 0};
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	op.code = TOCSIN_OP_COPY + 1;
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	op.code = TOCSIN_OP_PUSH;
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL); /* no node */
	/* Past the end, over the word, from nowhere. */
	op = (struct tocsin_op){
		.code = TOCSIN_OP_COPY, .u.src = "x", .len_bytes = 9, .copy_off = 56};
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	op.copy_off = SIZE_MAX;
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	op.copy_off = 7;
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	op.copy_off = 8;
	op.u.src = NULL;
	assert_int_equal(tocsin_percpu_op(p, 0, &op), -EINVAL);
	(void)tocsin_percpu_free(p);
}

struct visit {
	struct tocsin_percpu *p;
	unsigned nr;
	int last;
	int inner;
};

static void visit(void *item, int cpu, void *arg)
{
	struct visit *v = arg;
	struct tocsin_op op = {.code = TOCSIN_OP_ADD, .value = 1};

	assert_ptr_equal(item, tocsin_percpu_item(v->p, cpu));
	assert_true(cpu > v->last);
	v->last = cpu;
	v->nr++;
	*(uint64_t *)item += 1;
	v->inner = tocsin_percpu_op(v->p, cpu, &op); /* not allowed, and said so */
}

static void test_do_on(void **state)
{
	struct visit v = {.last = -1};
	uint64_t mask = 1, beyond[200] = {0};
	unsigned nr;

	(void)state;
	assert_int_equal(tocsin_percpu_new(64, 0, &v.p), 0);
	nr = tocsin_percpu_nr(v.p);
	assert_int_equal(tocsin_do_on_cpu(v.p, -1, visit, &v), -EINVAL);
	assert_int_equal(tocsin_do_on_cpu(v.p, (int)nr, visit, &v), -EINVAL);
	assert_int_equal(v.nr, 0);
	for (unsigned cpu = 0; cpu < nr; cpu++) {
		assert_int_equal(tocsin_do_on_cpu(v.p, (int)cpu, visit, &v), 0);
		assert_int_equal(v.inner, -EDEADLK);
	}
	assert_int_equal(v.nr, nr);
	v.last = -1;
	assert_int_equal(tocsin_do_on_each(v.p, NULL, 0, visit, &v), 0);
	assert_int_equal(v.nr, 2 * nr);
	v.last = -1;
	assert_int_equal(tocsin_do_on_each(v.p, &mask, 1, visit, &v), 0);
	assert_int_equal(v.nr, 2 * nr + 1);
	if (nr < 64 * 200) {
		beyond[nr / 64] = UINT64_C(1) << nr % 64;
		assert_int_equal(tocsin_do_on_each(v.p, beyond, 64 * 200, visit, &v), -EINVAL);
	}
	assert_int_equal(*(uint64_t *)tocsin_percpu_item(v.p, 0), 3);
	(void)tocsin_percpu_free(v.p);
}

struct hold {
	int is_in, may_leave;
};

static void hold_gate(void *item, int cpu, void *arg)
{
	struct hold *h = arg;

	(void)cpu;
	*(uint64_t *)item = 1; /* half of the work */
	__atomic_store_n(&h->is_in, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&h->may_leave, __ATOMIC_ACQUIRE))
		(void)sched_yield();
	*(uint64_t *)item = 2;
}

struct holder {
	struct tocsin_percpu *p;
	struct hold hold;
};

static void *hold_in_thread(void *arg)
{
	struct holder *h = arg;

	assert_int_equal(tocsin_do_on_cpu(h->p, 0, hold_gate, &h->hold), 0);
	return NULL;
}

/* In the child nobody holds the gate, and the half of the work is gone. */
static int child_sees(struct tocsin_percpu *p)
{
	uint64_t value = 5;

	if (op_word(p, 0, TOCSIN_OP_ADD, &value) != 0)
		return 1;
	if (op_word(p, 0, TOCSIN_OP_LOAD, &value) != 0 || value != 5)
		return 2;
	if (tocsin_percpu_wiped(p) != 1)
		return 3;
	if (tocsin_percpu_nr(p) > 1) {
		if (op_word(p, 1, TOCSIN_OP_LOAD, &value) != 1 || value != 77)
			return 4;
	}
	return 0;
}

static void test_fork(void **state)
{
	struct holder h = {0};
	pthread_t thread;
	uint64_t value = 77;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(tocsin_percpu_new(64, 0, &h.p), 0);
	if (tocsin_percpu_nr(h.p) > 1)
		assert_int_equal(op_word(h.p, 1, TOCSIN_OP_STORE, &value), 1);
	assert_int_equal(pthread_create(&thread, NULL, hold_in_thread, &h), 0);
	while (!__atomic_load_n(&h.hold.is_in, __ATOMIC_ACQUIRE))
		(void)sched_yield();
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		(void)alarm(5); /* a gate that stays closed ends the child by SIGALRM */
		_exit(child_sees(h.p));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	__atomic_store_n(&h.hold.may_leave, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(op_word(h.p, 0, TOCSIN_OP_LOAD, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(tocsin_percpu_wiped(h.p), 0);
	(void)tocsin_percpu_free(h.p);
}

static struct tocsin_percpu *handlers; /* what the handler works on */
static volatile int handler_adds;

static void add_in_handler(int number)
{
	uint64_t value = 1;

	(void)number;
	if (op_word(handlers, TOCSIN_CPU_HERE, TOCSIN_OP_ADD, &value) >= 0)
		handler_adds++;
}

/* The first operation of a child zeroes the item that a thread had which is not there; handlers
 * that come meanwhile, some 10 times, work on the same object. */
static int child_is_interrupted(struct tocsin_percpu *p)
{
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
	const struct sigaction action = {.sa_handler = add_in_handler};
	uint64_t value = 1;
	int r;

	handlers = p;
	if (sigaction(SIGPROF, &action, NULL) || setitimer(ITIMER_PROF, &often, NULL))
		return 2;
	r = op_word(p, TOCSIN_CPU_HERE, TOCSIN_OP_ADD, &value);
	while (r >= 0 && !handler_adds) {
	}
	if (setitimer(ITIMER_PROF, &never, NULL) || r < 0)
		return 3;
	return tocsin_percpu_wiped(p) == 1 ? 0 : 4;
}

static void test_fork_and_handlers(void **state)
{
	const size_t item_bytes = (size_t)64 << 20; /* takes some 10 ms to zero */
	struct holder h = {0};
	pthread_t thread;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(tocsin_percpu_new(item_bytes, 0, &h.p), 0);
	assert_int_equal(pthread_create(&thread, NULL, hold_in_thread, &h), 0);
	while (!__atomic_load_n(&h.hold.is_in, __ATOMIC_ACQUIRE))
		(void)sched_yield();
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		(void)alarm(20); /* a handler that waits for its own thread ends by SIGALRM */
		_exit(child_is_interrupted(h.p));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	__atomic_store_n(&h.hold.may_leave, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)tocsin_percpu_free(h.p);
}

static int handled;

static void on_signal(int number)
{
	(void)number;
	__atomic_store_n(&handled, 1, __ATOMIC_RELEASE);
}

static void *wait_at_gate(void *arg)
{
	uint64_t value = 1;

	assert_int_equal(op_word(arg, 0, TOCSIN_OP_ADD, &value), 0);
	return NULL;
}

/* Who waits for long gets its signals, and waits on. */
static void test_signal_while_waiting(void **state)
{
	struct sigaction action = {.sa_handler = on_signal}, before;
	pthread_t holding, waiting;
	struct holder h = {0};
	uint64_t value = 0;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	assert_int_equal(tocsin_percpu_new(64, 0, &h.p), 0);
	assert_int_equal(pthread_create(&holding, NULL, hold_in_thread, &h), 0);
	while (!__atomic_load_n(&h.hold.is_in, __ATOMIC_ACQUIRE))
		(void)sched_yield();
	assert_int_equal(pthread_create(&waiting, NULL, wait_at_gate, h.p), 0);
	(void)poll(NULL, 0, 20);
	assert_int_equal(pthread_kill(waiting, SIGUSR1), 0);
	for (unsigned i = 0; i < 5000 && !__atomic_load_n(&handled, __ATOMIC_ACQUIRE); i++)
		(void)poll(NULL, 0, 1);
	assert_int_equal(handled, 1);
	__atomic_store_n(&h.hold.may_leave, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(holding, NULL), 0);
	assert_int_equal(pthread_join(waiting, NULL), 0);
	assert_int_equal(op_word(h.p, 0, TOCSIN_OP_LOAD, &value), 0);
	assert_int_equal(value, 3);
	assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
	(void)tocsin_percpu_free(h.p);
}

/* An asynchronous cancel that arrives while the thread is behind the gate waits until it is not. */
static void *hold_and_be_cancelled(void *arg)
{
	int before;

	(void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before); /* cannot fail */
	return hold_in_thread(arg);
}

static void test_cancel(void **state)
{
	struct holder h = {0};
	pthread_t thread;
	uint64_t value = 0;

	(void)state;
	assert_int_equal(tocsin_percpu_new(64, 0, &h.p), 0);
	assert_int_equal(pthread_create(&thread, NULL, hold_and_be_cancelled, &h), 0);
	while (!__atomic_load_n(&h.hold.is_in, __ATOMIC_ACQUIRE))
		(void)sched_yield();
	assert_int_equal(pthread_cancel(thread), 0);
	__atomic_store_n(&h.hold.may_leave, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(op_word(h.p, 0, TOCSIN_OP_LOAD, &value), 0);
	assert_int_equal(value, 2);
	(void)tocsin_percpu_free(h.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_cpu),       cmocka_unit_test(test_by_cid),
		cmocka_unit_test(test_unregistered), cmocka_unit_test(test_here),
		cmocka_unit_test(test_refused),      cmocka_unit_test(test_do_on),
		cmocka_unit_test(test_fork),         cmocka_unit_test(test_fork_and_handlers),
		cmocka_unit_test(test_cancel),       cmocka_unit_test(test_signal_while_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
