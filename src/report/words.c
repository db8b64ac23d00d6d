// SPDX-License-Identifier: MIT
/* How the reports for people write numbers, names and causes. */
#include "words.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/parse.h"

void word_colour(struct out *o, const struct out_style *style, enum colour colour)
{
	static const char *const sequence[] = {
		[COLOUR_NONE] = "\033[0m",    [COLOUR_DIM] = "\033[2m",
		[COLOUR_BOLD] = "\033[1m",    [COLOUR_RED] = "\033[31m",
		[COLOUR_YELLOW] = "\033[33m", [COLOUR_GREEN] = "\033[32m",
	};

	if (style->has_colour)
		out_add(o, "%s", sequence[colour]);
}

void word_ns(struct out *o, uint64_t ns)
{
	char buf[32];

	out_add(o, "%s", tocsin_format_duration(ns, buf, sizeof(buf)));
}

void word_budget(struct out *o, uint64_t ns)
{
	char buf[40];
	size_t number;

	(void)tocsin_print_duration(ns, buf, sizeof(buf));
	number = strspn(buf, "0123456789.");
	out_add(o, "%.*s %s", (int)number, buf, buf + number);
}

void word_percent_aligned(struct out *o, uint64_t permyriad, int width)
{
	unsigned long long percent = (permyriad + 50) / 100, tenths = (permyriad + 5) / 10;
	char buf[32];

	if (permyriad >= 995 || !permyriad)
		(void)snprintf(buf, sizeof(buf), "%llu %%", percent);
	else if (permyriad >= 100)
		(void)snprintf(buf, sizeof(buf), "%llu.%llu %%", tenths / 10, tenths % 10);
	else
		(void)snprintf(buf, sizeof(buf), "0.%02llu %%", (unsigned long long)permyriad);
	out_add(o, "%*s", width, buf);
}

void word_percent(struct out *o, uint64_t permyriad)
{
	word_percent_aligned(o, permyriad, 0);
}

void word_name(struct out *o, const char *name, size_t len)
{
	char buf[FIELD_NAME_LEN];

	out_add_clean(o, name_copy(name, len, buf));
}

void word_task(struct out *o, const char *comm, uint32_t tgid, uint32_t tid)
{
	word_name(o, comm, WATCH_COMM_LEN);
	if (tid && tgid && tid != tgid)
		out_add(o, " %u/%u", tgid, tid);
	else if (tid)
		out_add(o, " %u", tid);
}

void word_split(struct out *o, const uint64_t *split_ns)
{
	const char *comma = "";
	uint64_t whole_ns = 0;

	for (unsigned i = 0; i < TS_NR; i++)
		whole_ns += split_ns[i];
	for (unsigned i = 0; i < TS_NR; i++) {
		if (!split_ns[i])
			continue;
		out_add(o, "%s%s ", comma, state_names[i]);
		word_ns(o, split_ns[i]);
		out_add(o, " (");
		word_percent(o, share_permyriad(split_ns[i], whole_ns));
		out_add(o, ")");
		comma = ", ";
	}
	if (!whole_ns)
		out_add(o, "no time at all");
}

void word_cause(struct out *o, const struct cause *c)
{
	if (c->text[0]) {
		out_add_clean(o, c->text);
		return;
	}
	out_add(o, "%s", table_name(cause_sentences, CAUSE_NR, c->kind));
	if (c->subject[0]) {
		out_add(o, ": ");
		out_add_clean(o, c->subject);
	}
	if (c->peer.tid || c->peer.comm[0]) {
		out_add(o, ": ");
		word_task(o, c->peer.comm, c->peer.tgid, c->peer.tid);
	}
}

void word_clock(struct out *o, uint64_t t_ns, int64_t realtime_offset_ns)
{
	int64_t real_ns = (int64_t)(t_ns + (uint64_t)realtime_offset_ns);
	int64_t below_ns = (real_ns % 1000000000 + 1000000000) % 1000000000;
	time_t real_s = (time_t)((real_ns - below_ns) / 1000000000);
	struct tm tm;

	if (localtime_r(&real_s, &tm))
		out_add(o, "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec,
			(int)(below_ns / 1000000));
	else
		out_add(o, "--:--:--.---");
}
