// SPDX-License-Identifier: MIT
/*
 * The flight recorder: a session without an owner, whose rings overwrite. Switching it on is what a
 * recording does when it takes a process, but for the lock, which is let go; a snapshot is what a
 * recording does when it drains, but for the end: readers of overwriting rings copy, and give
 * nothing back.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "../base/clock.h"
#include "record_kernel.h"
#include "record_wait.h"

#define CALL_TRIES   50
#define CALL_WAIT_NS 5000000ull

struct flight {
	struct recorder *rec;
	struct tocsin_err *err;
	bool is_off;
	int failure;
	unsigned nr;
};

static int flight_on(struct flight *f, struct record_process *p)
{
	bool ignored;
	int r = session_take(f->rec, p, &ignored, f->err);

	if (r == 0)
		r = record_process_refresh(f->rec, p);
	if (r == 0)
		r = session_call(f->rec, p);
	/* The owner leaves soon; a process that has reached no site by then makes its rings later.
	 */
	for (int i = 0; i < CALL_TRIES && r == 0 && !session_answered(f->rec, p); i++)
		record_wait_wake(f->rec, CALL_WAIT_NS);
	if (r == 0) {
		uint32_t nobody = 0;

		r = control_file_write(
			&p->page, CONTROL_SESSION_AT + offsetof(struct control_session, owner_pid),
			&nobody, sizeof(nobody));
	}
	return r;
}

static int flight_off(struct flight *f, struct record_process *p)
{
	bool ignored;
	int r = session_take(f->rec, p, &ignored, f->err);

	return r ?: session_silence(p) ?: session_release(p);
}

static int flight_found(void *arg, struct discovered *found)
{
	struct flight *f = arg;
	struct record_process *p = NULL;
	int r = record_process_new(f->rec, found, &p);

	if (r < 0)
		return r;
	r = f->is_off ? flight_off(f, p) : flight_on(f, p);
	record_process_free(p); /* and the lock */
	if (r < 0)
		f->failure = r;
	else
		f->nr++;
	return r == -ENOMEM ? r : 0;
}

static int no_library(pid_t pid, struct tocsin_err *err)
{
	return tocsin_err_fail(-ENOENT, err, "process %d has no libtocsin", (int)pid);
}

int record_flight(const struct record_wish *wish, pid_t pid, struct tocsin_err *err)
{
	struct record_options opts = {0};
	struct recorder rec = {.opts = &opts, .arena.fd = -1};
	struct flight f = {.rec = &rec, .err = err, .is_off = !wish};
	int r;

	if (wish)
		opts.wish = *wish;
	if (getrandom(&rec.session_id, sizeof(rec.session_id), 0) !=
	    (ssize_t)sizeof(rec.session_id))
		rec.session_id = clock_now_ns();
	rec.session_id |= 1; /* 0 is none */
	r = discover_process(pid, flight_found, &f, err);
	if (r < 0)
		return r;
	return r == 0 ? no_library(pid, err) : f.nr ? 0 : f.failure;
}

/* --- snapshots --- */

int record_snapshot_rings(struct recorder *rec, struct record_process *p)
{
	int r = record_process_refresh(rec, p);

	for (uint32_t i = 0; i < p->nr_rings && r == 0; i++)
		if (p->ring[i]->is_open)
			ring_reader_bound(&p->ring[i]->reader);
	if (r == 0 && rec->has_tb && timebase_measure(&rec->tb) > TIMEBASE_SAME)
		record_trace_redraw(rec->trace);
	record_kernel_measured(rec);
	for (uint32_t i = 0; i < p->nr_rings && r == 0; i++) {
		int64_t got = 0;

		if (p->ring[i]->is_open)
			got = record_drain(rec, p, p->ring[i], UINT64_MAX);
		r = got < 0 ? (int)got : 0;
	}
	return r;
}

static int snapshot_found(void *arg, struct discovered *found)
{
	struct flight *f = arg;
	struct record_process *p = NULL;
	int r = record_process_new(f->rec, found, &p);

	if (r < 0)
		return r;
	r = control_file_lock(&p->page);
	if (r == 0)
		r = control_file_read(&p->page, CONTROL_SESSION_AT, &p->session,
				      sizeof(p->session));
	if (r == -EBUSY)
		r = tocsin_err_fail(r, f->err, "process %d '%s' is being recorded", (int)p->pid,
				    p->comm);
	else if (r == 0 && (!p->session.session_id || p->session.mode != CONTROL_MODE_OVERWRITE ||
			    p->session.nr_layouts > CONTROL_LAYOUTS))
		r = tocsin_err_fail(
			-ENOENT, f->err,
			"process %d '%s' has no flight recorder running (tocsin record --flight switches it on)",
			(int)p->pid, p->comm);
	if (r < 0) {
		record_process_free(p);
		f->failure = r;
		return 0;
	}
	record_say(f->rec, p, "attached", "a snapshot");
	r = record_snapshot_rings(f->rec, p);
	record_process_link(f->rec, p);
	f->nr++;
	return record_process_end(f->rec, p, "released") ?: r;
}

int record_snapshot(struct recorder *rec, pid_t pid, struct tocsin_err *err)
{
	struct flight f = {.rec = rec, .err = err};
	int r = discover_process(pid, snapshot_found, &f, err);

	if (r < 0)
		return r;
	if (rec->stats.disk_failure)
		return rec->stats.disk_failure;
	return r == 0 ? no_library(pid, err) : f.nr ? 0 : f.failure;
}

int record_snapshot_kernel(struct recorder *rec, struct tocsin_err *err)
{
	int r = record_kernel_snapshot(rec, err);

	for (struct record_process *p = rec->processes; p && !r; p = p->next)
		if (p->is_kernel)
			r = record_process_end(rec, p, "released");
	return r ?: rec->stats.disk_failure;
}
