// SPDX-License-Identifier: MIT
/* base/err and base/text: chains of causes, carets, and foreign text made harmless. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"

static void chain_is_outermost_first(void **state)
{
	struct tocsin_err err = {0};
	char buf[100];

	(void)state;
	assert_string_equal(tocsin_err_text(&err, buf, sizeof(buf)), "");
	assert_int_equal(tocsin_err_fail(-ENOENT, &err, "no file '%s'", "x"), -ENOENT);
	tocsin_err_add(&err, "cannot watch %d", 7);
	assert_int_equal(err.nr_causes, 2);
	assert_string_equal(tocsin_err_text(&err, buf, sizeof(buf)), "cannot watch 7: no file 'x'");
	assert_string_equal(tocsin_err_text(&err, buf, 10), "cannot...");
	tocsin_err_add(NULL, "nobody asks");
	assert_int_equal(tocsin_err_fail(-EIO, NULL, "nobody asks"), -EIO);
}

static void chain_drops_the_outermost(void **state)
{
	struct tocsin_err err = {0};
	char buf[200];

	(void)state;
	for (int i = 0; i < 20; i++)
		tocsin_err_add(&err, "%d", i);
	assert_int_equal(err.nr_causes, TOCSIN_ERR_CAUSES);
	assert_string_equal(tocsin_err_text(&err, buf, sizeof(buf)), "7: 6: 5: 4: 3: 2: 1: 0");
}

static void long_cause_is_marked(void **state)
{
	struct tocsin_err err = {0};

	(void)state;
	tocsin_err_add(&err, "%0*d", TOCSIN_ERR_CAUSE_LEN - 1, 0);
	assert_int_equal(strlen(err.cause[0]), TOCSIN_ERR_CAUSE_LEN - 1);
	assert_null(strstr(err.cause[0], "..."));
	tocsin_err_add(&err, "%0*d", TOCSIN_ERR_CAUSE_LEN, 0);
	assert_int_equal(strlen(err.cause[1]), TOCSIN_ERR_CAUSE_LEN - 1);
	assert_string_equal(err.cause[1] + TOCSIN_ERR_CAUSE_LEN - 4, "...");
}

static void errno_is_said_in_lower_case(void **state)
{
	char buf[64];

	(void)state;
	assert_string_equal(tocsin_errno_text(-ENOENT, buf, sizeof(buf)),
			    "no such file or directory");
	assert_string_equal(tocsin_errno_text(EIO, buf, sizeof(buf)), "input/output error");
	assert_string_equal(tocsin_errno_text(ENOENT, buf, 8), "no such");
}

/* All of tocsin_diag_set() in one line. */
#define set(diag, file_, line_, source_, column_, len_, ...)        \
	tocsin_diag_set(diag,                                       \
			&(struct tocsin_where){.file = (file_),     \
					       .line = (line_),     \
					       .source = (source_), \
					       .column = (column_), \
					       .len = (len_)},      \
			__VA_ARGS__)

static void diag_has_a_caret(void **state)
{
	struct tocsin_diag diag;
	char buf[500];

	(void)state;
	set(&diag, "budgets", 3, "abc def", 5, 3, "'%s' is wrong", "def");
	tocsin_diag_hint(&diag, "nearest is '%s'", "ghi");
	assert_string_equal(tocsin_diag_text(&diag, buf, sizeof(buf)),
			    "budgets:3:5: error: 'def' is wrong\n"
			    "abc def\n"
			    "    ^~~\n"
			    "hint: nearest is 'ghi'\n");
	set(&diag, "command line", 0, "abc", 4, 0, "more is needed");
	assert_string_equal(tocsin_diag_text(&diag, buf, sizeof(buf)),
			    "command line: error: more is needed\n"
			    "abc\n"
			    "   ^\n");
	set(&diag, "b", 2, "abc", 0, 0, "all of it");
	assert_string_equal(tocsin_diag_text(&diag, buf, sizeof(buf)),
			    "b:2: error: all of it\nabc\n");
	set(&diag, "b", 0, NULL, 0, 0, "cannot read");
	assert_string_equal(tocsin_diag_text(&diag, buf, sizeof(buf)), "b: error: cannot read\n");
	set(&diag, "b", 1, "abc", 2, 100, "to the end");
	assert_non_null(strstr(tocsin_diag_text(&diag, buf, sizeof(buf)), "abc\n ^~\n"));
	set(&diag, "b", 1, "abc", 100, 1, "beyond it");
	assert_string_equal(tocsin_diag_text(&diag, buf, sizeof(buf)),
			    "b:1:100: error: beyond it\nabc\n");
	set(NULL, "b", 1, "abc", 1, 1, "nobody asks");
	tocsin_diag_hint(NULL, "nobody asks");
}

