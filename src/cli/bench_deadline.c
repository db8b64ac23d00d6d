// SPDX-License-Identifier: MIT
/*
 * `tocsin bench deadline`: how late it is when the kernel half says that a deadline has passed.
 *
 * A worker runs sections that go half past their budget in one of three states: it computes; a
 * real-time thread of a second worker has taken its CPU; it sleeps. Lateness is the time of the
 * record less the deadline in it. The worker keeps its own account of each section, and whether it
 * can have been in the state that was meant (bench_judge.h): so a record in another state is either
 * the machine's doing or a fault, and both are counted. Sections within budget are run beside,
 * which must say nothing.
 *
 * Beside it stand what the kernel's own timers take to reach a program that runs, and one that
 * sleeps.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "bench_run.h"
#include "bench_sites.h"
#include "bench_subject.h"
#include "bench_worker.h"

#define RECORDS_MAX (8ul * BENCH_SECTIONS)

struct deadline {
	struct bench_run *run;
	struct bench_area *area;
	struct bench_worker subject, rival;
	bool has_rival;
	struct bench_half half;
	struct bench_record *record; /* RECORDS_MAX */
	size_t nr_records;
	uint64_t nr_lost; /* found no room */
	struct bench_judgement sum;
	struct tocsin_err *err;
};

static const struct {
	enum tocsin_state state;
	enum bench_value p50; /* and the two after it: p99, max */
} plans[BENCH_PLANS_NR] = {
	[BENCH_RUNNING] = {TS_RUNNING, BENCH_V_deadline_running_p50_us},
	[BENCH_WAITING] = {TS_WAITING, BENCH_V_deadline_waiting_p50_us},
	[BENCH_BLOCKED] = {TS_BLOCKED, BENCH_V_deadline_blocked_p50_us},
	[BENCH_WITHIN] = {TS_RUNNING, BENCH_V_NONE},
};

/* Microseconds into three figures. */
static void percentiles_add(struct bench_run *run, enum bench_value p50, double *ns, size_t nr)
{
	if (!nr)
		return;
	bench_sort(ns, nr);
	bench_add(run, p50, bench_percentile(ns, nr, 0.50) / 1e3);
	bench_add(run, p50 + 1, bench_percentile(ns, nr, 0.99) / 1e3);
	bench_add(run, p50 + 2, ns[nr - 1] / 1e3);
}

static int on_event(void *arg, const void *event, size_t len)
{
	struct deadline *d = arg;
	const struct watch_event_section *ev = event;

	if (len < sizeof(*ev) || (ev->head.type != EV_FIRED && ev->head.type != EV_CLOSED) ||
	    (pid_t)ev->tid != d->subject.pid)
		return 0;
	if (d->nr_records == RECORDS_MAX) {
		d->nr_lost++;
		return 0;
	}
	d->record[d->nr_records++] = (struct bench_record){.type = ev->head.type,
							   .state = ev->state,
							   .t_ns = ev->head.t_ns,
							   .start_ns = ev->start_ns,
							   .deadline_ns = ev->deadline_ns,
							   .end_ns = ev->end_ns};
	return 0;
}

static int failed(struct deadline *d, int r)
{
	return tocsin_err_fail(r, d->err, "the bench's own child failed");
}

static int plan_run(struct deadline *d, enum bench_plan plan)
{
	const struct bench_story story = {.section = d->area->section,
					  .nr_sections = BENCH_SECTIONS,
					  .budget_ns = d->area->budget_ns,
					  .state = plans[plan].state};
	struct bench_judgement j;
	double late_ns[BENCH_SECTIONS];
	size_t nr;
	int r = 0;

	d->nr_records = 0;
	if (plan == BENCH_WAITING)
		r = bench_worker_ask(&d->rival, bench_rival_run, 0, 0);
	r = r ?: bench_worker_do(&d->subject, bench_subject_run, plan, 0);
	if (!r && plan == BENCH_WAITING)
		r = bench_worker_wait(&d->rival);
	if (r)
		return failed(d, r);
	r = watch_kernel_consume(d->half.kernel, on_event, d);
	if (r < 0)
		return tocsin_err_fail(r, d->err, "cannot read the event ring");
	nr = bench_judge(&story, d->record, d->nr_records, late_ns, &j);
	if (plans[plan].p50 != BENCH_V_NONE)
		percentiles_add(d->run, plans[plan].p50, late_ns, nr);
	d->sum.fired += j.fired;
	d->sum.missed += j.missed;
	d->sum.is_false += j.is_false;
	d->sum.duplicate += j.duplicate;
	d->sum.unclosed += j.unclosed;
	d->sum.wrong += j.wrong;
	d->sum.disturbed += j.disturbed;
	return 0;
}

