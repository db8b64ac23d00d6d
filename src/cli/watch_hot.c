// SPDX-License-Identifier: MIT
/*
 * What the probes of a section take from the program: how often they are passed, times what a pass
 * costs in the way in which the kernel gets past them. The counts are those of the section's
 * histogram, which is large, so it is looked at seldom.
 */
#include "watch_hot.h"

#include <stdio.h>
#include <stdlib.h>

#include "../abi/hist.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/parse.h"

#define FIRST_GAP_NS 1000000000ull
#define LAST_GAP_NS  16000000000ull
#define HOT_PERCENT  5.0 /* of one CPU */

static bool ended_read(const struct watch *w, unsigned i, struct watch_stats *st, uint64_t *ret)
{
	if (watch_kernel_stats(watch_kernel_of(w), i, st))
		return false; /* then there is no summary either, and that says it */
	*ret = 0;
	for (unsigned b = 0; b < TOCSIN_HIST_BUCKETS; b++)
		*ret += st->bucket[b];
	return true;
}

static void say(const struct watch *w, unsigned i, double per_s, double percent)
{
	const struct attachment *a = watch_attachment(w, i);
	char each[32];

	(void)tocsin_format_duration(a->pass_ns, each, sizeof(each));
	(void)fprintf(
		stderr,
		"warning: %s: %.0f sections a second at some %s each in the probes take %.0f %% of a CPU from the program%s\n",
		watch_section(w, i, NULL)->name, per_s, each, percent,
		a->is_stepped ? ": a place that is not single-stepped would cost a tenth" : "");
}

void hot_look(struct hot *h, const struct watch *w)
{
	struct watch_stats *st TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	uint64_t now = clock_now_ns(), ended;
	double seconds = (double)(now - h->looked_ns) / 1e9;
	bool is_first = !h->due_ns;

	if (now < h->due_ns)
		return;
	st = malloc(sizeof(*st));
	if (!st)
		return; /* tried again */
	for (unsigned i = 0; i < watch_nr_sections(w); i++) {
		double per_s, percent;
		bool is_active;

		(void)watch_section(w, i, &is_active);
		if (h->is_said[i] || !is_active || !ended_read(w, i, st, &ended))
			continue;
		per_s = (double)(ended - h->ended[i]) / seconds;
		h->ended[i] = ended;
		percent = per_s * (double)watch_attachment(w, i)->pass_ns / 1e7;
		if (is_first || percent < HOT_PERCENT)
			continue;
		h->is_said[i] = true;
		say(w, i, per_s, percent);
	}
	h->looked_ns = now;
	h->gap_ns = is_first ? FIRST_GAP_NS : h->gap_ns * 2;
	if (h->gap_ns > LAST_GAP_NS)
		h->gap_ns = LAST_GAP_NS;
	h->due_ns = now + h->gap_ns;
}
