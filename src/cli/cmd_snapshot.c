// SPDX-License-Identifier: MIT
/* `tocsin snapshot`: what is in the flight recorder now, as a trace. */
#include <errno.h>
#include <limits.h>

#include "../base/parse.h"
#include "../collector/record.h"
#include "cli.h"
#include "record_progress.h"

static struct {
	struct opt_strings pid;
	const char *dir;
	bool kernel, quiet;
} wanted = {.dir = "snapshot"};

static const struct opt options[] = {
	{OPT_STRINGS, 'p', "pid", "PID", "of this process; may be given again", NULL, &wanted.pid,
	 0, 0, NULL},
	{OPT_FLAG, 'k', "kernel", NULL, "of the machine's flight recorder of kernel events", NULL,
	 &wanted.kernel, 0, 0, NULL},
	{OPT_STRING, 'o', "output", "DIR", "write the trace to DIR, which is made or is empty",
	 NULL, &wanted.dir, 0, 0, "snapshot"},
	{OPT_FLAG, 'q', "quiet", NULL, "no summary", NULL, &wanted.quiet, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin snapshot -p 4711 -o late",
	"tocsin snapshot -k -p 4711 -o both",
	"tocsin snapshot -p 4711 -p 4712 -o both && babeltrace2 both",
	NULL,
};

const struct opt_command cmd_snapshot_usage = {
	CLI_COMMAND(snapshot),
	.usage = "[-p PID] [-k] [-o DIR]",
	.examples = examples,
	.options = options,
};

static int snapshot_all(struct recorder *rec)
{
	for (size_t i = 0; i < wanted.pid.nr; i++) {
		struct tocsin_err err = {0};
		uint64_t pid;
		int r;

		if (tocsin_parse_u64(wanted.pid.item[i], &pid) || !pid || pid > INT_MAX)
			return cli_usage(&cmd_snapshot_usage, "'%s' is no process id",
					 wanted.pid.item[i]);
		r = record_snapshot(rec, (pid_t)pid, &err);
		if (r && !err.nr_causes) {
			char why[64];

			tocsin_err_add(&err, "cannot write '%s': %s", wanted.dir,
				       tocsin_errno_text(r, why, sizeof(why)));
			return cli_fail(CLI_FAILED, &err);
		}
		if (r)
			return cli_fail(CLI_USAGE, &err);
	}
	if (wanted.kernel) {
		struct tocsin_err err = {0};
		int r = record_snapshot_kernel(rec, &err);

		if (r)
			return cli_fail(r == -ENOENT || r == -EPERM || r == -EACCES || r == -EPROTO
						? CLI_USAGE
						: CLI_FAILED,
					&err);
	}
	return CLI_OK;
}

int cmd_snapshot(int argc, char **argv)
{
	struct record_options opts = {.trace = {.version = TOCSIN_VERSION, .command = ""}};
	struct record_progress progress;
	struct recorder *rec = NULL;
	struct tocsin_err err = {0};
	struct record_stats stats;
	int operands, after, status, r;
	bool has_trace;

	status = cli_parse(&cmd_snapshot_usage, argc, argv, &operands, &after);
	if (status < 0 && (operands < argc || !(wanted.pid.nr || wanted.kernel)))
		status = cli_usage(&cmd_snapshot_usage,
				   "of which process? give -p PID, or -k for kernel events");
	if (status < 0) {
		opts.trace.dir = wanted.dir;
		r = record_open(&opts, NULL, NULL, &err, &rec);
		if (r)
			status = cli_fail(r == -EEXIST || r == -ENOENT ? CLI_USAGE : CLI_FAILED,
					  &err);
	}
	has_trace = status < 0;
	if (has_trace) {
		record_progress_begin(&progress, false);
		status = snapshot_all(rec);
		r = record_stop(rec);
		record_get_stats(rec, &stats);
		if (status == CLI_OK && r)
			status = CLI_FAILED;
		if (status == CLI_OK && !wanted.quiet)
			record_progress_end(&progress, &stats, wanted.dir);
	}
	rec = record_close(rec, &r);
	if (has_trace && status != CLI_OK)
		record_discard_empty(wanted.dir);
	opt_strings_done(&wanted.pid);
	return status;
}
