// SPDX-License-Identifier: MIT
/*
 * Records of several sizes in a ring of 1 MiB, beside the bare counter and an empty loop. Short
 * slices of each take turns, so that whatever disturbs the machine disturbs all of them, and the
 * undisturbed ones are compared. Between slices the ring is emptied by moving its tail.
 */
#include "bench_event_ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "../abi/control.h"
#include "../base/clock.h"
#include "../percpu/rseq.h"
#include "../ring/ring.h"
#include "bench_stats.h"

#define SLICES     101
#define RING_BYTES (1u << 20)
#define LOOPS      7 /* empty, clock, four sizes, side */
#define TWO_NS     30000000u

static struct ring_writer *writer;
static int make_error;

static int make_ring(struct ring_writer *w, int index)
{
	struct ring_params params = {
		.kind = index == RING_INDEX_SIDE ? RING_SIDE : RING_INDEXED,
		.mode = RING_DISCARD,
		.index = index == RING_INDEX_SIDE ? 0 : (uint32_t)index,
		.data_bytes = RING_BYTES,
		.fd = -1,
	};
	struct ring_made made;
	int r = ring_make(&params, &made);

	if (r < 0) {
		make_error = r;
		return r;
	}
	(void)close(made.fd); /* nobody else reads it; the mapping stays */
	if (ring_publish(w, index, made.ring) < 0)
		return -EAGAIN; /* another thread's is there: the record takes the side ring */
	return 0;
}

/* All that was written has been read. */
static void empty_rings(void)
{
	for (int i = RING_INDEX_SIDE; i < RING_INDEXES; i++) {
		struct ring_header *ring =
			__atomic_load_n(i < 0 ? &writer->side : &writer->ring[i], __ATOMIC_ACQUIRE);

		if (ring)
			__atomic_store_n(&ring->tail,
					 __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE),
					 __ATOMIC_RELEASE);
	}
}

static void loop_empty(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		__asm__ volatile("" : : "r"(i) : "memory");
}

static inline __attribute__((always_inline)) uint64_t bare_clock(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t t;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t;
#else
	return clock_now_ns();
#endif
}

static void loop_clock(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		__asm__ volatile("" : : "r"(bare_clock()) : "memory");
}

/* A call a record, as a library makes it. */
#define LOOP_EVENT(size)                                                         \
	static __attribute__((noinline)) int event_##size(const void *payload)   \
	{                                                                        \
		return ring_write(writer, 1, payload, size);                     \
	}                                                                        \
	static void loop_##size(unsigned turns)                                  \
	{                                                                        \
		uint64_t payload[size / 8] = {0};                                \
                                                                                 \
		for (unsigned i = 0; i < turns; i++) {                           \
			payload[0] = i;                                          \
			(void)event_##size(payload); /* losses are looked for */ \
		}                                                                \
	}                                                                        \
	_Static_assert((size) % 8 == 0, "whole words")

LOOP_EVENT(8);
LOOP_EVENT(16);
LOOP_EVENT(64);
LOOP_EVENT(1024);

static void loop_side(unsigned turns)
{
	uint64_t payload[2] = {0};

	for (unsigned i = 0; i < turns; i++) {
		payload[0] = i;
		(void)ring_write_side(writer, 1, payload, sizeof(payload)); /* the same */
	}
}

/* No slice fills the ring. */
static const struct {
	void (*run)(unsigned turns);
	unsigned turns;
} loops[LOOPS] = {
	{loop_empty, 20000}, {loop_clock, 20000}, {loop_8, 20000},   {loop_16, 20000},
	{loop_64, 10000},    {loop_1024, 900},    {loop_side, 8000},
};

static double slice_ns(unsigned loop)
{
	uint64_t start;

	empty_rings();
	start = clock_now_ns();
	loops[loop].run(loops[loop].turns);
	return (double)(clock_now_ns() - start) / loops[loop].turns;
}

