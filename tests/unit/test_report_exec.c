// SPDX-License-Identifier: MIT
/* --exec: what a command gets, how many run, and that nothing of them stays behind. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "report/exec.h"
#include "report_capture.h"
#include "report_sample.h"

#define S_NS    1000000000ull
#define LONG_NS (20 * S_NS)

static char folder[] = "/tmp/tocsin-exec-XXXXXX";
static char path[sizeof(folder) + 16];

static int setup(void **state)
{
	(void)state;
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/out", folder);
	return setenv("OUT", path, 1);
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(folder);
}

static const char *read_path(void)
{
	static char text[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	assert_true(fd >= 0);
	len = read(fd, text, sizeof(text) - 1);
	assert_true(len >= 0);
	text[len] = '\0';
	(void)close(fd);
	return text;
}

static struct exec_sink *sink_for(const char *command, struct exec_limits limits)
{
	struct exec_sink *sink;

	assert_int_equal(exec_sink_open(command, limits, &sink), 0);
	return sink;
}

static void assert_no_children(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_environment(void **state)
{
	struct exec_sink *sink =
		sink_for("env | grep ^TOCSIN_ | sort > $OUT", (struct exec_limits){0});
	struct exec_stats stats;

	(void)state;
	assert_int_equal(setenv("TOCSIN_STALE", "from an outer watch", 1), 0);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), 1), 1);
	sink = exec_sink_close(sink, LONG_NS, &stats);
	assert_int_equal(stats.started, 1);
	assert_int_equal(stats.failed, 0);
	assert_string_equal(
		read_path(),
		"TOCSIN_BUDGET_NS=10000000\n"
		"TOCSIN_CAUSE=heavy_lock\n"
		"TOCSIN_COMM=postgres\n"
		"TOCSIN_ELAPSED_NS=12600000\n"
		"TOCSIN_END_NS=5012600000\n"
		"TOCSIN_KEY=42\n"
		"TOCSIN_NUMBER=7\n"
		"TOCSIN_PID=4711\n"
		"TOCSIN_SECTION=query\n"
		"TOCSIN_SPLIT_BLOCKED_NS=12000000\n"
		"TOCSIN_SPLIT_KNOWN=1\n"
		"TOCSIN_SPLIT_RUNNING_NS=300000\n"
		"TOCSIN_SPLIT_STOPPED_NS=0\n"
		"TOCSIN_SPLIT_THROTTLED_NS=0\n"
		"TOCSIN_SPLIT_UNKNOWN_NS=0\n"
		"TOCSIN_SPLIT_WAITING_NS=300000\n"
		"TOCSIN_START_NS=5000000000\n"
		"TOCSIN_TID=4711\n"
		"TOCSIN_VERDICT=blocked 12.0 ms on a row lock: woken by postgres 4712\n");
	assert_no_children();
}

static void test_foul_environment(void **state)
{
	struct exec_sink *sink = sink_for("printf %s \"$TOCSIN_COMM|$TOCSIN_VERDICT\" > $OUT",
					  (struct exec_limits){0});

	(void)state;
	assert_int_equal(exec_sink_violation(sink, sample_extreme(), 1), 1);
	sink = exec_sink_close(sink, LONG_NS, NULL);
	assert_string_equal(read_path(), "a?[31mb?? \"\\??2|a?[31mb?? \"\\??2J"
					 "?????????");
	assert_no_children();
}

/* Descriptors that a child inherits, and their sum with @more. */
static unsigned inherited_fds(unsigned more)
{
	for (int fd = 0; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);

		more += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return more;
}

/* Descriptors beyond the three, standard input and output, the process group. */
static void test_clean_start(void **state)
{
	struct exec_sink *sink =
		sink_for("exec 3>$OUT; ls /proc/self/fd | grep -c . >&3; "
			 "readlink /proc/$$/fd/0 >&3; "
			 "cut -d ' ' -f 5 /proc/$$/stat >&3; echo $$ >&3; echo to stdout",
			 (struct exec_limits){0});
	int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), fds[2];
	unsigned entries, group, pid;
	char text[64];
	ssize_t len;

	(void)state;
	assert_true(saved >= 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), 1), 1);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	sink = exec_sink_close(sink, LONG_NS, NULL);
	assert_int_equal(sscanf(read_path(), "%u /dev/null %u %u", &entries, &group, &pid), 3);
	/* The shell's own 3, and the folder that ls reads. */
	assert_int_equal(entries, inherited_fds(2));
	assert_int_equal(group, pid);
	len = read(fds[0], text, sizeof(text) - 1);
	assert_true(len > 0);
	text[len] = '\0';
	assert_string_equal(text, "to stdout\n");
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)close(saved);
	assert_no_children();
}

/* Blocked and ignored signals of the watch; seen from a program that the shell becomes, since some
 * shells clear the mask of their children. */
