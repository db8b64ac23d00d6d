// SPDX-License-Identifier: MIT
/* What the options of a recording come to. */
#include "record_args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/parse.h"
#include "../collector/filter.h"
#include "../collector/record_look.h"
#include "tocsin/types.h"

#define RING_BYTES_STANDARD (4u << 20)
#define BLOCK_NS_STANDARD   10000000u

static const char *const levels[] = {
	[TOCSIN_LEVEL_EMERG] = "emerg",     [TOCSIN_LEVEL_ALERT] = "alert",
	[TOCSIN_LEVEL_CRIT] = "crit",       [TOCSIN_LEVEL_ERROR] = "error",
	[TOCSIN_LEVEL_WARNING] = "warning", [TOCSIN_LEVEL_NOTICE] = "notice",
	[TOCSIN_LEVEL_INFO] = "info",       [TOCSIN_LEVEL_DEBUG] = "debug",
	[TOCSIN_LEVEL_TRACE] = "trace",
};

static const char *const contexts[CONTEXT_NR] = {
#define X(NAME, name, type, count, text) #name,
#include "../abi/context.def"
#undef X
};

static const char *const modes[] = {
	[CONTROL_MODE_DISCARD] = "discard",
	[CONTROL_MODE_OVERWRITE] = "overwrite",
	[CONTROL_MODE_BLOCK] = "block",
};

/* Return: its place, or -1 and @near has what may have been meant. */
static int name_find(const char *const *names, unsigned nr, const char *name, size_t len,
		     char *near, size_t near_len)
{
	struct tocsin_nearest nearest;
	char wanted[64];

	(void)snprintf(wanted, sizeof(wanted), "%.*s", (int)(len < 60 ? len : 60), name);
	for (unsigned i = 0; i < nr; i++)
		if (!strcmp(names[i], wanted))
			return (int)i;
	tocsin_nearest_init(&nearest, wanted);
	for (unsigned i = 0; i < nr; i++)
		tocsin_nearest_offer(&nearest, names[i]);
	(void)tocsin_nearest_text(&nearest, near, near_len);
	return -1;
}

static int name_unknown(const struct opt_command *cmd, const char *what, const char *name,
			const char *near)
{
	return cli_usage(cmd, "unknown %s '%.80s'%s%s", what, name, near[0] ? ", nearest is " : "",
			 near);
}

static int contexts_read(struct record_args *a, const struct opt_command *cmd)
{
	const char *at = a->contexts;
	char near[200];

	while (at && *at) {
		size_t len = strcspn(at, ",");
		int i = name_find(contexts, CONTEXT_NR, at, len, near, sizeof(near));

		if (i < 0)
			return name_unknown(cmd, "context", at, near);
		a->wish.contexts |= 1u << i;
		at += len + (at[len] == ',');
	}
	return -1;
}

static int rules_add(struct record_args *a, const struct opt_command *cmd,
		     const struct opt_strings *globs, unsigned level, bool is_on)
{
	for (size_t i = 0; i < globs->nr; i++) {
		int r = record_wish_rule(&a->wish, globs->item[i], level, is_on);

		if (r == -E2BIG)
			return cli_usage(cmd, "more than %zu globs", RECORD_RULES_MAX);
		if (r)
			return cli_usage(cmd, "'%.80s' is too long", globs->item[i]);
	}
	return -1;
}

static int rules_read(struct record_args *a, const struct opt_command *cmd)
{
	const char *any = "*";
	struct opt_strings all = {.item = &any, .nr = 1};
	int level = TOCSIN_LEVEL_TRACE, status;
	char near[200];

	if (a->level)
		level = name_find(levels, TOCSIN_LEVEL_TRACE + 1, a->level, strlen(a->level), near,
				  sizeof(near));
	if (level < 0)
		return name_unknown(cmd, "level", a->level, near);
	status = rules_add(a, cmd, a->enable.nr ? &a->enable : &all, (unsigned)level, true);
	if (status < 0)
		status = rules_add(a, cmd, &a->disable, TOCSIN_LEVEL_TRACE, false);
	return status;
}

