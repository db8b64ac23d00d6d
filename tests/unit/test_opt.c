// SPDX-License-Identifier: MIT
/* base/opt: what is read from command lines, and the sentences about those that are wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/opt.h"

static struct {
	bool all, force, json;
	const char *output;
	struct opt_strings pids;
	uint64_t count, duration_ns, size_bytes;
} got;

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Targets"},
	{.kind = OPT_FLAG,
	 .letter = 'a',
	 .name = "all",
	 .help = "every process",
	 .value = &got.all},
	{.kind = OPT_STRINGS,
	 .letter = 'p',
	 .name = "pid",
	 .metavar = "PID",
	 .help = "this one",
	 .value = &got.pids},
	{.kind = OPT_GROUP, .name = "Output"},
	{.kind = OPT_FLAG, .name = "force", .help = "go on", .value = &got.force},
	{.kind = OPT_FLAG, .letter = 'j', .name = "json", .help = "JSON", .value = &got.json},
	{.kind = OPT_STRING,
	 .letter = 'o',
	 .name = "output",
	 .metavar = "DIR",
	 .help = "write a trace of all that is seen into this directory, which must not be there yet",
	 .value = &got.output,
	 .standard = "none"},
	{.kind = OPT_U64,
	 .letter = 'n',
	 .name = "count",
	 .metavar = "N",
	 .help = "so many",
	 .value = &got.count,
	 .min = 1,
	 .max = 100},
	{.kind = OPT_DURATION,
	 .letter = 'd',
	 .name = "duration",
	 .metavar = "TIME",
	 .help = "so long",
	 .value = &got.duration_ns,
	 .min = 1000000,
	 .max = 3600000000000},
	{.kind = OPT_SIZE,
	 .name = "follow-size",
	 .metavar = "BYTES",
	 .help = "so much",
	 .value = &got.size_bytes,
	 .max = 1048576},
	{.kind = OPT_U64,
	 .name = "follow-any-number-of-children",
	 .metavar = "NUMBER",
	 .help = "any",
	 .value = &got.size_bytes},
	{.kind = OPT_END},
};

static const char *const examples[] = {"tocsin watch -p 1", "tocsin watch -a", NULL};

static const struct opt_command command = {
	.name = "watch",
	.usage =
		"[-p PID]... [-a|--all] [--force] [--json] [-o DIR] [-n N] [-d TIME] ['SECTION']... "
		"[-- COMMAND [ARG]...]",
	.summary = "watch sections",
	.examples = examples,
	.options = options,
};

#define WORDS_MAX 16

/* A command line being read, and what came of it. */
struct line {
	char words[512];
	char *argv[WORDS_MAX + 1];
	int argc, r, operands, after;
	char said[TOCSIN_ERR_CAUSE_LEN];
};

