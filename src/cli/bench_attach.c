// SPDX-License-Identifier: MIT
/*
 * `tocsin bench attach`: what the two probes of a section cost the program.
 *
 * A worker calls a begin and an end function in a loop and times short slices; a measurement is a
 * low percentile of them (bench_undisturbed()), so that an interrupt, or another program's turn on
 * the CPU,
 * costs a slice and not the round. Within a round everything is measured once, one after the other:
 * the sites with nothing attached, then attached with programs that look their probe up and find
 * that it does nothing, then with sections. The last two use the same links; only the table that
 * the kernel half reads differs. That sections were counted is checked: a probe that does not fire
 * is fast.
 */
#include <errno.h>
#include <string.h>

#ifdef __x86_64__
#	include <x86intrin.h>
#endif

#include "../base/clock.h"
#include "bench_run.h"
#include "bench_sites.h"
#include "bench_worker.h"

#define SLICE_NS 200000
#define SLICES   150

#define BUDGET_NS 1000000000ull /* far from what a pair takes, even when it is interrupted */

enum subject { LOOP, CLOCK, RDTSC, PAIR };

struct area {
	double ns; /* of one turn */
	uint64_t turns;
	bool is_call; /* the begin of the site is a call instruction now */
};

static const struct {
	enum bench_value pair, empty, bare;
} site_value[BENCH_SITES_NR] = {
	[BENCH_NOP5] = {BENCH_V_pair_nop5_ns, BENCH_V_empty_nop5_ns, BENCH_V_site_nop5_ns},
	[BENCH_FUNC] = {BENCH_V_pair_func_ns, BENCH_V_empty_func_ns, BENCH_V_site_func_ns},
	[BENCH_USDT] = {BENCH_V_pair_usdt_ns, BENCH_V_empty_usdt_ns, BENCH_V_site_usdt_ns},
};

/* --- in the worker --- */

static void turn_loop(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		__asm__ volatile("");
}

static void turn_clock(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		(void)clock_now_ns();
}

static void turn_rdtsc(uint64_t n)
{
#ifdef __x86_64__
	for (uint64_t i = 0; i < n; i++)
		(void)__rdtsc();
#else
	(void)n;
#endif
}

static void turn_pair(uint64_t n, bench_site_fn begin, bench_site_fn end)
{
	for (uint64_t i = 0; i < n; i++) {
		begin();
		end();
	}
}

static uint64_t turns_ns(enum subject subject, enum bench_site site, uint64_t n)
{
	uint64_t begin = clock_now_ns();

	switch (subject) {
	case LOOP: turn_loop(n); break;
	case CLOCK: turn_clock(n); break;
	case RDTSC: turn_rdtsc(n); break;
	case PAIR: turn_pair(n, bench_site_begin(site), bench_site_end(site)); break;
	}
	return clock_now_ns() - begin;
}

static int measure(void *shared, uint64_t subject, uint64_t site)
{
	struct area *area = shared;
	double slice[SLICES];
	uint64_t n = 64, ns;
	bench_site_fn begin;
	const void *code;
	uint8_t byte;

	area->turns = 0;
	/* Also what is done once: the thread is registered, the nop becomes a call. */
	do {
		n *= 2;
		ns = turns_ns((enum subject)subject, (enum bench_site)site, n);
		area->turns += n;
	} while (ns < SLICE_NS / 2 && n < 1u << 24);
	for (int i = 0; i < SLICES; i++) {
		ns = turns_ns((enum subject)subject, (enum bench_site)site, n);
		slice[i] = (double)ns / (double)n;
		area->turns += n;
	}
	area->ns = bench_undisturbed(slice, SLICES);
	if (subject == PAIR) {
		begin = bench_site_begin((enum bench_site)site);
		memcpy(&code, &begin, sizeof(code)); /* a function is no object to point to */
		memcpy(&byte, code, 1);
		area->is_call = byte == 0xe8;
	}
	return 0;
}

