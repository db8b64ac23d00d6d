// SPDX-License-Identifier: MIT
/* The program whose deadlines pass, and its rival for the CPU. */
#include "bench_subject.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "bench_sites.h"

#define SITE BENCH_NOP5

/* A running thread reads its clock oftener than this, unless something else had its CPU. */
#define GAP_NS 20000

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

/* Compute until then. Return: whether the thread may have been off its CPU at @moment. */
static bool spin_until(uint64_t when_ns, uint64_t moment)
{
	uint64_t last = clock_now_ns(), now;
	bool is_gone = last > moment;

	for (; last < when_ns; last = now) {
		now = clock_now_ns();
		/* on both sides of it: the record's time is not exactly ours */
		if (now - last > GAP_NS && last < moment + GAP_NS && now + GAP_NS > moment)
			is_gone = true;
	}
	return is_gone;
}

/* Between a section's two calls. Return: whether it may have been in another state than planned. */
static bool be(struct bench_area *area, enum bench_plan plan, uint64_t started)
{
	uint64_t deadline = started + area->budget_ns;
	uint64_t end = deadline + area->budget_ns / LONGER;
	bool is_late;

	switch (plan) {
	case BENCH_RUNNING: return spin_until(end, deadline);
	case BENCH_BLOCKED:
		is_late = clock_now_ns() + GAP_NS > deadline;
		sleep_until(end);
		return is_late;
	case BENCH_WAITING:
		area->rival_until = end;
		if (write(area->go_fd[1], "", 1) != 1)
			return true;
		(void)spin_until(end, deadline);
		return area->rival_from > deadline || area->rival_to < deadline + GAP_NS;
	case BENCH_WITHIN:
	case BENCH_PLANS_NR: break;
	}
	(void)spin_until(started + area->budget_ns / 8, deadline);
	return false;
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
		(void)spin_until(until, 0);
		area->rival_to = clock_now_ns();
	}
	return 0;
}

/* --- the floors --- */

static volatile sig_atomic_t has_rung;
static uint64_t rang_at; /* written by the handler before has_rung */

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
	int r = 0;

	(void)unused;
	(void)unused_too;
	if (sigaction(SIGALRM, &action, NULL) || timer_create(CLOCK_MONOTONIC, &how, &timer))
		return -errno;
	for (int i = 0; i < BENCH_SECTIONS && !r; i++) {
		uint64_t when = clock_now_ns() + area->budget_ns;
		struct itimerspec at = {.it_value = {.tv_sec = (time_t)(when / 1000000000),
						     .tv_nsec = (long)(when % 1000000000)}};

		has_rung = 0;
		if (timer_settime(timer, TIMER_ABSTIME, &at, NULL))
			r = -errno;
		while (!r && !has_rung)
			(void)clock_now_ns();
		area->late_ns[i] = (double)(rang_at - when);
	}
	(void)timer_delete(timer); /* it is ours and there */
	return r;
}

int bench_subject_sleep(void *shared, uint64_t unused, uint64_t unused_too)
{
	struct bench_area *area = shared;

	(void)unused;
	(void)unused_too;
	for (int i = 0; i < BENCH_SECTIONS; i++) {
		uint64_t when = clock_now_ns() + area->budget_ns;

		sleep_until(when);
		area->late_ns[i] = (double)(clock_now_ns() - when);
	}
	return 0;
}
