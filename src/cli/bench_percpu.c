// SPDX-License-Identifier: MIT
/*
 * `tocsin bench percpu`: what the per-CPU toolkit costs, beside what it replaces.
 *
 * Every figure is measured once a round, in turn, so that all of them see the same machine; each is
 * what an undisturbed turn of a loop takes (bench_undisturbed()). Ratios are made within a round.
 * All on one CPU, but for the two threads that share a counter and the trips to another CPU, which
 * is kept busy from here: once by a thread of this process, which the fence must interrupt, once by
 * another process, which it need not. Trips that met nobody there do not count, so other work on
 * the machine does not decide what is measured.
 */
#include "bench_percpu.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../percpu/rseq.h"
#include "bench_worker.h"
#include "tocsin/percpu.h"
#include "tocsin/pmc.h"

#define TRIPS     301
#define FAR_TRIPS 3
#define TRIES     10       /* for each that counts */
#define WAIT_NS   20000000 /* for the other thread to get its CPU */
#define BUSY      5        /* the counter of the thread on the other CPU */

static struct tocsin_counter *counter;
static struct tocsin_percpu *percpu;
static uint64_t plain, shared;
static _Thread_local uint64_t local;

/* What a turn finds out must be wanted, or the compiler leaves it out. */
static inline void use(unsigned value)
{
	__asm__ __volatile__("" : : "r"(value));
}

static unsigned cpu_by_vdso(void)
{
	unsigned cpu = 0;

	(void)getcpu(&cpu, NULL); /* measured, not used */
	return cpu;
}

static unsigned cpu_by_syscall(void)
{
	unsigned cpu = 0;

	(void)syscall(SYS_getcpu, &cpu, NULL, NULL);
	return cpu;
}

static inline void inc(uint64_t *word)
{
	/* As a counter has to be: in memory after each turn. */
#if defined(__x86_64__)
	__asm__ __volatile__("incq %0" : "+m"(*word));
#else
	*(volatile uint64_t *)word += 1;
#endif
}

BENCH_PERCPU_LOOP(percpu_loop_ns, (void)0);
BENCH_PERCPU_LOOP(getcpu_rseq_ns, use(tocsin_cpu()));
BENCH_PERCPU_LOOP(getcpu_sched_ns, use((unsigned)sched_getcpu()));
BENCH_PERCPU_LOOP(getcpu_vdso_ns, use(cpu_by_vdso()));
BENCH_PERCPU_LOOP(getcpu_syscall_ns, use(cpu_by_syscall()));
BENCH_PERCPU_LOOP(tls_inc_ns, inc(&local));
BENCH_PERCPU_LOOP(plain_memory_inc_ns, inc(&plain));
BENCH_PERCPU_LOOP(counter_rseq_ns, tocsin_counter_add(counter, 3, 1));
BENCH_PERCPU_LOOP(counter_lock_ns, (void)__atomic_fetch_add(&shared, 1, __ATOMIC_SEQ_CST));

static void op_add(void)
{
	struct tocsin_op op = {.code = TOCSIN_OP_ADD, .off = 8, .value = 1};

	(void)tocsin_percpu_op(percpu, TOCSIN_CPU_HERE, &op); /* such an item and word are there */
}

BENCH_PERCPU_LOOP(op_add_ns, op_add());

static struct tocsin_pmc *pmc;

static void pmc_loop(unsigned turns)
{
	uint64_t count;

	for (unsigned i = 0; i < turns; i++)
		(void)tocsin_pmc_read(pmc, &count); /* it could be read a moment ago */
}

/* As it is read here: the sentence is a note. */
double bench_percpu_pmc_read_ns(struct bench_run *run)
{
	uint64_t count;
	const char *how;
	double ns = BENCH_NOT_HERE;
	static bool is_said;

	if (tocsin_pmc_open(TOCSIN_PMC_CYCLES, &pmc))
		return ns;
	if (tocsin_pmc_read(pmc, &count) == 0)
		ns = bench_percpu_time(pmc_loop);
	(void)tocsin_pmc_how(pmc, &how);
	if (!is_said)
		bench_note(run, "tocsin_pmc_read(): %s", how);
	is_said = true;
	pmc = tocsin_pmc_close(pmc);
	return ns;
}

/* ---- with somebody on another CPU */

/* What that CPU runs. */
enum helper_kind { HELPER_SHARES, HELPER_THREAD, HELPER_PROCESS };

struct helper {
	enum helper_kind kind;
	int cpu;
	int stop;
	uint64_t *progress; /* a page that a process shares; it goes on while the helper runs */
	pthread_t thread;
	pid_t pid;
};

static int pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) ? -errno : 0;
}

static void *help(void *arg)
{
	struct helper *h = arg;

	(void)pin(h->cpu); /* was in our set when the bench began; else the figure is better than it
			      is */
	while (!__atomic_load_n(&h->stop, __ATOMIC_RELAXED)) {
		if (h->kind == HELPER_SHARES)
			(void)__atomic_fetch_add(&shared, 1, __ATOMIC_SEQ_CST);
		else
			tocsin_counter_add(counter, BUSY, 1);
		inc(h->progress);
	}
	return NULL;
}

