// SPDX-License-Identifier: MIT
/* What a program knows of its sections against what the kernel half said about them. */
#include "bench_judge.h"

#include <stdlib.h>

static int by_start(const void *a, const void *b)
{
	const struct bench_record *x = a, *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return (x->t_ns > y->t_ns) - (x->t_ns < y->t_ns);
}

/* What was said about one section. */
struct said {
	bool is_closed;
	uint64_t elapsed_ns;              /* if closed */
	const struct bench_record *first; /* EV_FIRED; NULL: none */
};

static void hear(struct said *s, const struct bench_record *r, struct bench_judgement *j)
{
	if (r->type == EV_CLOSED) {
		s->is_closed = true;
		s->elapsed_ns = r->end_ns - r->start_ns;
		return;
	}
	if (r->type != EV_FIRED)
		return;
	if (s->first)
		j->duplicate++;
	else
		s->first = r;
	if (r->t_ns < r->deadline_ns)
		j->is_false++;
}

/* Return: whether the section fired in the state that was meant. */
static bool weigh(const struct said *s, const struct bench_section *section,
		  const struct bench_story *story, struct bench_judgement *j)
{
	/* What it took for certain, by its own account. */
	uint64_t took_ns =
		section->stop_before > section->after ? section->stop_before - section->after : 0;

	if (s->is_closed)
		took_ns = s->elapsed_ns;
	else if (took_ns > story->budget_ns)
		j->unclosed++;
	if (!s->first) {
		if (took_ns >= story->budget_ns + BENCH_NEAR_NS)
			j->missed++;
		return false;
	}
	j->fired++;
	if (!s->is_closed && section->stop_after - section->before <= story->budget_ns)
		j->is_false++;
	if (s->first->state == story->state)
		return true;
	if (section->is_disturbed)
		j->disturbed++;
	else
		j->wrong++;
	return false;
}

size_t bench_judge(const struct bench_story *story, struct bench_record *record, size_t nr_records,
		   double *late_ns, struct bench_judgement *ret)
{
	size_t at = 0, nr = 0;

	*ret = (struct bench_judgement){0};
	if (nr_records)
		qsort(record, nr_records, sizeof(*record), by_start);
	for (size_t i = 0; i < story->nr_sections; i++) {
		const struct bench_section *section = &story->section[i];
		struct said s = {0};

		for (; at < nr_records && record[at].start_ns < section->before; at++)
			if (record[at].type == EV_FIRED)
				ret->is_false++; /* nobody's */
		for (; at < nr_records && record[at].start_ns <= section->after; at++)
			hear(&s, &record[at], ret);
		if (weigh(&s, section, story, ret) && s.first &&
		    s.first->t_ns >= s.first->deadline_ns)
			late_ns[nr++] = (double)(s.first->t_ns - s.first->deadline_ns);
	}
	for (; at < nr_records; at++)
		if (record[at].type == EV_FIRED)
			ret->is_false++;
	return nr;
}
