// SPDX-License-Identifier: MIT
/* All tables of the command line as JSON: manual pages, completion and tests read them from here.
 */
#include <stdio.h>
#include <unistd.h>

#include "../report/json_text.h"
#include "cli.h"

static const struct {
	const char *group;
	const struct opt_command *usage;
} commands[] = {
#define X(name, group, summary) {group, &cmd_##name##_usage},
#include "commands.def"
#undef X
};

static const struct {
	int value;
	const char *text;
} statuses[] = {
#define X(NAME, value, text) {value, text},
#include "exit_codes.def"
#undef X
};

static const char *kind_name(enum opt_kind kind)
{
	switch (kind) {
	case OPT_GROUP: return "group";
	case OPT_FLAG: return "flag";
	case OPT_STRING: return "string";
	case OPT_STRINGS: return "strings";
	case OPT_U64: return "number";
	case OPT_DURATION: return "duration";
	case OPT_SIZE: return "size";
	case OPT_END: break;
	}
	return "end";
}

static void string_add(struct out *o, const char *name, const char *text)
{
	if (text)
		json_str(o, name, text);
}

static void option_add(struct out *o, const struct opt *opt)
{
	json_open(o, NULL, '{');
	json_str(o, "kind", kind_name(opt->kind));
	string_add(o, "name", opt->name);
	if (opt->letter)
		json_strn(o, "letter", &opt->letter, 1);
	string_add(o, "metavar", opt->metavar);
	string_add(o, "help", opt->help);
	string_add(o, "detail", opt->detail);
	string_add(o, "default", opt->standard);
	if (opt->min || opt->max) {
		json_u64(o, "min", opt->min);
		json_u64(o, "max", opt->max);
	}
	json_close(o, '}');
}

static void command_add(struct out *o, const char *group, const struct opt_command *usage)
{
	json_open(o, NULL, '{');
	json_str(o, "name", usage->name);
	json_str(o, "group", group);
	json_str(o, "summary", usage->summary);
	json_str(o, "usage", usage->usage);
	json_open(o, "examples", '[');
	for (const char *const *example = usage->examples; example && *example; example++)
		json_str(o, NULL, *example);
	json_close(o, ']');
	json_open(o, "options", '[');
	for (const struct opt *opt = usage->options; opt && opt->kind != OPT_END; opt++)
		option_add(o, opt);
	json_close(o, ']');
	json_close(o, '}');
}

int cli_dump(void)
{
	char why[64];
	struct out o;
	int r;

	out_init(&o, STDOUT_FILENO);
	json_open(&o, NULL, '{');
	json_str(&o, "program", "tocsin");
	json_str(&o, "version", TOCSIN_VERSION);
	json_open(&o, "commands", '[');
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		command_add(&o, commands[i].group, commands[i].usage);
	json_close(&o, ']');
	json_open(&o, "exit_statuses", '[');
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		json_open(&o, NULL, '{');
		json_i64(&o, "value", statuses[i].value);
		json_str(&o, "text", statuses[i].text);
		json_close(&o, '}');
	}
	json_close(&o, ']');
	json_close(&o, '}');
	out_add(&o, "\n");
	r = out_write(&o);
	out_done(&o);
	if (r == 0)
		return CLI_OK;
	cli_error("cannot write to standard output: %s", tocsin_errno_text(r, why, sizeof(why)));
	return CLI_FAILED;
}
