// SPDX-License-Identifier: MIT
/* `tocsin monitor`: models of what may happen; read, prove sane, draw, list. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "../report/json_text.h"
#include "cli.h"
#if TOCSIN_HAS_KERNEL_HALF
#	include "../monitor/run.h"
#endif
#include "monitor_models.h"
#include "monitor_show.h"

struct monitor_wanted monitor_wanted = {.has_stacks = true};

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Models"},
	{OPT_DURATION, 0, "jiffy", "TIME", "what a number with unit j counts",
	 "The kernel's own clock tick is known only to a running kernel; give that of another one here.",
	 &monitor_wanted.jiffy_ns, 100000, 100000000, "that of this kernel"},
	{OPT_STRINGS, 0, "param", "NAME=VALUE", "set a parameter of a model; may be given again",
	 "A number, or a duration with its unit. MODEL.NAME=VALUE is for that model alone.",
	 &monitor_wanted.param, 0, 0, NULL},
	{OPT_FLAG, 0, "strict", NULL,
	 "check: exit with 1 if there are warnings; replay: with 4 if events were lost", NULL,
	 &monitor_wanted.is_strict, 0, 0, NULL},
#if TOCSIN_HAS_KERNEL_HALF
	{.kind = OPT_GROUP, .name = "Processes (run)"},
	{OPT_STRINGS, 'p', "pid", "PID", "watch this process; may be given again", NULL,
	 &monitor_wanted.pid, 0, 0, NULL},
	{OPT_FLAG, 'a', "all", NULL, "watch every process", NULL, &monitor_wanted.all, 0, 0, NULL},
	{OPT_FLAG, 0, "force", NULL, "bind where it may hurt the program, and say what may happen",
	 NULL, &monitor_wanted.force, 0, 0, NULL},
	{OPT_DURATION, 'd', "duration", "TIME", "stop after this time", NULL,
	 &monitor_wanted.duration_ns, 1000000, INT64_MAX, NULL},
	{OPT_FLAG, 0, "fail-on-violation", NULL, "exit with 1 if a model was violated", NULL,
	 &monitor_wanted.fail_on_violation, 0, 0, NULL},
	{OPT_STRING, 0, "signal", "NAME",
	 "send a signal to the process of each violation that is said",
	 "STOP, CONT, TERM, KILL, INT, ABRT, USR1 or USR2; to who was there, once for each.",
	 &monitor_wanted.signal, 0, 0, NULL},
	{OPT_U64, 0, "rate", "N", "violations of a monitor that are said, a second",
	 "Those beyond are counted.", &monitor_wanted.rate, 1, 1000000, "100"},
	{OPT_FLAG, 0, "stacks", NULL, "take the stacks of who was there", NULL,
	 &monitor_wanted.has_stacks, 0, 0, "on"},
#endif
	{.kind = OPT_GROUP, .name = "Events (replay, run)"},
	{OPT_STRINGS, 0, "bind", "EVENT=POINT", "what an event of a model is; may be given again",
	 "POINT is an event of the trace or a tracepoint, provider:name; to run also func:[PATH:]NAME, return:[PATH:]NAME, "
	 "usdt:PROVIDER:NAME, syscall:NAME, sysexit:NAME, PATH:OFFSET, whose values are arg0 to arg5 and ret. Behind it, separated by commas: key=FIELD "
	 "(what tells instances apart), INPUT=FIELD (a value for the model), set and clear (of a formula: the atom stays), "
	 "and last when=CONDITION, as 'tocsin print --where' has them. MODEL.EVENT=POINT is for that model alone. "
	 "It replaces what the model says about that event.",
	 &monitor_wanted.bind, 0, 0, NULL},
	{OPT_FLAG, 'f', "follow", NULL,
	 "replay: go on as the trace grows; run: also watch children", NULL, &monitor_wanted.follow,
	 0, 0, NULL},
	{OPT_STRING, 0, "after", "WHAT", "after a violation: reset, keep or freeze the instance",
	 "reset waits for the next start; keep stays in the state; freeze sees nothing more.",
	 &monitor_wanted.after, 0, 0, "reset"},
	{OPT_U64, 0, "max-instances", "N", "instances of each monitor", NULL,
	 &monitor_wanted.max_instances, 1, 1u << 26, "4194304; run: 65536"},
	{OPT_U64, 'n', "count", "N", "stop after N violations", NULL, &monitor_wanted.count, 1,
	 UINT64_MAX, NULL},
	{.kind = OPT_GROUP, .name = "Output"},
	CLI_SHARED(JSON, &monitor_wanted.is_json),
	{OPT_STRING, 0, "format", "FORMAT",
	 "replay, run: text, or kernel: lines as the kernel's trace has them",
	 "A violation is the event error_NAME, error_env_NAME where the model has clocks or variables (clocks in nanoseconds), "
	 "with COMM-TID, CPU and the time. Counts are behind a #.",
	 &monitor_wanted.format, 0, 0, "text"},
	{OPT_FLAG, 0, "coverage", NULL,
	 "also say which states and edges were seen, how often and after how long", NULL,
	 &monitor_wanted.has_coverage, 0, 0, NULL},
	{OPT_FLAG, 0, "table", NULL, "check: print the flat table that is stepped", NULL,
	 &monitor_wanted.is_table, 0, 0, NULL},
	{OPT_STRING, 0, "compile", "FILE",
	 "check: write the compiled model into FILE, for tocsin/monitor.h; - is standard output",
	 "Then a program steps it itself: docs/howto/monitor-in-process.md.",
	 &monitor_wanted.compile, 0, 0, NULL},
	{OPT_STRING, 0, "svg", "FILE", "check: draw the model into FILE; - is standard output",
	 NULL, &monitor_wanted.svg, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin monitor check model.dot --svg model.svg",
	"tocsin monitor list",
	"tocsin monitor run wwnr stall -p 4711",
	"tocsin monitor replay lock --bind take=srv:lock --bind drop=srv:unlock trace",
	NULL,
};

const struct opt_command cmd_monitor_usage = {
	CLI_COMMAND(monitor),
	.usage =
		"[OPTIONS] check MODEL... | list | replay MODEL... TRACE... | run MODEL... [-- CMD ARGS]",
	.examples = examples,
	.options = options,
};

/* One object of JSON at a time: between two in one text there would be a comma. */
static int out_flush(struct out *o, const char *where)
{
	char why[64];
	int r = out_write(o);

	if (r == 0)
		return CLI_OK;
	cli_error("cannot write '%s': %s", where, tocsin_errno_text(r, why, sizeof(why)));
	return CLI_FAILED;
}

