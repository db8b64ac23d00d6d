// SPDX-License-Identifier: MIT
/* `tocsin doctor`: what works on this machine, each row tried. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "../collector/doctor.h"
#include "../report/json_text.h"
#include "cli.h"

#define LINE_COLUMNS  98 /* under 100, whatever the terminal */
#define LABEL_COLUMNS 11 /* of the lines about the machine */

/* A row: blanks, verdict, name, the kernel since which, what was seen. Half of the line is before
 * the last, so that it can still be broken. */
#define VERDICT_AT 2
#define NAME_AT    9
#define SINCE_AT   44
#define SEEN_AT    49

static bool is_json;

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Output"},
	CLI_SHARED(JSON, &is_json),
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"sudo tocsin doctor",
	"tocsin doctor --json | jq '.rows[] | select(.verdict != \"yes\")'",
	NULL,
};

const struct opt_command cmd_doctor_usage = {
	CLI_COMMAND(doctor),
	.usage = "[--json]",
	.examples = examples,
	.options = options,
};

/* ---- text ---- */

/* End the line that began at @start, broken where it is too long. */
static void line_end(struct out *o, size_t start, unsigned indent)
{
	out_wrap(o, start, LINE_COLUMNS, indent);
	out_add(o, "\n");
}

/* A line with a label before it; the next ones leave it empty. */
static void labelled_print(struct out *o, const char *label, unsigned at, unsigned width,
			   const char *text)
{
	size_t start = o->len;

	out_add(o, "%*s%-*s", (int)at, "", (int)width, label);
	out_add_clean(o, text);
	line_end(o, start, at + width);
}

static void machine_print(struct out *o, const struct doctor_facts *f)
{
	char text[512], names[128];
	struct tocsin_text t;

	tocsin_text_init(&t, text, sizeof(text));
	tocsin_text_add(&t, "Linux %s %s, %u CPUs", f->release, f->machine, f->cpus_online);
	if (f->cpus_allowed != f->cpus_online)
		tocsin_text_add(&t, " (%u of them for us)", f->cpus_allowed);
	if (f->tick_hz)
		tocsin_text_add(&t, ", tick %u Hz", f->tick_hz);
	tocsin_text_add(&t, ", clock %s", f->clock_source);
	labelled_print(o, "machine", 0, LABEL_COLUMNS, text);
	tocsin_text_init(&t, text, sizeof(text));
	tocsin_text_add(&t, "preemption %s", f->preemption);
	labelled_print(o, "", 0, LABEL_COLUMNS, text);
	tocsin_text_init(&t, text, sizeof(text));
	tocsin_text_add(&t, "user %u%s with %s%s%s", f->caps.uid,
			f->caps.is_user_ns ? " of a user namespace" : "",
			caps_list(f->caps.effective, names, sizeof(names)),
			f->caps.seccomp > 0 ? ", under a seccomp filter" : "",
			f->caps.has_no_new_privs ? ", no_new_privs" : "");
	labelled_print(o, "privileges", 0, LABEL_COLUMNS, text);
	tocsin_text_init(&t, text, sizeof(text));
	tocsin_text_add(
		&t,
		"perf_event_paranoid %s, unprivileged_bpf_disabled %s, kptr_restrict %s, lockdown %s",
		f->perf_event_paranoid, f->unprivileged_bpf_disabled, f->kptr_restrict,
		f->lockdown);
	labelled_print(o, "settings", 0, LABEL_COLUMNS, text);
	labelled_print(o, "cgroups", 0, LABEL_COLUMNS, f->cgroups);
	labelled_print(o, "tracefs", 0, LABEL_COLUMNS, f->tracefs);
}

static void detail_print(struct out *o, const char *label, const char *text)
{
	labelled_print(o, label, NAME_AT, 8, text);
}

/* @last_remedy: the last one printed, so that a common one is not repeated down the table. */
static void row_print(struct out *o, const struct doctor_row *row, const char **last_remedy)
{
	size_t start = o->len;
	char names[160], since[16];

	(void)snprintf(since, sizeof(since), "%u.%u", row->needs_major, row->needs_minor);
	out_add(o, "%*s%-*s%-*s%-*s", VERDICT_AT, "", NAME_AT - VERDICT_AT,
		doctor_verdict_text(row->verdict), SINCE_AT - NAME_AT, row->name,
		SEEN_AT - SINCE_AT, since);
	out_add_clean(o, row->seen);
	line_end(o, start, SEEN_AT);
	if (row->verdict == DOCTOR_YES)
		return;
	detail_print(o, "means", row->means);
	if (row->lacks_caps)
		detail_print(o, "lacks", caps_list(row->lacks_caps, names, sizeof(names)));
	if (*last_remedy && strcmp(*last_remedy, row->remedy) == 0)
		detail_print(o, "remedy", "as above");
	else
		detail_print(o, "remedy", row->remedy);
	*last_remedy = row->remedy;
}

static void group_print(struct out *o, const struct doctor_report *report, enum doctor_group group,
			const char **last_remedy)
{
	char title[64];

	(void)snprintf(title, sizeof(title), "%s: %s", doctor_group_title(group),
		       doctor_verdict_text(report->group[group]));
	if (group == 0)
		out_add(o, "\n%-*s%s\n", SINCE_AT, title, "since");
	else
		out_add(o, "\n%s\n", title);
	for (size_t i = 0; i < DOCTOR_NR; i++)
		if (report->row[i].group == group)
			row_print(o, &report->row[i], last_remedy);
}

