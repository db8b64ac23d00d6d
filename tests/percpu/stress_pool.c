// SPDX-License-Identifier: MIT
/*
 * Does a pool ever hand out an item twice, or lose one?
 *
 *	stress_pool SECONDS [THREADS] [hotplug]
 *
 * Built several times: as it is, and with one thing broken (STRESS_BREAK), which must be noticed.
 * Threads take and give, partly items that others took; they are moved between CPUs and get
 * signals, whose handlers take and give too; one of four has no rseq; sections and stacks are
 * delayed; magazines are drained all the while, and forks look at the pool from the child's side.
 * At the end every item that was made must be found exactly once.
 */
#define STRESS_NOT_BROKEN 0
#define STRESS_UNARMED    1 /* sections that the kernel does not abort */
#define STRESS_NO_FENCE   2 /* a drain does not fence */
#define STRESS_NO_COUNT   3 /* stacks do not notice a top that went and came back */
#ifndef STRESS_BREAK
#	define STRESS_BREAK STRESS_NOT_BROKEN
#endif

#include <stdint.h>

#include "tocsin/rseq.h"

#if STRESS_BREAK == STRESS_UNARMED
#	define TOCSIN_BROKEN 6
#	include "percpu/broken.h"
#	define STRESS_NAME "with sections that are not armed"
#elif STRESS_BREAK == STRESS_NO_FENCE
#	define POOL_FENCE(cpu) ((void)(cpu), 0)
#	define STRESS_NAME     "without the fence of a drain"
#elif STRESS_BREAK == STRESS_NO_COUNT
#	define POOL_CHANGES(top) ((top) >> 32)
#	define STRESS_NAME       "without the count of changes"
#else
#	define STRESS_NAME "as it is"
#endif

static void delay(void);
#define POOL_INJECT() delay()

#include "../../src/percpu/pool.c"
#include "../../src/percpu/pool_debug.c"
#include "../../src/percpu/pool_make.c"

#include <sys/wait.h>

#include "stress.h"

enum { HELD = 96, CELLS = 256, THREADS_MAX = 256 };

/* An item: who takes it finds in_use 0 and sets it. */
struct item {
	uint64_t in_use;
	uint64_t pad[7];
};

static struct tocsin_pool *pool;
static struct item *cells[CELLS]; /* items on their way from one thread to another */
static uint64_t nr_ops, nr_bad, nr_drained, nr_forks;
static int stop;
static pthread_t threads[THREADS_MAX];
static unsigned nr_threads;
static __thread uint32_t delay_seed;
static __thread bool is_ready;

static void delay(void)
{
	delay_seed = stress_random(delay_seed);
	if ((delay_seed >> 16 & 1023) == 0)
		stress_sleep_ns(50000);
	else if ((delay_seed >> 16 & 63) == 0)
		stress_spin(2000);
}

static void bad(void)
{
	(void)__atomic_fetch_add(&nr_bad, 1, __ATOMIC_RELAXED);
}

static struct item *take(void)
{
	void *item;

	if (tocsin_pool_take(pool, &item) != 0) {
		bad(); /* there is memory enough */
		return NULL;
	}
	if (__atomic_exchange_n(&((struct item *)item)->in_use, 1, __ATOMIC_RELAXED) != 0)
		bad();
	return item;
}

static void give(struct item *item)
{
	if (__atomic_exchange_n(&item->in_use, 0, __ATOMIC_RELAXED) != 1)
		bad();
	if (tocsin_pool_give(pool, item) != 0)
		bad();
}

/* Take away this thread's rseq, which glibc has registered. */
static void rseq_leave(void)
{
#if TOCSIN_RSEQ_ARCH
	uintptr_t area = (uintptr_t)__builtin_thread_pointer() + (uintptr_t)tocsin_rseq.area;

	/* What is Tocsin's own is not there yet, and would come again. */
	if (tocsin_rseq.area && !(tocsin_rseq.flags & TOCSIN_RSEQ_F_OWN) &&
	    syscall(SYS_rseq, area, 32, 1, TOCSIN_RSEQ_SIG) != 0)
		stress_bail("rseq cannot be unregistered");
#endif
}

static void *work(void *arg)
{
	struct item *held[HELD] = {0};
	unsigned nr = (unsigned)(uintptr_t)arg;
	uint32_t x = nr * 99 + 7;
	uint64_t n = 0;

	delay_seed = x;
	is_ready = true;
	if (nr % 4 == 3 || STRESS_BREAK == STRESS_NO_COUNT)
		rseq_leave();
	for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		uint32_t i;

		x = stress_random(x);
		i = (x >> 16) % HELD;
		if (!held[i]) {
			held[i] = take();
			continue;
		}
		if (x & 0x1000)
			held[i] = __atomic_exchange_n(&cells[x >> 8 & (CELLS - 1)], held[i],
						      __ATOMIC_ACQ_REL);
		if (held[i])
			give(held[i]);
		held[i] = NULL;
	}
	for (unsigned i = 0; i < HELD; i++)
		if (held[i])
			give(held[i]);
	(void)__atomic_fetch_add(&nr_ops, n, __ATOMIC_RELAXED);
	return NULL;
}

static void handler(int nr)
{
	struct item *item;

	(void)nr;
	if (!is_ready)
		return;
	item = take();
	if (item)
		give(item);
}

