// SPDX-License-Identifier: MIT
/* What came of it all: how many, how long, where the time of those over budget went, why, and what
 * was not seen. */
#include "text.h"

#include <string.h>

#include "words.h"

#define INDENT 2
#define TOP_NR 8 /* causes shown of each section; the rest is one line */

static void begin_line(struct out *o)
{
	out_add(o, "%*s", INDENT, "");
}

static void end_line(struct text_report *t, size_t start, unsigned indent)
{
	out_wrap(&t->out, start, t->style.columns, indent);
	out_add(&t->out, "\n");
}

static void put_counts(struct text_report *t, const struct section_summary *s)
{
	struct out *o = &t->out;
	size_t start = o->len;

	begin_line(o);
	if (s->budget_ns)
		out_add(o, "%llu ended, ", (unsigned long long)s->closed);
	word_colour(o, &t->style, s->over ? COLOUR_RED : COLOUR_GREEN);
	out_add(o, "%llu over ", (unsigned long long)s->over);
	if (s->budget_ns)
		word_budget(o, s->budget_ns);
	else /* of a linked program: what ends within its budget is not seen */
		out_add(o, "their budget, the others are not counted");
	word_colour(o, &t->style, COLOUR_NONE);
	if (s->over && s->budget_ns) {
		out_add(o, " (");
		word_percent(o, share_permyriad(s->over, s->closed + s->abandoned));
		out_add(o, ")");
	}
	out_add(o, ", %llu noticed while open", (unsigned long long)s->fired);
	if (s->abandoned)
		out_add(o, ", %llu never stopped", (unsigned long long)s->abandoned);
	if (s->still_open)
		out_add(o, ", %llu still open over its budget", (unsigned long long)s->still_open);
	if (s->removed_open)
		out_add(o, ", %llu given up: open when it was removed",
			(unsigned long long)s->removed_open);
	if (s->unreported)
		out_add(o, ", %llu of those over ended after the last that was reported (--count)",
			(unsigned long long)s->unreported);
	end_line(t, start, 2 * INDENT);
}

static void put_percentiles(struct text_report *t, const struct section_summary *s)
{
	const struct {
		const char *name;
		uint64_t ns;
	} value[] = {
		{"p50", s->p50_ns},    {"p90", s->p90_ns}, {"p99", s->p99_ns},
		{"p99.9", s->p999_ns}, {"max", s->max_ns}, {"mean", s->mean_ns},
	};
	struct out *o = &t->out;
	size_t start = o->len;

	if (!s->closed)
		return;
	begin_line(o);
	for (unsigned i = 0; i < sizeof(value) / sizeof(value[0]); i++) {
		out_add(o, "%s%s ", i ? "  " : "", value[i].name);
		word_ns(o, value[i].ns);
	}
	end_line(t, start, 2 * INDENT);
}

static void put_cause_head(struct out *o, uint64_t ns, uint64_t over_ns)
{
	out_add(o, "%*s", 2 * INDENT, "");
	word_percent_aligned(o, share_permyriad(ns, over_ns), 6);
	out_add(o, "  ");
	word_ns(o, ns);
}

static void put_causes(struct text_report *t, const struct section_summary *s, uint64_t over_ns)
{
	unsigned nr = s->nr_causes < TOP_NR ? s->nr_causes : TOP_NR;
	uint64_t other_ns = s->other_ns;
	struct out *o = &t->out;

	for (unsigned i = 0; i < nr; i++) {
		const struct cause *c = &s->cause[i];
		size_t start = o->len;

		put_cause_head(o, c->ns, over_ns);
		if (c->nr_spells)
			out_add(o, " in %u spell%s", c->nr_spells, c->nr_spells == 1 ? "" : "s");
		out_add(o, ": ");
		word_cause(o, c);
		end_line(t, start, 6 * INDENT);
	}
	for (unsigned i = nr; i < s->nr_causes; i++)
		other_ns += s->cause[i].ns;
	if (other_ns) {
		put_cause_head(o, other_ns, over_ns);
		out_add(o, ": other causes\n");
	}
}