static int out_finish(struct out *o, const char *where)
{
	int status = out_flush(o, where);

	out_done(o);
	return status;
}

static int file_write(const char *path, const struct model *m,
		      void (*add)(struct out *o, const struct model *m))
{
	bool is_stdout = strcmp(path, "-") == 0;
	TOCSIN_CLEANUP(tocsin_close_fdp)
	int fd = is_stdout ? dup(STDOUT_FILENO)
			   : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	char why[64];
	struct out o;

	if (fd < 0) {
		cli_error("cannot write '%s': %s", path,
			  tocsin_errno_text(errno, why, sizeof(why)));
		return CLI_FAILED;
	}
	out_init(&o, fd);
	add(&o, m);
	return out_finish(&o, path);
}

static void compiled_add(struct out *o, const struct model *m)
{
	char bytes[MODEL_COMPILED_MAX];

	out_add_bytes(o, bytes, model_compiled(m, bytes));
}

static bool is_stdout_taken(void)
{
	return (monitor_wanted.svg && strcmp(monitor_wanted.svg, "-") == 0) ||
	       (monitor_wanted.compile && strcmp(monitor_wanted.compile, "-") == 0);
}

static int model_check(const char *name, const struct monitor_events *k)
{
	struct monitor_said said = {0};
	struct model *m = NULL;
	struct out o;
	int status = monitor_model_get(name, &said, &m);

	if (status >= 0)
		return status;
	out_init(&o, STDOUT_FILENO);
	if (monitor_wanted.is_json)
		monitor_show_json(&o, m, k);
	else if (monitor_wanted.is_table)
		monitor_show_table(&o, m);
	else if (!is_stdout_taken())
		monitor_show_text(&o, m, k);
	status = out_finish(&o, "standard output");
	if (status == CLI_OK && monitor_wanted.svg)
		status = file_write(monitor_wanted.svg, m, monitor_svg);
	if (status == CLI_OK && monitor_wanted.compile)
		status = file_write(monitor_wanted.compile, m, compiled_add);
	if (status == CLI_OK && monitor_wanted.is_strict && said.nr_warnings)
		status = CLI_NO;
	(void)model_free(m); /* always NULL */
	return status;
}

/* Its events are there; but are they all that it takes? */
static void runs_put(struct out *o, struct model *m)
{
#if TOCSIN_HAS_KERNEL_HALF
	struct tocsin_err err = {0};
	char why[512];

	if (monitor_run_check(m, &err) < 0) {
		out_add(o, "cannot run here: ");
		out_add_clean(o, tocsin_err_text(&err, why, sizeof(why)));
		return;
	}
#else
	(void)m;
#endif
	out_add(o, "runs here");
}