/* @text is parted at blanks; "''" is an empty word. */
static void read_line(struct line *l, const char *text)
{
	struct tocsin_err err = {0};

	opt_strings_done(&got.pids);
	memset(&got, 0, sizeof(got));
	*l = (struct line){.operands = -1, .after = -1};
	assert_true(strlen(text) < sizeof(l->words));
	memcpy(l->words, text, strlen(text) + 1);
	for (char *word = l->words, *end; word; word = end) {
		end = strchr(word, ' ');
		if (end)
			*end++ = '\0';
		assert_true(l->argc < WORDS_MAX);
		l->argv[l->argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
	}
	l->r = opt_parse(&command, l->argc, l->argv, &l->operands, &l->after, &err);
	(void)tocsin_err_text(&err, l->said, sizeof(l->said));
}

/* The words after reading, and where operands and what is behind "--" begin. */
static void check_order(const char *text, const char *order, int operands, int after)
{
	char words[600] = "";
	struct line l;
	size_t len = 0;

	read_line(&l, text);
	assert_int_equal(l.r, 0);
	for (int i = 0; i < l.argc; i++)
		len += (size_t)snprintf(words + len, sizeof(words) - len, "%s%s", i ? " " : "",
					l.argv[i]);
	assert_string_equal(words, order);
	assert_int_equal(l.operands, operands);
	assert_int_equal(l.after, after);
}

static void check_said(const char *text, const char *said)
{
	struct line l;

	read_line(&l, text);
	assert_int_equal(l.r, -EINVAL);
	assert_string_equal(l.said, said);
	assert_int_equal(l.operands, -1);
	assert_int_equal(l.after, -1);
}

static void operands_come_last(void **state)
{
	(void)state;
	check_order("watch", "watch", 1, 1);
	check_order("watch a b", "watch a b", 1, 3);
	check_order("watch a -j b -n 3 c", "watch -j -n 3 a b c", 4, 7);
	check_order("watch a -- -j b", "watch -- a -j b", 2, 3);
	check_order("watch a -j b -- c -j -- d", "watch -j -- a b c -j -- d", 3, 5);
	check_order("watch --", "watch --", 2, 2);
	check_order("watch a --", "watch -- a", 2, 3);
	check_order("watch -- --help", "watch -- --help", 2, 2);
	check_order("watch - -j", "watch -j -", 2, 3);
	check_order("watch a -o -- b", "watch -o -- a b", 3, 5);
}

static void values_are_read(void **state)
{
	struct line l;

	(void)state;
	read_line(
		&l,
		"watch -ajo out -p 1 --pid=2 --pid 3 -p4 -n 100 --duration=1.5s --follow-size 64K");
	assert_int_equal(l.r, 0);
	assert_true(got.all && got.json && !got.force);
	assert_string_equal(got.output, "out");
	assert_int_equal(got.pids.nr, 4);
	assert_string_equal(got.pids.item[0], "1");
	assert_string_equal(got.pids.item[1], "2");
	assert_string_equal(got.pids.item[2], "3");
	assert_string_equal(got.pids.item[3], "4");
	assert_int_equal(got.count, 100);
	assert_int_equal(got.duration_ns, 1500000000);
	assert_int_equal(got.size_bytes, 65536);
	read_line(&l, "watch --json --all --no-json --output=");
	assert_true(got.all && !got.json);
	assert_string_equal(got.output, "");
	read_line(&l, "watch --output --json -o ''");
	assert_string_equal(got.output, "");
	assert_false(got.json);
	read_line(&l, "watch --output=a=b --output=c=d");
	assert_string_equal(got.output, "c=d");
	read_line(&l, "watch --follow-any-number-of-children 0xffffffffffffffff");
	assert_int_equal(got.size_bytes, UINT64_MAX);
}

static void unique_abbreviations(void **state)
{
	struct line l;

	(void)state;
	read_line(&l, "watch --fo --js --du 2s --co=5 --no-j");
	assert_int_equal(l.r, -EINVAL);
	read_line(&l, "watch --for --js --du 2s --co=5 --no-f --al");
	assert_int_equal(l.r, 0);
	assert_true(got.json && got.all && !got.force);
	assert_int_equal(got.duration_ns, 2000000000);
	assert_int_equal(got.count, 5);
	check_said("watch --fo", "option '--fo' is short for several: '--force', '--follow-size', "
				 "'--follow-any-number-of-children'; see 'tocsin watch --help'");
	check_said("watch --follow=3",
		   "option '--follow' is short for several: '--follow-size', "
		   "'--follow-any-number-of-children'; see 'tocsin watch --help'");
}

static void help_ends_the_reading(void **state)
{
	static const char *const lines[] = {"watch --help", "watch -h", "watch a -jh", "watch --he",
					    "watch --help --bad"};
	struct line l;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		read_line(&l, lines[i]);
		assert_int_equal(l.r, 1);
	}
}

static void errors_name_what_is_wrong(void **state)
{
	(void)state;
	check_said("watch --jsno",
		   "unknown option '--jsno', nearest is '--json'; see 'tocsin watch --help'");
	check_said("watch --no-jsn",
		   "unknown option '--no-jsn', nearest is '--no-json'; see 'tocsin watch --help'");
	check_said("watch --zzzzzz", "unknown option '--zzzzzz'; see 'tocsin watch --help'");
	check_said("watch --=x", "unknown option '--'; see 'tocsin watch --help'");
	check_said("watch -jx", "unknown option '-x'; see 'tocsin watch --help'");
	check_said("watch -json",
		   "unknown option '-json', nearest is '--json'; see 'tocsin watch --help'");
	check_said("watch -force",
		   "unknown option '-force', nearest is '--force'; see 'tocsin watch --help'");
	check_said("watch -j\xc3\xa4", "unknown option '-\xc3\xa4'; see 'tocsin watch --help'");
	check_said("watch --json=1", "option '--json' takes no value; see 'tocsin watch --help'");
	check_said("watch --help=1", "option '--help' takes no value; see 'tocsin watch --help'");
	check_said(
		"watch --no-output",
		"unknown option '--no-output', nearest is '--output'; see 'tocsin watch --help'");
	check_said("watch -j --output",
		   "option '--output' needs a value: --output DIR; see 'tocsin watch --help'");
	check_said("watch -jn", "option '-n' needs a value: -n N; see 'tocsin watch --help'");
	check_said("watch -n 5x",
		   "option '-n': '5x' is not a whole number; see 'tocsin watch --help'");
	check_said("watch -n ''",
		   "option '-n': '' is not a whole number; see 'tocsin watch --help'");
	check_said("watch -n -1",
		   "option '-n': '-1' is not a whole number; see 'tocsin watch --help'");
	check_said("watch -n0",
		   "option '-n': '0' is out of range, from 1 to 100; see 'tocsin watch --help'");
	check_said("watch -n101",
		   "option '-n': '101' is out of range, from 1 to 100; see 'tocsin watch --help'");
	check_said(
		"watch --follow-a 99999999999999999999",
		"option '--follow-any-number-of-children': '99999999999999999999' is out of range; see 'tocsin watch --help'");
	check_said("watch -d 10",
		   "option '-d': '10' is not a duration with its unit, such as 10ms, 1.5s or 2m; "
		   "see 'tocsin watch --help'");
	check_said("watch -d 2h",
		   "option '-d': '2h' is out of range, from 1ms to 1h; see 'tocsin watch --help'");
	check_said(
		"watch --follow-size 1.5M",
		"option '--follow-size': '1.5M' is not a size in bytes, such as 4096, 64K or 8M; "
		"see 'tocsin watch --help'");
	check_said(
		"watch --follow-size 2M",
		"option '--follow-size': '2M' is out of range, from 0 to 1M; see 'tocsin watch --help'");
}