/* The name, and the section as written, which often begins with the name. */
static void put_title(struct text_report *t, const struct section_summary *s)
{
	size_t len = strlen(s->name);
	const char *rest = s->text;
	struct out *o = &t->out;

	word_colour(o, &t->style, COLOUR_BOLD);
	out_add_clean(o, s->name);
	word_colour(o, &t->style, COLOUR_NONE);
	if (strncmp(rest, s->name, len) == 0 && (rest[len] == ':' || !rest[len]))
		rest += len;
	else
		out_add(o, "  ");
	word_colour(o, &t->style, COLOUR_DIM);
	out_add_clean(o, rest);
	word_colour(o, &t->style, COLOUR_NONE);
}

static void put_section(struct text_report *t, const struct section_summary *s)
{
	struct out *o = &t->out;
	uint64_t over_ns = 0;
	size_t start = o->len;

	put_title(t, s);
	end_line(t, start, 2 * INDENT);
	if (!s->closed && !s->over && !s->fired && !s->abandoned && !s->removed_open) {
		out_add(o, "%*snone ended\n", INDENT, "");
		return;
	}
	put_counts(t, s);
	put_percentiles(t, s);
	for (unsigned i = 0; i < TS_NR; i++)
		over_ns += s->over_split_ns[i];
	if (!over_ns)
		return;
	start = o->len;
	begin_line(o);
	out_add(o, "time of those over: ");
	word_split(o, s->over_split_ns);
	end_line(t, start, 2 * INDENT);
	put_causes(t, s, over_ns);
}

/* A line each of those that are not 0, behind a heading of their own. Return: has there been any,
 * by now? */
static bool put_losses(struct text_report *t, const struct loss_text *text, const uint64_t *count,
		       unsigned nr, bool has_said)
{
	for (unsigned i = 0; i < nr; i++) {
		size_t start;

		if (!count[i])
			continue;
		if (!has_said)
			out_add(&t->out, "lost or not seen\n");
		has_said = true;
		start = t->out.len;
		word_colour(&t->out, &t->style, text[i].is_strict ? COLOUR_RED : COLOUR_YELLOW);
		out_add(&t->out, "%*llu", 6 + INDENT, (unsigned long long)count[i]);
		word_colour(&t->out, &t->style, COLOUR_NONE);
		out_add(&t->out, "  %s", text[i].sentence);
		end_line(t, start, 6 * INDENT);
	}
	return has_said;
}

static void put_all_losses(struct text_report *t, const struct watch_summary *summary,
			   const struct sink_losses *sinks)
{
	static const struct loss_text records[] = {
		{"records_lost", "violations whose records did not arrive whole", true},
	};
	bool has_said = put_losses(t, loss_text, summary->loss, LOSS_NR, false);

	has_said = put_losses(t, records, &summary->records_lost, 1, has_said);
	if (sinks)
		has_said = put_losses(t, sink_text, sinks->count, SINK_NR, has_said);
	if (!has_said)
		out_add(&t->out, "nothing was lost\n");
	if (!summary->throttle_known) {
		size_t start = t->out.len;

		out_add(&t->out,
			"throttling is not known on this kernel: time that a CPU quota cost counts "
			"as waiting");
		end_line(t, start, 2 * INDENT);
	}
}

int text_sections(struct text_report *t, const struct watch_summary *summary)
{
	for (unsigned i = 0; i < summary->nr_sections; i++) {
		put_section(t, &summary->section[i]);
		out_add(&t->out, "\n");
	}
	return out_write(&t->out);
}

int text_summary(struct text_report *t, const struct watch_summary *summary,
		 const struct sink_losses *sinks)
{
	struct out *o = &t->out;

	out_add(o, "watched for ");
	word_ns(o, summary->duration_ns);
	out_add(o, "\n\n");
	for (unsigned i = 0; i < summary->nr_sections; i++) {
		put_section(t, &summary->section[i]);
		out_add(o, "\n");
	}
	put_all_losses(t, summary, sinks);
	return out_write(o);
}
