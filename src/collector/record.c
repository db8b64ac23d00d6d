// SPDX-License-Identifier: MIT
/*
 * A recording. Each pass looks at every process (new rings, new classes, has it ended?), measures
 * the clocks once the readers know how far they may go, and drains ring by ring. Between passes it
 * sleeps: until a process says that a ring passed its watermark, or for an interval that doubles
 * while little comes and is cut to a millisecond when a lot does.
 *
 * The clock is measured before a run of records is given a line, and every record in the run is
 * older than that measurement: the bound of a ring's reader is taken first.
 *
 * A process that has ended is drained once more, to the end: its memory lives as long as we hold
 * its files. A killed collector's session is taken over with all that is in the rings; after an
 * orderly end a session's leftovers (records that were being made) are skipped.
 *
 * Children of recorded processes are looked for a few times a second; programs that are started by
 * the recording get an arena, which outlives them, so nothing of them is missed however short they
 * live.
 */
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "record_kernel.h"
#include "record_wait.h"

#define SCAN_NS            250000000ull /* between looks for new processes */
#define INTERVAL_LEAST_NS  1000000ull
#define INTERVAL_MOST_NS   100000000ull
#define INTERVAL_KERNEL_NS 10000000ull   /* the kernel half wakes nobody */
#define KEEP_NS            3000000000ull /* what an ended process left, while the disk is full */
#define PASS_BYTES         (64ull << 20) /* of one ring in one pass, so that others get their turn */
#define BUSY_BYTES         (1ull << 20)  /* a pass with more is followed by another soon */

static void recorder_free(struct recorder *rec)
{
	while (rec->processes) {
		struct record_process *p = rec->processes;

		rec->processes = p->next;
		record_process_free(p);
	}
	if (rec->arena.fd >= 0)
		(void)close(rec->arena.fd);
	free(rec->arena.seen);
	record_kernel_end(rec);
	timebase_done(&rec->tb);
	free(rec);
}

/* --- the clock --- */

static void say_clock(struct recorder *rec)
{
	unsigned i = rec->tb.nr_lines - 1;
	const struct timebase_line *line = &rec->tb.line[i];
	struct record_event_clock event = {
		.clock = i,
		.value = rec->tb.last.tick,
		.monotonic_ns = rec->tb.last.ns,
		.error_ns = (int64_t)(timebase_line_ns(line, rec->tb.last.tick) - rec->tb.last.ns),
		.freq = line->freq_hz,
	};

	(void)record_trace_say(rec->trace, RECORD_EVENT_clock, &event); /* counted if lost */
}

static int clock_measure(struct recorder *rec)
{
	int r;

	if (!rec->has_tb)
		return 0;
	r = timebase_measure(&rec->tb);
	record_kernel_measured(rec);
	if (r == TIMEBASE_REDRAWN || r == TIMEBASE_BEGUN) {
		record_trace_redraw(rec->trace);
		say_clock(rec);
	}
	return r < 0 ? r : 0;
}

/* --- processes --- */

/* What an orderly session left in the rings belongs to nobody. */
static void rings_skip(struct record_process *p)
{
	for (uint32_t i = 0; i < p->nr_rings; i++) {
		struct record_ring *ring = p->ring[i];
		struct ring_extent ext;
		enum ring_read state;

		if (!ring->is_open)
			continue;
		ring->lost_before = ring_reader_lost(&ring->reader);
		ring_reader_bound(&ring->reader);
		while ((state = ring_reader_next(&ring->reader, 1 << 20, &ext)) != RING_READ_END &&
		       state != RING_READ_CORRUPT)
			if (state != RING_READ_LAPPED)
				ring_reader_release(&ring->reader, &ext);
	}
}

static int process_begin(struct recorder *rec, struct record_process *p, bool is_session,
			 struct tocsin_err *err)
{
	bool is_continued = false;
	int r = 0;

