/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_REPORT_WORST_H
#define TOCSIN_CLI_REPORT_WORST_H

/* The violations that were late by the most, as lines of text. */

#include "../report/text.h"

struct report_worst {
	struct worst_line *line; /* owned: a heap, the least bad on top */
	size_t nr, max;
};

/** report_worst_init() - for the @max worst. Return: 0, -ENOMEM. */
int report_worst_init(struct report_worst *w, size_t max);

/** report_worst_add() - keep it if it is one of the worst so far. Return: 0, -ENOMEM. */
int report_worst_add(struct report_worst *w, struct text_report *text, const struct violation *v);

/** report_worst_print() - the worst first; they are gone then. Return: 0, or -errno. */
int report_worst_print(struct report_worst *w, struct out *o);

void report_worst_done(struct report_worst *w);

#endif
