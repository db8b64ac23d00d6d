// SPDX-License-Identifier: MIT
/*
 * `tocsin bench footprint`: what libtocsin takes from a program that nobody traces.
 *
 * The same small program is started with and without the library, in turn: how long until main(),
 * and how much memory is resident then. The difference is the library's.
 */
#include <errno.h>
#include <limits.h>

#include "../base/clock.h"
#include "bench_program.h"
#include "bench_run.h"

#define STARTS 41

struct start {
	double ms;
	double rss_kib;
	double threads;
};

static int start_once(const struct bench_run *run, const char *path, struct start *ret)
{
	const char *const argv[] = {path, "idle", NULL};
	char text[512] = {0};
	uint64_t before = clock_now_ns();
	double main_ns;

	if (bench_program_run(argv, run->cpu, text, sizeof(text)) != 0)
		return -EIO;
	main_ns = bench_program_value(text, "main_ns");
	ret->ms = (main_ns - (double)before) / 1e6;
	ret->rss_kib = bench_program_value(text, "rss_kib");
	ret->threads = bench_program_value(text, "threads");
	return 0;
}

/* Many starts, taken in turn. Memory is a median; time is that of an undisturbed start. */
static int one_round(struct bench_run *run, const char *with, const char *without)
{
	double ms[2][STARTS], rss[2][STARTS], plain_ms;
	struct start s = {0};

	for (unsigned i = 0; i < 2 * STARTS; i++) {
		if (start_once(run, i % 2 ? with : without, &s))
			return -EIO;
		ms[i % 2][i / 2] = s.ms;
		rss[i % 2][i / 2] = s.rss_kib;
	}
	for (unsigned i = 0; i < 2; i++) {
		bench_sort(rss[i], STARTS);
	}
	plain_ms = bench_undisturbed(ms[0], STARTS);
	bench_add(run, BENCH_V_startup_ms, bench_undisturbed(ms[1], STARTS) - plain_ms);
	bench_add(run, BENCH_V_startup_plain_ms, plain_ms);
	bench_add(run, BENCH_V_rss_idle_kib,
		  bench_median(rss[1], STARTS) - bench_median(rss[0], STARTS));
	bench_add(run, BENCH_V_rss_plain_kib, bench_median(rss[0], STARTS));
	bench_add(run, BENCH_V_threads, s.threads - 1); /* of the last, which has the library */
	return 0;
}

int bench_footprint(struct bench_run *run, struct tocsin_err *err)
{
	char with[PATH_MAX], without[PATH_MAX], text[512] = {0};
	const char *const sockets[] = {with, "sockets", NULL};
	int r = bench_program_find("tocsin-bench-event", with, sizeof(with));

	if (!r)
		r = bench_program_find("tocsin-bench-plain", without, sizeof(without));
	if (r)
		return tocsin_err_fail(r, err, "the program 'tocsin-bench-event' is not installed");
	for (unsigned i = 0; i < run->rounds && !r; i++)
		r = one_round(run, with, without);
	if (!r && bench_program_run(sockets, run->cpu, text, sizeof(text)))
		r = -EIO;
	if (r)
		return tocsin_err_fail(r, err, "'tocsin-bench-event' failed");
	bench_add(run, BENCH_V_sockets, bench_program_value(text, "sockets"));
	return 0;
}
