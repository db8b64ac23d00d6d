// SPDX-License-Identifier: MIT
/* `tocsin report`: what a watch found, again, from its trace. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../ctf/read_map.h"
#include "../report/html.h"
#include "../report/json.h"
#include "../report/load.h"
#include "../report/words.h"
#include "cli.h"
#include "report_totals.h"
#include "report_worst.h"

static struct {
	struct opt_strings sections;
	const char *html;
	uint64_t worst;
	bool is_json, is_all, is_verbose, is_strict;
} wanted = {.worst = 10};

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Violations"},
	{OPT_STRINGS, 's', "section", "GLOB", "only sections with such a name",
	 "A pattern as for files. May be given again. The totals are then those of the violations in "
	 "the trace, without what ended within its budget.",
	 &wanted.sections, 0, 0, NULL},
	{OPT_U64, 'w', "worst", "N", "show the N that were late by the most", NULL, &wanted.worst,
	 0, 100000, "10"},
	{OPT_FLAG, 'a', "all", NULL, "show all violations and notices, in the order of time", NULL,
	 &wanted.is_all, 0, 0, NULL},
	{OPT_FLAG, 'v', "verbose", NULL, "with the split and the spells of each violation", NULL,
	 &wanted.is_verbose, 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "Output"},
	CLI_SHARED(JSON, &wanted.is_json),
	{OPT_STRING, 0, "html", "FILE", "write a page for a browser, one file that needs no other",
	 "It opens from the disk, without a network: violations on a line of time, each with its spells, "
	 "stacks and who was waited for; where the time went, as flames; what was lost.",
	 &wanted.html, 0, 0, NULL},
	{OPT_FLAG, 0, "strict", NULL, "exit with 4 if something was lost or a trace is cut", NULL,
	 &wanted.is_strict, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin report late/",
	"tocsin report late/ --section 'query*' --worst 3 --verbose",
	"tocsin report late/ --html report.html",
	"tocsin report late/ --json | jq -r 'select(.type == \"violation\").verdict'",
	NULL,
};

const struct opt_command cmd_report_usage = {
	CLI_COMMAND(report),
	.usage = "[OPTIONS] TRACE...",
	.examples = examples,
	.options = options,
};

struct report {
	struct load *load;
	struct text_report text; /* to standard output */
	struct text_report kept; /* lines that stay in memory */
	struct out json;
	struct html_report *html;
	struct report_worst worst;
	struct report_totals totals;
	uint64_t nr_violations, nr_partial, nr_other, nr_lost;
	bool has_summary;
};

static bool is_section_wanted(const char *name)
{
	for (size_t i = 0; i < wanted.sections.nr; i++)
		if (fnmatch(wanted.sections.item[i], name, 0) == 0)
			return true;
	return !wanted.sections.nr;
}

static int violation_take(struct report *r, const struct load_item *item)
{
	const struct violation *v = item->violation;
	bool is_open = v->flags & VIOLATION_OPEN;
	int ret = 0;

	if (!is_section_wanted(v->section))
		return 0;
	r->nr_violations += !is_open;
	r->nr_partial += item->is_partial;
	ret = report_totals_add(&r->totals, v);
	if (ret == 0 && r->html)
		ret = html_violation(r->html, v);
	if (ret < 0)
		return ret;
	if (wanted.is_json)
		return json_violation(&r->json, v);
	if (wanted.is_all)
		return text_violation(&r->text, v);
	return is_open ? 0 : report_worst_add(&r->worst, &r->kept, v);
}

/* The watch's own totals: those of all that it saw, unless only some is wanted. */
static int summary_take(struct report *r, const struct load_item *item)
{
	int ret = 0;

	if (wanted.sections.nr)
		return 0;
	r->has_summary = true;
	for (unsigned i = 0; i < LOSS_NR; i++)
		r->nr_lost += loss_text[i].is_strict ? item->summary->loss[i] : 0;
	r->nr_lost += item->summary->records_lost;
	if (r->html)
		ret = html_summary(r->html, item->summary, item->sinks);
	if (ret < 0)
		return ret;
	return wanted.is_json ? json_summary(&r->json, item->summary, item->sinks)
			      : text_summary(&r->text, item->summary, item->sinks);
}

static int gap_take(struct report *r, const struct load_item *item)
{
	const struct trace_event *e = item->event;

	if (e->state == TRACE_LOSS)
		r->nr_lost += e->nr_lost + e->nr_lost_packets;
	else
		cli_error("%s", e->wrong);
	return r->html ? html_gap(r->html, e) : 0;
}

static int item_take(struct report *r, const struct load_item *item)
{
	switch (item->state) {
	case LOAD_VIOLATION: return violation_take(r, item);
	case LOAD_SUMMARY: return summary_take(r, item);
	case LOAD_GAP: return gap_take(r, item);
	case LOAD_PROCESS:
		if (wanted.is_json)
			return json_process(&r->json, item->process);
		return wanted.is_all
			       ? text_process(&r->text, item->process, item->realtime_offset_ns)
			       : 0;
	case LOAD_OTHER: r->nr_other++; return 0;
	case LOAD_END:
	default: return 0;
	}
}

