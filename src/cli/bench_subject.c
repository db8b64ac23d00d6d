// SPDX-License-Identifier: MIT
/* The program whose deadlines pass, and its rival for the CPU. */
#include "bench_subject.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "bench_sites.h"

#define SITE BENCH_NOP5

/* The record's time is not exactly ours: what happens this near to a deadline may be before or
 * after it. */
#define NEAR_NS 20000

/* How far past its budget a section goes, as a share of it. */
#define LONGER 2 /* a half */

#define PAUSE_NS     300000
#define RIVAL_MAX_NS 1000000000ull /* whatever it is asked for */

static void sleep_until(uint64_t when_ns)
{
	struct timespec t = {.tv_sec = (time_t)(when_ns / 1000000000),
			     .tv_nsec = (long)(when_ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void spin_until(uint64_t when_ns)
{
	while (clock_now_ns() < when_ns)
		;
}

/* How often the calling thread has lost its CPU. */
static long losses_of_cpu(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_THREAD, &usage); /* cannot fail */
	return usage.ru_nivcsw;
}

/* Compute past the deadline. Return: whether something else may have had the CPU as it passed. */
static bool run_past(uint64_t deadline, uint64_t end)
{
	long before;
	bool is_gone;

	spin_until(deadline - NEAR_NS);
	before = losses_of_cpu();
	is_gone = clock_now_ns() > deadline;
	spin_until(deadline + NEAR_NS);
	is_gone |= losses_of_cpu() != before;
	spin_until(end);
	return is_gone;
}

/* Between a section's two calls. Return: whether it may have been in another state than planned. */
static bool be(struct bench_area *area, enum bench_plan plan, uint64_t started)
{
	uint64_t deadline = started + area->budget_ns;
	uint64_t end = deadline + area->budget_ns / LONGER;
	bool is_late;
	long before;

	switch (plan) {
	case BENCH_RUNNING: return run_past(deadline, end);
	case BENCH_BLOCKED:
		is_late = clock_now_ns() + NEAR_NS > deadline;
		sleep_until(end);
		return is_late;
	case BENCH_WAITING:
		area->rival_until = end;
		if (write(area->go_fd[1], "", 1) != 1)
			return true;
		spin_until(end);
		return area->rival_from + NEAR_NS > deadline || area->rival_to < deadline + NEAR_NS;
	case BENCH_WITHIN:
	case BENCH_PLANS_NR: break;
	}
	before = losses_of_cpu();
	spin_until(started + area->budget_ns / 8);
	return losses_of_cpu() != before;
}

int bench_subject_run(void *shared, uint64_t plan, uint64_t unused)
{
	struct bench_area *area = shared;
	bench_site_fn begin = bench_site_begin(SITE), end = bench_site_end(SITE);

	(void)unused;
	for (int i = 0; i < BENCH_SECTIONS; i++) {
		struct bench_section *s = &area->section[i];

		/* Some come close upon another, some after a pause. */
		if (i % 2)
			sleep_until(clock_now_ns() + PAUSE_NS);
		s->before = clock_now_ns();
		begin();
		s->after = clock_now_ns();
		s->is_disturbed = be(area, (enum bench_plan)plan, s->after);
		s->stop_before = clock_now_ns();
		end();
		s->stop_after = clock_now_ns();
	}
	return 0;
}

int bench_rival_rise(void *shared, uint64_t unused, uint64_t unused_too)
{
	struct sched_param lowest = {.sched_priority = 1};

	(void)shared;
	(void)unused;
	(void)unused_too;
	return sched_setscheduler(0, SCHED_FIFO, &lowest) ? -errno : 0;
}

int bench_rival_run(void *shared, uint64_t unused, uint64_t unused_too)
{
	struct bench_area *area = shared;
	char byte;

	(void)unused;
	(void)unused_too;
	for (int i = 0; i < BENCH_SECTIONS; i++) {
		uint64_t until, now;

		if (read(area->go_fd[0], &byte, 1) != 1)
			return -EPIPE;
		now = clock_now_ns();
		until = area->rival_until;
		if (until > now + RIVAL_MAX_NS)
			until = now + RIVAL_MAX_NS;
		area->rival_from = now;
		spin_until(until);
		area->rival_to = clock_now_ns();
	}
	return 0;
}

/* --- the floors --- */

static volatile sig_atomic_t has_rung;
static volatile uint64_t rang_at; /* written by the handler before has_rung */

static void on_timer(int number)
{
	(void)number;
	rang_at = clock_now_ns();
	has_rung = 1;
}

int bench_subject_signal(void *shared, uint64_t unused, uint64_t unused_too)
{
	struct bench_area *area = shared;
	struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct sigaction action = {.sa_handler = on_timer};
	timer_t timer;
	int tries = 0, r = 0;

	(void)unused;
	(void)unused_too;
	area->nr_late = 0;
	if (sigaction(SIGALRM, &action, NULL) || timer_create(CLOCK_MONOTONIC, &how, &timer))
		return -errno;
	while (area->nr_late < BENCH_SECTIONS && !r) {
		uint64_t when = clock_now_ns() + area->budget_ns;
		struct itimerspec at = {.it_value = {.tv_sec = (time_t)(when / 1000000000),
						     .tv_nsec = (long)(when % 1000000000)}};
		long before = losses_of_cpu();

		has_rung = 0;
		if (timer_settime(timer, TIMER_ABSTIME, &at, NULL))
			r = -errno;
		while (!r && !has_rung)
			(void)clock_now_ns();
		tries++;
		if (losses_of_cpu() == before || tries > 2 * BENCH_SECTIONS)
			area->late_ns[area->nr_late++] = (double)(rang_at - when);
	}
	(void)timer_delete(timer); /* it is ours and there */
	return r;
}

int bench_subject_sleep(void *shared, uint64_t unused, uint64_t unused_too)
{
	struct bench_area *area = shared;

	(void)unused;
	(void)unused_too;
	/* Without this the kernel may let a sleeper wait 50 us more, to wake several at once. */
	if (prctl(PR_SET_TIMERSLACK, 1ul))
		return -errno;
	for (area->nr_late = 0; area->nr_late < BENCH_SECTIONS; area->nr_late++) {
		uint64_t when = clock_now_ns() + area->budget_ns;

		sleep_until(when);
		area->late_ns[area->nr_late] = (double)(clock_now_ns() - when);
	}
	return prctl(PR_SET_TIMERSLACK, 0ul) ? -errno : 0; /* what it was */
}
