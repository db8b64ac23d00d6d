// SPDX-License-Identifier: MIT
/*
 * tocsin-bench-event: a program that traces itself and measures what that costs it. `tocsin bench
 * event` runs it, and `tocsin bench footprint` looks at it, with and without the library
 * (TOCSIN_BENCH_PLAIN).
 *
 * It is its own collector: it writes a session with overwriting rings into its control page, found
 * as a collector finds it. Figures are measured slice by slice in turn; each is what an undisturbed
 * slice takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef TOCSIN_BENCH_PLAIN
#	include "../abi/control.h"
#	include "bench_session.h"
#	include "bench_stats.h"
#	include "tocsin/rcu.h"
#	include "tocsin/tocsin.h"
#endif

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#ifndef TOCSIN_BENCH_PLAIN

#	define SLICES 61

static unsigned char blob[1000];

/* One turn; the loop's counter is in memory's way as little as a real program's would be. */
#	define LOOP(name, statement)                                             \
		static __attribute__((noinline)) void loop_##name(uint64_t turns) \
		{                                                                 \
			for (uint64_t i = 0; i < turns; i++) {                    \
				statement;                                        \
				__asm__ __volatile__("" : : "r"(i) : "memory");   \
			}                                                         \
		}

#	if defined(__x86_64__)
#		define READ_CLOCK() (void)__builtin_ia32_rdtsc()
#	else
#		define READ_CLOCK() (void)now_ns()
#	endif

LOOP(clock_ns, READ_CLOCK())
LOOP(event_8_ns, tocsin_event("bench", "event_8", TF_U64("a", i)))
LOOP(event_16_ns, tocsin_event("bench", "event_16", TF_U64("a", i), TF_U64("b", turns)))
LOOP(event_64_ns, tocsin_event("bench", "event_64", TF_U64("a", i), TF_U64("b", 1), TF_U64("c", 2),
			       TF_U64("d", 3), TF_U64("e", 4), TF_U64("f", 5), TF_U64("g", 6),
			       TF_U64("h", turns)))
LOOP(event_1k_ns, tocsin_event("bench", "event_1k", TF_U64("a", i), TF_ARRAY("b", U8, blob, 1000)))
LOOP(event_text_ns,
     tocsin_event("bench", "event_text", TF_U64("a", i), TF_STR("b", "hello, world")))
LOOP(disabled_ns, tocsin_event("bench", "disabled", TF_U64("a", i), TF_U64("b", turns)))
LOOP(empty_loop_ns, (void)0)
LOOP(gettime_ns, (void)now_ns())
LOOP(section_ns, tocsin_section("bench", TOCSIN_S))
LOOP(probed, tocsin_event("bench", "probed", TF_U64("a", i), TF_U64("b", turns)))
LOOP(guard, tocsin_tracing_end(tocsin_tracing_begin(TOCSIN_TRACER_USER, TOCSIN_TRACER_ALL)))

LOOP(patched_disabled_ns,
     tocsin_event_patched("bench", "disabled patched", TF_U64("a", i), TF_U64("b", turns)))

/* There and back, in us for one. */
static double toggle_us(void)
{
	double us[SLICES];

	for (unsigned s = 0; s < SLICES; s++) {
		uint64_t start = now_ns();

		for (int i = 0; i < 20; i++)
			if (tocsin_patched_switch_(&tocsin_module_, !(i & 1)))
				return -1;
		us[s] = (double)(now_ns() - start) / 20 / 1000;
	}
	return bench_undisturbed(us, SLICES);
}

static __attribute__((noinline)) void loop_probed_inside(uint64_t turns)
{
	uint64_t token = tocsin_rcu_read_lock();

	loop_probed(turns);
	tocsin_rcu_read_unlock(token);
}

static void on_probed(const struct tocsin_record *record, void *data)
{
	__asm__ __volatile__("" : : "r"(record), "r"(data) : "memory");
}

static const struct figure {
	const char *name;
	void (*loop)(uint64_t turns);
	unsigned turns;
} figures[] = {
	{"clock_ns", loop_clock_ns, 10000},
	{"event_8_ns", loop_event_8_ns, 10000},
	{"event_16_ns", loop_event_16_ns, 10000},
	{"event_64_ns", loop_event_64_ns, 10000},
	{"event_1k_ns", loop_event_1k_ns, 2000},
	{"event_text_ns", loop_event_text_ns, 10000},
	{"disabled_ns", loop_disabled_ns, 200000},
	{"empty_loop_ns", loop_empty_loop_ns, 200000},
	{"gettime_ns", loop_gettime_ns, 10000},
	{"section_ns", loop_section_ns, 10000},
	{"probed", loop_probed, 10000},
	{"probed_inside", loop_probed_inside, 10000},
	{"guard", loop_guard, 10000},
	{"patched_disabled_ns", loop_patched_disabled_ns, 200000},
};
#	define FIGURES (sizeof(figures) / sizeof(figures[0]))

/* What one figure costs above another, taken slice by slice. */
static const struct extra {
	const char *name, *figure, *over;
} extras[] = {
	{"probe_extra_ns", "probed", "event_16_ns"},
	{"probe_extra_inside_ns", "probed_inside", "event_16_ns"},
	{"recursion_guard_ns", "guard", "empty_loop_ns"},
};

static unsigned figure_find(const char *name)
{
	unsigned f = 0;

	while (f < FIGURES - 1 && strcmp(figures[f].name, name) != 0)
		f++;
	return f;
}

