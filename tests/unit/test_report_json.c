// SPDX-License-Identifier: MIT
/* The JSON lines: whole objects for known results; one write a line; what the writes return. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/utf8.h"
#include "report/json.h"
#include "report/json_text.h"
#include "report_capture.h"
#include "report_sample.h"

struct capture {
	int fd;
	struct out out;
};

static int setup(void **state)
{
	static struct capture c;

	c.fd = capture_open();
	out_init(&c.out, c.fd);
	*state = &c;
	return 0;
}

static int teardown(void **state)
{
	struct capture *c = *state;

	out_done(&c->out);
	return close(c->fd);
}

static void test_armed(void **state)
{
	struct capture *c = *state;

	assert_int_equal(json_armed(&c->out, 2, 5, -7), 0);
	assert_string_equal(
		capture_take(c->fd),
		"{\"type\":\"armed\",\"sections\":2,\"probes\":5,\"realtime_offset_ns\":-7}\n");
}

static void test_violation(void **state)
{
	struct capture *c = *state;

	assert_int_equal(json_violation(&c->out, sample_violation()), 0);
	assert_string_equal(
		capture_take(c->fd),
		"{\"type\":\"violation\",\"number\":7,\"section\":\"query\",\"tid\":4711,\"pid\":4711,"
		"\"comm\":\"postgres\",\"key\":42,\"start_ns\":5000000000,\"end_ns\":5012600000,"
		"\"elapsed_ns\":12600000,\"budget_ns\":10000000,\"fired\":true,\"fired_late_ns\":3100,"
		"\"split_known\":true,\"split_ns\":{\"running\":300000,\"waiting\":300000,\"throttled\":0,"
		"\"blocked\":12000000,\"stopped\":0,\"unknown\":0},"
		"\"verdict\":\"blocked 12.0 ms on a row lock: woken by postgres 4712\",\"causes\":["
		"{\"kind\":\"heavy_lock\",\"ns\":12000000,\"share\":0.9524,\"confidence\":\"certain\","
		"\"spells\":1,\"peer\":{\"tid\":4712,\"pid\":4712,\"comm\":\"postgres\"},"
		"\"subject\":\"transaction 742\","
		"\"text\":\"blocked 12.0 ms on a row lock: woken by postgres 4712\","
		"\"evidence\":\"note=pg_lock waker=postgres/4712\"},"
		"{\"kind\":\"runqueue\",\"ns\":300000,\"share\":0.0238,\"confidence\":\"likely\",\"spells\":2,"
		"\"peer\":{\"tid\":99,\"pid\":98,\"comm\":\"xz\"},\"subject\":\"\","
		"\"text\":\"waited 300 us for a CPU behind xz 99\",\"evidence\":\"\"},"
		"{\"kind\":\"cpu\",\"ns\":300000,\"share\":0.0238,\"confidence\":\"certain\",\"spells\":0,"
		"\"subject\":\"\",\"text\":\"\",\"evidence\":\"\"}],\"spells\":["
		"{\"out_ns\":5000200000,\"wake_ns\":5012200000,\"in_ns\":5012400000,\"state\":\"blocked\","
		"\"cause\":\"heavy_lock\",\"wait_cause\":\"runqueue\",\"throttled_ns\":0,"
		"\"syscall\":\"semop\",\"syscall_nr\":65,\"args\":[5,140720308490240,-1],"
		"\"stack\":[\"do_semtimedop\",\"__x64_sys_semtimedop\"],"
		"\"waker\":{\"tid\":4712,\"pid\":4712,\"comm\":\"postgres\",\"syscall\":\"semop\"},"
		"\"owner\":{\"tid\":4713,\"pid\":4713,\"comm\":\"postgres\"},"
		"\"occupant\":{\"tid\":99,\"pid\":98,\"comm\":\"xz\",\"prio\":120,\"ns\":190000},"
		"\"note\":{\"kind\":\"pg_lock\",\"args\":[1,2,3,4,5,6]},\"flags\":[\"in_syscall\"]},"
		"{\"out_ns\":5012450000,\"wake_ns\":5012450000,\"in_ns\":5012550000,\"state\":\"waiting\","
		"\"cause\":\"preempted\",\"throttled_ns\":40000,"
		"\"cgroup\":{\"id\":77,\"name\":\"batch.slice\",\"quota_ns\":50000000,\"period_ns\":100000000},"
		"\"flags\":[]}],"
		"\"spells_total\":3,\"spells_lost\":1,\"spells_short\":9,\"short_ns\":81000}\n");
}

static void test_stacks(void **state)
{
	struct capture *c = *state;
	const char *text;

	assert_int_equal(json_violation(&c->out, sample_stacked()), 0);
	text = capture_take(c->fd);
	assert_non_null(strstr(
		text,
		"\"budget_ns\":10000000,\"user_stack\":{\"reach\":\"no_table\",\"frames\":["
		"{\"function\":\"wait_word\",\"file\":\"/src/lock/wait.c\",\"line\":71,\"inlined\":true,"
		"\"module\":\"/usr/bin/server\",\"build_id\":\"0123abcd\",\"address\":\"0x1200\"},"
		"{\"function\":\"lock_row\",\"file\":\"/src/lock/row.c\",\"line\":9,"
		"\"module\":\"/usr/bin/server\",\"build_id\":\"0123abcd\",\"address\":\"0x1200\"},"
		"{\"function\":\"start\",\"module\":\"/usr/lib/libold.so\",\"replaced\":true,"
		"\"address\":\"0x99\"},{\"address\":\"0x7f0012\"}]},\"fired\""));
	assert_non_null(strstr(text, "\"user_stack\":{\"reach\":\"lost\",\"frames\":[]}"));
}

static void test_fired(void **state)
{
	struct capture *c = *state;

	assert_int_equal(json_violation(&c->out, sample_fired()), 0);
	assert_string_equal(
		capture_take(c->fd),
		"{\"type\":\"fired\",\"number\":7,\"section\":\"query\",\"tid\":4711,\"pid\":4711,"
		"\"comm\":\"exactly16bytes!!\",\"start_ns\":5000000000,\"end_ns\":5010003100,"
		"\"elapsed_ns\":10003100,\"budget_ns\":10000000,\"state\":\"blocked\",\"late_ns\":3100,"
		"\"split_known\":true,\"split_ns\":{\"running\":200000,\"waiting\":0,\"throttled\":0,"
		"\"blocked\":9803100,\"stopped\":0,\"unknown\":0},\"spell\":{\"out_ns\":5000200000,"
		"\"state\":\"blocked\",\"cause\":\"disk\",\"throttled_ns\":0,\"syscall\":\"fdatasync\","
		"\"syscall_nr\":75,\"args\":[11,0,0],\"stack\":[\"jbd2_log_wait_commit\"],"
		"\"io\":{\"dev\":\"253:3\",\"latency_ns\":9000000,\"age_ns\":4000,\"bytes\":16384},"
		"\"file\":{\"dev\":\"8:1\",\"ino\":123456789012,\"mode\":33188,"
		"\"name\":\"000000010000000000000001\"},"
		"\"socket\":{\"family\":\"inet\",\"address\":\"192.0.2.7\",\"port\":5432},"
		"\"flags\":[\"in_syscall\",\"iowait\",\"open\",\"file\",\"socket\"]}}\n");
}

/* Without analysis the kernel's record of the spell still is there; running, there is none. */
static void test_fired_raw_spell(void **state)
{
	struct capture *c = *state;
	struct violation *v = sample_fired();
	const char *text;

	v->raw.now = v->spell[0].raw;
	v->nr_spells = 0;
	assert_int_equal(json_violation(&c->out, v), 0);
	text = capture_take(c->fd);
	assert_non_null(strstr(
		text,
		"\"spell\":{\"out_ns\":5000200000,\"state\":\"blocked\",\"cause\":\"unknown\""));
	v->raw.flags &= ~(uint32_t)SECTION_SPELL_OPEN;
	assert_int_equal(json_violation(&c->out, v), 0);
	assert_null(strstr(capture_take(c->fd), "\"spell\""));
}