/* --- in the bench --- */

struct attach {
	struct bench_run *run;
	struct bench_worker worker;
	struct area *area;
	struct bench_half half;
	bool is_call; /* the 5-byte nops became calls */
	struct tocsin_err *err;
};

static int take(struct attach *a, enum bench_value value, enum subject subject,
		enum bench_site site)
{
	int r = bench_worker_do(&a->worker, measure, subject, site);

	if (r)
		return tocsin_err_fail(r, a->err, "the bench's own child failed");
	bench_add(a->run, value, a->area->ns);
	return 0;
}

/* The figure of sections at a site, if there really were sections. */
static int take_pair(struct attach *a, enum bench_value value, enum bench_site site)
{
	struct bench_count before, after;
	int r = bench_half_count(&a->half, site, &before);

	r = r ?: take(a, value, PAIR, site);
	r = r ?: bench_half_count(&a->half, site, &after);
	if (r)
		return r;
	if (after.closed - before.closed != a->area->turns) {
		return tocsin_err_fail(
			-EIO, a->err, "the probes of '%s' saw %llu sections, the program made %llu",
			bench_figure(value)->name,
			(unsigned long long)(after.closed - before.closed),
			(unsigned long long)a->area->turns);
	}
	if (site == BENCH_NOP5)
		a->is_call = a->area->is_call;
	return 0;
}

static int take_bare(struct attach *a)
{
	int r = take(a, BENCH_V_loop_ns, LOOP, BENCH_NOP5);

	r = r ?: take(a, BENCH_V_clock_gettime_ns, CLOCK, BENCH_NOP5);
#ifdef __x86_64__
	r = r ?: take(a, BENCH_V_rdtsc_ns, RDTSC, BENCH_NOP5);
#endif
	for (int s = 0; s < BENCH_SITES_NR && !r; s++)
		r = take(a, site_value[s].bare, PAIR, (enum bench_site)s);
	return r;
}

static int take_attached(struct attach *a)
{
	int r = 0;

	for (int s = 0; s < BENCH_SITES_NR && !r; s++)
		r = bench_half_attach(&a->half, (enum bench_site)s, BUDGET_NS, 0, a->err);
	for (int s = 0; s < BENCH_SITES_NR && !r; s++) {
		r = bench_half_set(&a->half, (enum bench_site)s, BUDGET_NS, true);
		r = r ?: take(a, site_value[s].empty, PAIR, (enum bench_site)s);
		r = r ?: bench_half_set(&a->half, (enum bench_site)s, BUDGET_NS, false);
		r = r ?: take_pair(a, site_value[s].pair, (enum bench_site)s);
	}
	bench_half_detach(&a->half);
	return r;
}

static int round_of(struct attach *a)
{
	int r = take_bare(a);

	r = r ?: take_attached(a);
	r = r ?: bench_half_attach(&a->half, BENCH_NOP5, BUDGET_NS, a->worker.pid, a->err);
	r = r ?: take_pair(a, BENCH_V_pair_nop5_pid_ns, BENCH_NOP5);
	bench_half_detach(&a->half);
	return r;
}

int bench_attach(struct bench_run *run, struct tocsin_err *err)
{
	struct attach a = {.run = run, .err = err};
	int r = -ENOMEM;

	a.area = bench_area_new(sizeof(*a.area));
	if (a.area)
		r = bench_worker_start(&a.worker, a.area, run->cpu, err);
	if (!r)
		r = bench_half_open(&a.half, a.worker.pid, err);
	for (unsigned i = 0; i < run->rounds && !r; i++)
		r = round_of(&a);
	if (!r && !a.is_call)
		bench_note(run, "this kernel traps at a probe on a 5-byte nop; from Linux 6.18 on, "
				"on x86-64, it calls instead");
	bench_half_close(&a.half);
	bench_worker_end(&a.worker);
	(void)bench_area_free(a.area, sizeof(*a.area));
	return r;
}
