/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_JSON_H
#define TOCSIN_REPORT_JSON_H

/* The result model as JSON lines: one object a line, one write a line. docs/formats/watch-json.md
 * says what each means, docs/formats/watch.schema.json what is allowed. */

#include "fields.h"
#include "out.h"

/*
 * Each builds one object in @o, which must be empty, and writes it.
 *
 * Return: 0, or -errno of the write (-EPIPE: the reader has gone), -ENOMEM.
 * Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int json_armed(struct out *o, unsigned nr_sections, unsigned nr_probes, int64_t realtime_offset_ns);
int json_violation(struct out *o, const struct violation *v); /* `fired` while VIOLATION_OPEN */
int json_process(struct out *o, const struct watch_event_process *process);
/* @sinks may be NULL: the object then says nothing about them. */
int json_summary(struct out *o, const struct watch_summary *summary,
		 const struct sink_losses *sinks);

#endif
