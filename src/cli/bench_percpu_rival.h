/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_PERCPU_RIVAL_H
#define TOCSIN_CLI_BENCH_PERCPU_RIVAL_H

/* Figures of others, measured by tocsin-bench-rivals (bench_rivals.c), a process each. */

#include "bench_run.h"

struct bench_rival {
	const char *what;    /* its first argument */
	const char *part;    /* its second; NULL: none */
	const char *preload; /* a library; NULL or "": none */
	const char
		*package; /* where it comes from, for the note that it is missing; NULL: no note */
};

/** bench_rival() - run it on run->cpu. Return: ns of one pair, BENCH_NOT_HERE, which is noted once.
 */
double bench_rival(struct bench_run *run, const struct bench_rival *rival);

#endif
