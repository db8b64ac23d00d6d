/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_DOCTOR_H
#define TOCSIN_COLLECTOR_DOCTOR_H

/*
 * What works on this machine, with these privileges. Every row of the table is tried: a program is
 * loaded, a probe is hit, a timer fires. Nothing is guessed from the kernel's version, which only
 * serves to say what to do about a no.
 *
 * Probes are set on the calling thread alone and taken away again; nothing is mounted, no setting
 * is changed, every descriptor is closed. Without privileges the same table comes out, with the
 * reasons.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/err.h"
#include "caps.h"

enum doctor_group {
#define GROUP(NAME, id, title, gives) DOCTOR_GROUP_##NAME,
#include "features.def"
	DOCTOR_GROUP_NR,
};

enum doctor_feature {
#define FEATURE(id, GROUP, weight, name, major, minor, JOB, yes, no, remedy) DOCTOR_##id,
#include "features.def"
	DOCTOR_NR,
};

enum doctor_weight {
	DOCTOR_NEED, /* its group does not work without it */
	DOCTOR_GAIN, /* something in its group is better or cheaper with it */
	DOCTOR_NOTE, /* counts neither way */
};

enum doctor_verdict { DOCTOR_NO, DOCTOR_PARTLY, DOCTOR_YES };

#define DOCTOR_TEXT_LEN 256

struct doctor_row {
	const char *id;   /* stable name for machines */
	const char *name; /* for people, at most 34 bytes */
	enum doctor_group group;
	enum doctor_weight weight;
	unsigned needs_major, needs_minor; /* the first kernel that has it as released */
	enum caps_job needs_job;           /* caps_needed() gives the capabilities */
	uint64_t lacks_caps;               /* of these, what this process has not: CAPS_BIT() */
	enum doctor_verdict verdict;
	int err;                    /* errno of what failed, 0: none */
	char seen[DOCTOR_TEXT_LEN]; /* what the try showed, errno by name first */
	char means[DOCTOR_TEXT_LEN];
	char remedy[DOCTOR_TEXT_LEN]; /* empty for a yes */
};

/* Read, not tried: what one wants to know beside the table. Texts are "not readable" (and why)
 * where they could not be read. */
struct doctor_facts {
	char release[65];
	char version[65];
	char machine[65];
	unsigned kernel_major, kernel_minor;
	unsigned cpus_online, cpus_configured, cpus_allowed;
	unsigned tick_hz;  /* 0: not known */
	uint64_t clock_ns; /* what one read of CLOCK_MONOTONIC costs */
	char clock_source[32];
	char preemption[64];
	char lockdown[64];
	char perf_event_paranoid[24];
	char unprivileged_bpf_disabled[24];
	char kptr_restrict[24];
	char tracefs[128]; /* where it is mounted, or "not mounted" */
	char cgroups[DOCTOR_TEXT_LEN];
	bool has_cpu_controller;
	char program[256]; /* this program, for remedies */
	struct caps caps;
};

struct doctor_report {
	struct doctor_facts facts;
	struct doctor_row row[DOCTOR_NR];
	enum doctor_verdict group[DOCTOR_GROUP_NR];
	bool watch_works;  /* the groups watch and deadlines do */
	char summary[768]; /* one sentence: what works, and what to do about the rest */
	uint64_t took_ns;
};

/**
 * doctor_run() - try everything.
 * @ret_report: filled on success; large (about 40 KiB), best not on a small stack
 *
 * Takes about a second. While it runs, libbpf's own messages are switched off, for the whole
 * process.
 *
 * Return: 0, or -errno when the process cannot even read its own privileges. A machine on which
 * nothing works is a success, with a table full of no. Thread-safe: no (the printing of libbpf is
 * global, and the caller's thread is moved between CPUs for a moment). Signal-safe: no.
 */
int doctor_run(struct doctor_report *ret_report);

/** doctor_group_id() - "watch". Return: a constant. */
const char *doctor_group_id(enum doctor_group group);

/** doctor_group_title() - "Watch", the line above the group's rows. Return: a constant. */
const char *doctor_group_title(enum doctor_group group);

/** doctor_verdict_text() - "yes", "partly" or "no". Return: a constant. */
const char *doctor_verdict_text(enum doctor_verdict verdict);

/** doctor_weight_text() - "need", "gain" or "note". Return: a constant. */
const char *doctor_weight_text(enum doctor_weight weight);

/** doctor_errno_name() - "EPERM" for -EPERM or EPERM. Return: a constant, "E?" for none of Linux's.
 */
const char *doctor_errno_name(int r);

/**
 * doctor_explain_failure() - say what this machine lacks, after loading or attaching has failed.
 * @r:   what the failing call returned, negative errno
 * @err: gets the missing capability or feature and its remedy as a cause; may be NULL
 *
 * A refusal (EPERM, EACCES) for want of capabilities is told at once. Anything else runs the
 * doctor, which takes a second, and names the first thing that the kernel half needs and did not
 * get, its remedy and what works without; if all of it works, says so, with the errno, and nothing
 * is invented.
 *
 * Return: @r, so that a failure is one statement.
 * Thread-safe: no. Signal-safe: no.
 */
int doctor_explain_failure(int r, struct tocsin_err *err);

/**
 * doctor_explain_refusal() - after a probe or a process was refused (EPERM, EACCES): which
 * capabilities are missing, if that may be why.
 *
 * Return: @r. Thread-safe: yes. Signal-safe: no.
 */
int doctor_explain_refusal(int r, struct tocsin_err *err);

#endif
