/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_TRACE_H
#define TOCSIN_REPORT_TRACE_H

/* The result model as a CTF trace on disk (`-o DIR`). Its format: docs/formats/ctf.md. */

#include "../base/err.h"
#include "../ctf/writer.h"
#include "fields.h"

struct trace_sink;

/**
 * trace_sink_open() - make the trace directory.
 * @dir:                where; made if it does not exist; one that exists must be empty
 * @realtime_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC
 * @err:                the sentence on failure, may be NULL
 * @ret_sink:           the sink, to be given to trace_sink_close()
 *
 * Return: 0, or -EEXIST not empty, -errno, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
int trace_sink_open(const char *dir, int64_t realtime_offset_ns, struct tocsin_err *err,
		    struct trace_sink **ret_sink);

/*
 * Each puts one object and what belongs to it into the trace; it is on disk after
 * trace_sink_flush(), or when trace_sink_tick() finds it a second old.
 *
 * Return: 0, or -errno: something could not be written. It is counted, later events are tried
 * again. Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int trace_sink_violation(struct trace_sink *sink,
			 const struct violation *v); /* `fired` while VIOLATION_OPEN */
int trace_sink_process(struct trace_sink *sink, const struct watch_event_process *process);
int trace_sink_summary(struct trace_sink *sink, const struct watch_summary *summary,
		       const struct sink_losses *sinks, uint64_t now_ns);

int trace_sink_tick(struct trace_sink *sink, uint64_t now_ns);
int trace_sink_flush(struct trace_sink *sink);

/** trace_sink_get_stats() - what was written and what was not. */
struct ctf_stats trace_sink_get_stats(const struct trace_sink *sink);

/** trace_sink_close() - flush and close; @sink may be NULL. Return: NULL. */
struct trace_sink *trace_sink_close(struct trace_sink *sink);

#endif
