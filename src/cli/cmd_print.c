// SPDX-License-Identifier: MIT
/* `tocsin print`: the events of traces, in the order of time. */
#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/parse.h"
#include "../ctf/read_map.h"
#include "../report/print.h"
#include "../trace/where.h"
#include "cli.h"
#include "print_graph.h"
#include "print_when.h"

#define POLL_MS        50           /* between two looks at a trace that grows */
#define PROGRESS_NS    200000000ull /* between two lines of progress */
#define GRAPH_TOGETHER 65536        /* bytes of text between two writes */
#define PROGRESS_STEP  65536        /* events between two looks at the clock */

static struct {
	struct opt_strings events;
	const char *where, *from, *to, *time, *reader;
	uint64_t pid, tid, count;
	bool is_json, is_following, is_strict, is_graph;
} wanted;

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Events"},
	{OPT_STRINGS, 'e', "event", "GLOB", "only events with such a name",
	 "A pattern as for files: 'server:*'. May be given again: events that one of them fits.",
	 &wanted.events, 0, 0, NULL},
	{OPT_STRING, 'w', "where", "CONDITION", "only events whose fields fulfil it",
	 "The conditions of 'tocsin record --where': a field == != < <= > >= a number or \"text\", & "
	 "with bits, ~ and !~ with a \"pattern\", a field alone (the event has it), joined by && || ! "
	 "and brackets: 'fd > 10 && peer ~ \"10.*\"'. $NAME is a context.",
	 &wanted.where, 0, 0, NULL},
	{OPT_U64, 'p', "pid", "PID", "only events of this process", NULL, &wanted.pid, 1,
	 UINT32_MAX, NULL},
	{OPT_U64, 't', "tid", "TID", "only events of this thread", NULL, &wanted.tid, 1, UINT32_MAX,
	 NULL},
	{OPT_STRING, 0, "from", "TIME", "only events from TIME on",
	 "As HH:MM:SS[.FRACTION] on the day of the trace's first event, YYYY-MM-DD HH:MM:SS[.FRACTION], "
	 "@SECONDS[.FRACTION] since 1970, or +DURATION after the first event. Packets before it are not read.",
	 &wanted.from, 0, 0, NULL},
	{OPT_STRING, 0, "to", "TIME", "only events up to TIME", NULL, &wanted.to, 0, 0, NULL},
	{OPT_U64, 'n', "count", "N", "stop after N events", NULL, &wanted.count, 1, UINT64_MAX,
	 NULL},
	{OPT_FLAG, 'f', "follow", NULL, "go on as the trace grows",
	 "Ends with the summary that a recording ends with, or on Ctrl-C. Streams come to the disk "
	 "at different times: an event is held back for 2 s, so that the order of time holds.",
	 &wanted.is_following, 0, 0, NULL},
	{OPT_STRING, 0, "reader", "READER", "who reads: auto, own, babeltrace2 or a plugin",
	 "own: the reader of tocsin, for directories with a CTF trace. babeltrace2: the plugin of "
	 "babeltrace2's library that knows the input best. PLUGIN.CLASS: that one of its sources, "
	 "such as text.dmesg. auto: our own where it can, else babeltrace2.",
	 &wanted.reader, 0, 0, "auto"},
	{.kind = OPT_GROUP, .name = "Output"},
	{OPT_STRING, 0, "time", "FORM", "how times are written: clock, date or seconds", NULL,
	 &wanted.time, 0, 0, "clock"},
	CLI_SHARED(JSON, &wanted.is_json),
	{OPT_FLAG, 'g', "graph", NULL, "functions as the nesting of calls, with their times",
	 "Of a recording with --trace functions; other events are left out.", &wanted.is_graph, 0,
	 0, NULL},
	{OPT_FLAG, 0, "strict", NULL, "exit with 4 if events were lost or a trace is cut", NULL,
	 &wanted.is_strict, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin print trace",
	"tocsin print trace --event 'server:*' --where 'fd > 10' --from +1.5s",
	"tocsin print trace --json | jq -c 'select(.name == \"violation\").fields'",
	"tocsin print --follow trace",
	"tocsin print --graph trace",
	NULL,
};