static void long_words_are_cut(void **state)
{
	struct line l;
	char text[400] = "watch --";

	(void)state;
	memset(text + 8, 'x', 300);
	read_line(&l, text);
	assert_int_equal(l.r, -EINVAL);
	assert_true(strlen(l.said) < 200);
	assert_non_null(strstr(l.said, "see 'tocsin watch --help'"));
}

static void commands_say_errors_in_the_same_form(void **state)
{
	struct tocsin_err err = {0};

	(void)state;
	assert_int_equal(opt_fail(&command, &err, "no section in '%s'", "x"), -EINVAL);
	assert_string_equal(err.cause[0], "no section in 'x'; see 'tocsin watch --help'");
}

static void no_options_at_all(void **state)
{
	static const struct opt_command bare = {.name = "bare", .usage = "", .summary = "nothing"};
	char name[] = "bare", word[] = "x", option[] = "--x";
	struct tocsin_err err = {0};
	int operands, after;

	(void)state;
	assert_int_equal(opt_parse(&bare, 2, (char *[]){name, word, NULL}, &operands, &after, &err),
			 0);
	assert_int_equal(operands, 1);
	assert_int_equal(
		opt_parse(&bare, 2, (char *[]){name, option, NULL}, &operands, &after, &err),
		-EINVAL);
}

/* What opt_help() prints, by way of a file in the place of standard output. */
static void help_text(char *buf, size_t len)
{
	FILE *file = tmpfile();
	int saved = dup(STDOUT_FILENO), r;
	size_t n;

	assert_true(file && saved >= 0);
	(void)fflush(stdout);
	(void)dup2(fileno(file), STDOUT_FILENO);
	r = opt_help(&command);
	(void)fflush(stdout);
	(void)dup2(saved, STDOUT_FILENO);
	(void)close(saved);
	assert_int_equal(r, 0);
	rewind(file);
	n = fread(buf, 1, len - 1, file);
	buf[n] = '\0';
	(void)fclose(file);
}

static void help_is_narrow_and_whole(void **state)
{
	char buf[8192];

	(void)state;
	help_text(buf, sizeof(buf));
	assert_int_equal(strncmp(buf, "Usage: tocsin watch [-p PID]... ", 32), 0);
	assert_non_null(strstr(
		buf,
		"[-n N]\n                    [-d TIME] ['SECTION']... [-- COMMAND [ARG]...]\n"));
	assert_non_null(strstr(buf, "\nWatch sections.\n"));
	assert_non_null(strstr(buf, "\nTargets:\n  -a, --all                  every process\n"));
	assert_non_null(strstr(buf, "\nOutput:\n      --force                go on\n"));
	assert_non_null(strstr(buf, "there yet (default\n                             none)\n"));
	assert_non_null(strstr(
		buf,
		"      --follow-any-number-of-children NUMBER\n                             any\n"));
	assert_non_null(strstr(buf, "\nExamples:\n  tocsin watch -p 1\n  tocsin watch -a\n"));
	assert_non_null(strstr(buf, "'man tocsin-watch'"));
	for (const char *line = buf, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_in_range(end - line, 0, 79);
	}
}

static int free_pids(void **state)
{
	(void)state;
	opt_strings_done(&got.pids);
	opt_strings_done(NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operands_come_last),
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(unique_abbreviations),
		cmocka_unit_test(help_ends_the_reading),
		cmocka_unit_test(errors_name_what_is_wrong),
		cmocka_unit_test(long_words_are_cut),
		cmocka_unit_test(commands_say_errors_in_the_same_form),
		cmocka_unit_test(no_options_at_all),
		cmocka_unit_test(help_is_narrow_and_whole),
	};

	return cmocka_run_group_tests_name("opt", tests, NULL, free_pids);
}
