// SPDX-License-Identifier: MIT
/*
 * `tlob_target MODE [WINDOWS [WINDOW_MS]]`: the target of the self-tests that the kernel's
 * latency-over-budget monitor has.
 *
 * Three pairs of functions, each the start and the stop of a window in which another part of the
 * split dominates: tlob_busy_work, tlob_sleep_work and tlob_preempt_work, and each with `_done`
 * behind it. One JSON line a window says when it began and ended: the start lies between t[0] and
 * t[1], the stop between t[2] and t[3].
 */

#include <semaphore.h>

#include "target.h"

void tlob_busy_work(uint64_t ns, uint64_t *ret_begun);
void tlob_busy_work_done(void);
void tlob_sleep_work(uint64_t ns, uint64_t *ret_begun);
void tlob_sleep_work_done(void);
void tlob_preempt_work(uint64_t ns, uint64_t *ret_begun);
void tlob_preempt_work_done(void);

TARGET_NOINLINE void tlob_busy_work(uint64_t ns, uint64_t *ret_begun)
{
	TARGET_FRAME();
	*ret_begun = now_ns();
	spin_ns(ns);
}

TARGET_NOINLINE void tlob_busy_work_done(void)
{
	TARGET_FRAME();
}

TARGET_NOINLINE void tlob_sleep_work(uint64_t ns, uint64_t *ret_begun)
{
	TARGET_FRAME();
	*ret_begun = now_ns();
	sleep_ns(ns);
}

TARGET_NOINLINE void tlob_sleep_work_done(void)
{
	TARGET_FRAME();
}

TARGET_NOINLINE void tlob_preempt_work(uint64_t ns, uint64_t *ret_begun)
{
	TARGET_FRAME();
	*ret_begun = now_ns();
	spin_ns(ns);
}

TARGET_NOINLINE void tlob_preempt_work_done(void)
{
	TARGET_FRAME();
}

struct pair {
	const char *name;
	void (*work)(uint64_t ns, uint64_t *ret_begun);
	void (*done)(void);
};

static const struct pair pairs[] = {
	{"busy", tlob_busy_work, tlob_busy_work_done},
	{"sleep", tlob_sleep_work, tlob_sleep_work_done},
	{"preempt", tlob_preempt_work, tlob_preempt_work_done},
};

static const struct pair *pair_find(const char *name)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (!strcmp(pairs[i].name, name))
			return &pairs[i];
	return NULL;
}

static void window_run(const struct pair *pair, uint64_t ns)
{
	uint64_t t[4];

	t[0] = now_ns();
	pair->work(ns, &t[1]);
	t[2] = now_ns();
	pair->done();
	t[3] = now_ns();
	printf("{\"window\":\"%s\",\"tid\":%d,\"t\":[%ju,%ju,%ju,%ju]}\n", pair->name, thread_id(),
	       t[0], t[1], t[2], t[3]);
}

/* A real-time thread on the same CPU that takes three quarters of each window. */
struct hog {
	uint64_t window_ns;
	int cpu;
	sem_t ready;
	sem_t go;
	bool refused;
	bool stop;
};

static void *hog_thread(void *arg)
{
	struct hog *hog = arg;
	struct sched_param param = {.sched_priority = 10};

	thread_pin(hog->cpu);
	hog->refused = sched_setscheduler(0, SCHED_FIFO, &param) != 0;
	(void)sem_post(&hog->ready); /* cannot overflow */
	for (;;) {
		while (sem_wait(&hog->go) && errno == EINTR)
			;
		if (hog->stop)
			return NULL;
		sleep_ns(hog->window_ns / 8);
		spin_ns(hog->window_ns / 4 * 3);
	}
}

static void run_preempt(unsigned windows, uint64_t ns)
{
	struct hog hog = {.window_ns = ns};
	int cpu[2];
	pthread_t thread;

	cpus_find(cpu);
	hog.cpu = cpu[1];
	thread_pin(hog.cpu);
	if (sem_init(&hog.ready, 0, 0) || sem_init(&hog.go, 0, 0))
		err(3, "cannot make a semaphore");
	thread = thread_start(hog_thread, &hog);
	while (sem_wait(&hog.ready) && errno == EINTR)
		;
	if (hog.refused) {
		printf("{\"skip\":\"no privilege for a real-time priority\"}\n");
		windows = 0;
	}
	for (unsigned i = 0; i < windows; i++) {
		(void)sem_post(&hog.go);
		window_run(pair_find("preempt"), ns);
	}
	hog.stop = true;
	(void)sem_post(&hog.go);
	(void)pthread_join(thread, NULL);
}

struct share {
	const char *pair;
	unsigned windows;
	uint64_t ns;
};

static void *share_thread(void *arg)
{
	const struct share *share = arg;

	for (unsigned i = 0; i < share->windows; i++)
		window_run(pair_find(share->pair), share->ns);
	return NULL;
}

/* One thread busy for a sixth of the time that the other sleeps, both at once. */
static void run_threads(unsigned windows, uint64_t ns)
{
	struct share share[] = {{"busy", windows, ns / 6}, {"sleep", windows, ns}};
	pthread_t thread[2];

	for (size_t i = 0; i < 2; i++)
		thread[i] = thread_start(share_thread, &share[i]);
	for (size_t i = 0; i < 2; i++)
		(void)pthread_join(thread[i], NULL);
}

/* A start inside an open window, as the kernel's "double start", and then one stop too many. */
static void run_double(unsigned windows, uint64_t ns)
{
	for (unsigned i = 0; i < windows; i++) {
		uint64_t begun;

		tlob_busy_work(ns, &begun);
		window_run(pair_find("busy"), ns);
		tlob_busy_work_done();
		tlob_busy_work_done();
	}
}

int main(int argc, char **argv)
{
	unsigned windows = argc > 2 ? (unsigned)target_u64(argv[2]) : 3;
	uint64_t ns = (argc > 3 ? target_u64(argv[3]) : 50) * NS_PER_MS;
	const char *mode = argc > 1 ? argv[1] : "busy";

	target_ready();
	if (!strcmp(mode, "preempt")) {
		run_preempt(windows, ns);
	} else if (!strcmp(mode, "threads")) {
		run_threads(windows, ns);
	} else if (!strcmp(mode, "double")) {
		run_double(windows, ns);
	} else if (!strcmp(mode, "stop")) {
		for (unsigned i = 0; i < windows; i++)
			tlob_busy_work_done();
	} else if (!strcmp(mode, "idle")) {
		sleep_ns(windows * ns);
	} else if (pair_find(mode)) {
		for (unsigned i = 0; i < windows; i++)
			window_run(pair_find(mode), ns);
	} else {
		errx(2, "no such mode: '%s'", mode);
	}
	printf("{\"done\":true}\n");
	return 0;
}
