// SPDX-License-Identifier: MIT
/* The figures of a bench, each beside its floor and its bar. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../report/json_text.h"
#include "bench_run.h"

/* A run whose floors are spread more than this is worth repeating. */
#define NOISY 0.10

static double load_of_machine(void)
{
	double load = 0;

	return getloadavg(&load, 1) == 1 ? load : 0;
}

/* Enough digits to compare by, no more. */
static const char *number_text(double value, const char *unit, char *buf, size_t len)
{
	int digits = value < 10 ? 2 : value < 100 ? 1 : 0;

	if (strcmp(unit, "x") == 0)
		digits = 3;
	if (!unit[0])
		digits = 0;
	(void)snprintf(buf, len, "%.*f%s%s", digits, value, unit[0] ? " " : "", unit);
	return buf;
}

static void key_print(struct out *o, const struct bench_run *run, enum bench_value v)
{
	const struct bench_figure *f = bench_figure(v);
	struct bench_result r, floor;
	char text[48];

	if (!bench_result(run, v, &r))
		return;
	out_add(o, "  %-29s %10s", f->name, number_text(r.value, f->unit, text, sizeof(text)));
	if (f->summary == BENCH_SUM)
		out_add(o, "%9s", "");
	else
		out_add(o, "  +-%3.0f %%", 50 * r.spread);
	if (f->floor != BENCH_V_NONE && bench_result(run, f->floor, &floor))
		out_add(o, "  floor %10s",
			number_text(floor.value, bench_figure(f->floor)->unit, text, sizeof(text)));
	else if (f->bar >= 0)
		out_add(o, "%18s", "");
	if (f->bar >= 0)
		out_add(o, "  bar %10s  %s", number_text(f->bar, f->unit, text, sizeof(text)),
			r.value > f->bar ? "OVER" : "ok");
	out_add(o, "\n      %s\n", f->text);
}

static void floor_print(struct out *o, const struct bench_run *run, enum bench_value v)
{
	const struct bench_figure *f = bench_figure(v);
	struct bench_result r;
	char text[48];

	if (!bench_result(run, v, &r))
		return;
	out_add(o, "  %-29s %10s  +-%3.0f %%\n      %s\n", f->name,
		number_text(r.value, f->unit, text, sizeof(text)), 50 * r.spread, f->text);
}

/* By how much a floor of the middle sort varied. */
static double noise_of(const struct bench_run *run)
{
	double spread[BENCH_VALUES_NR];
	struct bench_result r;
	size_t nr = 0;

	for (int v = 0; v < BENCH_VALUES_NR; v++) {
		const struct bench_figure *f = bench_figure((enum bench_value)v);

		if (f->role == BENCH_FLOOR && f->summary == BENCH_MEDIAN &&
		    bench_result(run, (enum bench_value)v, &r))
			spread[nr++] = r.spread;
	}
	bench_sort(spread, nr);
	return bench_median(spread, nr);
}

void bench_report_text(struct out *o, const struct bench_run *run)
{
	struct utsname host = {0};

	(void)uname(&host); /* cannot fail with this buffer */
	out_add(o, "%s: %s\n  %u round%s, Linux %s, %ld CPUs, load %.1f\n", bench_name(run->id),
		bench_text(run->id), run->rounds, run->rounds == 1 ? "" : "s", host.release,
		sysconf(_SC_NPROCESSORS_ONLN), load_of_machine());
	for (int v = 0; v < BENCH_VALUES_NR; v++)
		if (bench_figure((enum bench_value)v)->role == BENCH_KEY)
			key_print(o, run, (enum bench_value)v);
	out_add(o, "measured beside it:\n");
	for (int v = 0; v < BENCH_VALUES_NR; v++)
		if (bench_figure((enum bench_value)v)->role == BENCH_FLOOR)
			floor_print(o, run, (enum bench_value)v);
	for (unsigned i = 0; i < run->nr_notes; i++)
		out_add(o, "note: %s\n", run->note[i]);
	if (noise_of(run) > NOISY)
		out_add(o, "note: the floors vary by +-%.0f %%: other work disturbed this run\n",
			50 * noise_of(run));
}

static void json_number(struct out *o, const char *name, double value)
{
	json_share(o, name, value > 0 ? (uint64_t)(value * 10000 + 0.5) : 0);
}

enum column { VALUE, SPREAD, BAR };

static void json_column(struct out *o, const char *name, const struct bench_run *run,
			enum bench_role role, enum column column)
{
	struct bench_result r;

	json_open(o, name, '{');
	for (int v = 0; v < BENCH_VALUES_NR; v++) {
		const struct bench_figure *f = bench_figure((enum bench_value)v);

		if (f->role != role || !bench_result(run, (enum bench_value)v, &r))
			continue;
		if (column == VALUE)
			json_number(o, f->name, r.value);
		else if (column == SPREAD)
			json_number(o, f->name, r.spread);
		else if (f->bar >= 0)
			json_number(o, f->name, f->bar);
	}
	json_close(o, '}');
}

void bench_report_json(struct out *o, const struct bench_run *run)
{
	struct utsname host = {0};

	(void)uname(&host); /* cannot fail with this buffer */
	json_open(o, NULL, '{');
	json_str(o, "type", "bench");
	json_str(o, "name", bench_name(run->id));
	json_column(o, "keys", run, BENCH_KEY, VALUE);
	json_column(o, "floors", run, BENCH_FLOOR, VALUE);
	json_column(o, "bars", run, BENCH_KEY, BAR);
	json_column(o, "spread", run, BENCH_KEY, SPREAD);
	json_column(o, "floor_spread", run, BENCH_FLOOR, SPREAD);
	json_u64(o, "rounds", run->rounds);
	json_str(o, "kernel", host.release);
	json_u64(o, "cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	json_number(o, "load", load_of_machine());
	json_bool(o, "over", bench_is_over(run));
	json_open(o, "notes", '[');
	for (unsigned i = 0; i < run->nr_notes; i++)
		json_str(o, NULL, run->note[i]);
	json_close(o, ']');
	json_close(o, '}');
	out_add(o, "\n");
}
