// SPDX-License-Identifier: MIT
/*
 * Telling a tracer that recursed from a handler that came while it ran.
 *
 * The evidence is the kernel's signal frame, which lies on the stack between the handler and what
 * it interrupted: struct rt_sigframe is return address, ucontext, siginfo, and behind it the FPU's
 * state with a magic number, to which the ucontext points; the distance is fixed, as the kernel
 * places them with fixed alignment. From the frame we have the stack pointer of the interrupted
 * code, and the reason: a positive si_code with one of the signals of the CPU is a trap that this
 * code caused, anything else came from outside. (The kernel writes siginfo only for handlers that
 * ask for it. For others the signals that were blocked when this handler began, and the number of
 * the thread's last exception, decide: an asynchronous handler that blocks SIGSEGV, in a thread
 * that has had one, in a program that handles SIGSEGV without siginfo, is taken for a trap.)
 *
 * The search goes up from the caller; where it finds a frame it goes on at the stack pointer that
 * this has, be it on another stack (sigaltstack()), until it is past the flagged frame.
 *
 * It can be wrong only where an old signal frame still lies in a gap between live ones: then a
 * recursion is taken for a handler. It goes one level further, as every level asks again, and at
 * most TOCSIN_TRACING_DEPTH of them.
 *
 * Stacks are read a page at a time, after the kernel was asked whether that is readable:
 * rt_sigprocmask() copies the set in before it looks at its first argument, which is wrong.
 * Nothing is asked once tocsin_freeze() was called: then all that is further in counts as the
 * tracer's own.
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tracee.h"

#define SEARCH_BYTES 65536u /* of stack, for each signal frame */
#define SEARCH_MAX   8u     /* signal frames */
#define PAGE_BYTES   UINT64_C(4096)

#if defined(__x86_64__)

#	define FRAME_UCONTEXT  8 /* of struct rt_sigframe: ucontext; in it: */
#	define FRAME_RSP       (FRAME_UCONTEXT + 40 + 15 * 8)
#	define FRAME_FPSTATE   (FRAME_UCONTEXT + 40 + 23 * 8)
#	define FRAME_TRAPNO    (FRAME_UCONTEXT + 40 + 20 * 8)
#	define FRAME_SIGMASK   (FRAME_UCONTEXT + 40 + 32 * 8)
#	define FRAME_SIGINFO   (FRAME_UCONTEXT + 304)
#	define FRAME_FP_AT     456 /* distance of the FPU's state */
#	define FP_MAGIC_AT     464 /* of sw_reserved.magic1 in it */
#	define FP_MAGIC        0x46505853u
#	define FRAME_ALL_BYTES (FRAME_FP_AT + FP_MAGIC_AT + 4)

static bool is_readable(uintptr_t at)
{
	int saved = errno;
	bool is = syscall(SYS_rt_sigprocmask, -1, at, NULL, 8) < 0 && errno == EINVAL;

	errno = saved;
	return is;
}

/* Of frames that are not this function's: not for a sanitizer to judge. */
__attribute__((no_sanitize_address)) static uint64_t word(uintptr_t at)
{
	return *(const volatile uint64_t *)at;
}

/* [@at, @at + bytes) may be read; *end: up to where that is known. */
static bool may_read(uintptr_t at, size_t bytes, uintptr_t *end)
{
	while (at + bytes > *end) {
		if (!is_readable(*end))
			return false;
		*end += PAGE_BYTES;
	}
	return true;
}

/* The next signal frame from @at on, or 0. */
static uintptr_t frame_find(uintptr_t at, uintptr_t limit)
{
	uintptr_t end = at & ~(PAGE_BYTES - 1);

	for (; at < limit; at += 8) {
		if (!may_read(at, FRAME_FPSTATE + 8, &end))
			return 0;
		if (word(at + FRAME_FPSTATE) == at + FRAME_FP_AT &&
		    may_read(at, FRAME_ALL_BYTES, &end) &&
		    (uint32_t)word(at + FRAME_FP_AT + FP_MAGIC_AT) == FP_MAGIC)
			return at;
	}
	return 0;
}

/* Which CPU exceptions end in which signal. */
static const struct {
	int sig;
	uint32_t traps; /* bit n: exception n */
} trap_of[] = {
	{SIGSEGV, 1u << 4 | 1u << 5 | 1u << 8 | 1u << 13 | 1u << 14},
	{SIGBUS, 1u << 11 | 1u << 12 | 1u << 14 | 1u << 17 | 1u << 18},
	{SIGFPE, 1u << 0 | 1u << 9 | 1u << 16 | 1u << 19},
	{SIGILL, 1u << 6 | 1u << 10 | 1u << 13},
	{SIGTRAP, 1u << 1 | 1u << 3},
	{SIGSYS, UINT32_MAX}, /* seccomp, which is no exception */
};

/* As the kernel has it: glibc's struct sigaction is another. */
struct kernel_action {
	uintptr_t handler;
	uint64_t flags;
	uintptr_t restorer;
	uint64_t mask;
};

/* Is @sig handled by a function that does not ask for siginfo? Then the frame has none. */
static bool is_bare(int sig, uint64_t fresh)
{
	struct kernel_action act = {0};

	if (syscall(SYS_rt_sigaction, sig, NULL, &act, sizeof(act.mask)) < 0)
		return false;
	return act.handler > (uintptr_t)SIG_IGN && !(act.flags & SA_SIGINFO) &&
	       (act.flags & SA_NODEFER || fresh >> (sig - 1) & 1);
}

static bool is_trap(uintptr_t frame)
{
	int32_t sig = (int32_t)word(frame + FRAME_SIGINFO);
	int32_t code = (int32_t)word(frame + FRAME_SIGINFO + 8);
	uint64_t trap = word(frame + FRAME_TRAPNO), blocked = 0;
	int saved = errno;
	bool is = false;

	/* Cannot fail. */
	(void)syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &blocked, sizeof(blocked));
	for (unsigned i = 0; i < sizeof(trap_of) / sizeof(trap_of[0]) && !is; i++) {
		if (trap > 31 || !(trap_of[i].traps >> trap & 1))
			continue; /* the last exception of this thread was another */
		is = (sig == trap_of[i].sig && code > 0 &&
		      !(sig == SIGBUS && code == BUS_MCEERR_AO)) ||
		     is_bare(trap_of[i].sig, blocked & ~word(frame + FRAME_SIGMASK));
	}
	errno = saved;
	return is;
}

enum where where_is(uintptr_t frame, uintptr_t flagged)
{
	uintptr_t at = (frame + 7) & ~(uintptr_t)7;
	bool has_trap = false;

	if (tracee.is_frozen)
		return frame < flagged ? WHERE_INSIDE : WHERE_LEFT;
	for (unsigned i = 0; i < SEARCH_MAX; i++) {
		uintptr_t limit = at + SEARCH_BYTES, found, rsp;

		if (at < flagged && flagged < limit)
			limit = flagged;
		found = frame_find(at, limit);
		rsp = found ? word(found + FRAME_RSP) : 0;
		/* One that interrupted code outside of the flagged frame is not between the two. */
		if (!found || rsp >= flagged)
			break;
		if (!is_trap(found))
			return WHERE_HANDLER;
		has_trap = true;
		at = (rsp + 7) & ~(uintptr_t)7;
	}
	if (has_trap)
		return WHERE_TRAP;
	return frame < flagged ? WHERE_INSIDE : WHERE_LEFT;
}

#else

enum where where_is(uintptr_t frame, uintptr_t flagged)
{
	return frame < flagged ? WHERE_INSIDE : WHERE_LEFT;
}

#endif
