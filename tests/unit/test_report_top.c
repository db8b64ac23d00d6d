// SPDX-License-Identifier: MIT
/* The --top table: in a file, and on a terminal of known size. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "report/top.h"
#include "report_capture.h"
#include "report_sample.h"

static void test_file(void **state)
{
	struct watch_summary *s = sample_summary();
	int fd = capture_open();
	struct top t;

	(void)state;
	top_init(&t, fd);
	assert_int_equal(top_draw(&t, s, SAMPLE_START_NS, SAMPLE_REALTIME_NS), 0);
	assert_string_equal(
		capture_take(fd),
		"22:13:25.000  tocsin: 2 sections for 30.0 s\n"
		"SECTION               COUNT/S     OVER      P50      P99      MAX  TOP CAUSE\n"
		"query                     412        2  1.20 ms  9.90 ms  12.6 ms  "
		"blocked 12.0 ms on a row lock: woken by postgres 4712\n"
		"commit                    0.0        0     0 ns     0 ns     0 ns\n"
		"\n");
	/* Rates are those since the last table, found by name also when the sections have moved. */
	s->section[1] = s->section[0];
	s->section[0] = (struct section_summary){.name = "new", .text = "new", .closed = 15};
	s->section[1].closed += 3;
	s->duration_ns += 2000000000;
	s->loss[LOSS_GAP] = 3;
	s->records_lost = 1;
	assert_int_equal(top_draw(&t, s, SAMPLE_START_NS, SAMPLE_REALTIME_NS), 0);
	assert_string_equal(
		capture_take(fd),
		"22:13:25.000  tocsin: 2 sections for 32.0 s, 4 lost or not seen\n"
		"SECTION               COUNT/S     OVER      P50      P99      MAX  TOP CAUSE\n"
		"new                       7.5        0     0 ns     0 ns     0 ns\n"
		"query                     1.5        2  1.20 ms  9.90 ms  12.6 ms  "
		"blocked 12.0 ms on a row lock: woken by postgres 4712\n"
		"\n");
	top_done(&t);
	assert_string_equal(capture_take(fd), "");
	(void)close(fd);
}

static void test_foul_names(void **state)
{
	struct watch_summary *s = sample_summary();
	int fd = capture_open();
	const char *text;
	struct top t;

	(void)state;
	s->section[0].name = SAMPLE_EVIL;
	s->section[1].name = "sixteen sixteen sixteen sixteen";
	(void)snprintf(s->section[0].cause[0].text, sizeof(s->section[0].cause[0].text), "%s",
		       SAMPLE_EVIL);
	top_init(&t, fd);
	assert_int_equal(top_draw(&t, s, SAMPLE_START_NS, SAMPLE_REALTIME_NS), 0);
	text = capture_take(fd);
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "\na?[31mb?? \"\\??2J????      412"));
	assert_non_null(strstr(text, "\nsixteen sixteen sixt      0.0"));
	top_done(&t);
	(void)close(fd);
}

/* A pseudo terminal of @columns by @lines; what is written to *ret_terminal comes out of the
 * result. */
static int terminal_open(unsigned short columns, unsigned short lines, int *ret_terminal)
{
	const struct winsize size = {.ws_col = columns, .ws_row = lines};
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	*ret_terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(*ret_terminal >= 0);
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	return master;
}

static const char *terminal_take(int master)
{
	static char text[8192];
	ssize_t len = read(master, text, sizeof(text) - 1);

	assert_true(len > 0);
	text[len] = '\0';
	return text;
}

static void test_terminal(void **state)
{
	struct watch_summary *s = sample_summary();
	int terminal, master = terminal_open(40, 4, &terminal);
	struct top t;

	(void)state;
	assert_int_equal(unsetenv("NO_COLOR"), 0);
	assert_int_equal(setenv("TERM", "xterm", 1), 0);
	top_init(&t, terminal);
	/* Four lines have room for the title, the heading and one section; nothing is wider
	 * than 40. */
	assert_int_equal(top_draw(&t, s, SAMPLE_START_NS, SAMPLE_REALTIME_NS), 0);
	assert_string_equal(
		terminal_take(master),
		"\033[?1049h\033[?25l\033[H"
		"22:13:25.000  tocsin: 2 sections for 30.\033[K\r\n"
		"\033[1mSECTION               COUNT/S     OVER  \033[0m\033[K\r\n"
		"query                     412\033[31m        2\033[0m  \033[0m\033[K\r\n"
		"\033[J");
	assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
	assert_int_equal(top_draw(&t, s, SAMPLE_START_NS, SAMPLE_REALTIME_NS), 0);
	assert_string_equal(terminal_take(master),
			    "\033[H"
			    "22:13:25.000  tocsin: 2 sections for 30.\033[K\r\n"
			    "SECTION               COUNT/S     OVER  \033[K\r\n"
			    "query                     0.0        2  \033[K\r\n"
			    "\033[J");
	top_done(&t);
	assert_string_equal(terminal_take(master), "\033[?25h\033[?1049l");
	(void)close(terminal);
	(void)close(master);
}

static void test_closed_pipe(void **state)
{
	struct top t;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	(void)close(fds[0]);
	top_init(&t, fds[1]);
	assert_int_equal(top_draw(&t, sample_summary(), 0, 0), -EPIPE);
	top_done(&t);
	(void)close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_foul_names),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_closed_pipe),
	};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (setenv("TZ", "UTC", 1) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
