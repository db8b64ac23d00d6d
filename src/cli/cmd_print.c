// SPDX-License-Identifier: MIT
/* `tocsin print`: the events of traces, in the order of time. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../ctf/read_map.h"
#include "../report/print.h"
#include "cli.h"

static struct {
	uint64_t count;
	bool is_json, is_following, is_strict;
} wanted;

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Events"},
	{OPT_U64, 'n', "count", "N", "stop after N events", NULL, &wanted.count, 1, UINT64_MAX,
	 NULL},
	{OPT_FLAG, 'f', "follow", NULL, "go on as the trace grows", NULL, &wanted.is_following, 0,
	 0, NULL},
	{.kind = OPT_GROUP, .name = "Output"},
	CLI_SHARED(JSON, &wanted.is_json),
	{OPT_FLAG, 0, "strict", NULL, "exit with 4 if events were lost or a trace is cut", NULL,
	 &wanted.is_strict, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin print trace",
	"tocsin print trace --json | jq -c .fields",
	NULL,
};

const struct opt_command cmd_print_usage = {
	CLI_COMMAND(print),
	.usage = "[OPTIONS] TRACE...",
	.examples = examples,
	.options = options,
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
	(void)number;
	is_interrupted = 1;
}

static int signal_catch(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	return sigaction(SIGINT, &action, NULL) < 0 ? -errno : ctf_map_guard();
}

static void trace_closep(struct trace **t)
{
	(void)trace_close(*t); /* always NULL */
}

static int print_all(struct print *p, struct trace *t)
{
	const struct trace_event *e;
	uint64_t nr = 0;
	int state, r = 0;

	while (r == 0 && !is_interrupted && (!wanted.count || nr < wanted.count)) {
		state = trace_next(t, &e);
		if (state < 0)
			return state;
		if (state == TRACE_END)
			break;
		if (state == TRACE_WAIT) {
			r = print_flush(p);
			(void)poll(NULL, 0, 50);
			continue;
		}
		r = print_event(p, t, e);
		nr += state == TRACE_EVENT;
		if (state == TRACE_CUT || state == TRACE_BAD)
			cli_error("%s", e->wrong);
	}
	return r ?: print_flush(p);
}

int cmd_print(int argc, char **argv)
{
	struct trace *t TOCSIN_CLEANUP(trace_closep) = NULL;
	struct trace_options o = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
	struct tocsin_err err = {0};
	int operands, after_dashes, status, r;
	struct print p;

	status = cli_parse(&cmd_print_usage, argc, argv, &operands, &after_dashes);
	if (status >= 0)
		return status;
	if (operands == argc)
		return cli_usage(&cmd_print_usage, "which trace?");
	o.is_following = wanted.is_following;
	r = trace_open((const char *const *)argv + operands, (size_t)(argc - operands), &o, &err,
		       &t);
	if (r < 0)
		return cli_fail(CLI_USAGE, &err);
	(void)signal_catch();
	print_init(&p, STDOUT_FILENO, out_style_get(STDOUT_FILENO));
	p.is_json = wanted.is_json;
	r = print_all(&p, t);
	print_done(&p);
	return r < 0 ? CLI_FAILED : CLI_OK;
}
