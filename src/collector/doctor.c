// SPDX-License-Identifier: MIT
/*
 * The table of what works here.
 *
 * features.def is the table: a row's name, what it needs and the words for yes and no. A probe
 * (doctor_host.c, doctor_kernel.c, doctor_uprobe.c) tries the thing and says what it saw. This file
 * runs the probes in order and then finds the remedy, which depends on why the answer is no, in
 * this order:
 *
 *   1. refused (EPERM, EACCES) and capabilities are missing   -> how to get them (caps_remedy())
 *   2. refused although they are there                        -> whatever else may refuse: seccomp,
 * lockdown
 *   3. the kernel is older than the feature                   -> the version that has it
 *   4. otherwise                                              -> the words of features.def
 *
 * The version is looked at last and only for words: distributions carry features back, so a version
 * alone proves nothing in either direction.
 */

#include "doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/text.h"
#include "doctor_probe.h"

static const struct {
	const char *id;
	const char *title;
	const char *gives;
} groups[] = {
#define GROUP(NAME, id, title, gives) {id, title, gives},
#include "features.def"
};

static const struct {
	const char *id;
	const char *name;
	enum doctor_group group;
	enum doctor_weight weight;
	unsigned major, minor;
	enum caps_job job;
	const char *yes;
	const char *no;
	const char *remedy;
	void (*probe)(struct doctor *d, struct doctor_row *row);
} features[] = {
#define FEATURE(id, GROUP, weight, name, major, minor, JOB, yes, no, remedy) \
	{#id,                                                                \
	 name,                                                               \
	 DOCTOR_GROUP_##GROUP,                                               \
	 DOCTOR_##weight,                                                    \
	 major,                                                              \
	 minor,                                                              \
	 CAPS_JOB_##JOB,                                                     \
	 yes,                                                                \
	 no,                                                                 \
	 remedy,                                                             \
	 probe_##id},
#include "features.def"
};

static void row_say(char *buf, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void row_say(char *buf, const char *fmt, va_list ap)
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, DOCTOR_TEXT_LEN);
	tocsin_text_addv(&t, fmt, ap);
}

void doctor_yes(struct doctor_row *row, const char *fmt, ...)
{
	va_list ap;

	row->verdict = DOCTOR_YES;
	va_start(ap, fmt);
	row_say(row->seen, fmt, ap);
	va_end(ap);
}

void doctor_partly(struct doctor_row *row, const char *fmt, ...)
{
	va_list ap;

	row->verdict = DOCTOR_PARTLY;
	va_start(ap, fmt);
	row_say(row->seen, fmt, ap);
	va_end(ap);
}

void doctor_no(struct doctor_row *row, int r, const char *fmt, ...)
{
	struct tocsin_text t;
	va_list ap;

	row->verdict = DOCTOR_NO;
	row->err = r < 0 ? -r : r;
	tocsin_text_init(&t, row->seen, sizeof(row->seen));
	if (r)
		tocsin_text_add(&t, "%s: ", doctor_errno_name(r));
	va_start(ap, fmt);
	tocsin_text_addv(&t, fmt, ap);
	va_end(ap);
}

void doctor_means(struct doctor_row *row, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	row_say(row->means, fmt, ap);
	va_end(ap);
}

void doctor_remedy(struct doctor_row *row, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	row_say(row->remedy, fmt, ap);
	va_end(ap);
}

const char *doctor_errno_name(int r)
{
	const char *name = strerrorname_np(r < 0 ? -r : r);

	return name ? name : "E?";
}

const char *doctor_group_id(enum doctor_group group)
{
	return groups[group].id;
}

const char *doctor_group_title(enum doctor_group group)
{
	return groups[group].title;
}

const char *doctor_verdict_text(enum doctor_verdict verdict)
{
	static const char *const text[] = {
		[DOCTOR_NO] = "no", [DOCTOR_PARTLY] = "partly", [DOCTOR_YES] = "yes"};

	return text[verdict];
}

const char *doctor_weight_text(enum doctor_weight weight)
{
	static const char *const text[] = {
		[DOCTOR_NEED] = "need", [DOCTOR_GAIN] = "gain", [DOCTOR_NOTE] = "note"};

	return text[weight];
}

static bool is_refusal(int err)
{
	return err == EPERM || err == EACCES;
}

