// SPDX-License-Identifier: MIT
/* Built with -finstrument-functions. Says which functions it entered and left, and with what depth;
 * "left": some are left by longjmp(). */
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define QUIET __attribute__((no_instrument_function))

static jmp_buf back;

QUIET static void did(const char *what, const char *name, int depth)
{
	printf("%ld %s %s %d\n", syscall(SYS_gettid), what, name, depth);
}

static __attribute__((noinline)) void leaf(int depth)
{
	did("enter", "leaf", depth);
	did("exit", "leaf", depth);
}

static __attribute__((noinline)) void middle(int depth, int turns)
{
	did("enter", "middle", depth);
	for (int i = 0; i < turns; i++)
		leaf(depth + 1);
	if (turns > 1)
		middle(depth + 1, turns - 1);
	did("exit", "middle", depth);
}

static __attribute__((noinline)) void slow(int depth)
{
	const struct timespec t = {0, 20000000};

	did("enter", "slow", depth);
	(void)nanosleep(&t, NULL);
	leaf(depth + 1);
	did("exit", "slow", depth);
}

static __attribute__((noinline, noreturn)) void jumps(int depth)
{
	did("enter", "jumps", depth);
	longjmp(back, 1);
}

static __attribute__((noinline)) void jumped(int depth)
{
	did("enter", "jumped", depth);
	if (setjmp(back) == 0)
		jumps(depth + 1);
	did("exit", "jumped", depth);
}

static void *thread(void *arg)
{
	(void)arg;
	did("enter", "thread", 0);
	middle(1, 3);
	did("exit", "thread", 0);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t;

	did("enter", "main", 0);
	middle(1, 4);
	slow(1);
	if (argc > 1 && !strcmp(argv[1], "left")) {
		jumped(1);
		leaf(1);
	}
	if (pthread_create(&t, NULL, thread, NULL) || pthread_join(t, NULL))
		return 1;
	did("exit", "main", 0);
	return 0;
}
