// SPDX-License-Identifier: MIT
/* Read-copy-update: sections, grace periods, forks, ends of threads. What needs another process,
 * or could hang, runs in a child with an alarm. Deferred calls: test_rcu_call.c. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "percpu/rcu.h"
#include "tocsin/rcu.h"

#include "rcu_holder.h"

#define SHORT_NS UINT64_C(30000000)

static void test_nesting(void **state)
{
	uint64_t outer, inner;

	(void)state;
	assert_false(tocsin_rcu_is_watching());
	outer = tocsin_rcu_read_lock();
	assert_true(tocsin_rcu_is_watching());
	inner = tocsin_rcu_read_lock();
	tocsin_rcu_read_unlock(inner);
	assert_true(tocsin_rcu_is_watching());
	assert_int_equal(tocsin_rcu_synchronize(), -EDEADLK);
	assert_int_equal(tocsin_rcu_drain(), -EDEADLK);
	tocsin_rcu_read_unlock(outer);
	assert_false(tocsin_rcu_is_watching());
	assert_int_equal(tocsin_rcu_synchronize(), 0);
}

static void test_waits_for_a_reader(void **state)
{
	struct holder h;
	int32_t tid = 0;

	(void)state;
	holder_start(&h);
	assert_int_equal(tocsin_rcu_synchronize_for(SHORT_NS, &tid), -ETIMEDOUT);
	assert_int_equal(tid, h.tid);
	(void)holder_end(&h);
	assert_int_equal(tocsin_rcu_synchronize_for(10 * SHORT_NS, NULL), 0);
}

static void *counted_hold(void *arg)
{
	uint32_t base = rcu_arena->shared.base;
	void *slot;

	rcu_arena->shared.base = TOCSIN_RCU_SLOTS; /* as if every slot were taken */
	rcu_arena->shared.hint = TOCSIN_RCU_SLOTS;
	slot = hold(arg);
	rcu_arena->shared.base = base;
	rcu_arena->shared.full = 0;
	return slot;
}

/* With no slot left sections are counted, and waited for all the same. */
static void test_full_arena(void **state)
{
	struct holder h = {0};
	struct tocsin_rcu_slot *slot;

	(void)state;
	if (!rcu_arena)
		skip();
	(void)tocsin_rcu_read_lock(); /* this thread has its slot */
	tocsin_rcu_read_unlock(TOCSIN_RCU_OUTSIDE);
	assert_int_equal(pthread_create(&h.thread, NULL, counted_hold, &h), 0);
	while (!__atomic_load_n(&h.inside, __ATOMIC_SEQ_CST))
		nap();
	assert_int_equal(rcu_arena->shared.counted[0] + rcu_arena->shared.counted[1], 1);
	assert_int_equal(tocsin_rcu_synchronize_for(SHORT_NS, NULL), -ETIMEDOUT);
	slot = holder_end(&h);
	assert_int_equal(slot->mark, 0);
	assert_int_equal(rcu_arena->shared.counted[0] + rcu_arena->shared.counted[1], 0);
	assert_int_equal(tocsin_rcu_synchronize_for(10 * SHORT_NS, NULL), 0);
}

static void *die_inside(void *arg)
{
	(void)tocsin_rcu_read_lock();
	return arg;
}

static void test_thread_ends_inside(void **state)
{
	uint64_t start_ns;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, die_inside, NULL), 0);
		(void)pthread_join(thread, NULL);
	}
	start_ns = clock_now_ns();
	assert_int_equal(tocsin_rcu_synchronize_for(UINT64_C(5000000000), NULL), 0);
	assert_true(clock_now_ns() - start_ns < UINT64_C(3000000000));
}

/* The thread id of a dead owner was given to another thread, which lives. */
static void test_reused_thread_id(void **state)
{
	struct tocsin_rcu_slot *slot;
	struct rcu_shared *shared;

	(void)state;
	if (!rcu_arena)
		skip();
	shared = &rcu_arena->shared;
	assert_true(rcu_thread_start_ticks(gettid()) > 0);
	slot = &rcu_arena->slots[shared->high];
	slot->owner = (uint32_t)gettid();
	slot->claimed_ticks = 0; /* before this thread began */
	slot->mark = tocsin_rcu_period;
	shared->high++;
	assert_false(rcu_slot_bury(shared, slot, false));
	assert_int_equal(tocsin_rcu_synchronize_for(UINT64_C(5000000000), NULL), 0);
	assert_int_equal(slot->mark, 0);
	assert_int_equal(slot->owner, 0);
}

static void *visit(void *arg)
{
	tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
	return arg;
}

static void *visit_slot(void *arg)
{
	(void)visit(arg);
	return tocsin_rcu_slot;
}

/* Slots of ended threads are used again. */
static void test_many_threads(void **state)
{
	(void)state;
	if (!rcu_arena)
		skip();
	for (unsigned i = 0; i < 1000; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, visit, NULL), 0);
		(void)pthread_join(thread, NULL);
	}
	assert_true(rcu_arena->shared.high < 400);
}