	if (p->clock == CONTROL_CLOCK_TSC && !rec->has_tb)
		return tocsin_err_fail(-ENODEV, err, "process %d uses a clock that is not here",
				       (int)p->pid);
	record_process_losses(p);
	if (is_session) {
		/* It began with our session, out of the arena. */
		r = control_file_lock(&p->page);
		p->is_owner = r == 0;
		r = control_file_read(&p->page, CONTROL_SESSION_AT, &p->session,
				      sizeof(p->session));
		if (p->session.nr_layouts > CONTROL_LAYOUTS)
			p->session.nr_layouts = 0;
	} else {
		memcpy(p->library_lost_before, p->library_lost, sizeof(p->library_lost));
		r = session_take(rec, p, &is_continued, err);
		if (p->is_inherited) /* all of its life was ours */
			memset(p->library_lost_before, 0, sizeof(p->library_lost_before));
	}
	if (r == 0)
		r = record_process_refresh(rec, p);
	if (r == 0 && !is_session)
		r = session_call(rec, p);
	if (r == 0 && !is_session && !is_continued)
		rings_skip(p);
	if (r == 0)
		record_say(rec, p, is_session ? "inherited" : "attached",
			   is_continued ? "a session that nobody held went on" : "-");
	return r;
}

void record_process_link(struct recorder *rec, struct record_process *p)
{
	*rec->tail = p;
	rec->tail = &p->next;
	if (p->is_kernel)
		return;
	rec->stats.processes++;
	rec->stats.alive++;
}

struct adding {
	struct recorder *rec;
	struct tocsin_err *err;
	int failure;
	unsigned nr;
};

static bool is_known(const struct recorder *rec, const struct discovered *found)
{
	for (const struct record_process *p = rec->processes; p; p = p->next)
		if (p->pid == found->pid && p->start_ticks == found->start_ticks &&
		    p->page.inode == found->page.inode && p->page.offset == found->page.offset)
			return true;
	return false;
}

static int add_found(void *arg, struct discovered *found)
{
	struct adding *a = arg;
	struct record_process *p = NULL;
	int r;

	if (is_known(a->rec, found))
		return 0;
	r = record_process_new(a->rec, found, &p);
	if (r < 0)
		return r;
	r = process_begin(a->rec, p, false, a->err);
	if (r < 0) {
		if (p->is_owner)
			(void)(session_silence(p) ?: session_release(p)); /* the failure before */
		record_process_free(p);
		if (r == -ENOMEM)
			return r;
		a->failure = r;
		return 0;
	}
	a->rec->nr_heirs_found += p->is_inherited;
	record_process_link(a->rec, p);
	a->nr++;
	return 0;
}

int record_add(struct recorder *rec, pid_t pid, struct tocsin_err *err)
{
	struct adding a = {.rec = rec, .err = err};
	int r = record_kernel_add(rec, pid, err);

	r = r ?: discover_process(pid, add_found, &a, err);
	if (r < 0)
		return r;
	if (r == 0 && rec->kernel)
		return 0; /* its kernel events are recorded */
	if (a.failure && !a.nr)
		return a.failure;
	if (r == 0)
		return tocsin_err_fail(
			-ENOENT, err,
			"process %d has no libtocsin, or has not come to its constructor yet",
			(int)pid);
	return 0;
}

int record_add_kernel(struct recorder *rec, pid_t pid, struct tocsin_err *err)
{
	return record_kernel_add(rec, pid, err);
}

/* --- new processes --- */

/* A page in the arena, which was made with our session. Return: 0, or -ENOMEM. */
static int arena_add(struct recorder *rec, uint32_t place)
{
	struct discovered found;
	struct record_process *p;
	int r = record_arena_page(rec, place, &found);

	if (r == -EAGAIN)
		return 0; /* being made, or its maker has died: looked at again */
	rec->arena.seen[place] = 1;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = record_process_new(rec, &found, &p);
	discovered_done(&found);
	if (r < 0)
		return r;
	if (process_begin(rec, p, true, NULL) < 0) {
		rec->stats.denied++;
		record_process_free(p);
		return 0;
	}
	record_process_link(rec, p);
	return 0;
}

static int arena_scan(struct recorder *rec)
{
	uint32_t nr = 0;
	int r;

	if (rec->arena.fd < 0)
		return 0;
	r = record_arena_places(rec, &nr);
	for (uint32_t i = rec->arena.nr_places; i < nr && r == 0; i++)
		if (!rec->arena.seen[i])
			r = arena_add(rec, i);
	while (rec->arena.nr_places < nr && rec->arena.seen[rec->arena.nr_places])
		rec->arena.nr_places++;
	return r;
}