/* One filter for all rules that switch on. */
static int where_read(struct record_args *a)
{
	struct tocsin_diag diag;
	uint16_t number;
	int r;

	if (!a->where)
		return -1;
	a->filters = calloc(1, CONTROL_FILTER_BYTES);
	if (!a->filters)
		return CLI_FAILED;
	r = filter_add(a->filters, a->where, "--where", &diag, &number);
	if (r)
		return cli_diag(r, &diag);
	for (uint32_t i = 0; i < a->wish.nr_rules; i++)
		if (a->wish.rule[i].enable)
			a->wish.rule[i].filter = number;
	a->wish.filters = a->filters;
	return -1;
}

/* Kernel events have at least thread and process as context: their rings are CPUs'. */
static int kernel_read(struct record_args *a, const struct opt_command *cmd)
{
	struct tocsin_err err = {0};

	if (a->with_self && !a->kernel.nr)
		return cli_usage(cmd, "--self goes with --kernel");
	for (size_t i = 0; i < a->kernel.nr; i++) {
		int r = kernel_wish_add(&a->kernel_wish, a->kernel.item[i], &err);

		if (r)
			return cli_fail(r == -ENOMEM ? CLI_FAILED : CLI_USAGE, &err);
	}
	if (!a->kernel.nr)
		return -1;
	if (a->wish.ring_bytes > KERNEL_RING_BYTES_MAX)
		return cli_usage(cmd, "with --kernel, --ring-size is at most 256M");
	a->kernel_options = (struct record_kernel_options){
		.wish = &a->kernel_wish,
		.contexts = a->wish.contexts | 1u << CONTEXT_TID | 1u << CONTEXT_PID,
		.ring_bytes = a->wish.ring_bytes,
		.is_overwriting = a->wish.mode == CONTROL_MODE_OVERWRITE,
		.with_self = a->with_self,
	};
	return -1;
}

int record_args_read(struct record_args *a, const struct opt_command *cmd, bool is_inherited)
{
	char near[200];
	int mode = CONTROL_MODE_DISCARD, status;

	if (a->mode)
		mode = name_find(modes, 3, a->mode, strlen(a->mode), near, sizeof(near));
	if (mode < 0)
		return name_unknown(cmd, "mode", a->mode, near);
	if (a->ring_bytes & (a->ring_bytes - 1))
		return cli_usage(cmd, "--ring-size must be a power of two");
	a->wish.mode = (uint32_t)mode;
	a->wish.ring_bytes = a->ring_bytes ?: RING_BYTES_STANDARD;
	a->wish.block_ns = (uint32_t)(a->block_ns ?: BLOCK_NS_STANDARD);
	a->wish.is_inherited = is_inherited;
	status = rules_read(a, cmd);
	if (status < 0)
		status = where_read(a);
	if (status < 0)
		status = contexts_read(a, cmd);
	return status < 0 ? kernel_read(a, cmd) : status;
}

int record_recover_run(const char *dir)
{
	struct record_recovered done;
	struct tocsin_err err = {0};
	int r = record_recover(dir, &done, &err);

	if (r)
		return cli_fail(r == -ENOENT || r == -EACCES ? CLI_USAGE : CLI_FAILED, &err);
	(void)printf("%u traces, %u files, %llu packets", done.nr_traces, done.nr_files,
		     (unsigned long long)done.nr_packets);
	if (done.broken_bytes)
		(void)printf(", %llu bytes of broken packets cut off",
			     (unsigned long long)done.broken_bytes);
	(void)printf("\n");
	return CLI_OK;
}

void record_args_done(struct record_args *a)
{
	opt_strings_done(&a->enable);
	opt_strings_done(&a->disable);
	opt_strings_done(&a->kernel);
	kernel_wish_done(&a->kernel_wish);
	free(a->filters);
	a->filters = NULL;
}
