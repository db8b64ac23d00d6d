// SPDX-License-Identifier: MIT
/*
 * A handler that gets a slot while the thread that it interrupts has just been refused one: what
 * was begun by counting must end by counting, and the thread's next sections must still be seen.
 *
 * The arena is said to be full at first; in the middle of the outer lock there is room again, and
 * the handler has a section of its own.
 */
#include <signal.h>
#include <stdint.h>

static void gap(void);
#define TOCSIN_RCU_INJECT() gap()

#include "../../src/percpu/rcu.c"
#include "../../src/percpu/rcu_sync.c"

#include "stress.h"

#define SHORT_NS UINT64_C(50000000)
#define LONG_NS  UINT64_C(5000000000)

static bool is_armed;
static unsigned nr_handled;
static int failed;

static void expect(bool holds, const char *what)
{
	printf("%s %s\n", holds ? "#" : "# not so:", what);
	failed |= !holds;
}

static void on_signal(int number)
{
	uint64_t token = tocsin_rcu_read_lock();

	(void)number;
	nr_handled++;
	tocsin_rcu_read_unlock(token);
}

static void gap(void)
{
	if (!is_armed)
		return;
	is_armed = false;
	__atomic_store_n(&rcu_arena->shared.full, 0, __ATOMIC_RELAXED);
	(void)raise(SIGUSR1); /* counted by the handler */
}

static void *wait_for_readers(void *arg)
{
	*(int *)arg = tocsin_rcu_synchronize_for(SHORT_NS, NULL);
	return NULL;
}

/* What another thread's grace period comes to. */
static int period_elsewhere(void)
{
	pthread_t thread;
	int r = -EAGAIN;

	if (pthread_create(&thread, NULL, wait_for_readers, &r) == 0)
		(void)pthread_join(thread, NULL); /* ours, joined once */
	return r;
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	uint64_t token;

	printf("1..1\n");
	rcu_init();
	if (!rcu_arena) {
		printf("ok 1 # SKIP no membarrier: there are no slots\n");
		return 0;
	}
	(void)sigaction(SIGUSR1, &action, NULL); /* cannot fail with these */
	rcu_arena->shared.full = 1;
	is_armed = true;
	token = tocsin_rcu_read_lock();
	expect(nr_handled == 1, "the handler ran in the middle of the lock");
	expect(tocsin_rcu_is_watching(), "inside, it is watching");
	expect(period_elsewhere() == -ETIMEDOUT, "a grace period waits for the section");
	tocsin_rcu_read_unlock(token);
	expect(!tocsin_rcu_is_watching(), "outside, it is not");
	expect(tocsin_rcu_synchronize_for(LONG_NS, NULL) == 0, "a grace period ends");
	token = tocsin_rcu_read_lock();
	expect(period_elsewhere() == -ETIMEDOUT, "a grace period waits for the next section");
	tocsin_rcu_read_unlock(token);
	expect(tocsin_rcu_synchronize_for(LONG_NS, NULL) == 0, "and ends");
	printf("%s 1 a slot claimed by a handler in the middle of a lock\n",
	       failed ? "not ok" : "ok");
	return failed;
}