static void *disturb(void *arg)
{
	for (unsigned n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		pthread_t thread = threads[n % nr_threads];

		(void)pthread_kill(thread, SIGUSR1); /* they live until stop */
		stress_pin_thread(thread, n / nr_threads & 1);
		/* Batches are rare: long enough that a move or a signal meets one. */
		for (unsigned point = 20; point < 26; point++)
			tocsin_rseq_delay[point] =
				n % 3 == 0 ? (int)(n % 7) * (point < 24 ? 50 : 20000) : 0;
		stress_sleep_ns(300000);
	}
	return arg;
}

static void *drain(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		long nr = tocsin_pool_drain(pool);

		if (nr > 0)
			nr_drained += (uint64_t)nr;
		stress_sleep_ns(200000);
	}
	return arg;
}

/* In the child: what the pool hands out must be what nobody had. Return: the exit status. */
static int look_as_child(void)
{
	uint64_t before = __atomic_load_n(&nr_bad, __ATOMIC_RELAXED);
	struct item *mine[200];

	for (unsigned i = 0; i < 200; i++)
		mine[i] = take();
	for (unsigned i = 0; i < 200; i++)
		if (mine[i])
			give(mine[i]);
	return __atomic_load_n(&nr_bad, __ATOMIC_RELAXED) == before ? 0 : 1;
}

static void look_by_fork(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		stress_bail("no fork");
	if (pid == 0)
		_exit(look_as_child());
	while (waitpid(pid, &status, 0) < 0) {
	}
	if (status != 0)
		bad();
	nr_forks++;
}

/* Every item that was made is free now, once. */
static void account(void)
{
	struct pool *inside = (struct pool *)pool;
	uint64_t items = inside->nr_items, found = 0;
	uint8_t *seen = calloc(inside->max_items, 1);
	void *hand[TOCSIN_POOL_BATCH], *item;

	if (!seen)
		stress_bail("no memory");
	for (uint32_t cpu = 0; cpu < inside->nr_cpus; cpu++)
		for (void **cell = inside->magazines[cpu].top; cell > inside->magazines[cpu].cells;
		     cell--) {
			seen[pool_index(inside, *cell)]++;
			found++;
		}
	while (found <= items && pool_depot_take(inside, hand))
		for (unsigned i = 0; i < TOCSIN_POOL_BATCH; i++) {
			seen[pool_index(inside, hand[i])]++;
			found++;
		}
	while (found <= items && (item = pool_single_take(inside)) != NULL) {
		seen[pool_index(inside, item)]++;
		found++;
	}
	for (uint64_t i = 0; i < items; i++)
		if (seen[i] != 1)
			bad();
	if (found != items)
		bad();
	(void)printf("# %" PRIu64 " items made, %" PRIu64 " found\n", items, found);
	free(seen);
}

int main(int argc, char **argv)
{
	const struct tocsin_pool_opts opts = {.size = sizeof(opts),
					      .item_bytes = sizeof(struct item)};
	bool must_fail = STRESS_BREAK != STRESS_NOT_BROKEN;
	uint64_t end_ns = stress_end_ns(argc, argv), threads_wanted = 4;
	struct tocsin_pool_stats stats;
	bool is_hotplug = stress_asked_for(argc, argv, "hotplug");
	pthread_t disturber, drainer;
	unsigned turn = 0;

	if (argc > 2 && strcmp(argv[2], "hotplug") != 0 &&
	    tocsin_parse_u64(argv[2], &threads_wanted) < 0)
		stress_bail("the second argument is a number of threads");
	nr_threads = threads_wanted < 4             ? 4
		     : threads_wanted > THREADS_MAX ? THREADS_MAX
						    : (unsigned)threads_wanted;
	if (must_fail && !tocsin_rseq.area)
		return stress_skip("no restartable sequences here");
	if (tocsin_pool_new(&opts, &pool) != 0)
		stress_bail("no pool");
	stress_handle(SIGUSR1, handler);
	for (uintptr_t i = 0; i < nr_threads; i++)
		stress_start(&threads[i], work, (void *)i);
	stress_start(&disturber, disturb, NULL);
	stress_start(&drainer, drain, NULL);
	while (clock_now_ns() < end_ns &&
	       !(must_fail && __atomic_load_n(&nr_bad, __ATOMIC_RELAXED))) {
		stress_sleep_ns(is_hotplug ? 200000000 : 20000000);
		if (is_hotplug)
			stress_switch(turn++ & 1);
		if (!must_fail)
			look_by_fork();
	}
	if (turn & 1)
		stress_switch(true);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	(void)pthread_join(disturber, NULL);
	(void)pthread_join(drainer, NULL);
	for (unsigned i = 0; i < nr_threads; i++)
		(void)pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < CELLS; i++)
		if (cells[i])
			give(cells[i]);
	tocsin_pool_get_stats(pool, &stats);
	if (stats.out != 0 && !must_fail)
		bad();
	account();
	(void)printf("# %" PRIu64 " operations, %" PRIu64 " batches, %" PRIu64 " singles, %" PRIu64
		     " drained, %" PRIu64 " forks, %" PRIu64 " bad\n",
		     nr_ops, stats.batches, stats.singles, nr_drained, nr_forks, nr_bad);
	stress_points("# ");
	if (must_fail)
		return stress_done(nr_bad > 0, "a pool " STRESS_NAME " is caught");
	return stress_done(!nr_bad && nr_ops > 1000 &&
				   (stats.singles > 0 || tocsin_rseq.flags & TOCSIN_RSEQ_F_OWN),
			   "a pool " STRESS_NAME " hands out each item once and loses none");
}