/* With every slot taken by threads that have ended, a new thread gets one all the same. */
static void test_full_of_the_dead(void **state)
{
	struct tocsin_rcu_slot *slot = NULL;
	struct rcu_shared *shared;
	uint32_t base;
	pthread_t thread;
	void *result;

	(void)state;
	if (!rcu_arena)
		skip();
	shared = &rcu_arena->shared;
	base = shared->base;
	shared->base = TOCSIN_RCU_SLOTS - 4;
	shared->hint = TOCSIN_RCU_SLOTS - 4;
	shared->sweep_at = UINT32_MAX; /* not because of many claims */
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&thread, NULL, visit_slot, NULL), 0);
		(void)pthread_join(thread, &result);
		slot = result;
		assert_int_not_equal(slot->owner, 0);
		assert_true(slot >= &rcu_arena->slots[shared->base]);
	}
	shared->base = base;
}

/* ---- fork */

static void child_of_a_holder(void)
{
	struct holder h;
	struct tocsin_rcu_slot *slot, *mine;

	(void)alarm(LIMIT_S);
	/* The parent's holder does not exist here. */
	CHILD_CHECK(tocsin_rcu_synchronize() == 0);
	holder_start(&h);
	CHILD_CHECK(tocsin_rcu_synchronize_for(SHORT_NS, NULL) == -ETIMEDOUT);
	tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
	mine = tocsin_rcu_slot;
	/* That this thread went through a section has not ended the other's: no slot is shared. */
	CHILD_CHECK(tocsin_rcu_synchronize_for(SHORT_NS, NULL) == -ETIMEDOUT);
	slot = holder_end(&h);
	CHILD_CHECK(slot != mine || !rcu_arena);
	CHILD_CHECK(tocsin_rcu_synchronize() == 0);
	_exit(0);
}

static void fork_beside_a_holder(pid_t (*fork_fn)(void))
{
	struct holder h;
	pid_t pid;

	tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
	holder_start(&h);
	pid = fork_fn();
	if (pid == 0)
		child_of_a_holder();
	assert_child_ok(pid);
	assert_int_equal(tocsin_rcu_synchronize_for(SHORT_NS, NULL), -ETIMEDOUT);
	(void)holder_end(&h);
	assert_int_equal(tocsin_rcu_synchronize(), 0);
}

static void test_fork(void **state)
{
	(void)state;
	fork_beside_a_holder(fork);
}

static void test_bare_fork(void **state)
{
	(void)state;
	fork_beside_a_holder(_Fork);
}

static void *synchronize_run(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)tocsin_rcu_synchronize_for(SHORT_NS, NULL);
}

static intptr_t synchronize_elsewhere(void)
{
	pthread_t thread;
	void *r = NULL;

	if (pthread_create(&thread, NULL, synchronize_run, NULL) != 0)
		abort();
	(void)pthread_join(thread, &r);
	return (intptr_t)r;
}

static uint64_t fork_in_section(pid_t *ret_pid)
{
	uint64_t token = tocsin_rcu_read_lock();

	*ret_pid = fork();
	return token;
}

/* The forking thread keeps its section on both sides. */
static void test_fork_inside(void **state)
{
	uint64_t token;
	pid_t pid;

	(void)state;
	token = fork_in_section(&pid);
	if (pid == 0) {
		(void)alarm(LIMIT_S);
		CHILD_CHECK(tocsin_rcu_is_watching());
		CHILD_CHECK(synchronize_elsewhere() == -ETIMEDOUT);
		tocsin_rcu_read_unlock(token);
		CHILD_CHECK(!tocsin_rcu_is_watching());
		CHILD_CHECK(synchronize_elsewhere() == 0);
		_exit(0);
	}
	assert_true(tocsin_rcu_is_watching());
	assert_int_equal(synchronize_elsewhere(), -ETIMEDOUT);
	tocsin_rcu_read_unlock(token);
	assert_int_equal(synchronize_elsewhere(), 0);
	assert_child_ok(pid);
}

static pid_t handler_pid;

static void fork_handler(int nr)
{
	(void)nr;
	handler_pid = _Fork();
}

/* A handler that forks inside a section, without the handlers of fork(): unlocking is harmless. */
static void test_bare_fork_inside(void **state)
{
	struct sigaction action = {.sa_handler = fork_handler};
	uint64_t token;
	struct holder h;

	(void)state;
	assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
	token = tocsin_rcu_read_lock();
	(void)raise(SIGUSR2);
	tocsin_rcu_read_unlock(token);
	if (handler_pid == 0) {
		(void)alarm(LIMIT_S);
		CHILD_CHECK(!tocsin_rcu_is_watching());
		holder_start(&h);
		tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
		CHILD_CHECK(tocsin_rcu_synchronize_for(SHORT_NS, NULL) == -ETIMEDOUT);
		CHILD_CHECK(holder_end(&h) != tocsin_rcu_slot);
		CHILD_CHECK(tocsin_rcu_synchronize() == 0);
		_exit(0);
	}
	assert_child_ok(handler_pid);
	assert_int_equal(tocsin_rcu_synchronize(), 0);
}

