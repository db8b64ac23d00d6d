// SPDX-License-Identifier: MIT
/*
 * `soak FILE SECONDS THREADS SEED BUDGET_US x 4`: random sections for the watch to get wrong.
 *
 * Each of THREADS workers opens sections of four kinds (USDT probes soak:k0_begin/k0_end .. k3)
 * alone, nested and overlapping, and spends a time near the kind's budget in them: spinning,
 * sleeping, on a shared lock, being moved between CPUs, yielding, waiting for another thread
 * through a pipe, or a mix. Workers live for some 100 sections and are then replaced; one in eight
 * exits inside a section. Nothing is printed meanwhile: every section is logged to memory and
 * written to FILE at the end.
 *
 * Beside them a real-time thread on each CPU does nothing but sleep for a millisecond and log how
 * late it was woken: what the machine's own timers are worth, at the same time and under the same
 * load.
 *
 * FILE: "TOCSOAK1", then one record a section, little endian:
 *
 *   u64 t[4]   the clock before and after the start probe, before and after the stop probe
 *   u32 tid
 *   u16 kind
 *   u16 flags  1: the thread exited inside it, between t[2] and t[3]
 *
 * A record of kind 0xffff is a real-time thread's: tid is its CPU, t[0] when it was to wake, t[3]
 * when it did.
 */

#include <sys/sdt.h>

#include "../targets/target.h"

#define KINDS        4u
#define LIFE         100u
#define RECORDS_MAX  (1u << 18) /* a worker stops early when its log is full */
#define RECORD_LEFT  1u
#define KIND_TIMER   0xffffu
#define TIMER_NS     NS_PER_MS
#define SHAPE_ACROSS 2u

struct record {
	uint64_t t[4];
	uint32_t tid;
	uint16_t kind;
	uint16_t flags;
};
_Static_assert(sizeof(struct record) == 40, "layout of the log");

struct worker {
	pthread_t manager;
	uint64_t random;
	struct record *record;
	unsigned nr_records;
	int ask[2];    /* pipe to the echo thread: how long to wait */
	int answer[2]; /* pipe back */
	unsigned lives;
};

static uint64_t budget_ns[KINDS];
static uint64_t end_ns;
static int cpus[2];
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

