// SPDX-License-Identifier: MIT
/* The text for people: whole outputs for known results, and nothing foul on a terminal. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "report/text.h"
#include "report/words.h"
#include "report_capture.h"
#include "report_sample.h"

static const struct out_style plain;

static const char *violation_text(const struct violation *v, struct out_style style,
				  bool is_verbose)
{
	int fd = capture_open();
	struct text_report t;
	const char *text;

	text_report_init(&t, fd, style, is_verbose);
	assert_int_equal(text_violation(&t, v), 0);
	text = capture_take(fd);
	text_report_done(&t);
	(void)close(fd);
	return text;
}

static void test_violation_line(void **state)
{
	(void)state;
	assert_string_equal(
		violation_text(sample_violation(), plain, false),
		"22:13:25.012 query 12.6 ms (budget 10 ms, 1.3x)  postgres 4711 key 42: "
		"blocked 12.0 ms on a row lock: woken by postgres 4712\n");
}

static void test_violation_verbose(void **state)
{
	(void)state;
	assert_string_equal(
		violation_text(sample_violation(), plain, true),
		"22:13:25.012 query 12.6 ms (budget 10 ms, 1.3x)  postgres 4711 key 42: "
		"blocked 12.0 ms on a row lock: woken by postgres 4712\n"
		"    running 300 us (2.4 %), waiting 300 us (2.4 %), blocked 12.0 ms (95 %)\n"
		"    +200 us: blocked 12.0 ms in semop [heavy_lock], then waiting 200 us [runqueue]; woken by "
		"postgres 4712; held by postgres 4713; the CPU had xz 98/99 for 190 us\n"
		"        stack: do_semtimedop __x64_sys_semtimedop\n"
		"    +12.5 ms: waiting 100 us [preempted], throttled 40.0 us; quota of cgroup batch.slice: "
		"50.0 ms in 100 ms\n"
		"    spells not kept: 1, of these lost on the way: 1\n"
		"    short spells: 9, together 81.0 us\n");
}

static void test_fired_line(void **state)
{
	struct violation *v = sample_fired();

	(void)state;
	assert_string_equal(
		violation_text(v, plain, true),
		"22:13:25.010 query over 10 ms, still open  exactly16bytes!! 4711: "
		"now blocked in fdatasync; so far running 200 us (2.0 %), blocked 9.80 ms (98 %)\n");
	(void)snprintf(v->verdict, sizeof(v->verdict), "blocked 9.8 ms in fdatasync");
	v->raw.tid = 4800;
	assert_string_equal(
		violation_text(v, plain, false),
		"22:13:25.010 query over 10 ms, still open  exactly16bytes!! 4711/4800: "
		"blocked 9.8 ms in fdatasync\n");
}

static void test_stacks(void **state)
{
	const char *text = violation_text(sample_stacked(), plain, true);
	struct violation *v;

	(void)state;
	assert_non_null(strstr(
		text,
		"    at the deadline: wait_word (wait.c:71) in lock_row (row.c:9) < start [libold.so] (replaced) < "
		"0x7f0012; it ends here: the code has no unwinding table\n"));
	assert_non_null(strstr(text, "        in: no stack: its record was lost\n"));
	v = sample_stacked();
	v->stack->why = STACK_COMPLETE;
	v->spell[0].user_stack = v->stack; /* most of the time: it is what counts */
	text = violation_text(v, plain, false);
	assert_non_null(strstr(text, "    most of it in: wait_word (wait.c:71) in lock_row"));
	assert_null(strstr(text, "at the deadline"));
	assert_null(strstr(text, "it ends here"));
}

static void test_ends_without_stop(void **state)
{
	struct violation *v = sample_violation();

	(void)state;
	v->raw.flags = SECTION_ABANDON_EXIT | SECTION_NO_SPLIT | SECTION_MOVED;
	v->raw.stop_tid = 9;
	v->verdict[0] = '\0';
	v->nr_spells = 0;
	v->raw.spells_long = 0;
	v->nr_spells_lost = 0;
	v->raw.spells_short = 0;
	v->budget_ns = 12500000;
	assert_string_equal(
		violation_text(v, plain, true),
		"22:13:25.012 query 12.6 ms (budget 12.5 ms, 1.00x, its thread exited)  postgres 4711: "
		"no cause known\n"
		"    split not known: it went from thread to thread; stopped by thread 9\n");
}

