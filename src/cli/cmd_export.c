// SPDX-License-Identifier: MIT
/* `tocsin export`: traces for the programs of others. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "../ctf/read_map.h"
#include "../export/export.h"
#include "cli.h"

static const struct {
	const char *name, *text;
} formats[EXPORT_NR] = {
#define X(NAME, name, text) {#name, text},
#include "../export/formats.def"
#undef X
};

static struct {
	const char *to, *output;
	bool is_strict;
} wanted;

#define X(NAME, name, text) "\n" #name ": " text "."
static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Output"},
	{OPT_STRING, 't', "to", "FORMAT", "chrome, folded, speedscope or otlp",
	 "docs/formats/export.md says what becomes what."
#include "../export/formats.def"
	 ,
	 &wanted.to, 0, 0, NULL},
	{OPT_STRING, 'o', "output", "FILE", "write to FILE", NULL, &wanted.output, 0, 0,
	 "standard output"},
	{OPT_FLAG, 0, "strict", NULL, "exit with 4 if events were lost or a trace is cut", NULL,
	 &wanted.is_strict, 0, 0, NULL},
	{.kind = OPT_END},
};
#undef X

static const char *const examples[] = {
	"tocsin export late/ --to chrome -o late.json",
	"tocsin export late/ --to folded | flamegraph.pl > late.svg",
	"tocsin export late/ --to otlp >> /var/lib/otel/spans.jsonl",
	NULL,
};

const struct opt_command cmd_export_usage = {
	CLI_COMMAND(export),
	.usage = "--to FORMAT [-o FILE] TRACE...",
	.examples = examples,
	.options = options,
};

/* Return: -1 go on, else the exit status. */
static int format_get(enum export_format *ret_format)
{
	struct tocsin_nearest nearest;
	char names[256];

	if (!wanted.to)
		return cli_usage(&cmd_export_usage, "--to what?");
	tocsin_nearest_init(&nearest, wanted.to);
	for (unsigned i = 0; i < EXPORT_NR; i++) {
		if (strcmp(wanted.to, formats[i].name) == 0) {
			*ret_format = (enum export_format)i;
			return -1;
		}
		tocsin_nearest_offer(&nearest, formats[i].name);
	}
	(void)tocsin_nearest_text(&nearest, names, sizeof(names));
	return cli_usage(&cmd_export_usage, "no format '%.40s'%s%s", wanted.to,
			 names[0] ? ", nearest is " : "", names);
}

static int items_export(struct load *l, struct export *e)
{
	const struct load_item *item;
	int state, r = 0;

	while (r == 0 && (state = load_next(l, &item)) != LOAD_END) {
		if (state < 0)
			return state;
		if (item->state == LOAD_GAP && item->event->state != TRACE_LOSS)
			cli_error("%s", item->event->wrong);
		r = export_item(e, l, item);
	}
	return r < 0 ? r : export_finish(e);
}

/* What was not written must not go unsaid. */
static int stats_say(const struct load *l, const struct export *e)
{
	struct export_stats done = export_get_stats(e);
	struct trace_stats stats = trace_get_stats(load_trace(l));

	if (done.passed_over)
		cli_error("%llu events have no place in the format '%s' and are left out",
			  (unsigned long long)done.passed_over, wanted.to);
	if (stats.lost || stats.lost_packets)
		cli_error("%llu events and %llu packets are missing in the traces",
			  (unsigned long long)stats.lost, (unsigned long long)stats.lost_packets);
	if (stats.bad)
		return CLI_USAGE;
	return wanted.is_strict && (stats.lost || stats.lost_packets || stats.cut) ? CLI_LOST
										   : CLI_OK;
}

static void load_closep(struct load **l)
{
	(void)load_close(*l); /* always NULL */
}

static void export_closep(struct export **e)
{
	(void)export_close(*e); /* always NULL */
}

static int fail(int r)
{
	char why[64];

	if (r == -EPIPE)
		return CLI_OK; /* the reader has seen enough */
	cli_error("cannot export: %s", tocsin_errno_text(r, why, sizeof(why)));
	return CLI_FAILED;
}

static int export_run(const char *const *paths, size_t nr, enum export_format format)
{
	static const struct trace_options whole = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct load *l TOCSIN_CLEANUP(load_closep) = NULL;
	struct export *e TOCSIN_CLEANUP(export_closep) = NULL;
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	struct tocsin_err err = {0};
	char why[64];
	int r;

	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || ctf_map_guard() < 0) {
		cli_error("cannot set up signals");
		return CLI_FAILED;
	}
	if (load_open(paths, nr, &whole, &err, &l) < 0)
		return cli_fail(CLI_USAGE, &err);
	if (wanted.output) {
		fd = open(wanted.output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd < 0) {
			cli_error("cannot write '%s': %s", wanted.output,
				  tocsin_errno_text(errno, why, sizeof(why)));
			return CLI_USAGE;
		}
	}
	r = export_open(format, fd >= 0 ? fd : STDOUT_FILENO, &e);
	if (r == 0)
		r = items_export(l, e);
	if (r == 0 && fd >= 0 && close(tocsin_take_fd(&fd)) < 0)
		r = -errno;
	return r < 0 ? fail(r) : stats_say(l, e);
}

int cmd_export(int argc, char **argv)
{
	int operands, after_dashes, status;
	enum export_format format;

	status = cli_parse(&cmd_export_usage, argc, argv, &operands, &after_dashes);
	if (status < 0)
		status = format_get(&format);
	if (status < 0 && operands == argc)
		status = cli_usage(&cmd_export_usage, "which trace?");
	if (status < 0)
		status = export_run((const char *const *)argv + operands, (size_t)(argc - operands),
				    format);
	return status;
}
