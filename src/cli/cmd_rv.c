// SPDX-License-Identifier: MIT
/*
 * `tocsin rv`: monitors in the shape of the kernel's own tool of that name, its words, columns and
 * exit status. Where the running kernel has monitors (CONFIG_RV), it is about those; elsewhere, or
 * with --models, about the shipped models.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../collector/rv.h"
#include "../collector/tracefs.h"
#include "../report/out.h"
#include "cli.h"
#include "rv.h"
#include "rv_models.h"

#define NAME_WIDTH 32 /* as the kernel's tool has it */

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Monitors"},
	{OPT_FLAG, 0, "models", NULL, "the shipped models, also where the kernel has monitors",
	 NULL, &rv_wanted.is_models, 0, 0, NULL},
	{OPT_STRING, 0, "tracefs", "DIR", "where tracefs is mounted", NULL, &rv_wanted.tracefs, 0,
	 0, "/sys/kernel/tracing"},
#if TOCSIN_HAS_KERNEL_HALF
	{.kind = OPT_GROUP, .name = "Running (mon)"},
	{OPT_STRING, 'r', "reactor", "REACTOR", "what is done about a violation",
	 "Of a shipped model nop, which is nothing, or printk, a line in the kernel's log.",
	 &rv_wanted.reactor, 0, 0, "nop"},
	{OPT_FLAG, 't', "trace", NULL, "print every event and every violation", NULL,
	 &rv_wanted.is_trace, 0, 0, NULL},
	{OPT_FLAG, 's', "self", NULL, "with --trace, also those of this process", NULL,
	 &rv_wanted.is_self, 0, 0, NULL},
	{OPT_FLAG, 'v', "verbose", NULL, "print what is done", NULL, &rv_wanted.is_verbose, 0, 0,
	 NULL},
	{OPT_STRINGS, 'p', "pid", "PID", "watch this process alone; may be given again",
	 "Of shipped models; the kernel's monitors are of all.", &rv_wanted.pid, 0, 0, NULL},
	{OPT_STRINGS, 0, "bind", "EVENT=POINT",
	 "what an event of a shipped model is; may be given again",
	 "As tocsin-monitor(1) has it: the start and stop of tlob, for one.", &rv_wanted.bind, 0, 0,
	 NULL},
	{OPT_STRINGS, 0, "param", "NAME=VALUE",
	 "set a parameter of a shipped model; may be given again", NULL, &rv_wanted.param, 0, 0,
	 NULL},
#endif
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin rv list sched",
	"tocsin rv mon wwnr -t",
	"tocsin rv mon sched:sssw -r printk",
	NULL,
};

const struct opt_command cmd_rv_usage = {
	CLI_COMMAND(rv),
	.usage = "[OPTIONS] list [CONTAINER] | mon MONITOR",
	.examples = examples,
	.options = options,
};

static const char *tracefs(void)
{
	return rv_wanted.tracefs ?: tracefs_dir();
}

static bool is_ours(void)
{
	return rv_wanted.is_models || !rv_is_there(tracefs());
}

static int monitors_read(struct rv_monitors *ret)
{
	struct tocsin_err err = {0};

	if (is_ours())
		return rv_models_read(ret);
	return rv_monitors_read(tracefs(), ret, &err) ? cli_fail(CLI_NO, &err) : -1;
}

static void list_line(struct out *o, const struct rv_monitor *m, bool is_indented)
{
	size_t start = o->len, width = NAME_WIDTH;

	if (is_indented)
		out_add(o, " - ");
	out_add_clean(o, m->name);
	out_add(o, "%*s ", (int)(o->len - start < width ? width - (o->len - start) : 0), "");
	out_add_clean(o, m->desc);
	out_add(o, " %s\n", m->is_enabled ? "[ON]" : "[OFF]");
}

static int list(char **words, size_t nr)
{
	const char *container = nr ? words[0] : NULL;
	struct rv_monitors monitors = {0};
	bool is_empty = true;
	struct out o;
	int status;

	if (nr > 1)
		return cli_usage(&cmd_rv_usage, "'list' takes one container");
	status = monitors_read(&monitors);
	out_init(&o, STDOUT_FILENO);
	for (size_t i = 0; i < monitors.nr && status < 0; i++) {
		const struct rv_monitor *m = &monitors.item[i];

		if (container && strcmp(m->container, container) != 0)
			continue;
		is_empty = false;
		list_line(&o, m, m->container[0] && !container);
	}
	if (status < 0 && is_empty) {
		out_add(&o, "-- No monitor found%s", container ? " in container " : "");
		out_add_clean(&o, container ?: "");
		out_add(&o, " --\n");
	}
	if (status < 0)
		status = out_write(&o) ? CLI_FAILED : CLI_OK;
	out_done(&o);
	rv_monitors_done(&monitors);
	return status;
}

#if TOCSIN_HAS_KERNEL_HALF
static int mon(char **words, size_t nr)
{
	struct rv_monitors monitors = {0};
	const struct rv_monitor *m;
	int status;

	if (nr != 1)
		return cli_usage(&cmd_rv_usage, "usage: rv mon [-h] MONITOR [OPTIONS]");
	status = monitors_read(&monitors);
	m = status < 0 ? rv_monitors_find(&monitors, words[0]) : NULL;
	if (status < 0 && !m) {
		cli_error("monitor %.80s does not exist", words[0]);
		status = CLI_NO;
	}
	if (status < 0 && !is_ours()) {
		cli_error(
			"monitor %s is the kernel's, which 'rv mon' does not run: --models runs the shipped one",
			m->name);
		status = CLI_NO;
	}
	if (status < 0)
		status = rv_mon_models(&monitors, m);
	rv_monitors_done(&monitors);
	return status;
}
#endif

static int verb_run(char **words, size_t nr)
{
	if (!nr)
		return cli_usage(&cmd_rv_usage, "rv requires a command: list or mon");
	if (strcmp(words[0], "list") == 0)
		return list(words + 1, nr - 1);
#if TOCSIN_HAS_KERNEL_HALF
	if (strcmp(words[0], "mon") == 0)
		return mon(words + 1, nr - 1);
#endif
	return cli_usage(&cmd_rv_usage, "rv does not know the %.80s command", words[0]);
}

int cmd_rv(int argc, char **argv)
{
	int operands, after;
	int status = cli_parse(&cmd_rv_usage, argc, argv, &operands, &after);

	if (status >= 0)
		return status;
	if (after < argc)
		status = cli_usage(&cmd_rv_usage, "unexpected '%.80s'", argv[after]);
	else
		status = verb_run(argv + operands, (size_t)(after - operands));
	opt_strings_done(&rv_wanted.pid);
	opt_strings_done(&rv_wanted.bind);
	opt_strings_done(&rv_wanted.param);
	/* The kernel's tool knows one failure. */
	return status == CLI_OK ? CLI_OK : CLI_NO;
}