/* Only what the line itself puts there: printing characters and newlines. */
static void check_clean(const char *text)
{
	for (; *text; text++)
		assert_true((unsigned char)*text >= 0x20 || *text == '\n');
}

static void test_extreme(void **state)
{
	const char *text = violation_text(sample_extreme(), plain, true);

	(void)state;
	check_clean(text);
	assert_null(strstr(text, "\x7f"));
	assert_null(strstr(text, "\xc2\x9b"));
	assert_null(strstr(text, "\xe2\x80\xae"));
	assert_null(strstr(text, "\xff"));
	assert_non_null(strstr(text, "a?[31mb?? \"\\??2J????????"));
	assert_non_null(strstr(text, "key 18446744073709551615"));
	assert_non_null(strstr(text, "split not known: a switch of the scheduler was not seen"));
}

static void test_colour_and_width(void **state)
{
	const struct out_style colour = {.is_terminal = true, .has_colour = true};
	const struct out_style narrow = {.is_terminal = true, .columns = 40};
	const struct out_style tiny = {.is_terminal = true, .columns = 3};
	struct violation *v = sample_violation();

	(void)state;
	assert_string_equal(
		violation_text(v, colour, false),
		"\033[2m22:13:25.012\033[0m \033[1mquery\033[0m \033[31m12.6 ms\033[0m "
		"(budget 10 ms, 1.3x)  postgres 4711 key 42: blocked 12.0 ms on a row lock: "
		"woken by postgres 4712\n");
	assert_string_equal(violation_text(v, narrow, false),
			    "22:13:25.012 query 12.6 ms (budget 10\n"
			    "    ms, 1.3x)  postgres 4711 key 42:\n"
			    "    blocked 12.0 ms on a row lock: woken\n"
			    "    by postgres 4712\n");
	/* Too narrow to break: better one long line than none. */
	assert_non_null(strstr(violation_text(v, tiny, false), "(budget 10 ms, 1.3x)  postgres"));
	(void)snprintf(
		v->verdict, sizeof(v->verdict), "%s",
		"averyveryverylongwordthatdoesnotfitintoonelineoftheterminal \xc3\xa4\xc3\xa4");
	assert_string_equal(violation_text(v, narrow, false),
			    "22:13:25.012 query 12.6 ms (budget 10\n"
			    "    ms, 1.3x)  postgres 4711 key 42:\n"
			    "    averyveryverylongwordthatdoesnotfitintoonelineoftheterminal\n"
			    "    \xc3\xa4\xc3\xa4\n");
}

static void test_style(void **state)
{
	int fd = capture_open();

	(void)state;
	assert_false(out_style_get(fd).is_terminal);
	assert_false(out_style_get(fd).has_colour);
	assert_int_equal(out_style_get(fd).columns, 0);
	(void)close(fd);
}

static void test_process(void **state)
{
	int fd = capture_open();
	struct watch_event_process *p = sample_process();
	struct text_report t;

	(void)state;
	text_report_init(&t, fd, plain, false);
	assert_int_equal(text_process(&t, p, SAMPLE_REALTIME_NS), 0);
	assert_string_equal(capture_take(fd),
			    "22:13:25.000 process postgres 4800 forked by 4711\n");
	p->what = 99;
	assert_int_equal(text_process(&t, p, SAMPLE_REALTIME_NS), 0);
	assert_string_equal(capture_take(fd), "22:13:25.000 process postgres 4800 unknown\n");
	text_report_done(&t);
	(void)close(fd);
}

static const char *summary_text(const struct watch_summary *s, const struct sink_losses *sinks)
{
	int fd = capture_open();
	struct text_report t;
	const char *text;

	text_report_init(&t, fd, plain, false);
	assert_int_equal(text_summary(&t, s, sinks), 0);
	text = capture_take(fd);
	text_report_done(&t);
	(void)close(fd);
	return text;
}

