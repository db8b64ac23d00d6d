// SPDX-License-Identifier: MIT
/*
 * A program for monitors: functions to be bound, called as its arguments say, one after the other.
 *
 *	take:KEY drop:KEY grab:KEY let:KEY    two pairs of calls with a key
 *	sleep:MS spin:MS                      without a call, off and on the CPU
 *	times:N                               all behind it, N times
 *	fork:N                                N children that end at once, each woken and waited for
 *
 * Prints "KEY call" for each call, which is what happened.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile long sink;

/* clang makes no clones, and does not know the word. */
#ifdef __clang__
#	define ALONE __attribute__((noinline))
#else
#	define ALONE __attribute__((noinline, noclone))
#endif

#define CALLED(name)                         \
	ALONE long name(long key, long more) \
	{                                    \
		sink += key ^ more;          \
		return sink;                 \
	}

long monitored_take(long key, long more);
long monitored_drop(long key, long more);
long monitored_grab(long key, long more);
long monitored_let(long key, long more);

CALLED(monitored_take)
CALLED(monitored_drop)
CALLED(monitored_grab)
CALLED(monitored_let)

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void do_sleep(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static void do_spin(long ms)
{
	for (long end = now_ms() + ms; now_ms() < end;)
		sink++;
}

static void do_fork(long nr)
{
	for (long i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
}

static const struct {
	const char *name;
	long (*call)(long key, long more);
	void (*act)(long how);
} acts[] = {
	{"take", monitored_take, NULL}, {"drop", monitored_drop, NULL},
	{"grab", monitored_grab, NULL}, {"let", monitored_let, NULL},
	{"sleep", NULL, do_sleep},      {"spin", NULL, do_spin},
	{"fork", NULL, do_fork},
};

static void act(const char *word)
{
	const char *colon = strchr(word, ':');
	long how = colon ? strtol(colon + 1, NULL, 0) : 0;

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (!colon || strncmp(acts[i].name, word, (size_t)(colon - word)) != 0)
			continue;
		if (acts[i].act) {
			acts[i].act(how);
		} else {
			acts[i].call(how, 1);
			(void)printf("%ld %s\n", how, acts[i].name);
		}
	}
}

int main(int argc, char **argv)
{
	long times = 1;
	int first = 1;

	if (argc > 1 && strncmp(argv[1], "times:", 6) == 0)
		times = strtol(argv[first++] + 6, NULL, 0);
	for (long n = 0; n < times; n++)
		for (int i = first; i < argc; i++)
			act(argv[i]);
	return 0;
}