static bool kernel_is_older(const struct doctor_facts *facts, unsigned major, unsigned minor)
{
	return facts->kernel_major < major ||
	       (facts->kernel_major == major && facts->kernel_minor < minor);
}

/* What may refuse somebody who has every capability. */
static void remedy_for_refusal(const struct doctor_facts *facts, char *buf, size_t len)
{
	if (facts->caps.seccomp > 0)
		(void)snprintf(buf, len,
			       "a seccomp filter is on: allow bpf() and perf_event_open() in it "
			       "(docker: --security-opt seccomp=unconfined)");
	else
		(void)snprintf(buf, len,
			       "refused to root too: look for lockdown (%s), an LSM's denial in "
			       "dmesg, a hypervisor's policy",
			       facts->lockdown);
}

void doctor_row_begin(enum doctor_feature f, struct doctor_row *row)
{
	memset(row, 0, sizeof(*row));
	row->id = features[f].id;
	row->name = features[f].name;
	row->group = features[f].group;
	row->weight = features[f].weight;
	row->needs_major = features[f].major;
	row->needs_minor = features[f].minor;
	row->needs_job = features[f].job;
}

void doctor_row_finish(const struct doctor_facts *facts, enum doctor_feature f,
		       struct doctor_row *row)
{
	size_t len = sizeof(row->remedy);

	row->lacks_caps |= caps_missing(&facts->caps, row->needs_job);
	if (!row->means[0])
		(void)snprintf(row->means, sizeof(row->means), "%s",
			       row->verdict == DOCTOR_NO ? features[f].no : features[f].yes);
	if (row->verdict == DOCTOR_YES)
		row->remedy[0] = '\0';
	else if (row->remedy[0])
		return;
	else if (is_refusal(row->err) && row->lacks_caps)
		(void)caps_remedy(&facts->caps, row->lacks_caps, facts->program, row->remedy, len);
	else if (row->err == EPERM)
		remedy_for_refusal(facts, row->remedy, len);
	else if (kernel_is_older(facts, row->needs_major, row->needs_minor))
		(void)snprintf(row->remedy, len, "Linux >= %u.%u", row->needs_major,
			       row->needs_minor);
	else
		(void)snprintf(row->remedy, len, "%s", features[f].remedy);
}

static enum doctor_verdict group_judge(const struct doctor_report *report, enum doctor_group group)
{
	enum doctor_verdict verdict = DOCTOR_YES;

	for (size_t i = 0; i < DOCTOR_NR; i++) {
		const struct doctor_row *row = &report->row[i];

		if (row->group != group || row->verdict == DOCTOR_YES || row->weight == DOCTOR_NOTE)
			continue;
		if (row->verdict == DOCTOR_NO && row->weight == DOCTOR_NEED)
			return DOCTOR_NO;
		verdict = DOCTOR_PARTLY;
	}
	return verdict;
}

/* The first thing that the kernel half cannot do without and did not get, or NULL. */
static const struct doctor_row *first_obstacle(const struct doctor_report *report)
{
	for (size_t i = 0; i < DOCTOR_NR; i++) {
		const struct doctor_row *row = &report->row[i];

		if (row->verdict == DOCTOR_NO && row->weight == DOCTOR_NEED &&
		    (row->group == DOCTOR_GROUP_WATCH || row->group == DOCTOR_GROUP_DEADLINES))
			return row;
	}
	return NULL;
}

/* "works here: a, b (partly); not: c; watch needs NAME: REMEDY" */
static void summarise(struct doctor_report *report)
{
	const struct doctor_row *obstacle = first_obstacle(report);
	static const char *const begin[] = {
		[DOCTOR_NO] = "not: ", [DOCTOR_PARTLY] = "partly: ", [DOCTOR_YES] = "works here: "};
	struct tocsin_text t;

	tocsin_text_init(&t, report->summary, sizeof(report->summary));
	for (int verdict = DOCTOR_YES; verdict >= DOCTOR_NO; verdict--) {
		unsigned nr = 0;

		for (int g = 0; g < DOCTOR_GROUP_NR; g++) {
			if ((int)report->group[g] != verdict)
				continue;
			tocsin_text_add(&t, "%s%s",
					nr       ? ", "
					: t.used ? "; "
						 : "",
					nr ? "" : begin[verdict]);
			tocsin_text_add(&t, "%s", groups[g].gives);
			nr++;
		}
	}
	if (obstacle)
		tocsin_text_add(&t, "; for watch: %s", obstacle->remedy);
}

