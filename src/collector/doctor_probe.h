/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_DOCTOR_PROBE_H
#define TOCSIN_COLLECTOR_DOCTOR_PROBE_H

/*
 * Between doctor.c, which owns the table, and the files that try things: doctor_host.c (what needs
 * no BPF), doctor_kernel.c (loading programs) and doctor_uprobe.c (probes on code of our own).
 */

#include "doctor.h"

struct btf;
struct doctor_half;

/* Functions of our own to put probes on: doctor_uprobe.c. */
enum doctor_site { DOCTOR_SITE_NOP5, DOCTOR_SITE_EMULATED, DOCTOR_SITE_STEPPED, DOCTOR_SITE_NR };

/* What the probes share during one run. */
struct doctor {
	struct doctor_report *report;
	void (*print)(void);       /* libbpf's way to print before the run, its type put aside */
	struct btf *vmlinux;       /* owned; NULL: not readable */
	int vmlinux_err;           /* negative errno then */
	struct doctor_half *half;  /* owned by doctor_half.c while its thread runs */
	int half_err;              /* why there is none, negative errno */
	int event[DOCTOR_SITE_NR]; /* descriptor of the probe on a site, or negative errno */
	bool event_tried[DOCTOR_SITE_NR];
};

/*
 * Between doctor.c and what needs libbpf: begin before the first row (silences libbpf, starts
 * loading the kernel half beside the rows), end after the last (gives back what the rows have left
 * in @d).
 */
void doctor_kernel_begin(struct doctor *d);
void doctor_kernel_end(struct doctor *d);

/** doctor_half_start() - begin to load the kernel half, on a thread that probe_kernel_half() waits
 * for. */
void doctor_half_start(struct doctor *d);

/** doctor_events_done() - take away the probes that the rows have left on the sites. */
void doctor_events_done(struct doctor *d);

/* Every row is one function: tries, and gives its row a verdict by exactly one of the three calls
 * below. */
#define FEATURE(id, GROUP, weight, name, major, minor, JOB, yes, no, remedy) \
	void probe_##id(struct doctor *d, struct doctor_row *row);
#include "features.def"

/** doctor_yes() - it works; the text says what was seen. */
void doctor_yes(struct doctor_row *row, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** doctor_partly() - it works with something missing, which the text names. */
void doctor_partly(struct doctor_row *row, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * doctor_no() - it does not work.
 * @r: negative errno, whose name begins the text; 0: no call failed, the thing is just not there
 */
void doctor_no(struct doctor_row *row, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** doctor_means(), doctor_remedy() - other words than those of features.def, when the probe knows
 * better. */
void doctor_means(struct doctor_row *row, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void doctor_remedy(struct doctor_row *row, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** doctor_row_begin() - the row of features.def, not tried yet. */
void doctor_row_begin(enum doctor_feature f, struct doctor_row *row);

/** doctor_row_finish() - after the probe: what is lacking, the meaning, and the remedy for what is
 * not a yes. */
void doctor_row_finish(const struct doctor_facts *facts, enum doctor_feature f,
		       struct doctor_row *row);

/** doctor_conclude() - from the rows to the groups, whether `watch` works, and the sentence. */
void doctor_conclude(struct doctor_report *report);

/** doctor_program_path() - the path of this program, as a remedy may name it; "tocsin" when /proc
 * does not tell. */
void doctor_program_path(char *buf, size_t len);

/** doctor_facts_read() - fill everything in the report's facts but the privileges. */
void doctor_facts_read(struct doctor_facts *facts);

#endif
