/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_TARGET_H
#define TOCSIN_TESTS_TARGET_H

/*
 * What the target programs of the tests share: clocks, pinning, work, and the hand-shake with the
 * test that watches them.
 *
 * A target prints one JSON object a line on standard output. The first says {"ready":PID}; then it
 * waits for a line (or the end) of standard input, so that the watch can be armed before any
 * section begins. Nothing here calls the C library's stdio between the marks of a section.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Makes the compiler set up a frame, so that the function begins with `push %rbp`, which is cheap
 * to probe. */
#define TARGET_FRAME() __asm__ volatile("" : : "r"(__builtin_frame_address(0)))

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* A function that stays as it is written: not inlined, and with gcc not specialised for its callers
 * either. */
#ifdef __clang__
#	define TARGET_NOINLINE __attribute__((noinline))
#else
#	define TARGET_NOINLINE __attribute__((noipa))
#endif

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts); /* cannot fail: the clocks used exist on every Linux */
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static inline uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* CPU time of the calling thread, exact at the moment of the call. */
static inline uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline pid_t thread_id(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* Busy until the wall clock has moved on by @ns, whoever had the CPU meanwhile. */
static inline void spin_ns(uint64_t ns)
{
	uint64_t end = now_ns() + ns;

	while (now_ns() < end)
		;
}

static inline void sleep_ns(uint64_t ns)
{
	struct timespec left = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static inline void thread_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(3, "cannot pin to CPU %d", cpu);
}

/* The first two CPUs that this process may use; both the same when there is only one. */
static inline void cpus_find(int ret_cpu[2])
{
	cpu_set_t set;
	int found = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		err(3, "cannot read the CPU affinity");
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET((size_t)cpu, &set))
			ret_cpu[found++] = cpu;
	if (found == 1)
		ret_cpu[1] = ret_cpu[0];
}

static inline uint64_t target_u64(const char *text)
{
	uint64_t value = 0;

	if (!*text)
		errx(2, "a number is missing");
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9' || value > UINT64_MAX / 10 - 1)
			errx(2, "not a number: '%s'", text);
		value = value * 10 + (uint64_t)(*p - '0');
	}
	return value;
}

static inline pthread_t thread_start(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, fn, arg);
	if (errno)
		err(3, "cannot create a thread");
	return thread;
}

/* A child must not outlive a target that the test kills. */
static inline void child_die_with_parent(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		err(3, "cannot set the parent death signal");
}

static inline void target_wait_line(void)
{
	char c;
	ssize_t n;

	do {
		n = read(STDIN_FILENO, &c, 1);
	} while ((n < 0 && errno == EINTR) || (n == 1 && c != '\n'));
}

/* Say that the program is there, and wait until the test says go. */
static inline void target_ready(void)
{
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* without it lines come late, nothing worse */
	printf("{\"ready\":%d}\n", getpid());
	target_wait_line();
}

#endif
