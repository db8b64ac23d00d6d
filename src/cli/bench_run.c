// SPDX-License-Identifier: MIT
/* The tables of the benches, and the rounds that fill them. */
#include "bench_run.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>

#include "../base/text.h"

static const struct {
	const char *name;
	unsigned rounds;
	const char *text;
} benches[] = {
#define X(name_, rounds_, text_) {#name_, rounds_, text_},
#include "bench_list.def"
#undef X
};

static const struct bench_figure figures[] = {
#define X(bench_, role_, name_, unit_, summary_, bar_, floor_, text_)                   \
	{#name_,           unit_,           text_, bar_, BENCH_##bench_, BENCH_##role_, \
	 BENCH_##summary_, BENCH_V_##floor_},
#include "bench_values.def"
#undef X
};

int bench_init(struct bench_run *run, enum bench_id id)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -errno;
	*run = (struct bench_run){.id = id, .cpu = -1, .other_cpu = -1};
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &set))
			continue;
		if (run->other_cpu < 0 && run->cpu >= 0)
			run->other_cpu = run->cpu; /* the first one */
		run->cpu = cpu;                    /* the last one: the first has most interrupts */
	}
	return 0;
}

void bench_add(struct bench_run *run, enum bench_value value, double sample)
{
	struct bench_series *s = &run->series[value];

	if (s->nr < BENCH_ROUNDS_MAX)
		s->sample[s->nr++] = sample;
}

void bench_note(struct bench_run *run, const char *fmt, ...)
{
	struct tocsin_text t;
	va_list ap;

	if (run->nr_notes == BENCH_NOTES_MAX)
		return;
	tocsin_text_init(&t, run->note[run->nr_notes++], BENCH_NOTE_LEN);
	va_start(ap, fmt);
	tocsin_text_addv(&t, fmt, ap);
	va_end(ap);
}

const char *bench_name(enum bench_id id)
{
	return benches[id].name;
}

unsigned bench_rounds(enum bench_id id)
{
	return benches[id].rounds;
}

const char *bench_text(enum bench_id id)
{
	return benches[id].text;
}

const struct bench_figure *bench_figure(enum bench_value value)
{
	return &figures[value];
}

bool bench_result(const struct bench_run *run, enum bench_value value, struct bench_result *ret)
{
	const struct bench_series *s = &run->series[value];
	double sorted[BENCH_ROUNDS_MAX], sum = 0;

	if (!s->nr)
		return false;
	memcpy(sorted, s->sample, s->nr * sizeof(*sorted));
	bench_sort(sorted, s->nr);
	for (unsigned i = 0; i < s->nr; i++)
		sum += sorted[i];
	switch (figures[value].summary) {
	case BENCH_MEDIAN: ret->value = bench_median(sorted, s->nr); break;
	case BENCH_MAX: ret->value = sorted[s->nr - 1]; break;
	case BENCH_SUM: ret->value = sum; break;
	}
	ret->spread = bench_spread(sorted, s->nr);
	return true;
}

bool bench_is_over(const struct bench_run *run)
{
	struct bench_result r;

	for (int v = 0; v < BENCH_VALUES_NR; v++)
		if (figures[v].bar >= 0 && bench_result(run, (enum bench_value)v, &r) &&
		    r.value > figures[v].bar)
			return true;
	return false;
}