static void print_extra(const struct extra *e, double (*slice)[SLICES])
{
	const double *above = slice[figure_find(e->figure)], *over = slice[figure_find(e->over)];
	double diff[SLICES];

	for (unsigned s = 0; s < SLICES; s++)
		diff[s] = above[s] - over[s];
	bench_sort(diff, SLICES);
	printf("%s %.4f\n", e->name, bench_median(diff, SLICES));
}

static void measure(void)
{
	static double slice[FIGURES][SLICES];

	for (unsigned s = 0; s < SLICES; s++) {
		for (unsigned f = 0; f < FIGURES; f++) {
			uint64_t start = now_ns();

			figures[f].loop(figures[f].turns);
			slice[f][s] = (double)(now_ns() - start) / figures[f].turns;
		}
	}
	for (unsigned f = 0; f < FIGURES; f++)
		printf("%s %.4f\n", figures[f].name, bench_undisturbed(slice[f], SLICES));
	for (unsigned e = 0; e < sizeof(extras) / sizeof(extras[0]); e++)
		print_extra(&extras[e], slice);
	printf("toggle_us %.4f\n", toggle_us());
}

/* ---- two threads on two CPUs against one */

#	define PAIR_NS 30000000u

struct side {
	pthread_t thread;
	int cpu;
	uint64_t nr;
	double per_s;
};

static int go; /* 1: begin, 2: stop */

static void *run_side(void *arg)
{
	struct side *side = arg;
	uint64_t start;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)side->cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		return NULL;
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		continue;
	start = now_ns();
	while (__atomic_load_n(&go, __ATOMIC_RELAXED) == 1) {
		loop_event_16_ns(1000);
		side->nr += 1000;
	}
	side->per_s = (double)side->nr * 1e9 / (double)(now_ns() - start);
	return NULL;
}

static double rate(const int *cpus, unsigned nr)
{
	struct side side[2];
	const struct timespec settle = {0, 2000000}, window = {0, PAIR_NS};
	double sum = 0;

	__atomic_store_n(&go, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < nr; i++) {
		side[i] = (struct side){.cpu = cpus[i]};
		if (pthread_create(&side[i].thread, NULL, run_side, &side[i]))
			exit(1);
	}
	(void)nanosleep(&settle, NULL);
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	(void)nanosleep(&window, NULL);
	__atomic_store_n(&go, 2, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < nr; i++) {
		(void)pthread_join(side[i].thread, NULL); /* ours, joined once */
		sum += side[i].per_s;
	}
	return sum;
}

static void measure_pair(const cpu_set_t *allowed)
{
	double one[9], two[9];
	int cpus[2];
	unsigned nr = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE && nr < 2; cpu++) {
		if (CPU_ISSET((size_t)cpu, allowed))
			cpus[nr++] = cpu;
	}
	if (nr < 2)
		return; /* no such figure here */
	for (unsigned i = 0; i < 9; i++) {
		one[i] = rate(cpus, 1);
		two[i] = rate(cpus, 2);
	}
	bench_sort(one, 9);
	bench_sort(two, 9);
	/* The best of each: what other programs take, they take from two threads twice. */
	printf("two_thread_scaling %.4f\n", two[8] / one[8]);
}

static int event_main(void)
{
	struct control_page *page = bench_session_begin();
	cpu_set_t allowed, one;

	if (!page || sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return 1;
	bench_session_enable(page, "disabled");
	if (tocsin_probe_register("bench:probed", on_probed, NULL, 0) < 0)
		return 1;
	CPU_ZERO(&one);
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && !CPU_COUNT(&one); cpu--) {
		if (CPU_ISSET((size_t)cpu, &allowed))
			CPU_SET((size_t)cpu, &one);
	}
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		return 1;
	measure();
	measure_pair(&allowed);
	printf("no_rseq %d\n", !!(page->tracee.flags & CONTROL_TRACEE_NO_RSEQ));
	return 0;
}

#endif

/* "idle": says when it got to main(), and what it holds then. */
static int idle_main(void)
{
	uint64_t at = now_ns();
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	printf("main_ns %llu\n", (unsigned long long)at);
	if (!f)
		return 1;
	while (fgets(line, sizeof(line), f)) {
		unsigned long n;

		if (sscanf(line, "VmRSS: %lu", &n) == 1)
			printf("rss_kib %lu\n", n);
		if (sscanf(line, "Threads: %lu", &n) == 1)
			printf("threads %lu\n", n);
	}
	(void)fclose(f); /* only read */
	return 0;
}

static int sockets_main(void)
{
	unsigned nr = 0;

	for (int fd = 0; fd < 4096; fd++) {
		char path[64], name[64] = {0};

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fits */
		nr += readlink(path, name, sizeof(name) - 1) > 0 && !strncmp(name, "socket:", 7);
	}
	printf("sockets %u\n", nr);
	return idle_main();
}

int main(int argc, char **argv)
{
#ifndef TOCSIN_BENCH_PLAIN
	tocsin_event("bench", "main",
		     TF_S32("argc", argc)); /* a site, so that the library has work at start-up */
	if (argc > 1 && !strcmp(argv[1], "event"))
		return event_main();
#endif
	if (argc > 1 && !strcmp(argv[1], "idle"))
		return idle_main();
	return argc > 1 && !strcmp(argv[1], "sockets") ? sockets_main() : 2;
}