void doctor_conclude(struct doctor_report *report)
{
	for (int g = 0; g < DOCTOR_GROUP_NR; g++)
		report->group[g] = group_judge(report, (enum doctor_group)g);
	report->watch_works = !first_obstacle(report);
	summarise(report);
}

int doctor_run(struct doctor_report *ret_report)
{
	struct doctor d = {.report = ret_report, .vmlinux_err = -ENOENT, .half_err = -ENOMEM};
	uint64_t began = clock_now_ns();
	struct caps caps;
	int r = caps_read(&caps);

	if (r < 0)
		return r;
	memset(ret_report, 0, sizeof(*ret_report));
	ret_report->facts.caps = caps;
	doctor_facts_read(&ret_report->facts);
	doctor_kernel_begin(&d);
	for (size_t i = 0; i < DOCTOR_NR; i++) {
		struct doctor_row *row = &ret_report->row[i];

		doctor_row_begin((enum doctor_feature)i, row);
		features[i].probe(&d, row);
		doctor_row_finish(&ret_report->facts, (enum doctor_feature)i, row);
	}
	doctor_kernel_end(&d);
	doctor_conclude(ret_report);
	ret_report->took_ns = clock_now_ns() - began;
	return 0;
}

/* Name the capabilities that are missing for one of these jobs, if any: all that the remedy gives,
 * so that it suffices. Return: were there any? */
static bool explain_missing(int r, const enum caps_job *jobs, size_t nr, struct tocsin_err *err)
{
	char names[128], program[256], remedy[DOCTOR_TEXT_LEN];
	uint64_t lacks = 0, missing;
	struct caps caps;

	if (!is_refusal(-r) || caps_read(&caps) < 0)
		return false;
	for (size_t i = 0; i < nr; i++)
		lacks |= caps_missing(&caps, jobs[i]);
	if (!lacks)
		return false;
	missing = CAPS_WATCH & ~(caps.is_user_ns ? 0 : caps.effective);
	doctor_program_path(program, sizeof(program));
	tocsin_err_add(err, "%s", caps_remedy(&caps, lacks, program, remedy, sizeof(remedy)));
	tocsin_err_add(
		err, "user %u lacks %s%s", caps.uid, caps_list(missing, names, sizeof(names)),
		missing & CAPS_BIT(CAP_SYS_ADMIN) ? ", which stands for cap_bpf and cap_perfmon too"
						  : "");
	return true;
}

int doctor_explain_refusal(int r, struct tocsin_err *err)
{
	static const enum caps_job jobs[] = {CAPS_JOB_PROBE, CAPS_JOB_INSPECT, CAPS_JOB_FILES};

	(void)explain_missing(r, jobs, sizeof(jobs) / sizeof(jobs[0]),
			      err); /* else it is another */
	return r;
}

/* What is left where a watch is not. */
static void explain_rest(const struct doctor_report *report, struct tocsin_err *err)
{
	struct tocsin_text t;
	char text[256];

	tocsin_text_init(&t, text, sizeof(text));
	for (int g = 0; g < DOCTOR_GROUP_NR; g++)
		if (report->group[g] == DOCTOR_YES)
			tocsin_text_add(&t, "%s%s", t.used ? ", " : "", groups[g].gives);
	if (t.used)
		tocsin_err_add(err, "what still works: %s ('tocsin doctor' has the details)", text);
}

int doctor_explain_failure(int r, struct tocsin_err *err)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) struct doctor_report *report = NULL;
	static const enum caps_job jobs[] = {CAPS_JOB_PROBE, CAPS_JOB_LOAD};
	const struct doctor_row *obstacle;

	if (explain_missing(r, jobs, sizeof(jobs) / sizeof(jobs[0]), err))
		return r;
	report = malloc(sizeof(*report));
	if (!report || doctor_run(report) < 0)
		return tocsin_err_fail(r, err, "%s, and the reason could not be looked into",
				       doctor_errno_name(r));
	obstacle = first_obstacle(report);
	if (!obstacle)
		return tocsin_err_fail(
			r, err,
			"%s, though everything that 'tocsin doctor' tries works on this machine",
			doctor_errno_name(r));
	explain_rest(report, err);
	tocsin_err_add(err, "%s", obstacle->remedy);
	return tocsin_err_fail(r, err, "this machine lacks '%s' (%s)", obstacle->name,
			       obstacle->seen);
}