static void test_optional_members(void **state)
{
	struct capture *c = *state;
	struct violation *v = sample_violation();
	const char *text;

	v->raw.flags = SECTION_ABANDON_EXEC | SECTION_MOVED | SECTION_NO_SPLIT;
	v->raw.stop_tid = 5;
	v->nr_spells = 0;
	v->nr_causes = 1;
	v->cause[0].peer.tid = 0;
	assert_int_equal(json_violation(&c->out, v), 0);
	text = capture_take(c->fd);
	assert_non_null(strstr(
		text,
		"\"fired\":false,\"abandoned\":\"exec\",\"stop_tid\":5,\"split_known\":false,"));
	assert_non_null(strstr(text, "\"peer\":{\"comm\":\"postgres\"}"));
	assert_non_null(strstr(text, "\"spells\":[]"));
	assert_null(strstr(text, "\"key\""));
	assert_null(strstr(text, "fired_late_ns"));
}

static void test_extreme(void **state)
{
	struct capture *c = *state;
	struct violation *v = sample_extreme();
	const char *text;
	json_t *root, *spell;
	json_error_t error;
	char *copy, *at;

	assert_int_equal(json_violation(&c->out, v), 0);
	text = capture_take(c->fd);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_non_null(strstr(text, "\"key\":18446744073709551615,"));
	assert_non_null(strstr(
		text,
		"\"verdict\":\"a\\u001b[31mb\\r\\n\\t\\\"\\\\\\u007f\\u009b2J" UTF8_REPLACEMENT));
	assert_non_null(strstr(text, "\\u202e"));
	/* A reader of its own must take it, but for numbers that do not fit its signed ones. */
	copy = strdup(text);
	assert_non_null(copy);
	while ((at = strstr(copy, "18446744073709551615")) != NULL)
		memcpy(at, "1                   ", 20);
	root = json_loads(copy, JSON_REJECT_DUPLICATES, &error);
	free(copy);
	assert_non_null(root);
	spell = json_array_get(json_object_get(root, "spells"), 0);
	assert_int_equal(json_string_length(json_object_get(root, "section")), 300);
	assert_int_equal(json_array_size(json_object_get(spell, "stack")), WATCH_STACK);
	assert_string_equal(json_string_value(json_object_get(spell, "state")), "unknown");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(spell, "note"), "kind")),
		"unknown");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(spell, "socket"), "family")),
		"65535");
	json_decref(root);
}