static void diag_shows_foreign_text_harmlessly(void **state)
{
	struct tocsin_diag diag;
	char buf[500];

	(void)state;
	set(&diag, "a\033[31m", 1,
	    "\t\xc3\xa4\xff\033\xe2\x80\xae"
	    "bad",
	    9, 3, "x\ny");
	assert_string_equal(tocsin_diag_text(&diag, buf, sizeof(buf)), "a?[31m:1:9: error: x?y\n"
								       " \xc3\xa4???bad\n"
								       "     ^~~\n");
}

/* Of a long line the part with the fault is shown, and the caret is under it. */
static void diag_cuts_long_lines(void **state)
{
	static char line[5000], buf[4000];
	struct tocsin_diag diag;

	(void)state;
	for (size_t column = 1; column < sizeof(line); column += 7) {
		const char *shown, *caret;

		memset(line, 'a', sizeof(line) - 1);
		memcpy(line + sizeof(line) - 3, "\xc3\xa4", 2);
		line[column - 1] = 'X';
		set(&diag, "f", 1, line, column, 1, "here");
		shown = strchr(tocsin_diag_text(&diag, buf, sizeof(buf)), '\n') + 1;
		caret = strchr(shown, '\n') + 1;
		assert_int_equal(diag.column, column);
		assert_int_equal(strchr(shown, 'X') - shown, strchr(caret, '^') - caret);
	}
}

static void diag_fits_its_storage(void **state)
{
	struct tocsin_diag diag;
	char buf[300];

	(void)state;
	set(&diag, "file", 3, "abc \xc3\xa4 def", 8, 3, "wrong");
	tocsin_diag_hint(&diag, "hint");
	for (size_t len = 0; len < 100; len++) {
		memset(buf, '#', sizeof(buf));
		(void)tocsin_diag_text(&diag, buf, len);
		assert_true(len == 0 || memchr(buf, '\0', len));
		assert_int_equal(buf[len], '#');
		if (len > 1)
			assert_int_equal(buf[strlen(buf) - 1], '\n');
	}
}

static void text_never_overflows(void **state)
{
	struct tocsin_text t;
	char buf[8];

	(void)state;
	memset(buf, '#', sizeof(buf));
	tocsin_text_init(&t, buf, 5);
	tocsin_text_add(&t, "ab");
	tocsin_text_add_bytes(&t, "cd", 2);
	assert_false(t.is_cut);
	assert_string_equal(buf, "abcd");
	tocsin_text_add_bytes(&t, "e", 1);
	tocsin_text_add(&t, "f");
	tocsin_text_add_clean(&t, "g", 1);
	assert_true(t.is_cut);
	assert_string_equal(buf, "abcd");
	assert_int_equal(buf[5], '#');
	tocsin_text_init(&t, buf, 3);
	tocsin_text_add_clean(&t, "a\xc3\xa4", 3); /* no half of it */
	assert_string_equal(buf, "a");
	assert_true(t.is_cut);
	tocsin_text_init(&t, buf, 0);
	tocsin_text_add(&t, "x");
	tocsin_text_add_bytes(&t, "x", 1);
	tocsin_text_add_clean(&t, "x", 1);
	assert_true(t.is_cut);
	assert_int_equal(tocsin_text_columns("a\xc3\xa4\xff\t", 5), 4);
}

static void assert_says_where_and_aborts(void **state)
{
	char said[200] = "";
	int out[2], status;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(out), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct sigaction fallback = {.sa_handler = SIG_DFL};

		(void)sigaction(SIGABRT, &fallback, NULL);
		(void)dup2(out[1], STDERR_FILENO);
		TOCSIN_ASSERT(1 + 1 == 2);
		TOCSIN_ASSERT(1 + 1 == 3);
		_exit(0);
	}
	(void)close(out[1]);
	n = read(out[0], said, sizeof(said) - 1);
	assert_true(n > 0);
	(void)close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(said, "tocsin: bug: '1 + 1 == 3' does not hold at "));
	assert_non_null(strstr(said, "test_err.c:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_is_outermost_first),
		cmocka_unit_test(chain_drops_the_outermost),
		cmocka_unit_test(long_cause_is_marked),
		cmocka_unit_test(errno_is_said_in_lower_case),
		cmocka_unit_test(diag_has_a_caret),
		cmocka_unit_test(diag_shows_foreign_text_harmlessly),
		cmocka_unit_test(diag_cuts_long_lines),
		cmocka_unit_test(diag_fits_its_storage),
		cmocka_unit_test(text_never_overflows),
		cmocka_unit_test(assert_says_where_and_aborts),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
