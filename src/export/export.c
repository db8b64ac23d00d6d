// SPDX-License-Identifier: MIT
/* Items of a trace, given to the format that was asked for. */
#include "export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../report/pen.h"
#include "internal.h"

#define TOGETHER_BYTES ((size_t)256 * 1024) /* written at a time */

static const struct export_ops *const formats[EXPORT_NR] = {
#define X(NAME, name, text) [EXPORT_##NAME] = &export_##name,
#include "formats.def"
#undef X
};

int export_open(enum export_format format, int fd, struct export **ret_export)
{
	struct export *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->ops = formats[format];
	out_init(&e->out, fd);
	out_init(&e->line, OUT_KEPT);
	r = e->ops->begin ? e->ops->begin(e) : 0;
	if (r < 0)
		(void)export_close(e); /* always NULL */
	else
		*ret_export = e;
	return r;
}

struct export *export_close(struct export *e)
{
	if (!e)
		return NULL;
	stacks_done(&e->stacks);
	out_done(&e->out);
	out_done(&e->line);
	free(e);
	return NULL;
}

struct export_stats export_get_stats(const struct export *e)
{
	return e->stats;
}

int export_element(struct export *e, const char *between)
{
	struct out *line = &e->line;
	int r = line->failed;

	if (r == 0) {
		if (e->has_element)
			pen_text(&e->out, between);
		pen_bytes(&e->out, line->buf, line->len);
		e->has_element = true;
	}
	line->len = 0;
	line->failed = 0;
	if (r == 0 && (e->out.len >= TOGETHER_BYTES || e->out.failed))
		r = out_write(&e->out);
	return r;
}

/* The first item says where time begins: so microseconds as doubles keep their nanoseconds. */
static void base_set(struct export *e, int64_t t_ns)
{
	if (!e->has_base)
		e->base_ns = t_ns;
	e->has_base = true;
}

int export_item(struct export *e, struct load *l, const struct load_item *item)
{
	const struct violation *v = item->violation;
	int r = 0;

	switch (item->state) {
	case LOAD_VIOLATION:
		if (v->flags & VIOLATION_OPEN)
			return 0; /* its end comes later, with the same and more */
		base_set(e, (int64_t)v->raw.start_ns + v->realtime_offset_ns);
		r = e->ops->violation(e, v);
		e->stats.violations += r == 0;
		return r;
	case LOAD_OTHER:
		if (!e->ops->event) {
			e->stats.passed_over++;
			return 0;
		}
		base_set(e, item->event->t_ns);
		r = e->ops->event(e, l, item);
		e->stats.events += r == 0;
		return r;
	case LOAD_PROCESS:
	case LOAD_SUMMARY:
	case LOAD_GAP:
	case LOAD_END:
	default: return 0;
	}
}

int export_finish(struct export *e)
{
	int r = e->ops->end ? e->ops->end(e) : 0;

	return r < 0 ? r : out_write(&e->out);
}

/* ---- stretches */

struct walk {
	const struct violation *v;
	stretch_fn *fn;
	void *context;
	uint64_t at_ns;
};

static int stretch_give(struct walk *w, uint64_t end_ns, enum tocsin_state state,
			const struct spell *spell, enum cause_kind kind)
{
	struct stretch s = {w->at_ns, end_ns, state, spell, kind};

	if (end_ns > w->v->raw.end_ns)
		s.end_ns = w->v->raw.end_ns;
	if (s.end_ns <= s.begin_ns)
		return 0;
	w->at_ns = s.end_ns;
	return w->fn(w->context, w->v, &s);
}

static int spell_walk(struct walk *w, const struct spell *spell)
{
	const struct watch_spell *s = &spell->raw;
	uint64_t in_ns = s->t_in ?: w->v->raw.end_ns, wake_ns = s->t_wake ?: in_ns;
	bool is_known = !(w->v->raw.flags & SECTION_NO_SPLIT);
	int r = stretch_give(w, s->t_out, is_known ? TS_RUNNING : TS_UNKNOWN, NULL,
			     is_known ? CAUSE_CPU : CAUSE_UNKNOWN);

	if (r == 0 && spell_has_slept(s))
		r = stretch_give(w, wake_ns, (enum tocsin_state)s->state, spell, spell->kind);
	if (r == 0 && s->throttled_ns && in_ns > w->at_ns)
		r = stretch_give(
			w, s->throttled_ns < in_ns - w->at_ns ? w->at_ns + s->throttled_ns : in_ns,
			TS_THROTTLED, spell, CAUSE_QUOTA);
	if (r == 0)
		r = stretch_give(w, in_ns, TS_WAITING, spell,
				 spell_has_slept(s) ? spell->wait_kind : spell->kind);
	return r;
}

int export_stretches(const struct violation *v, stretch_fn *fn, void *context)
{
	bool is_known = !(v->raw.flags & SECTION_NO_SPLIT);
	struct walk w = {v, fn, context, v->raw.start_ns};
	int r = 0;

	for (unsigned i = 0; i < v->nr_spells && r == 0; i++)
		r = spell_walk(&w, &v->spell[i]);
	if (r == 0)
		r = stretch_give(&w, v->raw.end_ns, is_known ? TS_RUNNING : TS_UNKNOWN, NULL,
				 is_known ? CAUSE_CPU : CAUSE_UNKNOWN);
	return r;
}