const struct opt_command cmd_print_usage = {
	CLI_COMMAND(print),
	.usage = "[OPTIONS] TRACE...",
	.examples = examples,
	.options = options,
};

struct printer {
	struct trace *trace;
	struct where *where;
	struct print print;
	struct graph *graph; /* NULL: lines of events */
	uint64_t nr_seen;
	uint64_t told_ns; /* progress */
	bool has_progress, is_told;
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
	(void)number;
	is_interrupted = 1;
}

static int signals_catch(void)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt}, ignore = {.sa_handler = SIG_IGN};

	if (sigaction(SIGINT, &interrupt, NULL) < 0 || sigaction(SIGTERM, &interrupt, NULL) < 0 ||
	    sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	return ctf_map_guard();
}

/* ---- which events */

static bool is_name_wanted(const char *name)
{
	for (size_t i = 0; i < wanted.events.nr; i++)
		if (fnmatch(wanted.events.item[i], name, 0) == 0)
			return true;
	return !wanted.events.nr;
}

/* Return: 1 yes, 0 no, -errno. */
static int is_wanted(struct printer *p, const struct trace_event *e)
{
	const struct ctf_values *values;
	struct trace_who who;
	int r = 0;

	if (e->state != TRACE_EVENT)
		return 1;
	if (wanted.events.nr && !is_name_wanted(e->name))
		return 0;
	if (wanted.pid || wanted.tid)
		r = trace_who(&p->print.packets, p->trace, e, &who);
	if (r < 0)
		return r;
	if ((wanted.tid && who.tid != (int64_t)wanted.tid) ||
	    (wanted.pid && who.pid != (int64_t)wanted.pid))
		return 0;
	if (!p->where)
		return 1;
	r = trace_values(p->trace, &values);
	return r < 0 ? r : where_holds(p->where, values);
}

struct known {
	const char *path;
	struct tocsin_nearest nearest;
	bool is_found;
};

/* Every name of a type, whatever the depth, which META_DEPTH_MAX bounds. */
static void names_offer(const struct meta_type *type, struct known *k, unsigned depth)
{
	if (!type || depth > META_DEPTH_MAX)
		return;
	for (unsigned i = 0; i < type->nr_members && !k->is_found; i++) {
		const struct meta_member *m = &type->member[i];

		k->is_found = strcmp(m->name, k->path) == 0;
		tocsin_nearest_offer(&k->nearest, m->name);
		names_offer(m->type, k, depth + 1);
	}
	names_offer(type->element, k, depth + 1);
}

static int class_offer(const struct plan_event *class, const struct plan_stream *stream,
		       void *context)
{
	struct known *k = context;

	names_offer(stream->meta->event_context, k, 0);
	names_offer(class->meta->context, k, 0);
	names_offer(class->meta->payload, k, 0);
	return k->is_found;
}

static bool is_field_known(const char *field, void *context)
{
	struct printer *p = context;
	const char *dot = strrchr(field, '.');
	struct known k = {.path = dot ? dot + 1 : field + (*field == '$')};
	char names[400];

	tocsin_nearest_init(&k.nearest, k.path);
	if (trace_each_class(p->trace, class_offer, &k))
		return true;
	(void)tocsin_nearest_text(&k.nearest, names, sizeof(names));
	cli_error("no event has a field '%.100s'%s%s", field, names[0] ? ", nearest is " : "",
		  names);
	return false;
}

/* ---- printing */

static void progress_tell(struct printer *p, bool is_last)
{
	uint64_t now = clock_now_ns(), total, done;

	if (!p->has_progress || (!is_last && now - p->told_ns < PROGRESS_NS))
		return;
	if (is_last) {
		if (p->is_told)
			(void)fputs("\r\033[K", stderr); /* a terminal's words to itself */
		return;
	}
	done = trace_progress(p->trace, &total);
	(void)fprintf(stderr, "\r%3.0f %% of %.1f MiB, %llu events\033[K",
		      total ? 100.0 * (double)done / (double)total : 100.0,
		      (double)total / (1 << 20), (unsigned long long)p->nr_seen);
	p->is_told = true;
	p->told_ns = now;
}

