/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_TIMEBASE_H
#define TOCSIN_COLLECTOR_TIMEBASE_H

/*
 * The CPU's counter against CLOCK_MONOTONIC: straight lines, each good to TIMEBASE_TOLERANCE_NS
 * where it was measured. timebase.c has the method, docs/formats/trace.md what becomes of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMEBASE_TOLERANCE_NS 300      /* a line's greatest distance from a measured point */
#define TIMEBASE_LEARN_NS     10000000 /* between the first two points */

struct timebase_point {
	uint64_t tick;
	uint64_t ns;       /* CLOCK_MONOTONIC */
	uint64_t error_ns; /* of the measuring, at most */
};

/* ns = origin.ns + (tick - origin.tick) * 10^9 / freq_hz, for ticks from origin.tick on up to the
 * origin of the next line. */
struct timebase_line {
	struct timebase_point origin;
	uint64_t freq_hz; /* whole Hz, as a trace has it */
};

/** timebase_read_fn - measure both clocks. Return: 0, or -EAGAIN the machine was too noisy. */
typedef int (*timebase_read_fn)(void *arg, struct timebase_point *ret);

struct timebase {
	timebase_read_fn read; /* lent with its argument */
	void *arg;
	struct timebase_line *line; /* owned */
	unsigned nr_lines;
	struct timebase_point last; /* that lies on the newest line */
	double slope_min,
		slope_max; /* ns a tick: lines from the newest origin through all points */
	uint64_t nr_noisy; /* measurements that were no use */
};

enum timebase_change {
	TIMEBASE_SAME,    /* or the machine was too noisy to say */
	TIMEBASE_REDRAWN, /* the newest line has another freq_hz: as good for what was before */
	TIMEBASE_BEGUN,   /* there is a new line, from the point before on */
};

/** timebase_read_counter() - the CPU's counter and CLOCK_MONOTONIC; a timebase_read_fn. */
int timebase_read_counter(void *unused, struct timebase_point *ret);

/** timebase_counter() - the CPU's counter now; 0 on machines without. */
uint64_t timebase_counter(void);

/**
 * timebase_open() - measure twice, TIMEBASE_LEARN_NS apart, and draw the first line.
 * @read: timebase_read_counter(), or a test's
 *
 * Return: 0, or -EAGAIN too noisy, -ENODEV no counter that runs, -ENOMEM.
 * Thread-safe: per object. Signal-safe: no. Sleeps.
 */
int timebase_open(struct timebase *tb, timebase_read_fn read, void *arg);
void timebase_done(struct timebase *tb);

/**
 * timebase_measure() - one more point.
 *
 * To be called after the heads of the rings were read and before what is below them is given a
 * clock: so every record lies between two points that its line passes.
 *
 * Return: enum timebase_change, or -ENOMEM.
 * Thread-safe: per object. Signal-safe: no.
 */
int timebase_measure(struct timebase *tb);

/** timebase_line_at() - which line holds at @tick: ticks before the first origin are on the first.
 * @ret_end: where the next begins; UINT64_MAX for the newest */
unsigned timebase_line_at(const struct timebase *tb, uint64_t tick, uint64_t *ret_end);

/** timebase_line_ns() - CLOCK_MONOTONIC at @tick, by a line. */
uint64_t timebase_line_ns(const struct timebase_line *line, uint64_t tick);

/**
 * timebase_line_offset() - a line as traces have it: ns since 1970 are
 * ret_s * 10^9 + (ret_ticks + tick) * 10^9 / freq_hz.
 */
void timebase_line_offset(const struct timebase_line *line, int64_t realtime_offset_ns,
			  int64_t *ret_s, uint64_t *ret_ticks);

#endif
