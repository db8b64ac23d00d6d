// SPDX-License-Identifier: MIT
/*
 * Walks the stack of a stopped thread twice, with our tables and with libdwfl, at many places, and
 * compares every frame.
 *
 *   oracle [-n POINTS] [-s STEPS] -- CMD...   the command, stepped instruction by instruction from
 *                                             its first SIGSTOP on; a place every 1 to STEPS
 *   oracle [-n POINTS] -p PID                 a running process, stopped at random times
 *
 * Ours must have the same frames, or fewer and a reason. Prints one line of figures, and each
 * difference. Exit status: 0 no frame was wrong, 1 some were, 2 it could not be done.
 */
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/parse.h"
#include "unwind/space.h"

#define FRAMES_MAX  256
#define STACK_BYTES 65536

static const char *const reason_name[] = {
#define X(NAME, name, text) name,
#include "abi/stack_reasons.def"
#undef X
};

struct stack_of_oracle {
	uint64_t pc[FRAMES_MAX];
	size_t nr;
	bool is_whole;
};

struct totals {
	unsigned points, whole, cut, wrong, unverified, frames;
	unsigned reason[STACK_REASONS];
};

static pid_t pid;
static Dwfl *dwfl;
static struct unwind_files *files;
static struct unwind_process *process;
static struct totals totals;
static uint32_t seed = 1;