static void report_print(struct out *o, const struct doctor_report *report)
{
	const char *last_remedy = NULL;
	size_t start;

	machine_print(o, &report->facts);
	for (int g = 0; g < DOCTOR_GROUP_NR; g++)
		group_print(o, report, (enum doctor_group)g, &last_remedy);
	out_add(o, "\n");
	start = o->len;
	out_add_clean(o, report->summary);
	line_end(o, start, 2);
}

/* ---- JSON: docs/formats/doctor-json.md ---- */

/* "cap_a,cap_b" as an array. */
static void caps_add_json(struct out *o, const char *name, uint64_t set)
{
	char names[160];
	const char *at = caps_text(set, names, sizeof(names));

	json_open(o, name, '[');
	while (set && *at) {
		size_t len = strcspn(at, ",");

		json_strn(o, NULL, at, len);
		at += len;
		at += *at == ',';
	}
	json_close(o, ']');
}

static void machine_add_json(struct out *o, const struct doctor_facts *f)
{
	json_open(o, "machine", '{');
	json_str(o, "release", f->release);
	json_str(o, "version", f->version);
	json_str(o, "architecture", f->machine);
	json_u64(o, "cpus_online", f->cpus_online);
	json_u64(o, "cpus_configured", f->cpus_configured);
	json_u64(o, "cpus_allowed", f->cpus_allowed);
	json_u64(o, "tick_hz", f->tick_hz);
	json_str(o, "clock_source", f->clock_source);
	json_u64(o, "clock_ns", f->clock_ns);
	json_str(o, "preemption", f->preemption);
	json_str(o, "lockdown", f->lockdown);
	json_str(o, "perf_event_paranoid", f->perf_event_paranoid);
	json_str(o, "unprivileged_bpf_disabled", f->unprivileged_bpf_disabled);
	json_str(o, "kptr_restrict", f->kptr_restrict);
	json_str(o, "tracefs", f->tracefs);
	json_str(o, "cgroups", f->cgroups);
	json_u64(o, "user", f->caps.uid);
	json_bool(o, "user_namespace", f->caps.is_user_ns);
	json_bool(o, "no_new_privs", f->caps.has_no_new_privs);
	json_bool(o, "seccomp", f->caps.seccomp > 0);
	caps_add_json(o, "capabilities", f->caps.effective);
	json_close(o, '}');
}

static void row_add_json(struct out *o, const struct doctor_report *report,
			 const struct doctor_row *row)
{
	char kernel[24];

	(void)snprintf(kernel, sizeof(kernel), "%u.%u", row->needs_major, row->needs_minor);
	json_open(o, NULL, '{');
	json_str(o, "id", row->id);
	json_str(o, "group", doctor_group_id(row->group));
	json_str(o, "name", row->name);
	json_open(o, "needs", '{');
	json_str(o, "kernel", kernel);
	caps_add_json(o, "capabilities", caps_needed(row->needs_job, report->facts.caps.last_cap));
	json_close(o, '}');
	json_str(o, "weight", doctor_weight_text(row->weight));
	json_str(o, "verdict", doctor_verdict_text(row->verdict));
	json_str(o, "seen", row->seen);
	if (row->lacks_caps)
		caps_add_json(o, "lacks", row->lacks_caps);
	if (row->err)
		json_str(o, "errno", doctor_errno_name(row->err));
	json_str(o, "means", row->means);
	if (row->remedy[0])
		json_str(o, "remedy", row->remedy);
	json_close(o, '}');
}

static void report_add_json(struct out *o, const struct doctor_report *report)
{
	json_open(o, NULL, '{');
	json_str(o, "type", "doctor");
	machine_add_json(o, &report->facts);
	json_open(o, "rows", '[');
	for (size_t i = 0; i < DOCTOR_NR; i++)
		row_add_json(o, report, &report->row[i]);
	json_close(o, ']');
	json_open(o, "groups", '{');
	for (int g = 0; g < DOCTOR_GROUP_NR; g++)
		json_str(o, doctor_group_id((enum doctor_group)g),
			 doctor_verdict_text(report->group[g]));
	json_close(o, '}');
	json_bool(o, "watch_works", report->watch_works);
	json_str(o, "summary", report->summary);
	json_u64(o, "took_ns", report->took_ns);
	json_close(o, '}');
	out_add(o, "\n");
}

int cmd_doctor(int argc, char **argv)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) struct doctor_report *report = NULL;
	int operands, after_dashes, status, r;
	struct out o;
	char why[64];

	status = cli_parse(&cmd_doctor_usage, argc, argv, &operands, &after_dashes);
	if (status >= 0)
		return status;
	if (operands < argc)
		return cli_usage(&cmd_doctor_usage, "'%s' is not expected: it takes no arguments",
				 argv[operands]);
	report = malloc(sizeof(*report));
	r = report ? doctor_run(report) : -ENOMEM;
	if (r < 0) {
		cli_error("cannot examine this machine: %s",
			  tocsin_errno_text(r, why, sizeof(why)));
		return CLI_FAILED;
	}
	out_init(&o, STDOUT_FILENO);
	if (is_json)
		report_add_json(&o, report);
	else
		report_print(&o, report);
	r = out_write(&o);
	out_done(&o);
	if (r < 0) {
		cli_error("cannot write to standard output: %s",
			  tocsin_errno_text(r, why, sizeof(why)));
		return CLI_FAILED;
	}
	return report->watch_works ? CLI_OK : CLI_NO;
}
