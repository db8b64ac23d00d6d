// SPDX-License-Identifier: MIT
/* Sections within and over their budget. Prints a line of JSON for each that must have left a
 * record, and says what the calls returned. Compiled as C and as C++. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "tocsin/tocsin.h"

static void sleep_ms(long ms)
{
	struct timespec t = {0, ms * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		continue;
}

static void spin_ms(long ms)
{
	struct timespec a, b;

	(void)clock_gettime(CLOCK_MONOTONIC, &a); /* cannot fail */
	do
		(void)clock_gettime(CLOCK_MONOTONIC, &b); /* cannot fail */
	while ((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < ms);
}

static int wrong;

static void expect(int got, int want, const char *what)
{
	if (got != want) {
		printf("wrong: %s returned %d, not %d\n", what, got, want);
		wrong++;
	}
}

static void over(const char *name, int keyed, unsigned long long key, double least_ms)
{
	printf("{\"name\": \"%s\", \"keyed\": %d, \"key\": %llu, \"least_ms\": %g}\n", name, keyed,
	       key, least_ms);
}

static int leaves_early(int how)
{
	tocsin_section("scope", 2 * TOCSIN_MS);
	sleep_ms(5);
	if (how)
		return how;
	sleep_ms(1);
	return 0;
}

static void nested(void)
{
	tocsin_section("outer", 3 * TOCSIN_MS);
	for (int i = 0; i < 3; i++) {
		tocsin_section("inner", 1 * TOCSIN_S);
		sleep_ms(2);
	}
	{
		tocsin_section("inner late", 1 * TOCSIN_MS);
		spin_ms(4);
	}
	over("inner late", 0, 0, 4);
}

static void deep(int n)
{
	int r = tocsin_section_begin("deep", 1 * TOCSIN_S);

	expect(r, n < 16 ? 0 : -ENOSPC, "begin, deep");
	if (n < 20)
		deep(n + 1);
	expect(tocsin_section_end("deep"), 0, "end, deep");
}

static void *other_thread(void *arg)
{
	(void)arg;
	expect(tocsin_section_end_keyed("request", 7), -EOVERFLOW, "end of key 7");
	expect(tocsin_section_end_keyed("request", 8), 0, "end of key 8");
	expect(tocsin_section_end_keyed("request", 8), -ENOENT, "second end of key 8");
	expect(tocsin_section_end_keyed("other", 9), -ENOENT, "end of key 9 in another section");
	expect(tocsin_section_end_keyed("request", 9), 0, "end of key 9");
	return NULL;
}

static volatile sig_atomic_t ticks;

static void on_tick(int sig)
{
	tocsin_section("handler", 1 * TOCSIN_S);
	(void)sig;
	ticks++;
}

/* A handler that interrupts begin and end wherever it happens to. */
static void signals(void)
{
	struct sigaction sa;
	struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	int bad = 0;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_tick;
	if (sigaction(SIGALRM, &sa, NULL) || setitimer(ITIMER_REAL, &often, NULL))
		return;
	while (ticks < 2000) {
		bad += tocsin_section_begin("signals", 1 * TOCSIN_S) != 0;
		bad += tocsin_section_end("signals") != 0;
	}
	(void)setitimer(ITIMER_REAL, &never, NULL); /* cannot fail */
	expect(bad, 0, "begin and end among signals");
	expect(tocsin_section_end("signals"), -ENOENT, "end of what is not open");
}

int main(void)
{
	char line[64];
	pthread_t thread;

	printf("ready\n");
	(void)fflush(stdout); /* a pipe that the test reads */
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	(void)leaves_early(1);
	over("scope", 0, 0, 5);
	(void)leaves_early(0);
	over("scope", 0, 0, 6);
	nested();
	over("outer", 0, 0, 10);
	deep(0);
	expect(tocsin_section_begin("a", 1 * TOCSIN_S), 0, "begin a");
	expect(tocsin_section_begin("b", 1 * TOCSIN_MS), 0, "begin b");
	expect(tocsin_section_end("a"), 0, "end a");
	sleep_ms(2);
	expect(tocsin_section_end("b"), -EOVERFLOW, "end b");
	over("b", 0, 0, 2);
	expect(tocsin_section_end("b"), -ENOENT, "second end of b");
	expect(tocsin_section_begin_keyed("request", 7, 1 * TOCSIN_MS), 0, "begin of key 7");
	expect(tocsin_section_begin_keyed("request", 8, 1 * TOCSIN_S), 0, "begin of key 8");
	expect(tocsin_section_begin_keyed("request", 9, 1), 0, "begin of key 9");
	sleep_ms(3);
	expect(tocsin_section_begin_keyed("request", 9, 1 * TOCSIN_S), 0, "key 9 again");
	if (pthread_create(&thread, NULL, other_thread, NULL) || pthread_join(thread, NULL))
		return 1;
	over("request", 1, 7, 3);
	signals();
	printf("%s\n", wrong ? "something was wrong" : "all returned what they should");
	printf("done\n");
	(void)fflush(stdout); /* a pipe that the test reads */
	if (!fgets(line, sizeof(line), stdin))
		return 0;
	return 0;
}
