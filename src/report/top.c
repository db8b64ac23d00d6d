// SPDX-License-Identifier: MIT
/* `--top`: a table of the sections that is drawn again and again. */
#include "top.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

#define SCREEN_ON   "\033[?1049h\033[?25l" /* alternate screen, no cursor */
#define SCREEN_OFF  "\033[?25h\033[?1049l"
#define SCREEN_HOME "\033[H"
#define LINE_END    "\033[K\n" /* what an earlier drawing left behind the text goes */
#define SCREEN_END  "\033[J"

#define NAME_COLUMNS 20

/* Enough of a name to know a section by: a longer one is mostly still where it was. */
struct top_row {
	char name[64];
	uint64_t closed;
};

void top_init(struct top *t, int fd)
{
	*t = (struct top){0};
	out_init(&t->out, fd);
}

void top_done(struct top *t)
{
	if (t->has_screen) {
		out_add(&t->out, SCREEN_OFF);
		(void)out_write(&t->out); /* the terminal may be gone, and nobody is left to tell */
	}
	free(t->row);
	out_done(&t->out);
	*t = (struct top){.out = t->out};
}

static bool row_is(const struct top_row *row, const char *name)
{
	return strncmp(row->name, name, sizeof(row->name) - 1) == 0;
}

/* Sections come and go while it runs, so a row is known by its name; mostly it stands where it
 * stood. */
static uint64_t closed_before(const struct top *t, const char *name, unsigned idx)
{
	if (idx < t->nr_rows && row_is(&t->row[idx], name))
		return t->row[idx].closed;
	for (unsigned i = 0; i < t->nr_rows; i++) {
		if (row_is(&t->row[i], name))
			return t->row[i].closed;
	}
	return 0;
}

static int rows_remember(struct top *t, const struct watch_summary *summary)
{
	struct top_row *row = calloc(summary->nr_sections ?: 1, sizeof(*row));

	if (!row)
		return -ENOMEM;
	for (unsigned i = 0; i < summary->nr_sections; i++) {
		(void)snprintf(row[i].name, sizeof(row[i].name), "%s", summary->section[i].name);
		row[i].closed = summary->section[i].closed;
	}
	free(t->row);
	t->row = row;
	t->nr_rows = summary->nr_sections;
	t->drawn_ns = summary->duration_ns;
	return 0;
}

/* Right in nine columns, as the durations beside it. */
static void put_rate(struct out *o, uint64_t nr, uint64_t ns)
{
	uint64_t tenths = ns ? (uint64_t)((unsigned __int128)nr * 10000000000u / ns) : 0;

	if (tenths < 1000)
		out_add(o, "%7llu.%llu", (unsigned long long)(tenths / 10),
			(unsigned long long)(tenths % 10));
	else
		out_add(o, "%9llu", (unsigned long long)((tenths + 5) / 10));
}

static void put_duration(struct out *o, uint64_t ns)
{
	size_t start = o->len, len;

	word_ns(o, ns);
	len = o->len - start;
	o->len = start;
	if (len < 9)
		out_add(o, "%*s", (int)(9 - len), "");
	word_ns(o, ns);
}

static void put_row(struct top *t, const struct out_style *style, const struct section_summary *s,
		    unsigned idx, uint64_t since_ns)
{
	uint64_t before = closed_before(t, s->name, idx);
	struct out *o = &t->out;
	size_t start = o->len, columns;

	out_add_clean(o, s->name);
	out_clip(o, start, NAME_COLUMNS);
	for (columns = out_columns(o, start); columns < NAME_COLUMNS; columns++)
		out_add(o, " ");
	put_rate(o, s->closed > before ? s->closed - before : 0, since_ns);
	word_colour(o, style, s->over ? COLOUR_RED : COLOUR_NONE);
	out_add(o, "%9llu", (unsigned long long)s->over);
	word_colour(o, style, COLOUR_NONE);
	put_duration(o, s->p50_ns);
	put_duration(o, s->p99_ns);
	put_duration(o, s->max_ns);
	if (s->nr_causes) {
		out_add(o, "  ");
		word_cause(o, &s->cause[0]);
	}
	out_clip(o, start, style->columns);
}

static uint64_t losses_sum(const struct watch_summary *summary)
{
	uint64_t sum = summary->records_lost;

	for (unsigned i = 0; i < LOSS_NR; i++)
		sum += summary->loss[i];
	return sum;
}

static void put_title(struct top *t, const struct out_style *style,
		      const struct watch_summary *summary, uint64_t now_ns,
		      int64_t realtime_offset_ns)
{
	uint64_t lost = losses_sum(summary);
	struct out *o = &t->out;
	size_t start = o->len;

	word_clock(o, now_ns, realtime_offset_ns);
	out_add(o, "  tocsin: %u section%s for ", summary->nr_sections,
		summary->nr_sections == 1 ? "" : "s");
	word_ns(o, summary->duration_ns);
	if (lost)
		out_add(o, ", %llu lost or not seen", (unsigned long long)lost);
	out_clip(o, start, style->columns);
}

int top_draw(struct top *t, const struct watch_summary *summary, uint64_t now_ns,
	     int64_t realtime_offset_ns)
{
	struct out_style style = out_style_get(t->out.fd);
	const char *end = style.is_terminal ? LINE_END : "\n";
	uint64_t since_ns = summary->duration_ns - t->drawn_ns;
	unsigned nr = summary->nr_sections;
	struct out *o = &t->out;
	size_t start;
	int r;

	if (style.is_terminal)
		out_add(o, "%s%s", t->has_screen ? "" : SCREEN_ON, SCREEN_HOME);
	t->has_screen = style.is_terminal;
	put_title(t, &style, summary, now_ns, realtime_offset_ns);
	out_add(o, "%s", end);
	start = o->len;
	word_colour(o, &style, COLOUR_BOLD);
	out_add(o, "%-*s%9s%9s%9s%9s%9s  %s", NAME_COLUMNS, "SECTION", "COUNT/S", "OVER", "P50",
		"P99", "MAX", "TOP CAUSE");
	word_colour(o, &style, COLOUR_NONE);
	out_clip(o, start, style.columns);
	out_add(o, "%s", end);
	/* The last line of a terminal stays empty: a newline there would scroll. */
	if (style.lines && nr + 3 > style.lines)
		nr = style.lines > 3 ? style.lines - 3 : 0;
	for (unsigned i = 0; i < nr; i++) {
		put_row(t, &style, &summary->section[i], i, since_ns);
		out_add(o, "%s", end);
	}
	out_add(o, "%s", style.is_terminal ? SCREEN_END : "\n");
	r = rows_remember(t, summary);
	return out_write(o) ?: r;
}
