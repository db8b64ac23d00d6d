// SPDX-License-Identifier: MIT
/* `tocsin monitor`: models of what may happen; read, prove sane, draw, list. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../automata/shipped.h"
#include "../base/cleanup.h"
#include "../report/json_text.h"
#include "cli.h"
#include "monitor_show.h"

static struct {
	bool is_json, is_table, is_strict;
	const char *svg;
	uint64_t jiffy_ns;
} wanted;

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Models"},
	{OPT_DURATION, 0, "jiffy", "TIME", "what a number with unit j counts",
	 "The kernel's own clock tick is known only to a running kernel; give that of another one here.",
	 &wanted.jiffy_ns, 100000, 100000000, "that of this kernel"},
	{OPT_FLAG, 0, "strict", NULL, "exit with 1 if there are warnings", NULL, &wanted.is_strict,
	 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "Output"},
	CLI_SHARED(JSON, &wanted.is_json),
	{OPT_FLAG, 0, "table", NULL, "print the flat table that is stepped", NULL, &wanted.is_table,
	 0, 0, NULL},
	{OPT_STRING, 0, "svg", "FILE", "draw the model into FILE; - is standard output", NULL,
	 &wanted.svg, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin monitor check model.dot --svg model.svg",
	"tocsin monitor check wwnr --table",
	"tocsin monitor list",
	NULL,
};

const struct opt_command cmd_monitor_usage = {
	CLI_COMMAND(monitor),
	.usage = "[OPTIONS] check MODEL... | list",
	.examples = examples,
	.options = options,
};

struct said {
	unsigned nr_warnings;
};

static void say(void *context, const struct tocsin_diag *diag)
{
	struct said *said = context;

	said->nr_warnings += diag->is_warning;

	(void)cli_diag(0, diag); /* the status is model_read()'s */
}

/* The scheduler's tick, which is the resolution of the coarse clock. */
static uint64_t jiffy_get(void)
{
	struct timespec ts = {0};

	if (wanted.jiffy_ns)
		return wanted.jiffy_ns;
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &ts) < 0 || ts.tv_nsec <= 0)
		return 4000000;
	return (uint64_t)ts.tv_nsec;
}

static const struct shipped_model *shipped_find(const char *name)
{
	size_t len = strlen(name);

	for (const struct shipped_model *s = shipped_models; s->file; s++)
		if (strncmp(s->file, name, len) == 0 && s->file[len] == '.')
			return s;
	return NULL;
}

static int file_read(const char *path, char **ret_text, size_t *ret_len)
{
	TOCSIN_CLEANUP(tocsin_close_fdp)
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = malloc(MODEL_TEXT_MAX + 1);
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	if (!text)
		return -ENOMEM;
	do {
		got = read(fd, text + len, MODEL_TEXT_MAX + 1 - len);
		if (got < 0 && errno != EINTR)
			return -errno;
		len += got > 0 ? (size_t)got : 0;
	} while (got != 0 && len <= MODEL_TEXT_MAX);
	*ret_text = tocsin_take_ptr(&text);
	*ret_len = len;
	return 0;
}

/* A file, or the name of a shipped model. Return: 0, -EINVAL said, -errno. */
static int model_get(const char *name, struct said *said, struct model **ret)
{
	const struct model_sink sink = {.say = say, .context = said};
	const struct model_options how = {.jiffy_ns = jiffy_get()};
	const struct shipped_model *shipped = strchr(name, '.') ? NULL : shipped_find(name);
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = NULL;
	size_t len = 0;
	int r;

	if (shipped && access(name, F_OK) < 0)
		return model_read(shipped->file, shipped->text, shipped->len, &how, &sink, ret);
	r = file_read(name, &text, &len);
	if (r < 0)
		return r == -EINVAL ? -EIO : r;
	return model_read(name, text, len, &how, &sink, ret);
}

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