static void test_signals(void **state)
{
	struct exec_sink *sink = sink_for("exec grep -E 'SigBlk|SigIgn' /proc/self/status >$OUT",
					  (struct exec_limits){0});
	unsigned long long blocked, ignored;
	sigset_t usr1;

	(void)state;
	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	assert_int_equal(sigprocmask(SIG_BLOCK, &usr1, NULL), 0);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), 1), 1);
	assert_int_equal(sigprocmask(SIG_UNBLOCK, &usr1, NULL), 0);
	sink = exec_sink_close(sink, LONG_NS, NULL);
	assert_int_equal(sscanf(read_path(), "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
	assert_int_equal(blocked, 0);
	/* The C library's posix_spawn() leaves the two signals ignored that are its own. */
	assert_int_equal(ignored & ~0x180000000ull, 0);
	assert_no_children();
}

static void test_rate(void **state)
{
	struct exec_sink *sink =
		sink_for(":", (struct exec_limits){.rate_per_s = 2, .burst = 3, .max_running = 32});
	uint64_t now = 5 * S_NS;
	struct exec_stats stats;
	unsigned started = 0;

	(void)state;
	/* At once: the burst. */
	for (unsigned i = 0; i < 10; i++)
		started += (unsigned)exec_sink_violation(sink, sample_violation(), now);
	assert_int_equal(started, 3);
	/* Then two a second. */
	assert_int_equal(exec_sink_violation(sink, sample_violation(), now + S_NS / 2 - 1000000),
			 0);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), now + S_NS / 2 + 1000000),
			 1);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), now + S_NS / 2 + 1000000),
			 0);
	/* After a quiet hour the burst again, no more. */
	started = 0;
	for (unsigned i = 0; i < 10; i++)
		started +=
			(unsigned)exec_sink_violation(sink, sample_violation(), now + 3600 * S_NS);
	assert_int_equal(started, 3);
	/* A clock that stands still or goes back gives nothing away. */
	assert_int_equal(exec_sink_violation(sink, sample_violation(), now), 0);
	sink = exec_sink_close(sink, LONG_NS, &stats);
	assert_int_equal(stats.started, 7);
	assert_int_equal(stats.suppressed, 7 + 1 + 1 + 7 + 1);
	assert_int_equal(stats.not_started, 0);
	assert_no_children();
}

static void test_running_limit(void **state)
{
	struct exec_sink *sink =
		sink_for("sleep 60; :",
			 (struct exec_limits){.rate_per_s = 1000, .burst = 1000, .max_running = 2});
	struct exec_stats stats;
	uint64_t before;

	(void)state;
	assert_int_equal(exec_sink_violation(sink, sample_violation(), S_NS), 1);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), S_NS), 1);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), S_NS), 0);
	assert_int_equal(exec_sink_reap(sink), 2);
	/* They are ended at the end, with what they started. */
	before = clock_now_ns();
	sink = exec_sink_close(sink, S_NS / 10, &stats);
	assert_true(clock_now_ns() - before < 10 * S_NS);
	assert_int_equal(stats.started, 2);
	assert_int_equal(stats.suppressed, 1);
	assert_int_equal(stats.killed, 2);
	assert_int_equal(stats.failed, 2);
	assert_no_children();
}

/* One that SIGTERM does not end, with a child of its own that holds the pipe: the end of the pipe
 * shows that both went. */
static void test_kill_stubborn(void **state)
{
	struct exec_sink *sink =
		sink_for("trap '' TERM; (trap '' TERM; sleep 60) & echo >$OUT; wait; sleep 60",
			 (struct exec_limits){0});
	int fds[2], saved = dup(STDERR_FILENO);
	struct exec_stats stats;
	char c;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), S_NS), 1);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved);
	(void)close(fds[1]);
	while (access(path, F_OK) < 0)
		assert_int_equal(nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL), 0);
	sink = exec_sink_close(sink, 0, &stats);
	assert_int_equal(stats.killed, 1);
	assert_int_equal(stats.failed, 1);
	assert_int_equal(read(fds[0], &c, 1), 0);
	(void)close(fds[0]);
	assert_no_children();
}

static void test_statuses(void **state)
{
	struct exec_sink *sink = sink_for("[ $TOCSIN_NUMBER -lt 3 ] || kill -9 $$; "
					  "exit $((TOCSIN_NUMBER - 1))",
					  (struct exec_limits){0});
	struct violation *v = sample_violation();
	struct exec_stats stats;

	(void)state;
	for (v->number = 1; v->number <= 4; v->number++)
		assert_int_equal(exec_sink_violation(sink, v, S_NS), 1);
	sink = exec_sink_close(sink, LONG_NS, &stats);
	assert_int_equal(stats.started, 4);
	assert_int_equal(stats.failed, 3);
	assert_int_equal(stats.killed, 0);
	assert_no_children();
}

/* Somebody else's child is not reaped. */
static void test_foreign_child(void **state)
{
	struct exec_sink *sink = sink_for(":", (struct exec_limits){0});
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(7);
	assert_int_equal(exec_sink_violation(sink, sample_violation(), S_NS), 1);
	sink = exec_sink_close(sink, LONG_NS, NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_no_children();
}

static void test_limits(void **state)
{
	struct exec_sink *sink;

	(void)state;
	assert_int_equal(exec_sink_open(":", (struct exec_limits){1, 0, 1}, &sink), -EINVAL);
	assert_int_equal(exec_sink_open(":", (struct exec_limits){1, 1, 0}, &sink), -EINVAL);
	assert_int_equal(
		exec_sink_open(":", (struct exec_limits){1, 1, EXEC_RUNNING_MAX + 1}, &sink),
		-EINVAL);
	assert_null(exec_sink_close(NULL, 0, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_environment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foul_environment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clean_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_running_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill_stubborn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_statuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_child, setup, teardown),
		cmocka_unit_test(test_limits),
	};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