struct worker {
	size_t cpu;
	_Atomic uint32_t *go;
	uint64_t events;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t payload[2] = {0}, end;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(w->cpu, &set);
	(void)sched_setaffinity(0, sizeof(set),
				&set); /* not allowed there: it shows in the figure */
	(void)atomic_fetch_sub(w->go, 1);
	while (atomic_load(w->go))
		TOCSIN_CPU_RELAX();
	end = clock_now_ns() + TWO_NS;
	do {
		for (int i = 0; i < 10000; i++) {
			payload[0] = w->events++;
			(void)event_16(payload); /* the same */
		}
		empty_rings();
	} while (clock_now_ns() < end);
	return NULL;
}

/* Events of so many threads, each on a CPU of its own. Return: 0, or -errno. */
static int run_threads(const size_t *cpus, uint32_t nr, uint64_t *ret_events)
{
	_Atomic uint32_t go = nr;
	struct worker worker[2];
	pthread_t thread[2];
	uint64_t events = 0;
	int r = 0;

	for (uint32_t i = 0; i < nr; i++) {
		worker[i] = (struct worker){.cpu = cpus[i], .go = &go};
		r = -pthread_create(&thread[i], NULL, work, &worker[i]);
		if (r) {
			atomic_store(&go, 0);
			nr = i;
		}
	}
	for (uint32_t i = 0; i < nr; i++) {
		(void)pthread_join(thread[i], NULL); /* ours, and not joined yet */
		events += worker[i].events;
	}
	if (!r)
		*ret_events = events;
	return r;
}

static int measure_two(double *ret_scaling)
{
	uint64_t alone = 0, both = 0, events;
	size_t cpus[2];
	int nr = 0, r = 0;
	cpu_set_t set;

	/* The caller is pinned: ask what the machine has. */
	CPU_ZERO(&set);
	for (size_t i = 0; i < CPU_SETSIZE && nr < 2; i++) {
		cpu_set_t one, now;

		CPU_ZERO(&one);
		CPU_SET(i, &one);
		if (sched_getaffinity(0, sizeof(now), &now) < 0)
			return -errno;
		if (sched_setaffinity(0, sizeof(one), &one) == 0)
			cpus[nr++] = i;
		if (sched_setaffinity(0, sizeof(now), &now) < 0)
			return -errno;
	}
	/* The most of either: on a machine that is shared, less says something of the others. */
	for (int i = 0; i < 5 && nr == 2 && !r; i++) {
		r = run_threads(cpus, 1, &events);
		if (!r && events > alone)
			alone = events;
		if (!r)
			r = run_threads(cpus, 2, &events);
		if (!r && events > both)
			both = events;
	}
	if (!r)
		*ret_scaling = alone ? (double)both / (double)alone : 0;
	return r;
}

int bench_event_ring(struct bench_event_ring *ret_figures, struct tocsin_err *err)
{
	static const struct ring_hooks hooks = {.missing = make_ring};
	static double slice[LOOPS][SLICES], ratio[SLICES];
	struct bench_event_ring f = {0};
	int r;

	if (ring_process.clock)
		return tocsin_err_fail(-EBUSY, err, "the ring is in use already");
	(void)rseq_init(); /* without it everything is written by the side ring: has_rseq says so */
	r = ring_writer_new(&writer);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot map a page for the ring");
	ring_init(CONTROL_CLOCK_TSC, &hooks);
	for (unsigned i = 0; i < SLICES; i++) {
		for (unsigned loop = 0; loop < LOOPS; loop++)
			slice[loop][i] = slice_ns(loop);
		ratio[i] = slice[2 + BENCH_EVENT_RING_16][i] / slice[1][i];
	}
	if (make_error)
		return tocsin_err_fail(make_error, err, "cannot make a ring");
	bench_sort(ratio, SLICES);
	f.event_over_clock = bench_median(ratio, SLICES);
	f.empty_loop_ns = bench_undisturbed(slice[0], SLICES);
	f.clock_ns = bench_undisturbed(slice[1], SLICES);
	for (unsigned i = 0; i < BENCH_EVENT_RING_NR; i++)
		f.event_ns[i] = bench_undisturbed(slice[2 + i], SLICES);
	f.side_16_ns = bench_undisturbed(slice[LOOPS - 1], SLICES);
	f.has_rseq = ring_process.fast != 0;
	r = measure_two(&f.two_thread_scaling);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot start threads");
	*ret_figures = f;
	return 0;
}
