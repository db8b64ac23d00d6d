/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_LOAD_H
#define TOCSIN_REPORT_LOAD_H

/*
 * The result model back from a trace that trace.c wrote: what the watch knew when it wrote it, so
 * that every report can be made again, elsewhere and later.
 *
 *   load_open() ... while ((state = load_next(l, &item)) != LOAD_END) ... load_close()
 *
 * One item is held at a time: memory does not grow with the trace.
 */

#include "../trace/who.h"
#include "fields.h"

struct load;

enum load_state {
	LOAD_VIOLATION, /* one that ended, or a notice (VIOLATION_OPEN) */
	LOAD_PROCESS,
	LOAD_SUMMARY, /* the end of a watch */
	LOAD_GAP,     /* something is missing: of struct trace_event, TRACE_LOSS, _CUT or _BAD */
	LOAD_OTHER,   /* an event that is none of a watch's */
	LOAD_END,
};

struct load_item {
	enum load_state state;
	int64_t realtime_offset_ns; /* of the trace: add to CLOCK_MONOTONIC */
	const struct violation *violation;
	const struct watch_event_process *process;
	const struct watch_summary *summary;
	const struct sink_losses *sinks; /* LOAD_SUMMARY */
	const struct trace_event *event; /* LOAD_GAP, LOAD_OTHER */
	bool is_partial; /* the violation says of more causes or spells than the trace has */
};

/**
 * load_open() - open traces, as trace_open() does.
 *
 * Return: 0, or what trace_open() returns. Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
int load_open(const char *const *paths, size_t nr, const struct trace_options *options,
	      struct tocsin_err *err, struct load **ret_load);

/**
 * load_next() - the next item in the order of time.
 * @ret_item: valid until the next call, with all that it points to
 *
 * Values that do not fit the model (of a foreign trace, or a broken one) are clipped to it: an enum
 * without a known label is "unknown", a text that is too long is cut.
 *
 * Return: an enum load_state, or -ENOMEM, -errno.
 * Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
int load_next(struct load *l, const struct load_item **ret_item);

/** load_values(), load_who() - as trace_values() and trace_who(), of LOAD_OTHER's event. */
int load_values(struct load *l, const struct ctf_values **ret_values);
int load_who(struct load *l, struct trace_who *ret_who);

/** load_trace() - for its statistics, its progress and its names. */
const struct trace *load_trace(const struct load *l);

/** load_close() - @l may be NULL. Return: NULL. */
struct load *load_close(struct load *l);

#endif