static void test_summary(void **state)
{
	struct sink_losses none = {0};

	(void)state;
	assert_string_equal(
		summary_text(sample_summary(), &none),
		"watched for 30.0 s\n"
		"\n"
		"query: usdt:postgres:query__start .. query__done < 10ms\n"
		"  12345 ended, 2 over 10 ms (0.02 %), 2 noticed while open, 1 never stopped, "
		"4 still open over its budget, 3 given up: open when it was removed, "
		"1 of those over ended after the last that was reported (--count)\n"
		"  p50 1.20 ms  p90 3.10 ms  p99 9.90 ms  p99.9 12.0 ms  max 12.6 ms  mean 1.50 ms\n"
		"  time of those over: running 600 us (2.4 %), waiting 1.00 ms (4.0 %), blocked 23.6 ms (94 %)\n"
		"      48 %  12.0 ms in 1 spell: blocked 12.0 ms on a row lock: woken by postgres 4712\n"
		"     1.2 %  300 us in 2 spells: waited 300 us for a CPU behind xz 99\n"
		"     1.2 %  300 us: running on a CPU\n"
		"      50 %  12.6 ms: other causes\n"
		"\n"
		"commit  func:commit < 1s\n"
		"  none ended\n"
		"\n"
		"nothing was lost\n");
}

static void test_summary_losses(void **state)
{
	struct sink_losses sinks = {.count = {[SINK_EXEC_SUPPRESSED] = 3}};
	struct watch_summary *s = sample_summary();
	char expected[1024];
	const char *text;

	(void)state;
	s->nr_sections = 0;
	s->loss[LOSS_EVENT_RING_FULL] = 5;
	s->loss[LOSS_GAP] = UINT64_MAX;
	s->records_lost = 2;
	s->throttle_known = false;
	/* The sentences are the tables', in their order. */
	(void)snprintf(
		expected, sizeof(expected),
		"watched for 30.0 s\n\nlost or not seen\n       5  %s\n"
		"18446744073709551615  %s\n"
		"       2  violations whose records did not arrive whole\n       3  %s\n"
		"throttling is not known on this kernel: time that a CPU quota cost counts as "
		"waiting\n",
		loss_text[LOSS_EVENT_RING_FULL].sentence, loss_text[LOSS_GAP].sentence,
		sink_text[SINK_EXEC_SUPPRESSED].sentence);
	text = summary_text(s, &sinks);
	assert_string_equal(text, expected);
	assert_null(strstr(text, "nothing was lost"));
}

static void check_percent(uint64_t permyriad, const char *expected)
{
	int fd = capture_open();
	struct out o;

	out_init(&o, fd);
	word_percent(&o, permyriad);
	assert_int_equal(out_write(&o), 0);
	assert_string_equal(capture_take(fd), expected);
	out_done(&o);
	(void)close(fd);
}

static void test_percent(void **state)
{
	(void)state;
	check_percent(0, "0 %");
	check_percent(1, "0.01 %");
	check_percent(99, "0.99 %");
	check_percent(100, "1.0 %");
	check_percent(994, "9.9 %");
	check_percent(995, "10 %");
	check_percent(9999, "100 %");
	check_percent(10000, "100 %");
	assert_int_equal(share_permyriad(UINT64_MAX, UINT64_MAX), 10000);
	assert_int_equal(share_permyriad(1, 0), 0);
}

static void test_closed_pipe(void **state)
{
	struct text_report t;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	(void)close(fds[0]);
	text_report_init(&t, fds[1], plain, false);
	assert_int_equal(text_violation(&t, sample_violation()), -EPIPE);
	assert_int_equal(text_summary(&t, sample_summary(), NULL), -EPIPE);
	text_report_done(&t);
	(void)close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_violation_line),   cmocka_unit_test(test_violation_verbose),
		cmocka_unit_test(test_fired_line),       cmocka_unit_test(test_ends_without_stop),
		cmocka_unit_test(test_extreme),          cmocka_unit_test(test_stacks),
		cmocka_unit_test(test_colour_and_width), cmocka_unit_test(test_style),
		cmocka_unit_test(test_process),          cmocka_unit_test(test_summary),
		cmocka_unit_test(test_summary_losses),   cmocka_unit_test(test_percent),
		cmocka_unit_test(test_closed_pipe),
	};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (setenv("TZ", "UTC", 1) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
