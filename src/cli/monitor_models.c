// SPDX-License-Identifier: MIT
/* Models as the command line names them. */
#include "monitor_models.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "../monitor/bind.h"
#include "../report/violated_kernel.h"
#include "cli.h"

static void say(void *context, const struct tocsin_diag *diag)
{
	struct monitor_said *said = context;

	said->nr_warnings += diag->is_warning;

	(void)cli_diag(0, diag); /* the status is model_read()'s */
}

/* The scheduler's tick is the resolution of the coarse clock. */
uint64_t monitor_jiffy_ns(void)
{
	struct timespec ts = {0};

	if (monitor_wanted.jiffy_ns)
		return monitor_wanted.jiffy_ns;
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

static int shipped_get(const struct shipped_model *shipped, struct monitor_said *said,
		       struct model **ret)
{
	const struct model_sink sink = {.say = say, .context = said};
	const struct model_options how = {.jiffy_ns = monitor_jiffy_ns()};

	return model_read(shipped->file, shipped->text, shipped->len, &how, &sink, ret);
}

static int model_get(const char *name, struct monitor_said *said, struct model **ret)
{
	const struct model_sink sink = {.say = say, .context = said};
	const struct model_options how = {.jiffy_ns = monitor_jiffy_ns()};
	const struct shipped_model *shipped = strchr(name, '.') ? NULL : shipped_find(name);
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = NULL;
	size_t len = 0;
	int r;

	if (shipped && access(name, F_OK) < 0)
		return shipped_get(shipped, said, ret);
	r = file_read(name, &text, &len);
	if (r < 0)
		return r == -EINVAL ? -EIO : r;
	return model_read(name, text, len, &how, &sink, ret);
}

static int got(const char *name, int r)
{
	char why[64];

	if (r == 0)
		return -1;
	if (r != -EINVAL)
		cli_error("cannot read '%s': %s", name, tocsin_errno_text(r, why, sizeof(why)));
	return r == -ENOMEM ? CLI_FAILED : CLI_USAGE;
}

int monitor_model_get(const char *name, struct monitor_said *said, struct model **ret)
{
	return got(name, model_get(name, said, ret));
}

int monitor_model_shipped(const struct shipped_model *shipped, struct monitor_said *said,
			  struct model **ret)
{
	return got(shipped->file, shipped_get(shipped, said, ret));
}

void monitor_models_done(struct monitor_models *models)
{
	for (size_t i = 0; i < models->nr; i++)
		(void)model_free(models->item[i]); /* always NULL */
	free(models->item);
	*models = (struct monitor_models){0};
}

static int model_add(struct monitor_models *models, const char *name, bool *param_used)
{
	struct monitor_said said = {0};
	struct tocsin_err err = {0};
	struct model *m = NULL;
	int status = monitor_model_get(name, &said, &m);

	if (status >= 0)
		return status;
	models->item[models->nr++] = m;
	if (monitor_wanted.is_strict && said.nr_warnings)
		return CLI_NO;
	for (size_t i = 0; i + 1 < models->nr; i++)
		if (strcmp(models->item[i]->name, m->name) == 0)
			return cli_usage(&cmd_monitor_usage, "two models are called '%s'", m->name);
	if (bind_params(m, monitor_wanted.param.item, monitor_wanted.param.nr, param_used, &err) <
	    0)
		return cli_fail(CLI_USAGE, &err);
	return -1;
}

/* The nearest of what models call their events or parameters. */
static int unused_say(const struct monitor_models *models, const char *text, bool is_event)
{
	size_t len = strcspn(text, "=");
	char name[MODEL_NAME_MAX], near[400];
	struct tocsin_nearest nearest;

	(void)snprintf(name, sizeof(name), "%.*s",
		       (int)(len < sizeof(name) ? len : sizeof(name) - 1), text);
	tocsin_nearest_init(&nearest, name);
	for (size_t i = 0; i < models->nr; i++) {
		const struct model *m = models->item[i];

		for (int k = 0; is_event && k < m->nr_events; k++)
			tocsin_nearest_offer(&nearest, m->event[k].name);
		for (int k = 0; !is_event && k < m->nr_vars; k++)
			if (m->var[k].kind == MODEL_PARAM)
				tocsin_nearest_offer(&nearest, m->var[k].name);
	}
	(void)tocsin_nearest_text(&nearest, near, sizeof(near));
	return cli_usage(&cmd_monitor_usage, "no model has %s '%s'%s%s",
			 is_event ? "an event" : "a parameter", name,
			 near[0] ? ": did you mean " : "", near);
}

int monitor_models_get(char **name, size_t nr, struct monitor_models *ret)
{
	const struct opt_strings *param = &monitor_wanted.param;
	TOCSIN_CLEANUP(tocsin_free_voidp) bool *used = calloc(param->nr + 1, sizeof(*used));
	int status = -1;

	ret->item = calloc(nr + 1, sizeof(struct model *));
	if (!ret->item || !used)
		return CLI_FAILED;
	for (size_t i = 0; i < nr && status < 0; i++)
		status = model_add(ret, name[i], used);
	for (size_t i = 0; i < param->nr && status < 0; i++)
		if (!used[i])
			status = unused_say(ret, param->item[i], false);
	return status;
}

int monitor_binds_unused(const struct monitor_models *models, const bool *used)
{
	for (size_t i = 0; i < monitor_wanted.bind.nr; i++)
		if (!used[i])
			return unused_say(models, monitor_wanted.bind.item[i], true);
	return -1;
}

int monitor_policy(enum automaton_policy *ret)
{
	static const char *const names[] = {"reset", "keep", "freeze"};

	*ret = AUTOMATON_RESET;
	for (unsigned i = 0; monitor_wanted.after && i < 3; i++)
		if (strcmp(monitor_wanted.after, names[i]) == 0) {
			*ret = (enum automaton_policy)i;
			return -1;
		}
	return monitor_wanted.after ? cli_usage(&cmd_monitor_usage,
						"--after wants reset, keep or freeze, not '%.40s'",
						monitor_wanted.after)
				    : -1;
}

static bool is_kernel(void)
{
	return monitor_wanted.format && strcmp(monitor_wanted.format, "kernel") == 0;
}

int monitor_format(void)
{
	if (!monitor_wanted.format || is_kernel())
		return monitor_wanted.is_json && is_kernel()
			       ? cli_usage(&cmd_monitor_usage,
					   "--json and --format kernel exclude each other")
			       : -1;
	return strcmp(monitor_wanted.format, "text") == 0
		       ? -1
		       : cli_usage(&cmd_monitor_usage, "--format wants text or kernel, not '%.40s'",
				   monitor_wanted.format);
}

void monitor_say(struct out *o, const struct violated *v)
{
	if (monitor_wanted.is_json)
		violated_json(o, v);
	else if (is_kernel())
		violated_kernel(o, v);
	else
		violated_text(o, v);
}

void monitor_sum(struct out *o, const struct monitor_summary *s)
{
	if (monitor_wanted.is_json) {
		monitor_summary_json(o, s);
		return;
	}
	if (is_kernel())
		out_add(o, "# "); /* as what is no event begins in tracefs */
	monitor_summary_text(o, s);
}