#define PAIR(k)                                           \
	static TARGET_NOINLINE void begin_##k(unsigned i) \
	{                                                 \
		TARGET_FRAME();                           \
		DTRACE_PROBE1(soak, k##_begin, i);        \
	}                                                 \
	static TARGET_NOINLINE void end_##k(unsigned i)   \
	{                                                 \
		TARGET_FRAME();                           \
		DTRACE_PROBE1(soak, k##_end, i);          \
	}
PAIR(k0)
PAIR(k1)
PAIR(k2)
PAIR(k3)

static void (*const probe_begin[KINDS])(unsigned) = {begin_k0, begin_k1, begin_k2, begin_k3};
static void (*const probe_end[KINDS])(unsigned) = {end_k0, end_k1, end_k2, end_k3};

static uint64_t random_next(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static uint64_t random_below(struct worker *w, uint64_t limit)
{
	return random_next(w) % limit;
}

static unsigned section_begin(struct worker *w, unsigned kind)
{
	unsigned i = w->nr_records++;
	struct record *r = &w->record[i];

	r->tid = (uint32_t)thread_id();
	r->kind = (uint16_t)kind;
	r->flags = 0;
	r->t[0] = now_ns();
	probe_begin[kind](i);
	r->t[1] = now_ns();
	return i;
}

static void section_end(struct worker *w, unsigned i)
{
	struct record *r = &w->record[i];

	r->t[2] = now_ns();
	probe_end[r->kind](i);
	r->t[3] = now_ns();
}

static void work_lock(uint64_t ns)
{
	(void)pthread_mutex_lock(&shared_lock); /* a normal mutex cannot fail */
	spin_ns(ns / 4);
	(void)pthread_mutex_unlock(&shared_lock);
}

static void work_migrate(struct worker *w, uint64_t ns)
{
	cpu_set_t all;

	thread_pin(cpus[random_below(w, 2)]);
	spin_ns(ns / 2);
	CPU_ZERO(&all);
	CPU_SET((size_t)cpus[0], &all);
	CPU_SET((size_t)cpus[1], &all);
	if (sched_setaffinity(0, sizeof(all), &all))
		err(3, "cannot unpin");
}

static void work_pipe(struct worker *w, uint64_t ns)
{
	if (write(w->ask[1], &ns, sizeof(ns)) != (ssize_t)sizeof(ns) ||
	    read(w->answer[0], &ns, sizeof(ns)) != (ssize_t)sizeof(ns))
		err(3, "cannot talk through a pipe");
}

static void work(struct worker *w, uint64_t ns)
{
	uint64_t until;

	switch (random_below(w, 7)) {
	case 0: spin_ns(ns); break;
	case 1: sleep_ns(ns); break;
	case 2: work_lock(ns); break;
	case 3: work_migrate(w, ns); break;
	case 4: work_pipe(w, ns); break;
	case 5:
		for (until = now_ns() + ns; now_ns() < until;)
			(void)sched_yield(); /* cannot fail */
		break;
	default:
		for (unsigned i = 0; i < 5; i++) {
			spin_ns(ns / 10);
			sleep_ns(ns / 10);
		}
	}
}

/* Three in four anywhere up to 1.7 budgets, one in four within 30 us of it. */
static uint64_t duration_pick(struct worker *w, unsigned kind)
{
	if (random_below(w, 4) == 0)
		return budget_ns[kind] - 30 * NS_PER_US + random_below(w, 60 * NS_PER_US);
	return budget_ns[kind] * (20 + random_below(w, 150)) / 100;
}

/* One group of sections; the last stays open when the thread is to leave in it. */
static void shape_run(struct worker *w, bool leave)
{
	uint64_t shape = random_below(w, 8);
	unsigned a = (unsigned)random_below(w, KINDS);
	unsigned b = (a + 1 + (unsigned)random_below(w, KINDS - 1)) % KINDS;
	unsigned outer = section_begin(w, a);
	unsigned inner;

	if (shape > 3) { /* alone */
		work(w, duration_pick(w, a));
	} else {
		if (shape & 1)
			work(w, duration_pick(w, a) / 3);
		inner = section_begin(w, b);
		work(w, duration_pick(w, b));
		if (shape & SHAPE_ACROSS) { /* the outer ends first */
			section_end(w, outer);
			outer = inner;
			work(w, duration_pick(w, a) / 3);
		} else {
			section_end(w, inner);
		}
	}
	if (leave) {
		w->record[outer].flags = RECORD_LEFT;
		w->record[outer].t[2] = now_ns();
		return;
	}
	section_end(w, outer);
}

static bool worker_is_done(const struct worker *w)
{
	return now_ns() >= end_ns || w->nr_records + 2 > RECORDS_MAX;
}

static void *life_thread(void *arg)
{
	struct worker *w = arg;
	bool leaves = random_below(w, 8) == 0;

	for (unsigned i = 0; i < LIFE && !worker_is_done(w); i++) {
		shape_run(w, false);
		if (random_below(w, 2) == 0)
			sleep_ns(random_below(w, 4 * NS_PER_MS));
	}
	if (leaves && !worker_is_done(w))
		shape_run(w, true);
	return NULL;
}

static void *echo_thread(void *arg)
{
	const struct worker *w = arg;
	uint64_t ns;

	while (read(w->ask[0], &ns, sizeof(ns)) == (ssize_t)sizeof(ns)) {
		sleep_ns(ns);
		if (write(w->answer[1], &ns, sizeof(ns)) != (ssize_t)sizeof(ns))
			err(3, "cannot answer through a pipe");
	}
	return NULL;
}

static void *manager_thread(void *arg)
{
	struct worker *w = arg;
	pthread_t echo;

	if (pipe2(w->ask, O_CLOEXEC) || pipe2(w->answer, O_CLOEXEC))
		err(3, "cannot make a pipe");
	echo = thread_start(echo_thread, w);
	while (!worker_is_done(w)) {
		(void)pthread_join(thread_start(life_thread, w), NULL);
		for (unsigned i = w->nr_records; i-- > 0 && i + 2 >= w->nr_records;)
			if (w->record[i].flags & RECORD_LEFT)
				w->record[i].t[3] = now_ns();
		w->lives++;
	}
	(void)close(w->ask[1]);
	(void)pthread_join(echo, NULL);
	return NULL;
}

/* How late a sleep ends; without the privilege for a real-time priority nothing is logged. */
static void *timer_thread(void *arg)
{
	struct worker *w = arg;
	const struct sched_param param = {.sched_priority = 90};

	thread_pin(cpus[w->random & 1]);
	if (sched_setscheduler(0, SCHED_FIFO, &param))
		return NULL;
	while (now_ns() < end_ns && w->nr_records < RECORDS_MAX) {
		struct record *r = &w->record[w->nr_records++];
		uint64_t due = now_ns() + TIMER_NS;
		struct timespec at = {(time_t)(due / NS_PER_S), (long)(due % NS_PER_S)};

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
			;
		*r = (struct record){
			{due, due, due, now_ns()}, (uint32_t)cpus[w->random & 1], KIND_TIMER, 0};
	}
	return NULL;
}

static struct worker *workers_make(unsigned nr, uint64_t seed)
{
	struct worker *worker = calloc(nr, sizeof(*worker));

	if (!worker)
		err(3, "no memory");
	for (unsigned i = 0; i < nr; i++) {
		worker[i].random = (seed + i + 1) * 0x9e3779b97f4a7c15ull;
		worker[i].record = calloc(RECORDS_MAX, sizeof(struct record));
		if (!worker[i].record)
			err(3, "no memory");
	}
	return worker;
}

static void log_write(const char *path, const struct worker *worker, unsigned nr_workers)
{
	FILE *f = fopen(path, "we");

	if (!f || fwrite("TOCSOAK1", 8, 1, f) != 1)
		err(3, "cannot write '%s'", path);
	for (unsigned i = 0; i < nr_workers; i++)
		if (fwrite(worker[i].record, sizeof(struct record), worker[i].nr_records, f) !=
		    worker[i].nr_records)
			err(3, "cannot write '%s'", path);
	if (fclose(f))
		err(3, "cannot write '%s'", path);
}

int main(int argc, char **argv)
{
	struct worker *worker;
	unsigned nr_workers, records = 0, lives = 0;

	if (argc != 5 + (int)KINDS)
		errx(2, "usage: soak FILE SECONDS THREADS SEED BUDGET_US x %u", KINDS);
	nr_workers = (unsigned)target_u64(argv[3]);
	for (unsigned i = 0; i < KINDS; i++)
		budget_ns[i] = target_u64(argv[5 + i]) * NS_PER_US;
	cpus_find(cpus);
	/* The last two are for the timers. */
	worker = workers_make(nr_workers + 2, target_u64(argv[4]));
	worker[nr_workers].random = 0;
	worker[nr_workers + 1].random = 1;
	target_ready();
	end_ns = now_ns() + target_u64(argv[2]) * NS_PER_S;
	for (unsigned i = 0; i < nr_workers + 2; i++)
		worker[i].manager =
			thread_start(i < nr_workers ? manager_thread : timer_thread, &worker[i]);
	for (unsigned i = 0; i < nr_workers + 2; i++) {
		(void)pthread_join(worker[i].manager, NULL);
		records += worker[i].nr_records;
		lives += worker[i].lives;
	}
	log_write(argv[1], worker, nr_workers + 2);
	printf("{\"records\":%u,\"threads\":%u}\n", records, lives);
	return 0;
}