static void plural(struct out *o, uint64_t nr, const char *what)
{
	out_add(o, "%llu %s%s", (unsigned long long)nr, what, nr == 1 ? "" : "s");
}

/* Totals of the violations alone: of a watch that did not come to its end, or of some sections. */
static int totals_print(struct report *r)
{
	int ret = report_totals_get(&r->totals);

	if (ret < 0 || !r->totals.nr)
		return ret;
	if (r->html)
		ret = html_summary(r->html, &r->totals.summary, NULL);
	if (ret < 0 || wanted.is_json)
		return ret;
	out_add(&r->text.out,
		wanted.sections.nr ? "only some sections: totals of their violations\n\n"
				   : "the watch did not come to its end: totals of the violations "
				     "in its trace\n\n");
	return text_sections(&r->text, &r->totals.summary);
}

static int end_print(struct report *r)
{
	struct out *o = &r->text.out;
	int ret = 0;

	if (!r->has_summary)
		ret = totals_print(r);
	if (ret < 0 || wanted.is_json)
		return ret;
	if (!r->has_summary && !r->totals.nr) {
		out_add(o, wanted.sections.nr ? "no violation of such a section"
					      : "no section was watched in this trace");
		if (r->nr_other) {
			out_add(o, "; ");
			plural(o, r->nr_other, "event");
			out_add(o, " of other kinds: see 'tocsin print' and 'tocsin query'");
		}
		out_add(o, "\n");
	}
	if (r->nr_partial) {
		plural(o, r->nr_partial, "violation");
		out_add(o, ": the trace has not all of their causes or spells\n");
	}
	if (r->worst.nr) {
		out_add(o, "\nlate by the most (%zu of %llu)\n", r->worst.nr,
			(unsigned long long)r->nr_violations);
		ret = report_worst_print(&r->worst, o);
	}
	return ret < 0 ? ret : out_write(o);
}

static int items_take(struct report *r)
{
	const struct load_item *item;
	int state, ret = 0;

	while (ret == 0 && (state = load_next(r->load, &item)) != LOAD_END) {
		if (state < 0)
			return state;
		ret = item_take(r, item);
	}
	return ret < 0 ? ret : end_print(r);
}

/* ---- */

static int html_start(struct report *r, const char *const *paths, size_t nr)
{
	struct tocsin_err err = {0};

	if (!wanted.html)
		return CLI_OK;
	if (html_open(wanted.html, paths, nr, load_trace(r->load), &err, &r->html) == 0)
		return CLI_OK;
	return cli_fail(CLI_USAGE, &err);
}

static int html_end(struct report *r)
{
	char why[64];
	int ret;

	if (!r->html)
		return CLI_OK;
	ret = html_finish(r->html);
	r->html = NULL;
	if (ret == 0)
		return CLI_OK;
	cli_error("cannot write '%s': %s", wanted.html, tocsin_errno_text(ret, why, sizeof(why)));
	return CLI_FAILED;
}

static int run(struct report *r, const char *const *paths, size_t nr)
{
	struct trace_stats stats;
	char why[64];
	int status = html_start(r, paths, nr), html_status, ret;

	if (status != CLI_OK)
		return status;
	ret = items_take(r);
	html_status = html_end(r);
	if (ret < 0 && ret != -EPIPE) {
		cli_error("cannot make the report: %s", tocsin_errno_text(ret, why, sizeof(why)));
		return CLI_FAILED;
	}
	if (html_status != CLI_OK)
		return html_status;
	stats = trace_get_stats(load_trace(r->load));
	if (stats.bad)
		return CLI_USAGE;
	return wanted.is_strict && (r->nr_lost || stats.cut) ? CLI_LOST : CLI_OK;
}

static int report_run(const char *const *paths, size_t nr)
{
	static const struct trace_options whole = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct out_style style = out_style_get(STDOUT_FILENO);
	struct report r = {0};
	struct tocsin_err err = {0};
	int status;

	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || ctf_map_guard() < 0) {
		cli_error("cannot set up signals");
		return CLI_FAILED;
	}
	if (load_open(paths, nr, &whole, &err, &r.load) < 0)
		return cli_fail(CLI_USAGE, &err);
	text_report_init(&r.text, STDOUT_FILENO, style, wanted.is_verbose);
	text_report_init(&r.kept, OUT_KEPT, style, wanted.is_verbose);
	out_init(&r.json, STDOUT_FILENO);
	if (report_worst_init(&r.worst, (size_t)wanted.worst) == 0) {
		status = run(&r, paths, nr);
	} else {
		cli_error("cannot make the report: out of memory");
		status = CLI_FAILED;
	}
	report_worst_done(&r.worst);
	report_totals_done(&r.totals);
	text_report_done(&r.text);
	text_report_done(&r.kept);
	out_done(&r.json);
	r.load = load_close(r.load);
	return status;
}

int cmd_report(int argc, char **argv)
{
	int operands, after_dashes, status;

	status = cli_parse(&cmd_report_usage, argc, argv, &operands, &after_dashes);
	if (status < 0 && operands == argc)
		status = cli_usage(&cmd_report_usage, "which trace?");
	if (status < 0)
		status =
			report_run((const char *const *)argv + operands, (size_t)(argc - operands));
	opt_strings_done(&wanted.sections);
	return status;
}