static int children_add(struct recorder *rec, const struct pid_set *set)
{
	struct adding a = {.rec = rec};
	int r = 0;

	for (size_t i = 0; i < set->nr && r == 0; i++) {
		int found = discover_process(set->pid[i], add_found, &a, NULL);

		if (found == -ENOMEM)
			r = found;
	}
	return r;
}

static int children_scan(struct recorder *rec)
{
	struct pid_set set TOCSIN_CLEANUP(pid_set_done) = {0};
	int r = 0;

	for (struct record_process *p = rec->processes; p && r == 0; p = p->next)
		if (!p->is_ended && !p->is_kernel)
			r = pid_set_add(&set, p->pid);
	if (r == 0)
		r = process_add_descendants(&set);
	return r ?: children_add(rec, &set);
}

/* Children that a page announces may not live for long: those of its process, without a look at the
 * whole machine. */
static int heirs_scan(struct recorder *rec)
{
	int r = 0;

	for (struct record_process *p = rec->processes; p && r == 0; p = p->next) {
		struct pid_set set TOCSIN_CLEANUP(pid_set_done) = {0};

		if (p->is_done || p->is_kernel || !record_process_heirs(p) || rec->is_stopping)
			continue;
		r = process_add_children(&set, p->pid);
		if (r == -ENOENT) { /* it has ended, or the kernel does not say */
			rec->scanned_ns = 0;
			r = 0;
		}
		r = r ?: children_add(rec, &set);
	}
	return r;
}

static int processes_scan(struct recorder *rec, uint64_t now_ns)
{
	struct adding a = {.rec = rec};
	struct discover_blind blind;
	int r;

	if (rec->is_stopping || now_ns - rec->scanned_ns < SCAN_NS)
		return 0;
	rec->scanned_ns = now_ns;
	if (rec->opts->is_all) {
		r = discover_all(NULL, add_found, &a, &blind);
		if (r >= 0)
			rec->stats.denied = blind.nr_denied + blind.nr_refused;
		return r < 0 ? r : 0;
	}
	return rec->opts->wish.is_inherited ? children_scan(rec) : 0;
}

/* --- draining --- */

int record_process_end(struct recorder *rec, struct record_process *p, const char *what)
{
	int r = 0;

	for (uint32_t i = 0; i < p->nr_rings; i++) {
		struct record_ring *ring = p->ring[i];
		int closed;

		if (ring->is_open)
			ring->lost = ring_reader_lost(&ring->reader) - ring->lost_before;
		closed = record_ring_close(rec, ring);
		r = r ?: closed;
		if (ring->is_open)
			ring_reader_close(&ring->reader);
		ring->is_open = false;
	}
	record_process_tell_losses(rec, p);
	(void)record_process_heirs(p); /* the last look */
	rec->nr_heirs += p->heirs;
	p->is_done = true;
	if (p->is_kernel)
		return r;
	record_say(rec, p, what, "-");
	rec->stats.alive--;
	if (rec->arena.fd >= 0 && p->is_ended)
		record_arena_give_back(rec, p);
	control_file_close(&p->page);
	return r;
}

static int64_t process_drain(struct recorder *rec, struct record_process *p, bool is_last)
{
	int64_t bytes = 0;

	for (uint32_t i = 0; i < p->nr_rings; i++) {
		struct record_ring *ring = p->ring[i];
		int64_t r;

		if (!ring->is_open || ring->is_done)
			continue;
		if (is_last)
			ring_reader_final(&ring->reader);
		r = record_drain(rec, p, ring, is_last ? UINT64_MAX : PASS_BYTES);
		if (r < 0)
			return r;
		bytes += r;
	}
	return bytes;
}

/* Everything that is left of a process that has ended. */
static int process_finish(struct recorder *rec, struct record_process *p)
{
	int64_t r = record_process_refresh(rec, p);

	if (r == 0)
		r = process_drain(rec, p, true);
	if (r < 0)
		return (int)r;
	if (!p->ended_ns)
		p->ended_ns = clock_now_ns();
	if (rec->stats.disk_failure && !rec->is_stopping && clock_now_ns() - p->ended_ns < KEEP_NS)
		return 0; /* it keeps in memory: next time */
	for (uint32_t i = 0; i < p->nr_rings; i++)
		record_ring_discard(rec, p->ring[i]);
	return record_process_end(rec, p, "ended");
}

/* --- chunks --- */

