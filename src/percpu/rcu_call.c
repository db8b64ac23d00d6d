// SPDX-License-Identifier: MIT
/*
 * Deferred calls of RCU: a stack that anybody pushes to, and one drain at a time that takes it
 * whole, waits for a grace period and calls. What is waiting stands in a global list, one link of
 * which is taken off before each call, so that a drain that fails, or that a fork leaves behind,
 * loses nothing; except that in the child of a fork the calls are missing that another thread had
 * just moved from the stack to the list, or was in.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "../base/banned.h"
#include "rcu.h"
#include "signals.h"

static struct tocsin_rcu_head *queue;   /* newest first; anybody pushes */
static struct tocsin_rcu_head *waiting; /* oldest first; under drain_lock */
static int32_t drainer;                 /* thread id of the holder of drain_lock */

/* The worker. It is this process's only if pid is: a child of a fork has none. */
static struct {
	int32_t pid; /* 0: none */
	int32_t tid;
	pthread_t thread;
	uint32_t asleep; /* futex: 1 the worker sleeps or is about to */
	uint32_t stop;
} worker;

#define RETRY_NS UINT64_C(10000000) /* between two attempts where grace periods fail */

static void worker_wake(void)
{
	/* pairs with worker_sleep() [E]: either this sees it asleep, or it sees the queue */
	if (__atomic_load_n(&worker.asleep, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&worker.asleep, 0, __ATOMIC_SEQ_CST)) {
		int saved_errno = errno;

		futex_wake(&worker.asleep, 1);
		errno = saved_errno;
	}
}

void tocsin_rcu_call(struct tocsin_rcu_head *head, void (*fn)(struct tocsin_rcu_head *head))
{
	struct tocsin_rcu_head *old = __atomic_load_n(&queue, __ATOMIC_RELAXED);

	head->fn = fn;
	do {
		head->next = old;
	} while (!__atomic_compare_exchange_n(&queue, &old, head, true, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	worker_wake();
}

/* Move the stack to the end of the list, oldest first. */
static void take_queue(void)
{
	struct tocsin_rcu_head *head = __atomic_exchange_n(&queue, NULL, __ATOMIC_ACQ_REL);
	struct tocsin_rcu_head *list = NULL, **end = &waiting;

	while (head) {
		struct tocsin_rcu_head *next = head->next;

		head->next = list;
		list = head;
		head = next;
	}
	while (*end)
		end = &(*end)->next;
	*end = list;
}

static long drain_locked(void)
{
	long nr = 0;
	int r;

	take_queue();
	if (!waiting)
		return 0;
	r = tocsin_rcu_synchronize();
	if (r < 0)
		return r;
	while (waiting) {
		struct tocsin_rcu_head *head = waiting;

		waiting = head->next;
		head->fn(head);
		nr++;
	}
	return nr;
}

long tocsin_rcu_drain(void)
{
	struct rcu_lock *lock;
	int32_t tid = gettid();
	int cancel;
	long r;

	if (tocsin_rcu_is_watching())
		return -EDEADLK;
	if (__atomic_load_n(&drainer, __ATOMIC_RELAXED) == tid)
		return -EBUSY;
	rcu_init();
	lock = &rcu_shared()->drain_lock;
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* cannot fail */
	(void)rcu_lock_take(lock, UINT64_MAX);                         /* 0: no deadline */
	__atomic_store_n(&drainer, tid, __ATOMIC_RELAXED);
	r = drain_locked();
	__atomic_store_n(&drainer, 0, __ATOMIC_RELAXED);
	rcu_lock_drop(lock);
	(void)pthread_setcancelstate(cancel, &cancel); /* as above */
	return r;
}

static void worker_sleep(void)
{
	__atomic_store_n(&worker.asleep, 1, __ATOMIC_SEQ_CST);
	/* [E] */
	while (!__atomic_load_n(&queue, __ATOMIC_SEQ_CST) &&
	       !__atomic_load_n(&worker.stop, __ATOMIC_SEQ_CST) &&
	       __atomic_load_n(&worker.asleep, __ATOMIC_SEQ_CST))
		futex_wait(&worker.asleep, 1, UINT64_MAX);
	__atomic_store_n(&worker.asleep, 0, __ATOMIC_SEQ_CST);
}

static void *worker_run(void *arg)
{
	uint32_t never = 0;

	__atomic_store_n(&worker.tid, gettid(), __ATOMIC_RELEASE);
	for (;;) {
		bool stop = __atomic_load_n(&worker.stop, __ATOMIC_SEQ_CST);
		long r = tocsin_rcu_drain();

		if (stop)
			return arg;
		if (r < 0)
			futex_wait(&never, 0, RETRY_NS);
		else if (r == 0)
			worker_sleep();
	}
}

/* In the child of a fork the worker is the parent's. Under worker_lock, which is open there. */
static void worker_forget(void)
{
	if (worker.pid == 0 || worker.pid == getpid())
		return;
	worker.pid = 0;
	worker.tid = 0;
	worker.asleep = 0;
}

/* Is this the worker, in a function that it calls? Who stops it holds worker_lock and waits for it.
 */
static bool am_worker(void)
{
	return __atomic_load_n(&worker.tid, __ATOMIC_ACQUIRE) == (int32_t)gettid() &&
	       worker.pid == getpid();
}

int tocsin_rcu_worker_start(void)
{
	struct rcu_lock *lock;
	uint64_t signals;
	int r;

	if (am_worker())
		return -EALREADY;
	rcu_init();
	lock = &rcu_shared()->worker_lock;
	(void)rcu_lock_take(lock, UINT64_MAX); /* 0: no deadline */
	worker_forget();
	if (worker.pid) {
		rcu_lock_drop(lock);
		return -EALREADY;
	}
	worker.stop = 0;
	worker.pid = getpid();     /* before the worker can look */
	signals = signals_block(); /* which the worker inherits */
	r = -pthread_create(&worker.thread, NULL, worker_run, NULL);
	signals_restore(signals);
	if (r < 0)
		worker.pid = 0;
	rcu_lock_drop(lock);
	return r;
}

int tocsin_rcu_worker_stop(void)
{
	struct rcu_lock *lock;
	int cancel, r = -ESRCH;

	if (tocsin_rcu_is_watching() || am_worker())
		return -EDEADLK;
	rcu_init();
	lock = &rcu_shared()->worker_lock;
	/* Cancelled while it waits, this thread would leave the lock shut for ever. */
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* cannot fail */
	(void)rcu_lock_take(lock, UINT64_MAX);                         /* 0: no deadline */
	worker_forget();
	if (worker.pid) {
		__atomic_store_n(&worker.stop, 1, __ATOMIC_SEQ_CST);
		worker_wake();
		(void)pthread_join(worker.thread, NULL); /* it is ours and joinable */
		worker.pid = 0;
		worker.tid = 0;
		r = 0;
	}
	rcu_lock_drop(lock);
	(void)pthread_setcancelstate(cancel, &cancel); /* as above */
	return r;
}