static void helper_stop(struct helper *h)
{
	__atomic_store_n(&h->stop, 1, __ATOMIC_RELAXED);
	if (h->kind == HELPER_PROCESS)
		bench_reap(h->pid);
	else
		(void)pthread_join(h->thread, NULL); /* ours, joined once */
	h->progress = bench_area_free(h->progress, sizeof(*h->progress));
}

/* Return: 0, or -errno. */
static int helper_start(struct helper *h, const struct bench_run *run, enum helper_kind kind)
{
	const struct timespec settle = {.tv_nsec = 2000000};
	int r;

	if (run->other_cpu < 0)
		return -ENODEV;
	*h = (struct helper){.kind = kind, .cpu = run->other_cpu};
	h->progress = bench_area_new(sizeof(*h->progress));
	if (!h->progress)
		return -ENOMEM;
	if (kind == HELPER_PROCESS) {
		h->pid = bench_fork(h->cpu);
		while (h->pid == 0)
			inc(h->progress); /* the child, until it is ended */
		r = h->pid < 0 ? h->pid : 0;
	} else {
		r = -pthread_create(&h->thread, NULL, help, h);
	}
	if (r)
		h->progress = bench_area_free(h->progress, sizeof(*h->progress));
	else
		(void)nanosleep(&settle, NULL);
	return r;
}

static uint64_t helper_progress(const struct helper *h)
{
	return __atomic_load_n(h->progress, __ATOMIC_RELAXED);
}

/* Only stretches in which the other thread really added too: elsewhere it was waiting for its CPU.
 */
double bench_percpu_counter_shared2_ns(struct bench_run *run)
{
	double slice[SLICES];
	struct helper h;
	size_t nr = 0;

	if (helper_start(&h, run, HELPER_SHARES))
		return BENCH_NOT_HERE;
	for (unsigned tries = 0; tries < TRIES * SLICES && nr < SLICES; tries++) {
		uint64_t before = __atomic_load_n(&shared, __ATOMIC_RELAXED);
		uint64_t start = clock_now_ns(), took;

		counter_lock_ns_loop(SLICE_TURNS);
		took = clock_now_ns() - start;
		if (__atomic_load_n(&shared, __ATOMIC_RELAXED) - before > SLICE_TURNS * 3 / 2)
			slice[nr++] = (double)took / SLICE_TURNS;
	}
	helper_stop(&h);
	bench_sort(slice, nr);
	return nr ? bench_median(slice, nr) : BENCH_NOT_HERE;
}

static void touch(void *item, int cpu, void *arg)
{
	(void)cpu;
	(void)arg;
	*(uint64_t *)item += 1;
}

static int trip_by_gate(int cpu, int home)
{
	(void)home;
	return tocsin_do_on_cpu(percpu, cpu, touch, NULL);
}

static int trip_by_affinity(int cpu, int home)
{
	int r = pin(cpu);

	return r ? r : pin(home);
}

/* What a trip by the gate cannot do without: the interrupt of that CPU and its answer. */
static int trip_by_fence(int cpu, int home)
{
	(void)home;
	return rseq_fence(cpu);
}

/* The middle one of @nr trips, in us, of those that found @kind running there. */
static double trips(const struct bench_run *run, unsigned nr, enum helper_kind kind,
		    int (*trip)(int cpu, int home))
{
	double us[TRIPS];
	struct helper h;
	unsigned met = 0;
	int r;

	if (helper_start(&h, run, kind))
		return BENCH_NOT_HERE;
	r = trip(run->other_cpu, run->cpu);
	for (unsigned tries = 0; tries < TRIES * nr && met < nr && !r; tries++) {
		uint64_t before = helper_progress(&h), start = clock_now_ns(), took;

		while (helper_progress(&h) == before && clock_now_ns() - start < WAIT_NS)
			;
		before = helper_progress(&h);
		start = clock_now_ns();
		r = trip(run->other_cpu, run->cpu);
		took = clock_now_ns() - start;
		if (helper_progress(&h) != before)
			us[met++] = (double)took / 1000;
	}
	helper_stop(&h);
	bench_sort(us, met);
	return r || !met ? BENCH_NOT_HERE : bench_median(us, met);
}

double bench_percpu_do_on_cpu_us(struct bench_run *run)
{
	return trips(run, TRIPS, HELPER_THREAD, trip_by_gate);
}

double bench_percpu_fence_us(struct bench_run *run)
{
	return trips(run, TRIPS, HELPER_THREAD, trip_by_fence);
}

double bench_percpu_affinity_trip_us(struct bench_run *run)
{
	return trips(run, FAR_TRIPS, HELPER_THREAD, trip_by_affinity);
}