static void list_line(struct out *o, struct model *m, const struct monitor_events *k)
{
	char missing[MODEL_POINTS] = "";
	enum has has = monitor_events_all(k, m, missing, sizeof(missing));

	out_add(o, "%-12s %-8s ", m->name, model_scope_name(m->scope));
	if (has == HAS_YES)
		runs_put(o, m);
	else if (has == HAS_NOT_SAID)
		out_add(o, "bound by the user");
	else
		out_add(o, "%s '%s'", has == HAS_NO ? "needs" : "cannot tell about", missing);
	out_add(o, "\n%13s%s\n", "", m->about);
	if (m->note[0])
		out_add(o, "%13s%s\n", "", m->note);
}

static int models_list(const struct monitor_events *k)
{
	int status = CLI_OK;
	struct out o;

	out_init(&o, STDOUT_FILENO);
	for (const struct shipped_model *s = shipped_models; s->file && status == CLI_OK; s++) {
		struct monitor_said said = {0};
		struct model *m = NULL;

		if (monitor_model_shipped(s, &said, &m) >= 0) {
			status = CLI_FAILED; /* said: it is tested that none has a fault */
			break;
		}
		if (monitor_wanted.is_json)
			monitor_show_json(&o, m, k);
		else
			list_line(&o, m, k);
		(void)model_free(m); /* always NULL */
		status = out_flush(&o, "standard output");
	}
	out_done(&o);
	return status;
}

static int check_all(char **words, size_t nr, char **command)
{
	struct monitor_events kernel;
	int worst = CLI_OK;

	(void)command; /* only 'run' has one: checked by who calls */
	if (!nr)
		return cli_usage(&cmd_monitor_usage, "no model");
	if ((monitor_wanted.svg || monitor_wanted.compile) && nr != 1)
		return cli_usage(&cmd_monitor_usage, "%s is of one model",
				 monitor_wanted.svg ? "--svg" : "--compile");
	monitor_events_open(&kernel);
	for (size_t i = 0; i < nr; i++) {
		int status = model_check(words[i], &kernel);

		worst = status > worst ? status : worst;
	}
	monitor_events_close(&kernel);
	return worst;
}

static int list_all(char **words, size_t nr, char **command)
{
	struct monitor_events kernel;
	int status;

	(void)words;
	(void)command;
	if (nr)
		return cli_usage(&cmd_monitor_usage, "'list' takes no models");
	if (monitor_wanted.svg || monitor_wanted.compile)
		return cli_usage(&cmd_monitor_usage, "%s is of one model",
				 monitor_wanted.svg ? "--svg" : "--compile");
	monitor_events_open(&kernel);
	status = models_list(&kernel);
	monitor_events_close(&kernel);
	return status;
}

static const struct {
	const char *name;
	int (*run)(char **words, size_t nr, char **command);
} verbs[] = {
	{"check", check_all},
	{"list", list_all},
	{"replay", monitor_replay},
#if TOCSIN_HAS_KERNEL_HALF
	{"run", monitor_run_command},
#endif
};

static int verb_run(char **words, size_t nr, char **command)
{
	char near[200];
	struct tocsin_nearest nearest;

	if (!nr)
		return cli_usage(&cmd_monitor_usage, "what to do: check, list, replay or run?");
	tocsin_nearest_init(&nearest, words[0]);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(words[0], verbs[i].name) == 0)
			return verbs[i].run(words + 1, nr - 1, command);
		tocsin_nearest_offer(&nearest, verbs[i].name);
	}
	(void)tocsin_nearest_text(&nearest, near, sizeof(near));
	return cli_usage(&cmd_monitor_usage, "'%.80s' is none of check, list, replay and run%s%s",
			 words[0], near[0] ? ": did you mean " : "", near);
}

int cmd_monitor(int argc, char **argv)
{
	int operands, after_dashes;
	int status = cli_parse(&cmd_monitor_usage, argc, argv, &operands, &after_dashes);

	if (status < 0)
		status = monitor_format();
	if (status < 0)
		status = verb_run(argv + operands, (size_t)(after_dashes - operands),
				  after_dashes < argc ? argv + after_dashes : NULL);
	opt_strings_done(&monitor_wanted.bind);
	opt_strings_done(&monitor_wanted.param);
	opt_strings_done(&monitor_wanted.pid);
	return status;
}