static void *vfork_first(void *arg)
{
	pid_t pid = vfork();

	if (pid == 0) {
		tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
		_exit(0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	*(bool *)arg = !tocsin_rcu_slot ||
		       tocsin_rcu_slot->mark == 0; /* no slot was claimed in the child's name */
	tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
	return tocsin_rcu_slot;
}

static void test_vfork(void **state)
{
	struct tocsin_rcu_slot *slot;
	bool was_counted = false;
	pthread_t thread;
	void *result;

	(void)state;
	if (!rcu_arena)
		skip();
	assert_int_equal(pthread_create(&thread, NULL, vfork_first, &was_counted), 0);
	(void)pthread_join(thread, &result);
	slot = result;
	assert_true(was_counted);
	assert_int_equal(slot->mark, TOCSIN_RCU_OUTSIDE);
	assert_int_equal(tocsin_rcu_synchronize(), 0);
}

static unsigned destructions;
static pthread_key_t key;

static void destroy(void *value)
{
	tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
	if (++destructions < 4)
		(void)pthread_setspecific(key, value);
}

static void *set_key(void *arg)
{
	(void)pthread_setspecific(key, &key);
	return arg;
}

static void test_late_destructors(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_key_create(&key, destroy), 0);
	assert_int_equal(pthread_create(&thread, NULL, set_key, NULL), 0);
	(void)pthread_join(thread, NULL);
	assert_int_equal(destructions, 4);
	assert_int_equal(tocsin_rcu_synchronize(), 0);
	(void)pthread_key_delete(key);
}

/* ---- membarrier hidden */

#define DENY(nr)                                         \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)

/* From here on these two calls fail. */
static void deny(unsigned first, unsigned second)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		DENY(first),
		DENY(second),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(*filter), .filter = filter};

	CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* In a new program, started with membarrier hidden: all sections are counted. */
static int without_membarrier(void)
{
	struct holder h;

	(void)alarm(LIMIT_S);
	CHILD_CHECK(!rcu_arena);
	tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
	CHILD_CHECK(tocsin_rcu_slot && tocsin_rcu_slot->mark == 0);
	holder_start(&h);
	CHILD_CHECK(tocsin_rcu_synchronize_for(SHORT_NS, NULL) == -ETIMEDOUT);
	(void)holder_end(&h);
	CHILD_CHECK(tocsin_rcu_synchronize() == 0);
	child_of_a_holder();
	return 0;
}

static void test_without_membarrier(void **state)
{
	char *const argv[] = {(char[]){"test_rcu"}, (char[]){"without"}, NULL};
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		deny(SYS_membarrier, SYS_membarrier);
		(void)execv("/proc/self/exe", argv);
		_exit(255);
	}
	assert_child_ok(pid);
}

/* Hidden later on: the fence is made by running on every CPU; without that too there is none. */
static void test_membarrier_taken_away(void **state)
{
	struct holder h;
	pid_t pid;

	(void)state;
	if (!rcu_arena)
		skip();
	pid = fork();
	if (pid == 0) {
		cpu_set_t before, after;

		(void)alarm(LIMIT_S);
		deny(SYS_membarrier, SYS_membarrier);
		CHILD_CHECK(sched_getaffinity(0, sizeof(before), &before) == 0);
		CHILD_CHECK(tocsin_rcu_synchronize() == 0);
		CHILD_CHECK(sched_getaffinity(0, sizeof(after), &after) == 0);
		CHILD_CHECK(CPU_EQUAL(&before, &after));
		holder_start(&h);
		CHILD_CHECK(tocsin_rcu_synchronize_for(SHORT_NS, NULL) == -ETIMEDOUT);
		(void)holder_end(&h);
		deny(SYS_membarrier, SYS_sched_setaffinity);
		CHILD_CHECK(tocsin_rcu_synchronize() == -ENOSYS);
		CHILD_CHECK(tocsin_rcu_drain() == 0);
		_exit(0);
	}
	assert_child_ok(pid);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_waits_for_a_reader),
		cmocka_unit_test(test_full_arena),
		cmocka_unit_test(test_thread_ends_inside),
		cmocka_unit_test(test_reused_thread_id),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_bare_fork),
		cmocka_unit_test(test_fork_inside),
		cmocka_unit_test(test_bare_fork_inside),
		cmocka_unit_test(test_vfork),
		cmocka_unit_test(test_late_destructors),
		cmocka_unit_test(test_without_membarrier),
		cmocka_unit_test(test_membarrier_taken_away),
		cmocka_unit_test(test_full_of_the_dead), /* last: the others want free slots */
	};

	if (argc == 2 && strcmp(argv[1], "without") == 0)
		return without_membarrier();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
