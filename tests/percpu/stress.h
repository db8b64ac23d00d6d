/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_PERCPU_STRESS_H
#define TOCSIN_TESTS_PERCPU_STRESS_H

/* What the stress tests of percpu/ share: a test of one line of TAP, delays, threads on CPUs. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "tocsin/rseq.h"

static inline int stress_done(bool holds, const char *what)
{
	(void)printf("1..1\n%s 1 - %s\n", holds ? "ok" : "not ok", what);
	return holds ? 0 : 1;
}

static inline int stress_skip(const char *why)
{
	(void)printf("1..0 # SKIP %s\n", why);
	return 0;
}

/* Where a delay could have been: the injection points that some section came by. */
static inline void stress_points(const char *before)
{
	(void)printf("%spoints:", before);
	for (unsigned i = 0; i < TOCSIN_RSEQ_POINTS; i++)
		if (!tocsin_rseq_unmet[i])
			(void)printf(" %u", i);
	(void)printf("\n");
}

/* Something that the test itself needs did not work. */
static inline void stress_bail(const char *what)
{
	(void)printf("Bail out! %s\n", what);
	exit(1);
}

/* The first argument of a stress test: for how many seconds. */
static inline uint64_t stress_end_ns(int argc, char **argv)
{
	uint64_t seconds = 0;

	if (argc < 2 || tocsin_parse_u64(argv[1], &seconds) < 0)
		stress_bail("the first argument is for how many seconds");
	return clock_now_ns() + seconds * 1000000000u;
}

static inline void stress_sleep_ns(long ns)
{
	struct timespec ts = {.tv_nsec = ns};

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL); /* a signal may shorten it */
}

static inline void stress_spin(uint32_t turns)
{
	for (volatile uint32_t i = 0; i < turns; i++) {
	}
}

static inline uint32_t stress_random(uint32_t x)
{
	return x * 1103515245u + 12345u;
}

static inline bool stress_has_cpus(unsigned nr)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return false;
	for (unsigned cpu = 0; cpu < nr; cpu++)
		if (!CPU_ISSET(cpu, &set))
			return false;
	return true;
}

static inline void stress_pin_thread(pthread_t thread, unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)pthread_setaffinity_np(thread, sizeof(set), &set); /* a CPU may be off: as it was */
}

static inline void stress_pin(unsigned cpu)
{
	stress_pin_thread(pthread_self(), cpu);
}

/* Take CPU 1 off, or on: for tests that were asked to, since it disturbs the whole machine. */
static inline void stress_switch(bool is_on)
{
	int fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, is_on ? "1" : "0", 1) != 1)
		stress_bail("CPU 1 cannot be taken off and on");
	(void)close(fd); /* the write said whether it worked */
}

static inline bool stress_asked_for(int argc, char **argv, const char *what)
{
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], what) == 0)
			return true;
	return false;
}

static inline void stress_start(pthread_t *ret_thread, void *(*run)(void *), void *arg)
{
	if (pthread_create(ret_thread, NULL, run, arg) != 0)
		stress_bail("no thread");
}

static inline void stress_handle(int signal_nr, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

	if (sigaction(signal_nr, &action, NULL) != 0)
		stress_bail("no signal handler");
}

#endif
