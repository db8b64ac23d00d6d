/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_VIOLATED_H
#define TOCSIN_REPORT_VIOLATED_H

/* Violations of monitors, for people and as JSON (docs/formats/monitor.md). */

#include "../monitor/violated.h"
#include "out.h"

/** violated_text() - a line, and below it how it came to that. */
void violated_text(struct out *o, const struct violated *v);
void violated_json(struct out *o, const struct violated *v);

/** violated_reason() - why, without place and time: "'drop' is not allowed in 'free'". Return:
 * @buf. */
const char *violated_reason(const struct violated *v, char *buf, size_t len);

/* Counts of one monitor at the end. */
struct monitor_summary {
	const struct model *model;
	uint64_t steps, violations, unsaid, instances;
	const struct monitor_covered *covered; /* NULL: not asked for */
};

void monitor_summary_text(struct out *o, const struct monitor_summary *s);
void monitor_summary_json(struct out *o, const struct monitor_summary *s);

#endif
