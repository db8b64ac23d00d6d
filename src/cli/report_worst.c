// SPDX-License-Identifier: MIT
/* A heap of lines, so that memory does not grow with the trace. */
#include "report_worst.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct worst_line {
	uint64_t over_ns; /* beyond the budget */
	uint64_t number;
	char *text; /* owned */
	size_t len;
};

int report_worst_init(struct report_worst *w, size_t max)
{
	*w = (struct report_worst){.max = max};
	w->line = calloc(max ?: 1, sizeof(*w->line));
	return w->line ? 0 : -ENOMEM;
}

/* Of equal ones the earlier is the worse. */
static bool is_less(const struct worst_line *a, const struct worst_line *b)
{
	return a->over_ns != b->over_ns ? a->over_ns < b->over_ns : a->number > b->number;
}

static void sink(struct report_worst *w, size_t at)
{
	struct worst_line moved = w->line[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= w->nr)
			break;
		if (child + 1 < w->nr && is_less(&w->line[child + 1], &w->line[child]))
			child++;
		if (!is_less(&w->line[child], &moved))
			break;
		w->line[at] = w->line[child];
		at = child;
	}
	w->line[at] = moved;
}

static void rise(struct report_worst *w, size_t at)
{
	struct worst_line moved = w->line[at];

	while (at && is_less(&moved, &w->line[(at - 1) / 2])) {
		w->line[at] = w->line[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	w->line[at] = moved;
}

static int line_make(struct worst_line *line, struct text_report *text, const struct violation *v)
{
	int r = text_violation(text, v); /* a text without a descriptor stays */

	line->text = r == 0 ? malloc(text->out.len ?: 1) : NULL;
	if (r == 0 && !line->text)
		r = -ENOMEM;
	if (r == 0)
		memcpy(line->text, text->out.buf, text->out.len);
	line->len = text->out.len;
	text->out.len = 0;
	return r;
}

int report_worst_add(struct report_worst *w, struct text_report *text, const struct violation *v)
{
	uint64_t elapsed_ns = violation_elapsed_ns(v);
	struct worst_line line = {
		.over_ns = elapsed_ns > v->budget_ns ? elapsed_ns - v->budget_ns : 0,
		.number = v->number,
	};
	int r;

	if (!w->max || (w->nr == w->max && !is_less(&w->line[0], &line)))
		return 0;
	r = line_make(&line, text, v);
	if (r < 0)
		return r;
	if (w->nr < w->max) {
		w->line[w->nr] = line;
		rise(w, w->nr++);
		return 0;
	}
	free(w->line[0].text);
	w->line[0] = line;
	sink(w, 0);
	return 0;
}

int report_worst_print(struct report_worst *w, struct out *o)
{
	size_t nr = w->nr;

	/* The least bad goes behind the shrinking heap: what is left is in order, the worst first.
	 */
	while (w->nr > 1) {
		struct worst_line least = w->line[0];

		w->line[0] = w->line[--w->nr];
		sink(w, 0);
		w->line[w->nr] = least;
	}
	for (size_t i = 0; i < nr; i++) {
		out_add_bytes(o, w->line[i].text, w->line[i].len);
		free(w->line[i].text);
	}
	w->nr = 0;
	return out_write(o);
}

void report_worst_done(struct report_worst *w)
{
	for (size_t i = 0; i < w->nr; i++)
		free(w->line[i].text);
	free(w->line);
	*w = (struct report_worst){0};
}
