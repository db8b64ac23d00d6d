/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_PERCPU_H
#define TOCSIN_CLI_BENCH_PERCPU_H

/*
 * `tocsin bench percpu`: one function a figure, called once a round, in the order of
 * bench_percpu.def.
 *
 * To add a figure: a row in bench_values.def, one in bench_percpu.def, and its function in some
 * bench_percpu_*.c, most simply BENCH_PERCPU_LOOP(value, what one turn does).
 */

#include "bench_run.h"

#define SLICES      41    /* of a measurement; the undisturbed ones count */
#define SLICE_TURNS 10000 /* of the loop, in a slice */

/* The pictures' charts. */
enum bench_chart {
	BENCH_CHART_NONE,
	BENCH_CHART_CPU,
	BENCH_CHART_COUNTER,
	BENCH_CHART_EVENT,
	BENCH_CHART_ALLOC,
	BENCH_CHART_RCU,
	BENCH_CHART_TRIP,
	BENCH_CHARTS_NR,
};

/* A function returns what one operation took, in the unit of its value, undisturbed; or this, where
 * there is no such thing here. The caller is pinned to run->cpu. */
#define BENCH_NOT_HERE (-1.0)

#define X(value, chart, whose, label) double bench_percpu_##value(struct bench_run *run);
#include "bench_percpu.def"
#undef X

/**
 * bench_percpu_time() - what one turn of a loop takes when nothing comes in between, in ns.
 * @loop: makes that many turns
 */
double bench_percpu_time(void (*loop)(unsigned turns));

/* Defines the function of a figure; @turn is a statement. */
#define BENCH_PERCPU_LOOP(value, turn)                         \
	static void value##_loop(unsigned turns)               \
	{                                                      \
		for (unsigned i_ = 0; i_ < turns; i_++) {      \
			turn;                                  \
			__asm__ __volatile__("" ::: "memory"); \
		}                                              \
	}                                                      \
	double bench_percpu_##value(struct bench_run *run)     \
	{                                                      \
		(void)run;                                     \
		return bench_percpu_time(value##_loop);        \
	}                                                      \
	struct bench_run /* takes the semicolon */

/**
 * bench_percpu_svg() - the figures as a picture: a chart for each group, a bar for each figure.
 * @path: file to write, replaced
 *
 * Return: 0, -errno. Thread-safe: yes. Signal-safe: no.
 */
int bench_percpu_svg(const struct bench_run *run, const char *path);

#endif
