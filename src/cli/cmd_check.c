// SPDX-License-Identifier: MIT
/* `tocsin check`: read sections as `tocsin watch` would, without watching. */
#include <errno.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../collector/section.h"
#include "../report/json_text.h"
#include "cli.h"

static struct {
	struct opt_strings budgets;
	bool is_json;
} wanted;

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Sections"},
	CLI_SHARED(BUDGETS, &wanted.budgets),
	{.kind = OPT_GROUP, .name = "Output"},
	CLI_SHARED(JSON, &wanted.is_json),
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin check 'usdt:postgres:query__start .. query__done < 10ms'",
	"tocsin check 'reads: syscall:read < 5ms'",
	"tocsin check --budgets budgets.txt --json",
	NULL,
};

const struct opt_command cmd_check_usage = {
	CLI_COMMAND(check),
	.usage = "[--budgets FILE]... [--json] ['SECTION']...",
	.examples = examples,
	.options = options,
};

static void place_add(struct out *o, const char *name, const struct place *p)
{
	char text[SECTION_TEXT_MAX];

	if (p->kind == PLACE_NONE)
		return;
	json_open(o, name, '{');
	json_str(o, "kind", place_kind_name(p->kind));
	if (p->path)
		json_str(o, "path", p->path);
	if (p->group)
		json_str(o, "group", p->group);
	if (p->name)
		json_str(o, "name", p->name);
	if (p->kind == PLACE_OFFSET)
		json_u64(o, "offset", p->offset);
	json_str(o, "text", place_text(p, text, sizeof(text)));
	json_close(o, '}');
}

static void section_add_json(struct out *o, const struct section *s)
{
	char text[SECTION_TEXT_MAX];

	json_open(o, NULL, '{');
	json_str(o, "type", "section");
	json_str(o, "name", s->name);
	json_str(o, "text", s->text);
	json_str(o, "normal", section_normal(s, text, sizeof(text)));
	place_add(o, "start", &s->start);
	place_add(o, "stop", &s->stop);
	if (s->start_key >= 0) {
		json_i64(o, "start_key", s->start_key);
		json_i64(o, "stop_key", s->stop_key);
	}
	json_u64(o, "budget_ns", s->budget_ns);
	json_bool(o, "kernel_line", s->is_tlob);
	json_str(o, "file", s->file);
	if (s->line)
		json_u64(o, "line", s->line);
	json_close(o, '}');
}

static int list_print(const struct section_list *list)
{
	bool is_terminal = out_style_get(STDOUT_FILENO).is_terminal;
	char text[SECTION_TEXT_MAX], why[64];
	struct out o;
	int r = 0;

	out_init(&o, STDOUT_FILENO);
	for (size_t i = 0; i < list->nr && r == 0; i++) {
		const struct section *s = &list->item[i];

		if (wanted.is_json)
			section_add_json(&o, s);
		else if (is_terminal)
			out_add_clean(&o, section_normal(s, text, sizeof(text)));
		else /* to be read again, so exactly */
			out_add(&o, "%s", section_normal(s, text, sizeof(text)));
		out_add(&o, "\n");
		r = out_write(&o);
	}
	out_done(&o);
	if (r == 0)
		return CLI_OK;
	cli_error("cannot write to standard output: %s", tocsin_errno_text(r, why, sizeof(why)));
	return CLI_FAILED;
}

/* All of them, so that one run names every fault. Return: the exit status. */
static int list_fill(struct section_list *list, char **words, int nr)
{
	struct tocsin_diag diag;
	int status = CLI_OK;
	int r;

	for (size_t i = 0; i < wanted.budgets.nr; i++) {
		r = section_list_read(list, wanted.budgets.item[i], &diag);
		if (r < 0)
			status = cli_diag(r, &diag);
	}
	for (int i = 0; i < nr; i++) {
		r = section_list_apply(list, words[i], "command line", 0, &diag);
		if (r < 0)
			status = cli_diag(r, &diag);
	}
	return status;
}

int cmd_check(int argc, char **argv)
{
	TOCSIN_CLEANUP(section_list_done) struct section_list list = {0};
	int operands, after_dashes, status;

	status = cli_parse(&cmd_check_usage, argc, argv, &operands, &after_dashes);
	if (status < 0 && operands == argc && !wanted.budgets.nr)
		status = cli_usage(&cmd_check_usage, "no section and no --budgets");
	if (status < 0) {
		/* Behind "--" stand sections too: one that takes away begins with '-'. */
		status = list_fill(&list, argv + operands, argc - operands);
		if (status == CLI_OK)
			status = list_print(&list);
	}
	opt_strings_done(&wanted.budgets);
	return status;
}
