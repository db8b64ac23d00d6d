/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_MONITOR_TRACK_H
#define TOCSIN_MONITOR_TRACK_H

/*
 * All instances of one monitor in this process: found by key, stepped, and expired when a clock
 * passes its bound between two events.
 */

#include "violated.h"

struct tracks;

/* How an instance is told from others. */
struct track_key {
	uint64_t key;
	uint32_t pid; /* of an object: whose it is; else 0 */
};

struct tracks_options {
	const struct model *model; /* lent for the life of the tracks */
	enum automaton_policy policy;
	uint32_t max;     /* instances */
	violated_fn *say; /* hears of violations */
	void *context;    /* lent to it */
	int64_t realtime_ns;
	bool has_coverage;
};

/* What comes with an event, beside its name. */
struct track_event {
	uint64_t now; /* ns, not 0, not before that of the event before */
	int64_t pid, tid, cpu;
	const char *comm;                      /* NULL: not known */
	const struct automaton_inputs *inputs; /* NULL: all 0 */
};

struct tracks_stats {
	uint64_t steps, violations;
	uint64_t full;      /* instances not begun: `max` are there */
	uint32_t instances; /* that there are */
};

/** tracks_open() - @ret: to be given to tracks_close(). Return: 0, or -ENOMEM. */
int tracks_open(const struct tracks_options *options, struct tracks **ret);

/** tracks_event() - an event of a graph. Return: 0, -ENOMEM, or what the listener returned. */
int tracks_event(struct tracks *t, struct track_key key, unsigned event,
		 const struct track_event *how);

/**
 * tracks_observe() - a valuation of a formula.
 * @pulse: atoms that are true now; @set, @clear: that are from here on, or no more
 */
int tracks_observe(struct tracks *t, struct track_key key, uint64_t pulse, uint64_t set,
		   uint64_t clear, const struct track_event *how);

/** tracks_due_ns() - when tracks_expire() has something to do; ~0: never. */
uint64_t tracks_due_ns(const struct tracks *t);

/** tracks_expire() - time is @now. Return: as tracks_event(). */
int tracks_expire(struct tracks *t, uint64_t now);

struct tracks_stats tracks_stats(const struct tracks *t);

/** tracks_covered() - lent; NULL without has_coverage. */
const struct monitor_covered *tracks_covered(const struct tracks *t);

/** tracks_close() - @t may be NULL. Return: NULL. */
struct tracks *tracks_close(struct tracks *t);

#endif