static bool is_chunk_full(const struct recorder *rec, uint64_t now_ns)
{
	uint64_t bytes = rec->chunk_bytes;

	for (struct record_process *p = rec->processes; p; p = p->next)
		for (uint32_t i = 0; i < p->nr_rings; i++)
			if (p->ring[i]->stream.file.fd >= 0)
				bytes += p->ring[i]->stream.file.used_bytes;
	return (rec->opts->rotate_bytes && bytes >= rec->opts->rotate_bytes) ||
	       (rec->opts->rotate_ns && now_ns - rec->chunk_ns >= rec->opts->rotate_ns);
}

static int rotate(struct recorder *rec, uint64_t now_ns)
{
	unsigned chunk = record_trace_chunk(rec->trace);
	int r;

	if (!is_chunk_full(rec, now_ns))
		return 0;
	r = record_trace_rotate(rec->trace);
	if (record_trace_chunk(rec->trace) == chunk)
		return r; /* the old one goes on */
	for (struct record_process *p = rec->processes; p; p = p->next)
		for (uint32_t i = 0; i < p->nr_rings; i++) {
			(void)record_ring_close(rec, p->ring[i]); /* an uncut end does no harm */
			p->ring[i]->nr_files = 0;
		}
	record_trace_rotated(rec->trace);
	rec->chunk_bytes = 0;
	rec->chunk_ns = now_ns;
	rec->stats.chunks++;
	if (rec->has_tb)
		say_clock(rec);
	return r;
}

/* --- the loop --- */

/* Those that are done have nothing that anybody would ask for. */
static void processes_reap(struct recorder *rec)
{
	struct record_process **at = &rec->processes;

	while (*at) {
		struct record_process *p = *at;

		if (p->is_done) {
			*at = p->next;
			record_process_free(p);
		} else {
			at = &p->next;
		}
	}
	rec->tail = at;
}

static void interval_adapt(struct recorder *rec, uint64_t bytes)
{
	uint64_t most_ns = rec->kernel ? INTERVAL_KERNEL_NS : INTERVAL_MOST_NS;
	/* A ring whose watermark was passed while the others were read does not wake us again. */
	uint64_t busy = rec->opts->wish.ring_bytes / 8;

	if (bytes >= BUSY_BYTES || (busy && bytes >= busy))
		rec->interval_ns = INTERVAL_LEAST_NS;
	else if (rec->interval_ns < most_ns / 2)
		rec->interval_ns *= 2;
	else
		rec->interval_ns = most_ns;
}

void record_go(struct recorder *rec)
{
	record_kernel_go(rec);
}

int record_poll(struct recorder *rec)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t bytes = 0;
	int r = heirs_scan(rec);

	r = r ?: processes_scan(rec, now_ns);
	r = r ?: arena_scan(rec);
	for (struct record_process *p = rec->processes; p && r == 0; p = p->next) {
		if (p->is_done)
			continue;
		(void)record_process_has_ended(p); /* remembered */
		r = record_process_refresh(rec, p);
		for (uint32_t i = 0; i < p->nr_rings; i++)
			if (p->ring[i]->is_open && !p->ring[i]->is_done)
				ring_reader_bound(&p->ring[i]->reader);
	}
	r = r ?: clock_measure(rec);
	for (struct record_process *p = rec->processes; p && r == 0; p = p->next) {
		int64_t got = p->is_done ? 0 : process_drain(rec, p, false);

		if (got < 0)
			return (int)got;
		bytes += (uint64_t)got;
		if (!p->is_done && p->is_ended)
			r = process_finish(rec, p);
	}
	interval_adapt(rec, bytes);
	processes_reap(rec);
	if (r == 0 && rec->opts->trace.is_chunked)
		r = rotate(rec, now_ns);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || (r = record_trace_tick(rec->trace)) < 0)
		rec->stats.disk_failure = rec->stats.last_disk_failure = r;
	return 0;
}

void record_wait(struct recorder *rec, uint64_t most_ns)
{
	uint64_t ns = rec->interval_ns < most_ns ? rec->interval_ns : most_ns;

	record_wait_wake(rec, ns);
}

bool record_alive(const struct recorder *rec)
{
	return rec->opts->is_all || rec->stats.alive || record_kernel_is_alive(rec);
}