static int graph_print(struct printer *p, const struct trace_event *e)
{
	int r = graph_event(p->graph, p->trace, &p->print.packets, e);

	if (r <= 0)
		return r;
	p->print.nr_events++;
	return p->print.out.len >= GRAPH_TOGETHER || p->print.is_flushed ? print_flush(&p->print)
									 : 0;
}

/* Return: 1 go on, 0 enough, -errno. */
static int item_take(struct printer *p, const struct trace_event *e)
{
	int r = is_wanted(p, e);

	if (r > 0)
		r = p->graph ? graph_print(p, e) : print_event(&p->print, p->trace, e);
	if (r < 0)
		return r;
	if (e->state == TRACE_CUT || e->state == TRACE_BAD) {
		r = print_flush(&p->print);
		progress_tell(p, true);
		cli_error("%s", e->wrong);
		return r < 0 ? r : 1;
	}
	if (e->state != TRACE_EVENT)
		return 1;
	return !wanted.is_following || strcmp(e->name, "summary") != 0 ||
	       !meta_env_find(trace_meta(p->trace, e->stream), "tocsin_format");
}

static int items_print(struct printer *p)
{
	const struct trace_event *e;
	bool is_summed = false;
	int state, r = 0;

	while (!is_interrupted) {
		state = trace_next(p->trace, &e);
		if (state < 0)
			return state;
		if (state == TRACE_END || (state == TRACE_WAIT && is_summed))
			break;
		if (state == TRACE_WAIT) {
			r = print_flush(&p->print);
			if (r < 0)
				return r;
			(void)poll(NULL, 0, POLL_MS); /* a signal ends it early */
			continue;
		}
		if (++p->nr_seen % PROGRESS_STEP == 0)
			progress_tell(p, false);
		r = item_take(p, e);
		if (r < 0)
			return r;
		is_summed |= r == 0;
		if (wanted.count && p->print.nr_events >= wanted.count)
			break;
	}
	if (p->graph)
		graph_end(p->graph);
	return print_flush(&p->print);
}

/* ---- the command line */

static int time_form(enum print_time *ret_time)
{
	static const char *const forms[] = {"clock", "date", "seconds"};

	*ret_time = PRINT_TIME_CLOCK;
	for (unsigned i = 0; wanted.time && i < 3; i++) {
		if (strcmp(wanted.time, forms[i]) == 0) {
			*ret_time = (enum print_time)i;
			return -1;
		}
	}
	return wanted.time
		       ? cli_usage(&cmd_print_usage,
				   "--time wants clock, date or seconds, not '%.40s'", wanted.time)
		       : -1;
}

static int reader_get(struct trace_options *o)
{
	static const char *const readers[] = {"auto", "own", "babeltrace2"};

	for (unsigned i = 0; i < 3; i++) {
		if (!wanted.reader || strcmp(wanted.reader, readers[i]) == 0) {
			o->reader = (enum trace_reader)i;
			return -1;
		}
	}
	if (!strchr(wanted.reader, '.'))
		return cli_usage(&cmd_print_usage,
				 "--reader wants auto, own, babeltrace2 or PLUGIN.CLASS, not "
				 "'%.40s'",
				 wanted.reader);
	o->reader = TRACE_READER_BABELTRACE2;
	o->plugin = wanted.reader;
	return -1;
}

/* The first event of the traces, for times that are relative to it. */
static int start_find(const struct trace_options *o, const char *const *paths, size_t nr,
		      int64_t *ret_ns, struct tocsin_err *err)
{
	const struct trace_options all = {
		.from_ns = INT64_MIN, .to_ns = INT64_MAX, .reader = o->reader, .plugin = o->plugin};
	const struct trace_event *e;
	struct trace *t;
	int state, r = trace_open(paths, nr, &all, err, &t);

	if (r < 0)
		return r;
	do
		state = trace_next(t, &e);
	while (state >= 0 && state != TRACE_EVENT && state != TRACE_END);
	*ret_ns = state == TRACE_EVENT ? e->t_ns : 0;
	(void)trace_close(t); /* always NULL */
	return state < 0 ? state : 0;
}