static void test_process(void **state)
{
	struct capture *c = *state;

	assert_int_equal(json_process(&c->out, sample_process()), 0);
	assert_string_equal(capture_take(c->fd),
			    "{\"type\":\"process\",\"what\":\"forked\",\"pid\":4800,"
			    "\"parent\":4711,\"comm\":\"postgres\"}\n");
}

static void test_summary(void **state)
{
	struct capture *c = *state;
	struct sink_losses sinks = {.count = {[SINK_TRACE_LOST] = 4}};
	struct watch_summary *s = sample_summary();
	const char *text;

	s->loss[LOSS_GAP] = UINT64_MAX;
	s->records_lost = 3;
	assert_int_equal(json_summary(&c->out, s, NULL), 0);
	text = capture_take(c->fd);
	assert_non_null(strstr(text,
			       "{\"type\":\"summary\",\"duration_ns\":30000000000,\"sections\":[{"
			       "\"name\":\"query\","));
	assert_non_null(strstr(
		text, "\"over_split_ns\":{\"running\":600000,\"waiting\":1000000,\"throttled\":0,"
		      "\"blocked\":23600000,\"stopped\":0,\"unknown\":0},\"causes\":[{\"kind\":"
		      "\"heavy_lock\",\"ns\":12000000,\"share\":0.4762,"));
	assert_non_null(
		strstr(text, "\"causes\":[],\"other_ns\":0}],\"losses\":{\"event_ring_full\":0,"));
#define X(NAME, name, strict, sentence) assert_non_null(strstr(text, "\"" #name "\":"));
#include "abi/losses.def"
#undef X
	assert_non_null(strstr(text, "\"gap\":18446744073709551615"));
	assert_non_null(strstr(text, "},\"records_lost\":3,\"throttle_known\":true}\n"));
	assert_null(strstr(text, "\"sinks\""));
	assert_int_equal(json_summary(&c->out, s, &sinks), 0);
	assert_non_null(strstr(capture_take(c->fd),
			       "\"sinks\":{\"exec_suppressed\":0,\"exec_failed\":0,"
			       "\"exec_not_started\":0,\"trace_lost\":4}"));
}

