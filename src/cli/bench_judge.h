/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_JUDGE_H
#define TOCSIN_CLI_BENCH_JUDGE_H

/*
 * What a program knows of its sections against what the kernel half said about them.
 *
 * The program notes the time before and after each of its two calls; the record's start lies
 * between the first two, so both sides are matched without any common number.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/watch.h"

/* Sections that end less than this over their budget need not be noticed before they end. */
#define BENCH_NEAR_NS 10000

struct bench_section {
	uint64_t before, after;           /* the call that starts it */
	uint64_t stop_before, stop_after; /* the call that ends it */
	bool is_disturbed; /* at the deadline the thread may have been in another state than it
			      meant to be */
};

/* A record of the kernel half: EV_FIRED or EV_CLOSED. */
struct bench_record {
	uint32_t type;
	uint32_t state;
	uint64_t t_ns;
	uint64_t start_ns;
	uint64_t deadline_ns;
	uint64_t end_ns;
};

/* What a thread did. */
struct bench_story {
	const struct bench_section *section; /* in the order of time, not overlapping, lent */
	size_t nr_sections;
	uint64_t budget_ns;
	enum tocsin_state state; /* that they mean to be in when their deadline passes */
};

struct bench_judgement {
	unsigned fired;     /* sections */
	unsigned missed;    /* over budget by BENCH_NEAR_NS or more, and not fired */
	unsigned is_false;  /* records of deadlines that had not passed, or of no section */
	unsigned duplicate; /* records of deadlines, but the first */
	unsigned unclosed;  /* over budget without a closing record */
	unsigned wrong;     /* fired in another state than meant, undisturbed */
	unsigned disturbed; /* fired in another state than meant, which may be right */
};

/**
 * bench_judge() - compare.
 * @story:   of the thread, lent
 * @record:  all of this thread, in any order; sorted here
 * @late_ns: room for a number a section: the lateness of each that fired in the state meant
 *
 * Return: how many numbers @late_ns got. Thread-safe: per object. Signal-safe: no.
 */
size_t bench_judge(const struct bench_story *story, struct bench_record *record, size_t nr_records,
		   double *late_ns, struct bench_judgement *ret);

#endif
