/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_TEXT_H
#define TOCSIN_REPORT_TEXT_H

/* The result model for people: a line a violation, and the summary at the end. */

#include "fields.h"
#include "out.h"

struct text_report {
	struct out out;
	struct out_style style;
	bool is_verbose; /* with the split and the spells of each violation */
};

/** text_report_init() - for a descriptor, which stays the caller's; @style: what out_style_get()
 * says of it. */
void text_report_init(struct text_report *t, int fd, struct out_style style, bool is_verbose);
void text_report_done(struct text_report *t);

/*
 * Each is written at once. Names of the traced world reach the terminal without control characters;
 * on a terminal lines are broken at its width.
 *
 * Return: 0, or -errno of the write (-EPIPE: the reader has gone), -ENOMEM.
 * Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int text_violation(struct text_report *t,
		   const struct violation *v); /* a notice while VIOLATION_OPEN */
int text_process(struct text_report *t, const struct watch_event_process *process,
		 int64_t realtime_offset_ns);
/* @sinks may be NULL. */
int text_summary(struct text_report *t, const struct watch_summary *summary,
		 const struct sink_losses *sinks);
/* Of a summary, only what came of the sections. */
int text_sections(struct text_report *t, const struct watch_summary *summary);

#endif