int record_stop(struct recorder *rec)
{
	struct record_event_summary summary;
	int r, ret;

	rec->is_stopping = true;
	record_kernel_halt(rec);
	for (struct record_process *p = rec->processes; p; p = p->next)
		if (!p->is_done)
			(void)session_silence(p); /* of a page that is gone: the process is, too */
	ret = record_poll(rec);
	/* Records that were being made as the events went off. */
	record_wait_wake(rec, 2000000);
	ret = record_poll(rec) ?: ret;
	for (struct record_process *p = rec->processes; p; p = p->next) {
		if (p->is_done)
			continue;
		for (uint32_t i = 0; i < p->nr_rings; i++)
			if (rec->stats.disk_failure)
				record_ring_discard(rec, p->ring[i]);
		(void)session_release(p); /* as above */
		r = record_process_end(rec, p, "released");
		ret = ret ?: r;
	}
	record_tell_missed(rec);
	if (rec->has_tb)
		say_clock(rec);
	summary = (struct record_event_summary){
		.duration_ns = clock_now_ns() - rec->begun_ns,
		.processes = rec->stats.processes,
		.events = rec->stats.events,
		.lost = rec->stats.lost + rec->stats.lost_disk + rec->stats.lost_corrupt +
			rec->stats.lost_library + rec->stats.lost_kernel,
		.bytes = rec->stats.bytes,
		.clocks = rec->has_tb ? rec->tb.nr_lines : 0,
	};
	(void)record_trace_say(rec->trace, RECORD_EVENT_summary, &summary); /* counted */
	return ret;
}

void record_get_stats(const struct recorder *rec, struct record_stats *ret)
{
	*ret = rec->stats;
	/* Of processes that are still there; the others are in the sum. */
	for (const struct record_process *p = rec->processes; p; p = p->next)
		for (uint32_t i = 0; i < p->nr_rings && !p->is_done; i++) {
			ret->lost += p->ring[i]->lost;
			ret->kernel_lost += p->is_kernel ? p->ring[i]->lost : 0;
		}
}

int record_open(const struct record_options *opts, record_say_fn say, void *arg,
		struct tocsin_err *err, struct recorder **ret_rec)
{
	struct recorder *rec = calloc(1, sizeof(*rec));
	int r;

	if (!rec)
		return tocsin_err_fail(-ENOMEM, err, "out of memory");
	rec->opts = opts;
	rec->say = say;
	rec->say_arg = arg;
	rec->tail = &rec->processes;
	rec->arena.fd = -1;
	rec->interval_ns = INTERVAL_LEAST_NS;
	rec->begun_ns = rec->chunk_ns = clock_now_ns();
	rec->stats.chunks = 1;
	if (getrandom(&rec->session_id, sizeof(rec->session_id), 0) !=
	    (ssize_t)sizeof(rec->session_id))
		rec->session_id = rec->begun_ns;
	rec->session_id |= 1; /* 0 is none */
	r = timebase_open(&rec->tb, timebase_read_counter, NULL);
	rec->has_tb = r == 0;
	if (r == -EAGAIN) {
		recorder_free(rec);
		return tocsin_err_fail(r, err, "the machine is too busy to measure its clocks");
	}
	r = record_kernel_load(rec, err);
	if (r < 0) {
		recorder_free(rec);
		return r;
	}
	r = record_trace_open(&opts->trace, rec->has_tb ? &rec->tb : NULL, err, &rec->trace);
	if (r < 0) {
		recorder_free(rec);
		return r;
	}
	if (rec->has_tb)
		say_clock(rec);
	r = record_kernel_begin(rec, err);
	if (r < 0) {
		int ignored;

		(void)record_close(rec, &ignored); /* an empty trace: the failure before matters */
		return r;
	}
	*ret_rec = rec;
	return 0;
}

struct recorder *record_close(struct recorder *rec, int *ret_r)
{
	int r;

	*ret_r = 0;
	if (!rec)
		return NULL;
	for (struct record_process *p = rec->processes; p; p = p->next)
		for (uint32_t i = 0; i < p->nr_rings; i++)
			(void)record_ring_close(rec, p->ring[i]); /* closed before, as a rule */
	rec->trace = record_trace_close(rec->trace, ret_r);
	rec->behind = record_behind_close(rec->behind, &r);
	*ret_r = *ret_r ?: r;
	recorder_free(rec);
	return NULL;
}
