/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_RUN_H
#define TOCSIN_CLI_BENCH_RUN_H

/*
 * One bench: the rounds of all its figures, and what they are made of. The tables say what there is
 * (bench_list.def, bench_values.def); bench_NAME.c measures; bench_report.c prints.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../base/err.h"
#include "../report/out.h"
#include "bench_stats.h"

enum bench_id {
#define X(name, rounds, text) BENCH_##name,
#include "bench_list.def"
#undef X
	BENCH_NR,
};

enum bench_value {
	BENCH_V_NONE = -1,
#define X(bench, role, name, unit, summary, bar, floor, text) BENCH_V_##name,
#include "bench_values.def"
#undef X
	BENCH_VALUES_NR,
};

enum bench_role {
	BENCH_KEY,
	BENCH_FLOOR,
};

enum bench_summary {
	BENCH_MEDIAN,
	BENCH_MAX,
	BENCH_SUM,
};

#define BENCH_NO_BAR (-1.0)

struct bench_series {
	unsigned nr;
	double sample[BENCH_ROUNDS_MAX]; /* one a round, in their order */
};

#define BENCH_NOTES_MAX 4
#define BENCH_NOTE_LEN  200

struct bench_run {
	enum bench_id id;
	unsigned rounds;
	uint64_t budget_ns; /* of the sections of `deadline` */
	int cpu;            /* where it is measured */
	int other_cpu;      /* a second one; -1: there is none */
	struct bench_series series[BENCH_VALUES_NR];
	unsigned nr_notes;
	char note[BENCH_NOTES_MAX][BENCH_NOTE_LEN]; /* what could not be measured, and why */
};

/** bench_init() - nothing measured yet; looks which CPUs may be used. Return: 0, or -errno. */
int bench_init(struct bench_run *run, enum bench_id id);

/** bench_add() - one round of a figure; more than BENCH_ROUNDS_MAX are dropped. */
void bench_add(struct bench_run *run, enum bench_value value, double sample);

/** bench_note() - say something that belongs to the figures; dropped when there is no room. */
void bench_note(struct bench_run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** bench_name() - the name of a bench, a constant. */
const char *bench_name(enum bench_id id);

/** bench_rounds() - how many rounds of it are made when nobody asks for another number. */
unsigned bench_rounds(enum bench_id id);

/* What a value is. */
struct bench_figure {
	const char *name;
	const char *unit;
	const char *text; /* a sentence */
	double bar;       /* BENCH_NO_BAR: none */
	enum bench_id bench;
	enum bench_role role;
	enum bench_summary summary;
	enum bench_value floor; /* that belongs to a key; BENCH_V_NONE: none */
};

/** bench_figure() - what it is, a constant. */
const struct bench_figure *bench_figure(enum bench_value value);

struct bench_result {
	double value;  /* of all rounds, as the table says */
	double spread; /* between them, a share: see bench_stats.h */
};

/** bench_result() - what the rounds of a value come to. Return: false when there were none. */
bool bench_result(const struct bench_run *run, enum bench_value value, struct bench_result *ret);

/** bench_is_over() - is any key above its bar? */
bool bench_is_over(const struct bench_run *run);

/** bench_text() - the sentence that says what a bench measures, a constant. */
const char *bench_text(enum bench_id id);

/** bench_report_text(), bench_report_json() - append the figures, for people or as one line of
 * JSON. */
void bench_report_text(struct out *o, const struct bench_run *run);
void bench_report_json(struct out *o, const struct bench_run *run);

/**
 * bench_attach(), bench_deadline(), bench_sched(), bench_idle() - measure, into @run.
 *
 * Return: 0, or -EPERM no privilege, -EOPNOTSUPP not on this kind of machine, -errno; @err says
 * what failed. Thread-safe: no. Signal-safe: no.
 */
#define X(name, rounds, text) int bench_##name(struct bench_run *run, struct tocsin_err *err);
#include "bench_list.def"
#undef X

#endif