/* Return: -1 go on, else the exit status. */
static int range_set(struct trace_options *o, const char *const *paths, size_t nr)
{
	struct print_when from, to;
	struct tocsin_err err = {0};
	int64_t start_ns = 0;

	if (wanted.from && print_when_parse(wanted.from, &from) < 0)
		return cli_usage(&cmd_print_usage, "--from wants a time, not '%.60s'", wanted.from);
	if (wanted.to && print_when_parse(wanted.to, &to) < 0)
		return cli_usage(&cmd_print_usage, "--to wants a time, not '%.60s'", wanted.to);
	if (((wanted.from && from.kind != WHEN_ABSOLUTE) ||
	     (wanted.to && to.kind != WHEN_ABSOLUTE)) &&
	    start_find(o, paths, nr, &start_ns, &err) < 0)
		return cli_fail(CLI_USAGE, &err);
	if (wanted.from)
		o->from_ns = print_when_ns(&from, start_ns);
	if (wanted.to)
		o->to_ns = print_when_ns(&to, start_ns);
	return -1;
}

static int fail(int r)
{
	char why[64];

	if (r == -EPIPE)
		return CLI_OK; /* the reader has seen enough */
	cli_error("cannot print the trace: %s", tocsin_errno_text(r, why, sizeof(why)));
	return CLI_FAILED;
}

static int traces_print(struct printer *p)
{
	struct trace_stats stats;
	int r;

	if (p->where && where_unknown(p->where, is_field_known, p))
		return CLI_USAGE;
	r = signals_catch();
	if (r == 0)
		r = items_print(p);
	progress_tell(p, true);
	if (r < 0)
		return fail(r);
	stats = trace_get_stats(p->trace);
	if (stats.bad)
		return CLI_USAGE;
	return wanted.is_strict && (stats.lost || stats.lost_packets || stats.cut) ? CLI_LOST
										   : CLI_OK;
}

static int print_run(const char *const *paths, size_t nr)
{
	struct trace_options o = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
	struct printer p = {0};
	struct tocsin_err err = {0};
	struct out_style style = out_style_get(STDOUT_FILENO);
	enum print_time form;
	int status = time_form(&form);

	if (status < 0)
		status = reader_get(&o);
	if (status < 0)
		status = range_set(&o, paths, nr);
	if (status >= 0)
		return status;
	o.is_following = wanted.is_following;
	if (wanted.where && where_parse(wanted.where, &p.where, &err) < 0)
		return cli_fail(CLI_USAGE, &err);
	print_init(&p.print, STDOUT_FILENO, style);
	p.print.is_json = wanted.is_json;
	p.print.is_flushed = style.is_terminal;
	p.print.time = form;
	p.has_progress = out_style_get(STDERR_FILENO).is_terminal && !style.is_terminal &&
			 !wanted.is_following;
	if (wanted.is_graph)
		p.graph = graph_new(&p.print.out);
	if (wanted.is_graph && !p.graph)
		status = fail(-ENOMEM);
	else if (trace_open(paths, nr, &o, &err, &p.trace) < 0)
		status = cli_fail(CLI_USAGE, &err);
	else
		status = traces_print(&p);
	p.trace = trace_close(p.trace);
	p.where = where_free(p.where);
	p.graph = graph_free(p.graph);
	print_done(&p.print);
	return status;
}

int cmd_print(int argc, char **argv)
{
	int operands, after_dashes, status;

	status = cli_parse(&cmd_print_usage, argc, argv, &operands, &after_dashes);
	if (status < 0 && operands == argc)
		status = cli_usage(&cmd_print_usage, "which trace?");
	if (status < 0 && wanted.is_graph && wanted.is_json)
		status = cli_usage(&cmd_print_usage, "--graph and --json are two forms");
	if (status < 0)
		status = print_run((const char *const *)argv + operands, (size_t)(argc - operands));
	opt_strings_done(&wanted.events);
	return status;
}