static uint32_t random_next(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static void fail(const char *what)
{
	(void)fprintf(stderr, "oracle: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int frame_take(Dwfl_Frame *state, void *arg)
{
	struct stack_of_oracle *s = arg;
	Dwarf_Addr pc;

	if (!dwfl_frame_pc(state, &pc, NULL))
		return DWARF_CB_ABORT;
	if (s->nr == FRAMES_MAX)
		return DWARF_CB_ABORT;
	s->pc[s->nr++] = pc;
	return DWARF_CB_OK;
}

static void dwfl_start(void)
{
	static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf,
						 .find_debuginfo = dwfl_standard_find_debuginfo};

	dwfl = dwfl_begin(&callbacks);
	if (!dwfl || dwfl_linux_proc_report(dwfl, pid) || dwfl_report_end(dwfl, NULL, NULL) ||
	    dwfl_linux_proc_attach(dwfl, pid, true)) {
		(void)fprintf(stderr, "oracle: libdwfl: %s\n", dwfl_errmsg(-1));
		exit(2);
	}
}

static int word_read(void *arg, uint64_t address, uint64_t *ret_word)
{
	struct iovec to = {ret_word, sizeof(*ret_word)};
	struct iovec from = {(void *)(uintptr_t)address, sizeof(*ret_word)};

	(void)arg;
	return process_vm_readv(pid, &to, 1, &from, 1, 0) == sizeof(*ret_word) ? 0 : -EFAULT;
}

/* Page by page: it may end anywhere. */
static size_t stack_copy(uint64_t sp, uint8_t *to)
{
	size_t done = 0;

	while (done < STACK_BYTES) {
		size_t room = 4096 - ((sp + done) & 4095);
		struct iovec local = {to + done, room};
		struct iovec remote = {(void *)(uintptr_t)(sp + done), room};
		ssize_t n;

		if (room > STACK_BYTES - done)
			local.iov_len = remote.iov_len = STACK_BYTES - done;
		n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

static void show(const char *who, const uint64_t *pc, size_t nr)
{
	(void)printf("  %s:", who);
	for (size_t i = 0; i < nr; i++)
		(void)printf(" %" PRIx64, pc[i]);
	(void)printf("\n");
}

static void compare(void)
{
	static uint8_t bytes[STACK_BYTES];
	struct unwind_frame frame[FRAMES_MAX];
	struct stack_of_oracle theirs = {0};
	struct user_regs_struct u;
	struct unwind_stack stack = {.bytes = bytes, .read = word_read};
	struct unwind_regs regs;
	enum stack_reason why;
	uint64_t ours[FRAMES_MAX];
	size_t n, same = 0;

	if (ptrace(PTRACE_GETREGS, pid, 0, &u))
		fail("registers");
	regs = (struct unwind_regs){.pc = u.rip, .sp = u.rsp, .fp = u.rbp};
	stack.base = regs.sp;
	stack.len = stack_copy(regs.sp, bytes);
	n = unwind_walk(unwind_process_space(process), &regs, &stack, frame, FRAMES_MAX, &why);
	for (size_t i = 0; i < n; i++)
		ours[i] = frame[i].pc;
	theirs.is_whole = dwfl_getthread_frames(dwfl, pid, frame_take, &theirs) == 0;
	while (same < n && same < theirs.nr && ours[same] == theirs.pc[same])
		same++;
	totals.points++;
	totals.frames += (unsigned)n;
	totals.reason[why]++;
	if (same == n && (n == theirs.nr || why != STACK_COMPLETE)) {
		totals.whole += why == STACK_COMPLETE;
		totals.cut += why != STACK_COMPLETE;
	} else if (same == theirs.nr && !theirs.is_whole) {
		totals.unverified++; /* they gave up before */
	} else if (totals.wrong++ < 10) {
		(void)printf("different (%s, libdwfl %s):\n", reason_name[why],
			     theirs.is_whole ? "whole" : dwfl_errmsg(-1));
		show("ours", ours, n);
		show("libdwfl", theirs.pc, theirs.nr);
	}
}

static void start_both(void)
{
	struct tocsin_err err = {0};
	char text[512];

	files = unwind_files_new(NULL);
	if (!files || unwind_process_open(files, pid, &process, &err)) {
		(void)fprintf(stderr, "oracle: %s\n", tocsin_err_text(&err, text, sizeof(text)));
		exit(2);
	}
	dwfl_start();
}

/* Return: false when it has exited. */
static bool stopped(int *ret_signal)
{
	int status;

	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		return false;
	*ret_signal = WSTOPSIG(status);
	return true;
}

static void step_command(char **argv, unsigned points, unsigned steps)
{
	int sig = 0;

	pid = fork();
	if (!pid) {
		(void)ptrace(PTRACE_TRACEME, 0, 0, 0);
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	do { /* to the stop by which it says that it is ready; its libraries are there then */
		if (!stopped(&sig))
			fail("the command exited");
		if (sig != SIGSTOP)
			(void)ptrace(PTRACE_CONT, pid, 0, 0);
	} while (sig != SIGSTOP);
	start_both();
	sig = 0;
	while (totals.points < points) {
		unsigned n = 1 + random_next(steps);

		compare();
		for (; n; n--) {
			if (ptrace(PTRACE_SINGLESTEP, pid, 0, sig) || !stopped(&sig))
				return;
			if (sig == SIGTRAP)
				sig = 0;
		}
	}
	(void)kill(pid, SIGKILL);
}

static void sample_process(unsigned points)
{
	int sig;

	if (ptrace(PTRACE_SEIZE, pid, 0, 0))
		fail("attach");
	while (totals.points < points) {
		struct timespec pause = {0, 20000 + random_next(400000)};

		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) || !stopped(&sig))
			return;
		if (!dwfl)
			start_both();
		compare();
		(void)ptrace(PTRACE_CONT, pid, 0, sig == SIGTRAP ? 0 : sig);
	}
	(void)ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	if (stopped(&sig))
		(void)ptrace(PTRACE_DETACH, pid, 0, 0);
}

int main(int argc, char **argv)
{
	uint64_t points = 1000, steps = 1, given = 0;
	int c;

	while ((c = getopt(argc, argv, "n:s:p:r:")) != -1) {
		uint64_t v;

		if (c == '?' || tocsin_parse_u64(optarg, &v))
			return 2;
		if (c == 'n')
			points = v;
		else if (c == 's')
			steps = v;
		else if (c == 'r')
			seed = (uint32_t)v;
		else
			given = v;
	}
	pid = (pid_t)given;
	if (given)
		sample_process((unsigned)points);
	else if (optind < argc)
		step_command(argv + optind, (unsigned)points, (unsigned)steps);
	else
		return 2;
	(void)printf("points=%u frames=%u whole=%u cut=%u unverified=%u wrong=%u", totals.points,
		     totals.frames, totals.whole, totals.cut, totals.unverified, totals.wrong);
	for (int i = 1; i < STACK_REASONS; i++)
		if (totals.reason[i])
			(void)printf(" %s=%u", reason_name[i], totals.reason[i]);
	(void)printf("\n");
	return totals.wrong ? 1 : 0;
}