static int floor_run(struct deadline *d, bench_job_fn job, enum bench_value p50)
{
	double late_ns[BENCH_SECTIONS];
	int r = bench_worker_do(&d->subject, job, 0, 0);

	if (r)
		return failed(d, r);
	memcpy(late_ns, d->area->late_ns, sizeof(late_ns));
	percentiles_add(d->run, p50, late_ns, d->area->nr_late);
	return 0;
}

static int round_of(struct deadline *d)
{
	int r;

	d->sum = (struct bench_judgement){0};
	r = floor_run(d, bench_subject_signal, BENCH_V_signal_p50_us);
	r = r ?: plan_run(d, BENCH_RUNNING);
	if (d->has_rival)
		r = r ?: plan_run(d, BENCH_WAITING);
	r = r ?: floor_run(d, bench_subject_sleep, BENCH_V_sleep_p50_us);
	r = r ?: plan_run(d, BENCH_BLOCKED);
	r = r ?: plan_run(d, BENCH_WITHIN);
	if (r)
		return r;
	bench_add(d->run, BENCH_V_deadline_missed, d->sum.missed);
	bench_add(d->run, BENCH_V_deadline_false, d->sum.is_false);
	bench_add(d->run, BENCH_V_deadline_duplicate, d->sum.duplicate);
	bench_add(d->run, BENCH_V_deadline_unclosed, d->sum.unclosed);
	bench_add(d->run, BENCH_V_deadline_wrong_state, d->sum.wrong);
	bench_add(d->run, BENCH_V_deadline_disturbed, d->sum.disturbed);
	return 0;
}

/* The workers, before the kernel half is loaded. */
static int start(struct deadline *d)
{
	char why[64];
	int r;

	d->area = bench_area_new(sizeof(*d->area));
	d->record = calloc(RECORDS_MAX, sizeof(*d->record));
	if (!d->area || !d->record)
		return -ENOMEM;
	d->area->budget_ns = d->run->budget_ns;
	if (pipe2(d->area->go_fd, O_CLOEXEC)) {
		r = -errno;
		d->area->go_fd[0] = d->area->go_fd[1] = -1;
		return tocsin_err_fail(r, d->err, "cannot make a pipe");
	}
	r = bench_worker_start(&d->subject, d->area, d->run->cpu, d->err);
	r = r ?: bench_worker_start(&d->rival, d->area, d->run->cpu, d->err);
	if (r)
		return r;
	r = bench_worker_do(&d->rival, bench_rival_rise, 0, 0);
	d->has_rival = !r;
	if (r)
		bench_note(d->run, "deadline_waiting_*: not measured, no real-time thread: %s",
			   tocsin_errno_text(r, why, sizeof(why)));
	return 0;
}

static void stop(struct deadline *d)
{
	bench_half_close(&d->half);
	bench_worker_end(&d->subject);
	bench_worker_end(&d->rival);
	if (d->area) {
		tocsin_close_fdp(&d->area->go_fd[0]);
		tocsin_close_fdp(&d->area->go_fd[1]);
	}
	d->area = bench_area_free(d->area, sizeof(*d->area));
	free(d->record);
}

int bench_deadline(struct bench_run *run, struct tocsin_err *err)
{
	struct deadline d = {.run = run, .err = err};
	uint64_t loss[LOSS_NR];
	int r = start(&d);

	r = r ?: bench_half_open(&d.half, d.subject.pid, err);
	r = r ?: bench_half_attach(&d.half, BENCH_NOP5, run->budget_ns, d.subject.pid, err);
	for (unsigned i = 0; i < run->rounds && !r; i++)
		r = round_of(&d);
	if (!r) {
		watch_kernel_losses(d.half.kernel, loss);
		if (loss[LOSS_EVENT_RING_FULL] || d.nr_lost)
			bench_note(run, "%llu records were lost",
				   (unsigned long long)loss[LOSS_EVENT_RING_FULL] + d.nr_lost);
	}
	stop(&d);
	return r;
}
