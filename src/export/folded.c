// SPDX-License-Identifier: MIT
/*
 * Time off the CPU by stack, in two forms: lines of `a;b;c MICROSECONDS` as Brendan Gregg's
 * flamegraph.pl and many others read them, and speedscope's file format
 * (https://www.speedscope.app/file-format-schema.json) of the same stacks, in nanoseconds.
 *
 * A stack is section;state;cause;user functions;system call;kernel functions, the outermost first.
 * What ran has no stack here and is left out: these are pictures of what was waited for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../report/pen.h"
#include "internal.h"

/* ';' and line ends mean something in both forms. */
static void frame_put(struct out *o, const char *name)
{
	size_t start = o->len;

	if (o->len)
		pen_char(o, ';');
	start = o->len;
	out_add_clean(o, name);
	for (size_t i = start; i < o->len; i++)
		if (o->buf[i] == ';')
			o->buf[i] = ':';
}

static void user_frames_put(struct out *o, const struct named_stack *stack)
{
	for (unsigned i = stack->nr; i-- > 0;) {
		const struct named_frame *f = &stack->frame[i];
		const char *module = strrchr(f->module, '/');
		char name[128];

		(void)snprintf(name, sizeof(name), "%.80s+0x%llx", module ? module + 1 : f->module,
			       (unsigned long long)f->vaddr);
		frame_put(o, f->function[0] ? f->function : name);
	}
}

static int stretch_add(void *context, const struct violation *v, const struct stretch *s)
{
	struct export *e = context;
	struct out *o = &e->line;
	int r;

	if (!s->spell)
		return 0;
	frame_put(o, v->section);
	frame_put(o, STATE_NAME(s->state));
	frame_put(o, CAUSE_NAME(s->kind));
	if (s->state == TS_BLOCKED || s->state == TS_STOPPED) {
		if (s->spell->user_stack)
			user_frames_put(o, s->spell->user_stack);
		if (s->spell->syscall)
			frame_put(o, s->spell->syscall);
		for (unsigned i = s->spell->nr_frames; i-- > 0;)
			frame_put(o, s->spell->frame[i]);
	}
	r = o->failed ?: stacks_add(&e->stacks, o->buf, o->len, s->end_ns - s->begin_ns);
	o->len = 0;
	o->failed = 0;
	return r;
}

static int violation_add(struct export *e, const struct violation *v)
{
	return export_stretches(v, stretch_add, e);
}

static int folded_end(struct export *e)
{
	int r = 0;

	stacks_sort(&e->stacks);
	for (size_t i = 0; i < e->stacks.nr && r == 0; i++) {
		const struct stack_sum *s = &e->stacks.item[i];

		out_add(&e->line, "%s %llu\n", s->text, (unsigned long long)((s->ns + 500) / 1000));
		r = export_element(e, "");
	}
	if (r == 0 && e->stacks.other_ns) {
		out_add(&e->line, "(other) %llu\n",
			(unsigned long long)(e->stacks.other_ns / 1000));
		r = export_element(e, "");
	}
	return r;
}

const struct export_ops export_folded = {.violation = violation_add, .end = folded_end};

/* ---- speedscope */

/* Frames by number, each name once. */
static int frames_number(const struct stacks *stacks, struct stacks *names)
{
	int r = 0;

	for (size_t i = 0; i < stacks->nr && r == 0; i++)
		for (const char *at = stacks->item[i].text; r == 0; at++) {
			size_t len = strcspn(at, ";");

			r = stacks_add(names, at, len, 0);
			at += len;
			if (!*at)
				break;
		}
	return r;
}

static size_t frame_find(const struct stacks *names, const char *name, size_t len)
{
	size_t low = 0, high = names->nr;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *text = names->item[middle].text;
		int c = strncmp(text, name, len);

		if (c == 0 && text[len])
			c = 1;
		if (c == 0)
			return middle;
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return 0; /* each is there */
}

static int frames_put(struct export *e, const struct stacks *names)
{
	int r = 0;

	e->has_element = false;
	for (size_t i = 0; i < names->nr && r == 0; i++) {
		json_open(&e->line, NULL, '{');
		json_str(&e->line, "name", names->item[i].text);
		json_close(&e->line, '}');
		r = export_element(e, ",");
	}
	return r;
}

static int samples_put(struct export *e, const struct stacks *names)
{
	int r = 0;

	e->has_element = false;
	for (size_t i = 0; i < e->stacks.nr && r == 0; i++) {
		json_open(&e->line, NULL, '[');
		for (const char *at = e->stacks.item[i].text;; at++) {
			size_t len = strcspn(at, ";");

			json_u64(&e->line, NULL, frame_find(names, at, len));
			at += len;
			if (!*at)
				break;
		}
		json_close(&e->line, ']');
		r = export_element(e, ",");
	}
	return r;
}

static int speedscope_put(struct export *e, const struct stacks *names)
{
	uint64_t total_ns = 0;
	int r;

	for (size_t i = 0; i < e->stacks.nr; i++)
		total_ns += e->stacks.item[i].ns;
	pen_text(&e->out, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\","
			  "\"exporter\":\"tocsin\",\"name\":\"time off the CPU of late sections\","
			  "\"shared\":{\"frames\":[");
	r = frames_put(e, names);
	out_add(&e->out,
		"]},\"profiles\":[{\"type\":\"sampled\",\"name\":\"off the CPU\",\"unit\":\"nanoseconds\","
		"\"startValue\":0,\"endValue\":%llu,\"samples\":[",
		(unsigned long long)total_ns);
	if (r == 0)
		r = samples_put(e, names);
	pen_text(&e->out, "],\"weights\":[");
	for (size_t i = 0; i < e->stacks.nr; i++)
		out_add(&e->out, "%s%llu", i ? "," : "", (unsigned long long)e->stacks.item[i].ns);
	pen_text(&e->out, "]}]}\n");
	return r;
}

static int speedscope_end(struct export *e)
{
	struct stacks names = {0};
	int r = frames_number(&e->stacks, &names);

	stacks_sort(&e->stacks);
	stacks_sort(&names);
	if (r == 0)
		r = speedscope_put(e, &names);
	stacks_done(&names);
	return r;
}

const struct export_ops export_speedscope = {.violation = violation_add, .end = speedscope_end};
