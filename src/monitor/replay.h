/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_MONITOR_REPLAY_H
#define TOCSIN_MONITOR_REPLAY_H

/* Monitors over stored traces, or over traces that are being written. */

#include "../trace/trace.h"
#include "track.h"

struct replay;

struct replay_options {
	const char *const *bind; /* of the command line, lent */
	size_t nr_binds;
	bool *bind_used; /* one each; lent */
	enum automaton_policy policy;
	uint32_t max_instances; /* of each monitor */
	bool has_coverage;
	violated_fn *say;
	void *context;
};

struct replay_stats {
	uint64_t events; /* of the trace */
	uint64_t bound;  /* of those, events that a monitor has something to do with */
	uint64_t unread; /* of those, events whose values could not be read */
	uint64_t late;   /* events that came after a time that had passed (only when following) */
};

/**
 * replay_open() - bind monitors to the event classes of a trace.
 * @models: lent for the life of the replay
 * @trace:  lent; classes that come later are bound when they come
 *
 * Return: 0, -EINVAL, -ENOENT, -ENOTSUP (@err says what), -ENOMEM.
 */
int replay_open(struct model *const *models, size_t nr, struct trace *trace,
		const struct replay_options *options, struct replay **ret, struct tocsin_err *err);

/** replay_event() - an event of the trace, in the order of time. Return: 0, -ENOMEM, what the
 * listener returned. */
int replay_event(struct replay *r, const struct trace_event *e);

/** replay_time() - time has come to @t_ns without an event. Return: as above. */
int replay_time(struct replay *r, int64_t t_ns);

/** replay_unbound() - an event of a model that no class of the trace stands for, from @i on.
 * @ret_model: whose it is. Return: the event's number, or -1. */
int replay_unbound(const struct replay *r, size_t *i, const struct model **ret_model);

struct replay_stats replay_stats(const struct replay *r);
const struct tracks *replay_tracks(const struct replay *r, size_t model);

/** replay_close() - @r may be NULL. Return: NULL. */
struct replay *replay_close(struct replay *r);

#endif
