// SPDX-License-Identifier: MIT
/*
 * Code to be stepped through: recursion, a callback out of the C library, lazily bound calls, a
 * signal's handler on its own stack, realigned stacks, variable-size frames, exceptions.
 * -O3 -fomit-frame-pointer. Raises SIGSTOP once it is ready.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __clang__ /* makes no clones, and does not know the word */
#	define NOINLINE __attribute__((noinline))
#else
#	define NOINLINE __attribute__((noinline, noclone))
#endif

void target_throw(int depth); /* target_throw.cpp */

static volatile unsigned long sink;

typedef float vector __attribute__((vector_size(32)));

static NOINLINE int leaf(int x)
{
	sink += (unsigned long)x;
	return x * 3;
}

static NOINLINE int recurse(int depth, int x)
{
	volatile char place[56];

	place[0] = (char)x;
	return depth ? recurse(depth - 1, x + place[0]) + leaf(depth) : leaf(x);
}

/* The stack pointer is aligned by hand: the frame's end is in a register, then in memory. */
static NOINLINE int realigned(int x)
{
	volatile vector v = {(float)x};
	volatile int a[x + 1]; /* and the frame has no fixed size */

	a[x] = x;
	return leaf(a[x]) + (int)v[0] + recurse(2, x);
}

static int by_value(const void *a, const void *b)
{
	return recurse(1, 1) * 0 + *(const int *)a - *(const int *)b;
}

static void on_signal(int signal)
{
	sink += (unsigned long)recurse(3, signal);
}

static NOINLINE void signals(void)
{
	static char other[16384];
	stack_t stack = {.ss_sp = other, .ss_size = sizeof(other)};
	struct sigaction act = {.sa_handler = on_signal};

	(void)sigaction(SIGUSR1, &act, NULL);
	(void)raise(SIGUSR1);
	(void)sigaltstack(&stack, NULL);
	act.sa_flags = SA_ONSTACK;
	(void)sigaction(SIGUSR2, &act, NULL);
	(void)raise(SIGUSR2);
}

static NOINLINE void jumps(void)
{
	static jmp_buf back;

	if (!setjmp(back)) {
		sink += (unsigned long)recurse(4, 4);
		longjmp(back, 1);
	}
}

int main(void)
{
	int list[] = {5, 3, 9, 1, 7};
	char text[64];

	(void)raise(SIGSTOP);
	for (int i = 0; i < 50; i++) {
		sink += (unsigned long)recurse(6, i);
		sink += (unsigned long)realigned(3);
		qsort(list, 5, sizeof(list[0]), by_value);
		(void)snprintf(text, sizeof(text), "%d %s %f", i, "text", (double)i);
		sink += strlen(text);
		signals();
		jumps();
		target_throw(3);
		free(malloc(1000 + (size_t)i));
		(void)getppid();
	}
	return 0;
}
