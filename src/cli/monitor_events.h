/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_MONITOR_EVENTS_H
#define TOCSIN_CLI_MONITOR_EVENTS_H

/* Does this kernel have the tracepoints that a model needs? */

#include "../automata/model.h"

enum has { HAS_NOT_SAID, HAS_NO, HAS_UNKNOWN, HAS_YES };

struct monitor_events {
	char *btf; /* the kernel's types, owned; NULL: they cannot be read */
	size_t btf_len;
	bool has_tracefs;
};

/** monitor_events_open() - see what can be looked at; what cannot is unknown later. */
void monitor_events_open(struct monitor_events *k);
void monitor_events_close(struct monitor_events *k);

/** monitor_events_point() - one tracepoint, "group:name". */
enum has monitor_events_point(const struct monitor_events *k, const char *point);

/**
 * monitor_events_of() - all tracepoints of an event.
 * @missing: gets the first that is not there, may be NULL
 *
 * Return: HAS_NOT_SAID when the model names none; HAS_YES when all are there.
 */
enum has monitor_events_of(const struct monitor_events *k, const struct model_event *e,
			   char *missing, size_t len);

/** monitor_events_points() - the tracepoints of an event alone, separated by blanks. Return: @buf.
 */
const char *monitor_events_points(const struct model_event *e, char buf[MODEL_POINTS]);

/** monitor_events_all() - the worst of a model's events. */
enum has monitor_events_all(const struct monitor_events *k, const struct model *m, char *missing,
			    size_t len);

/** has_text() - "yes", "no", "unknown", "bound by the user"; a constant. */
const char *has_text(enum has has);

#endif