double bench_percpu_do_on_cpu_other_us(struct bench_run *run)
{
	return trips(run, TRIPS, HELPER_PROCESS, trip_by_gate);
}

double bench_percpu_affinity_other_us(struct bench_run *run)
{
	return trips(run, FAR_TRIPS, HELPER_PROCESS, trip_by_affinity);
}

/* ---- rounds */

static const struct {
	enum bench_value value;
	double (*measure)(struct bench_run *run);
} measures[] = {
#define X(value, chart, whose, label) {BENCH_V_##value, bench_percpu_##value},
#include "bench_percpu.def"
#undef X
};

#define MEASURES_NR (sizeof(measures) / sizeof(measures[0]))

/* What is judged as a ratio: this over that, of the same round, times a scale. */
static const struct {
	enum bench_value ratio, of, to;
	double scale;
} ratios[] = {
	{BENCH_V_counter_plain_ratio, BENCH_V_counter_rseq_ns, BENCH_V_plain_memory_inc_ns, 1},
	{BENCH_V_counter_lock_ratio, BENCH_V_counter_rseq_ns, BENCH_V_counter_lock_ns, 1},
	{BENCH_V_pool_malloc_ratio, BENCH_V_pool_pair_ns, BENCH_V_malloc_pair_ns, 1},
	{BENCH_V_pool_jemalloc_ratio, BENCH_V_pool_pair_ns, BENCH_V_jemalloc_pair_ns, 1},
	{BENCH_V_pool_mimalloc_ratio, BENCH_V_pool_pair_ns, BENCH_V_mimalloc_pair_ns, 1},
	{BENCH_V_rcu_urcu_bp_ratio, BENCH_V_rcu_pair_ns, BENCH_V_urcu_bp_pair_ns, 1},
	{BENCH_V_do_on_cpu_percent, BENCH_V_do_on_cpu_us, BENCH_V_affinity_trip_us, 100},
	{BENCH_V_do_on_cpu_other_percent, BENCH_V_do_on_cpu_other_us, BENCH_V_affinity_other_us,
	 100},
};

static void ratios_add(struct bench_run *run, const double *round)
{
	for (size_t i = 0; i < sizeof(ratios) / sizeof(ratios[0]); i++) {
		double of = round[ratios[i].of], to = round[ratios[i].to];

		if (of >= 0 && to > 0)
			bench_add(run, ratios[i].ratio, ratios[i].scale * of / to);
	}
}

static void round_measure(struct bench_run *run)
{
	double round[BENCH_VALUES_NR];

	for (int v = 0; v < BENCH_VALUES_NR; v++)
		round[v] = BENCH_NOT_HERE;
	for (size_t i = 0; i < MEASURES_NR; i++) {
		double sample = measures[i].measure(run);

		if (sample < 0)
			continue;
		round[measures[i].value] = sample;
		bench_add(run, measures[i].value, sample);
	}
	ratios_add(run, round);
}

/* The third of the charts: what an event costs, in the same run. */
static int events_measure(struct bench_run *run, struct tocsin_err *err)
{
	static const enum bench_value events[] = {
#define X(value, chart, whose, label) BENCH_V_##value,
#include "bench_percpu_events.def"
#undef X
	};
	TOCSIN_CLEANUP(tocsin_free_voidp) struct bench_run *other = malloc(sizeof(*other));
	struct tocsin_err why = {0};
	int r;

	if (!other)
		return -ENOMEM;
	*other = *run;
	other->nr_notes = 0;
	r = bench_event(other, &why);
	if (r == -ENOENT) {
		bench_note(run, "not measured: events, as 'tocsin-bench-event' is not installed");
		return 0;
	}
	if (r) {
		*err = why;
		return r;
	}
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		run->series[events[i]] = other->series[events[i]];
	for (unsigned i = 0; i < other->nr_notes; i++)
		bench_note(run, "%s", other->note[i]);
	return 0;
}

int bench_percpu(struct bench_run *run, struct tocsin_err *err)
{
	const char *why;
	cpu_set_t before;
	int r;

	if (!tocsin_percpu_usable(&why))
		bench_note(run, "no restartable sequences: %s; these are the paths without", why);
	if (run->other_cpu < 0)
		bench_note(run, "one CPU only: nothing that needs two was measured");
	if (sched_getaffinity(0, sizeof(before), &before))
		return tocsin_err_fail(-errno, err, "cannot read which CPUs may be used");
	r = pin(run->cpu);
	if (r)
		return tocsin_err_fail(r, err, "cannot stay on CPU %d", run->cpu);
	r = tocsin_counter_new(64, &counter);
	if (!r)
		r = tocsin_percpu_new(64, 0, &percpu);
	for (unsigned i = 0; i < run->rounds && !r; i++)
		round_measure(run);
	percpu = tocsin_percpu_free(percpu);
	counter = tocsin_counter_free(counter);
	(void)sched_setaffinity(0, sizeof(before), &before); /* was so a moment ago */
	return r ? r : events_measure(run, err);
}
