// SPDX-License-Identifier: MIT
/*
 * `hurt_flow MODE [N]`: one watched C function that is left and re-entered in every way that upsets
 * a probe of its return.
 *
 * Each mode prints a verdict that depends only on N. The file itself neither throws nor switches
 * stacks, so nothing in it tells a watcher to keep its hands off.
 */

#include <execinfo.h>
#include <setjmp.h>
#include <sys/sdt.h>
#include <sys/wait.h>

#include "target.h"

enum flow {
	FLOW_PLAIN,
	FLOW_RECURSE,
	FLOW_LONGJMP,
	FLOW_PTHREAD_EXIT,
	FLOW_FORK,
	FLOW_SIGNAL,
	FLOW_EXEC,
	FLOW_BACKTRACE,
};

unsigned watched(enum flow flow, unsigned n);
void watched_done(unsigned n);
unsigned watched_tail(unsigned n);
unsigned watched_next(unsigned n);
long raw_getppid(void);

static jmp_buf way_out;
static volatile sig_atomic_t in_handler;
static char *const *self;

/* `syscall` as an instruction of its own: a probe on it crashes the program. */
__asm__(".pushsection .text\n"
	"\t.p2align 4\n"
	"\t.globl raw_getppid\n"
	"\t.type raw_getppid, @function\n"
	"raw_getppid:\n"
	"\tmov $110, %eax\n"
	"\t.globl raw_getppid_site\n"
	"raw_getppid_site:\n"
	"\tsyscall\n"
	"\tret\n"
	"\t.size raw_getppid, . - raw_getppid\n"
	"\t.popsection\n");

static unsigned flow_fork(unsigned n)
{
	pid_t child = fork();
	int status = 0;

	if (child < 0)
		err(3, "cannot fork");
	if (child == 0)
		return 1000000 + n; /* returns through the watched function, too */
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : 999;
}

TARGET_NOINLINE unsigned watched(enum flow flow, unsigned n)
{
	unsigned result = n;
	void *frame[64];

	TARGET_FRAME();
	switch (flow) {
	case FLOW_PLAIN: break;
	case FLOW_RECURSE: result = n ? watched(flow, n - 1) + 1 : 0; break;
	case FLOW_LONGJMP: longjmp(way_out, 1);
	case FLOW_PTHREAD_EXIT: pthread_exit((void *)(uintptr_t)(n + 7));
	case FLOW_FORK: result = flow_fork(n); break;
	case FLOW_SIGNAL: (void)raise(SIGUSR1); break;
	case FLOW_EXEC: (void)execv("/proc/self/exe", self); err(3, "cannot execute myself");
	case FLOW_BACKTRACE: result = (unsigned)backtrace(frame, 64); break;
	}
	__asm__ volatile("" : : "r"(&result) : "memory"); /* no tail call above */
	return result;
}

TARGET_NOINLINE void watched_done(unsigned n)
{
	TARGET_FRAME();
	DTRACE_PROBE1(hurt, flow_done, n);
}

TARGET_NOINLINE unsigned watched_next(unsigned n)
{
	TARGET_FRAME();
	return n + 1;
}

/* Ends in a jump to watched_next(), which returns for both. */
TARGET_NOINLINE unsigned watched_tail(unsigned n)
{
	TARGET_FRAME();
	return watched_next(n * 2);
}

static unsigned mode_call(enum flow flow, unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++) {
		sum = sum * 31 + watched(flow, flow == FLOW_RECURSE ? 200 : i);
		watched_done(i);
	}
	return sum;
}

static unsigned mode_longjmp(unsigned n)
{
	volatile unsigned out = 0;

	for (volatile unsigned i = 0; i < n; i++) {
		if (setjmp(way_out))
			out++;
		else
			(void)watched(FLOW_LONGJMP, i);
		watched_done(i);
	}
	return out + watched(FLOW_PLAIN, 5);
}

static unsigned mode_tail(unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++) {
		sum = sum * 31 + watched_tail(i);
		watched_done(i);
	}
	return sum;
}

static void *exit_thread(void *arg)
{
	(void)watched(FLOW_PTHREAD_EXIT, (unsigned)(uintptr_t)arg);
	return NULL;
}

static unsigned mode_pthread_exit(unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++) {
		void *result;

		(void)pthread_join(thread_start(exit_thread, (void *)(uintptr_t)i), &result);
		sum = sum * 31 + (unsigned)(uintptr_t)result;
		watched_done(i);
	}
	return sum;
}

static unsigned mode_fork(unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned got = watched(FLOW_FORK, i);

		watched_done(i);
		if (got >= 1000000)
			_exit((int)(got % 64));
		sum = sum * 31 + got;
	}
	return sum;
}

static void on_signal(int sig)
{
	(void)sig;
	in_handler += (int)watched(FLOW_PLAIN, 1);
}

/* The handler runs on a stack of its own and enters the same function. */
static unsigned mode_signal(unsigned n)
{
	static char alternate[1 << 16];
	const stack_t where = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

	if (sigaltstack(&where, NULL) || sigaction(SIGUSR1, &action, NULL))
		err(3, "cannot set up a signal handler");
	return mode_call(FLOW_SIGNAL, n) + (unsigned)in_handler;
}

static unsigned mode_syscall(unsigned n)
{
	unsigned same = 0;
	pid_t parent = getppid();

	for (unsigned i = 0; i < n; i++) {
		same += raw_getppid() == parent;
		watched_done(i);
	}
	return same;
}

static unsigned mode_exec(unsigned n)
{
	static char name[] = "hurt_flow";
	static char mode[] = "plain";
	static char *const again[] = {name, mode, NULL};

	self = again;
	return watched(FLOW_EXEC, n);
}

static unsigned mode_run(const char *mode, unsigned n)
{
	if (!strcmp(mode, "plain"))
		return mode_call(FLOW_PLAIN, n);
	if (!strcmp(mode, "recurse"))
		return mode_call(FLOW_RECURSE, n);
	if (!strcmp(mode, "backtrace"))
		return mode_call(FLOW_BACKTRACE, n);
	if (!strcmp(mode, "longjmp"))
		return mode_longjmp(n);
	if (!strcmp(mode, "tail"))
		return mode_tail(n);
	if (!strcmp(mode, "pthread_exit"))
		return mode_pthread_exit(n);
	if (!strcmp(mode, "fork"))
		return mode_fork(n);
	if (!strcmp(mode, "signal"))
		return mode_signal(n);
	if (!strcmp(mode, "syscall"))
		return mode_syscall(n);
	if (!strcmp(mode, "exec"))
		return mode_exec(n);
	errx(2, "no such mode: '%s'", mode);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "plain";
	unsigned n = argc > 2 ? (unsigned)target_u64(argv[2]) : 100;

	target_ready();
	printf("{\"mode\":\"%s\",\"n\":%u,\"result\":%u}\n", mode, n, mode_run(mode, n));
	return 0;
}