/* Every byte alone, and in front of every other: whatever comes, jansson (which checks UTF-8) must
 * read it back. */
static void test_all_bytes(void **state)
{
	struct capture *c = *state;

	for (unsigned i = 1; i < 256; i++) {
		char name[3] = {(char)i, 'x', '\0'};
		json_t *root;
		json_error_t error;

		json_open(&c->out, NULL, '{');
		json_str(&c->out, "a", name);
		json_str(&c->out, "b", name + 2);
		json_strn(&c->out, "c", name, 1);
		json_close(&c->out, '}');
		assert_int_equal(out_write(&c->out), 0);
		root = json_loads(capture_take(c->fd), 0, &error);
		assert_non_null(root);
		assert_string_equal(json_string_value(json_object_get(root, "a")),
				    i < 0x80 ? name : UTF8_REPLACEMENT "x");
		json_decref(root);
	}
}

/* A socket of messages shows each write as one. */
static void test_one_write(void **state)
{
	struct out o;
	int fds[2];
	char buf[65536];
	ssize_t len;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	out_init(&o, fds[0]);
	assert_int_equal(json_armed(&o, 1, 1, 1), 0);
	assert_int_equal(json_violation(&o, sample_extreme()), 0);
	len = read(fds[1], buf, sizeof(buf));
	assert_true(len > 0 && buf[len - 1] == '\n' &&
		    memchr(buf, '\n', (size_t)len) == buf + len - 1);
	len = read(fds[1], buf, sizeof(buf));
	assert_true(len > 2000 && buf[0] == '{' && buf[len - 1] == '\n');
	assert_ptr_equal(memchr(buf, '\n', (size_t)len), buf + len - 1);
	(void)close(fds[1]);
	assert_int_equal(json_armed(&o, 1, 1, 1), -EPIPE);
	out_done(&o);
	(void)close(fds[0]);
}

static size_t count_bytes(int fd)
{
	char buf[512];
	size_t sum = 0;
	ssize_t len;

	while ((len = read(fd, buf, sizeof(buf))) > 0)
		sum += (size_t)len;
	return sum;
}

/* A reader that is slower than the watch, behind a pipe that does not block. */
static void test_slow_reader(void **state)
{
	struct capture *c = *state;
	size_t one;
	struct out o;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(json_violation(&c->out, sample_violation()), 0);
	one = strlen(capture_take(c->fd));
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct timespec pause = {.tv_nsec = 20000000};

		(void)close(fds[1]);
		(void)nanosleep(&pause, NULL);
		(void)fcntl(fds[0], F_SETFL, 0);
		_exit(count_bytes(fds[0]) == 100 * one ? 0 : 1);
	}
	(void)close(fds[0]);
	out_init(&o, fds[1]);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(json_violation(&o, sample_violation()), 0);
	out_done(&o);
	(void)close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_write_errors(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct out o;

	(void)state;
	assert_true(full >= 0);
	out_init(&o, full);
	assert_int_equal(json_armed(&o, 1, 1, 1), -ENOSPC);
	/* The failed line is gone, and nothing of it comes with the next. */
	assert_int_equal(o.len, 0);
	out_done(&o);
	(void)close(full);
	out_init(&o, -1);
	assert_int_equal(json_process(&o, sample_process()), -EBADF);
	out_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_armed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_violation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fired, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stacks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fired_raw_spell, setup, teardown),
		cmocka_unit_test_setup_teardown(test_optional_members, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extreme, setup, teardown),
		cmocka_unit_test_setup_teardown(test_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_summary, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_bytes, setup, teardown),
		cmocka_unit_test(test_one_write),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test(test_write_errors),
	};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
