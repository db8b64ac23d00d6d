/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_REPORT_TOTALS_H
#define TOCSIN_CLI_REPORT_TOTALS_H

/* Totals of violations, for traces whose watch could not write its own at the end, and for parts of
 * a trace. Sections within their budget are not in a trace: they are not counted. */

#include <stddef.h>

#include "../analysis/model.h"

struct report_totals {
	struct totals_section *section; /* owned */
	size_t nr;
	struct watch_summary summary; /* made by report_totals_get() */
};

/** report_totals_add() - count a violation. Return: 0, -ENOMEM. */
int report_totals_add(struct report_totals *t, const struct violation *v);

/**
 * report_totals_get() - what has come together.
 *
 * Return: 0, or -ENOMEM; t->summary is valid until the next call.
 */
int report_totals_get(struct report_totals *t);

void report_totals_done(struct report_totals *t);

#endif