static int svg_write(const struct model *m)
{
	bool is_stdout = strcmp(wanted.svg, "-") == 0;
	TOCSIN_CLEANUP(tocsin_close_fdp)
	int fd = is_stdout ? dup(STDOUT_FILENO)
			   : open(wanted.svg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	char why[64];
	struct out o;

	if (fd < 0) {
		cli_error("cannot write '%s': %s", wanted.svg,
			  tocsin_errno_text(errno, why, sizeof(why)));
		return CLI_FAILED;
	}
	out_init(&o, fd);
	monitor_svg(&o, m);
	return out_finish(&o, wanted.svg);
}

static int model_check(const char *name, const struct monitor_events *k)
{
	struct said said = {0};
	struct model *m = NULL;
	struct out o;
	char why[64];
	int status, r = model_get(name, &said, &m);

	if (r < 0) {
		if (r != -EINVAL)
			cli_error("cannot read '%s': %s", name,
				  tocsin_errno_text(r, why, sizeof(why)));
		return r == -ENOMEM ? CLI_FAILED : CLI_USAGE;
	}
	out_init(&o, STDOUT_FILENO);
	if (wanted.is_json)
		monitor_show_json(&o, m, k);
	else if (wanted.is_table)
		monitor_show_table(&o, m);
	else if (!wanted.svg || strcmp(wanted.svg, "-") != 0)
		monitor_show_text(&o, m, k);
	status = out_finish(&o, "standard output");
	if (status == CLI_OK && wanted.svg)
		status = svg_write(m);
	if (status == CLI_OK && wanted.is_strict && said.nr_warnings)
		status = CLI_NO;
	(void)model_free(m); /* always NULL */
	return status;
}

static void list_line(struct out *o, const struct model *m, const struct monitor_events *k)
{
	char missing[MODEL_POINTS] = "";
	enum has has = monitor_events_all(k, m, missing, sizeof(missing));

	out_add(o, "%-12s %-8s ", m->name, model_scope_name(m->scope));
	if (has == HAS_YES || has == HAS_NOT_SAID)
		out_add(o, "%s", has == HAS_YES ? "runs here" : "bound by the user");
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
		const struct model_options how = {.jiffy_ns = jiffy_get()};
		struct said said = {0};
		const struct model_sink sink = {.say = say, .context = &said};
		struct model *m = NULL;

		if (model_read(s->file, s->text, s->len, &how, &sink, &m) < 0) {
			status = CLI_FAILED; /* said: it is tested that none has a fault */
			break;
		}
		if (wanted.is_json)
			monitor_show_json(&o, m, k);
		else
			list_line(&o, m, k);
		(void)model_free(m); /* always NULL */
		status = out_flush(&o, "standard output");
	}
	out_done(&o);
	return status;
}

int cmd_monitor(int argc, char **argv)
{
	struct monitor_events kernel;
	int operands, after_dashes, status, worst = CLI_OK;
	bool is_list;

	status = cli_parse(&cmd_monitor_usage, argc, argv, &operands, &after_dashes);
	if (status >= 0)
		return status;
	if (operands == argc)
		return cli_usage(&cmd_monitor_usage, "neither 'check' nor 'list'");
	is_list = strcmp(argv[operands], "list") == 0;
	if (!is_list && strcmp(argv[operands], "check") != 0)
		return cli_usage(&cmd_monitor_usage, "'%.80s' is neither 'check' nor 'list'",
				 argv[operands]);
	if (!is_list && operands + 1 == argc)
		return cli_usage(&cmd_monitor_usage, "no model");
	if (is_list && operands + 1 != argc)
		return cli_usage(&cmd_monitor_usage, "'list' takes no models");
	if (wanted.svg && (is_list || argc - operands != 2))
		return cli_usage(&cmd_monitor_usage, "--svg is of one model");
	monitor_events_open(&kernel);
	if (is_list)
		worst = models_list(&kernel);
	for (int i = operands + 1; i < argc; i++) {
		status = model_check(argv[i], &kernel);
		worst = status > worst ? status : worst;
	}
	monitor_events_close(&kernel);
	return worst;
}
