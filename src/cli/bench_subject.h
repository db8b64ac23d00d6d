/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_SUBJECT_H
#define TOCSIN_CLI_BENCH_SUBJECT_H

/* The program whose deadlines pass: jobs of workers (bench_worker.h) of `tocsin bench deadline`. */

#include <stdint.h>

#include "bench_judge.h"

#define BENCH_SECTIONS 200 /* of a state in a round */

enum bench_plan {
	BENCH_RUNNING, /* computes until well after its deadline */
	BENCH_WAITING, /* loses its CPU to a real-time thread before it */
	BENCH_BLOCKED, /* sleeps */
	BENCH_WITHIN,  /* ends well before it */
	BENCH_PLANS_NR,
};

struct bench_area {
	uint64_t budget_ns;
	int go_fd[2]; /* a pipe: a byte asks the rival to take the CPU */
	_Atomic uint64_t rival_until;
	_Atomic uint64_t rival_from, rival_to; /* when it last had the CPU */
	struct bench_section section[BENCH_SECTIONS];
	unsigned nr_late;
	double late_ns[BENCH_SECTIONS]; /* of the floors */
};

/** bench_subject_run() - BENCH_SECTIONS sections by plan @plan. */
int bench_subject_run(void *shared, uint64_t plan, uint64_t unused);

/** bench_subject_signal() - the floor: how late a timer's signal reaches a thread that has the CPU.
 */
int bench_subject_signal(void *shared, uint64_t unused, uint64_t unused_too);

/** bench_subject_sleep() - the floor: how late a sleep of the budget's length ends. */
int bench_subject_sleep(void *shared, uint64_t unused, uint64_t unused_too);

/** bench_rival_rise() - make the worker a real-time thread. Return: 0, or -EPERM. */
int bench_rival_rise(void *shared, uint64_t unused, uint64_t unused_too);

/** bench_rival_run() - take the CPU BENCH_SECTIONS times when asked. */
int bench_rival_run(void *shared, uint64_t unused, uint64_t unused_too);

#endif
