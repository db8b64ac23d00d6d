// SPDX-License-Identifier: MIT
/* The help text of a command, from the table that its options are read by. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "opt.h"
#include "text.h"

#define WIDTH      79 /* columns */
#define HELP_START 29 /* column where the sentences begin */

/* Bytes at the start of @s that fit @room columns and end before a blank outside of brackets; at
 * least one word. */
static size_t line_len(const char *s, size_t room)
{
	size_t fits = 0;
	int depth = 0;

	for (size_t i = 0;; i++) {
		if (s[i] == '[')
			depth++;
		else if (s[i] == ']')
			depth--;
		if (s[i] && (s[i] != ' ' || depth > 0))
			continue;
		if (fits && tocsin_text_columns(s, i) > room)
			return fits;
		fits = i;
		if (!s[i])
			return fits;
	}
}

/* Print @s from column @at, its further lines indented to @indent. */
static void wrapped_print(const char *s, size_t at, size_t indent)
{
	size_t len;

	for (; *s; at = indent) {
		len = line_len(s, WIDTH - at);
		(void)fprintf(stdout, "%.*s\n", (int)len, s);
		s += len;
		while (*s == ' ')
			s++;
		if (*s)
			(void)fprintf(stdout, "%*s", (int)indent, "");
	}
}

static void option_print(const struct opt *o)
{
	char left[80], help[512];
	struct tocsin_text t;

	tocsin_text_init(&t, left, sizeof(left));
	if (o->letter)
		tocsin_text_add(&t, "  -%c%s", o->letter, o->name ? ", " : "");
	else
		tocsin_text_add(&t, "      ");
	if (o->name)
		tocsin_text_add(&t, "--%s", o->name);
	if (o->metavar)
		tocsin_text_add(&t, " %s", o->metavar);
	tocsin_text_init(&t, help, sizeof(help));
	tocsin_text_add(&t, "%s", o->help);
	if (o->standard)
		tocsin_text_add(&t, " (default %s)", o->standard);
	if (strlen(left) + 2 > HELP_START)
		(void)fprintf(stdout, "%s\n%*s", left, HELP_START, "");
	else
		(void)fprintf(stdout, "%-*s", HELP_START, left);
	wrapped_print(help, HELP_START, HELP_START);
}

int opt_help(const struct opt_command *cmd)
{
	static const struct opt help = {.letter = 'h', .name = "help", .help = "print this help"};
	bool is_first = true;
	char summary[160];
	int n;

	n = fprintf(stdout, "Usage: tocsin %s ", cmd->name);
	if (n < 0)
		return -EIO;
	wrapped_print(cmd->usage, (size_t)n, (size_t)n);
	(void)fprintf(stdout, "\n");
	(void)snprintf(summary, sizeof(summary), "%c%s.", toupper((unsigned char)cmd->summary[0]),
		       cmd->summary + 1);
	wrapped_print(summary, 0, 0);
	for (const struct opt *o = cmd->options; o && o->kind != OPT_END; o++, is_first = false) {
		if (o->kind == OPT_GROUP)
			(void)fprintf(stdout, "\n%s:\n", o->name);
		else if (is_first)
			(void)fprintf(stdout, "\nOptions:\n");
		if (o->kind != OPT_GROUP)
			option_print(o);
	}
	(void)fprintf(stdout, "\nHelp:\n");
	option_print(&help);
	(void)fprintf(stdout, "\nExamples:\n");
	for (const char *const *example = cmd->examples; example && *example; example++)
		(void)fprintf(stdout, "  %s\n", *example);
	(void)fprintf(stdout, "\n");
	wrapped_print(
		"--no-NAME takes a flag back; long names may be shortened. Sizes take K, M, G; "
		"times need a unit, such as 10ms. -- ends the options.",
		0, 0);
	(void)fprintf(stdout, "More: 'man tocsin-%s'\n", cmd->name);
	return ferror(stdout) ? -EIO : 0; /* what printf() returned above is remembered there */
}
