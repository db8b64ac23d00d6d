// SPDX-License-Identifier: MIT
/* Violations, summed by section. */
#include "report_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../analysis/cause_table.h"

#define SECTIONS_MAX 4096 /* names in a trace are foreign: the rest goes to the last one */

struct totals_section {
	char *name; /* owned */
	struct section_summary sum;
	struct cause_table *causes; /* owned */
	struct cause *cause;        /* owned: of the last report_totals_get() */
};

static struct totals_section *section_get(struct report_totals *t, const char *name)
{
	struct totals_section *s;

	for (size_t i = 0; i < t->nr; i++)
		if (strcmp(t->section[i].name, name) == 0)
			return &t->section[i];
	if (t->nr == SECTIONS_MAX)
		return &t->section[t->nr - 1];
	s = reallocarray(t->section, t->nr + 1, sizeof(*s));
	if (!s)
		return NULL;
	t->section = s;
	s = &t->section[t->nr];
	*s = (struct totals_section){.name = strdup(name), .causes = cause_table_new()};
	if (!s->name || !s->causes) {
		free(s->name);
		(void)cause_table_free(s->causes); /* always NULL */
		return NULL;
	}
	t->nr++;
	return s;
}

int report_totals_add(struct report_totals *t, const struct violation *v)
{
	struct totals_section *s = section_get(t, v->section);
	uint64_t elapsed_ns = v->raw.end_ns - v->raw.start_ns;

	if (!s)
		return -ENOMEM;
	if (v->flags & VIOLATION_OPEN) {
		s->sum.fired++;
		return 0;
	}
	if (v->flags & VIOLATION_ABANDONED)
		s->sum.abandoned++;
	else
		s->sum.over++;
	if (elapsed_ns > s->sum.max_ns)
		s->sum.max_ns = elapsed_ns;
	for (unsigned i = 0; i < TS_NR; i++)
		s->sum.over_split_ns[i] += v->raw.split_ns[i];
	cause_table_add(s->causes, v);
	return 0;
}

int report_totals_get(struct report_totals *t)
{
	free(t->summary.section);
	t->summary = (struct watch_summary){.throttle_known = true};
	t->summary.section = calloc(t->nr ?: 1, sizeof(*t->summary.section));
	if (!t->summary.section)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr; i++) {
		struct totals_section *s = &t->section[i];
		struct section_summary *sum = &t->summary.section[i];

		*sum = s->sum;
		sum->name = sum->text = s->name;
		free(s->cause);
		if (cause_table_top(s->causes, &s->cause, &sum->nr_causes, &sum->other_ns) < 0) {
			s->cause = NULL;
			return -ENOMEM;
		}
		sum->cause = s->cause;
		t->summary.nr_sections++;
	}
	return 0;
}

void report_totals_done(struct report_totals *t)
{
	for (size_t i = 0; i < t->nr; i++) {
		free(t->section[i].name);
		free(t->section[i].cause);
		(void)cause_table_free(t->section[i].causes); /* always NULL */
	}
	free(t->section);
	free(t->summary.section);
	*t = (struct report_totals){0};
}
