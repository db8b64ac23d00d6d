// SPDX-License-Identifier: MIT
/*
 * The Trace Event Format of Chrome
 * (https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU), which
 * Perfetto's page opens. A violation is an async slice of its process, with its states nested in
 * it, as sections of a thread may overlap in any way; who woke it is an instant on the waker's
 * thread with a flow to the violation; events of programs are instants with their fields.
 *
 * Times are microseconds since the first item, whose time since 1970 is in otherData.
 */
#include <stdio.h>

#include "../report/pen.h"
#include "../report/print.h"
#include "../trace/who.h"
#include "internal.h"

static int chrome_begin(struct export *e)
{
	pen_text(&e->out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
	return 0;
}

/* Nanoseconds as microseconds with three decimals. */
static void time_put(struct out *o, const char *name, int64_t ns)
{
	uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;

	out_add(o, ",\"%s\":%s%llu.%03u", name, ns < 0 ? "-" : "",
		(unsigned long long)(size / 1000), (unsigned)(size % 1000));
}

static int64_t since_base(const struct export *e, const struct violation *v, uint64_t t_ns)
{
	return (int64_t)t_ns + v->realtime_offset_ns - e->base_ns;
}

/* One of the two ends of a slice within a violation. */
static void async_open(struct export *e, const struct violation *v, char phase, const char *name,
		       uint64_t t_ns)
{
	struct out *o = &e->line;
	char text[2] = {phase, '\0'};

	json_open(o, NULL, '{');
	json_str(o, "ph", text);
	json_str(o, "cat", "section");
	json_str(o, "name", name);
	json_u64(o, "id", v->number);
	json_u64(o, "pid", v->raw.tgid);
	json_u64(o, "tid", v->raw.tid);
	time_put(o, "ts", since_base(e, v, t_ns));
}

static int async_put(struct export *e)
{
	json_close(&e->line, '}');
	return export_element(e, ",\n");
}

static int state_put(void *context, const struct violation *v, const struct stretch *s)
{
	struct export *e = context;
	int r;

	async_open(e, v, 'b', STATE_NAME(s->state), s->begin_ns);
	json_open(&e->line, "args", '{');
	json_str(&e->line, "cause", CAUSE_NAME(s->kind));
	if (s->spell && s->spell->syscall)
		json_str(&e->line, "syscall", s->spell->syscall);
	if (s->spell && s->spell->nr_frames && s->state == TS_BLOCKED) {
		json_open(&e->line, "stack", '[');
		for (unsigned i = 0; i < s->spell->nr_frames; i++)
			json_str(&e->line, NULL, s->spell->frame[i]);
		json_close(&e->line, ']');
	}
	json_close(&e->line, '}');
	r = async_put(e);
	if (r < 0)
		return r;
	async_open(e, v, 'e', STATE_NAME(s->state), s->end_ns);
	return async_put(e);
}

/* A slice that takes no time, on the waker's thread, and the arrow from it. */
static int waker_put(struct export *e, const struct violation *v, const struct watch_spell *s)
{
	static const char phases[] = "Xsf";
	char name[64], comm[FIELD_NAME_LEN];
	struct out *o = &e->line;
	int r = 0;

	(void)snprintf(name, sizeof(name), "wakes %s", NAME_COPY(v->raw.comm, comm));
	for (unsigned i = 0; i < 3 && r == 0; i++) {
		bool is_here = phases[i] == 'f'; /* the arrow's head */
		char phase[2] = {phases[i], '\0'};

		json_open(o, NULL, '{');
		json_str(o, "ph", phase);
		json_str(o, "cat", "wake");
		json_str(o, "name", name);
		json_u64(o, "pid", is_here ? v->raw.tgid : s->waker_tgid);
		json_u64(o, "tid", is_here ? v->raw.tid : s->waker_tid);
		time_put(o, "ts", since_base(e, v, s->t_wake));
		if (phases[i] == 'X')
			time_put(o, "dur", 1);
		else
			json_u64(o, "id", s->t_wake ^ (uint64_t)v->raw.tid << 40);
		if (is_here)
			json_str(o, "bp", "e");
		json_close(o, '}');
		r = export_element(e, ",\n");
	}
	return r;
}

static int names_put(struct export *e, uint32_t pid, uint32_t tid, const char *comm)
{
	struct out *o = &e->line;
	char clean[FIELD_NAME_LEN];

	json_open(o, NULL, '{');
	json_str(o, "ph", "M");
	json_str(o, "name", "thread_name");
	json_u64(o, "pid", pid);
	json_u64(o, "tid", tid);
	json_open(o, "args", '{');
	json_str(o, "name", name_copy(comm, WATCH_COMM_LEN, clean));
	json_close(o, '}');
	json_close(o, '}');
	return export_element(e, ",\n");
}

static int chrome_violation(struct export *e, const struct violation *v)
{
	int r = names_put(e, v->raw.tgid, v->raw.tid, v->raw.comm);

	if (r < 0)
		return r;
	async_open(e, v, 'b', v->section, v->raw.start_ns);
	json_open(&e->line, "args", '{');
	json_str(&e->line, "verdict", v->verdict);
	json_u64(&e->line, "budget_ns", v->budget_ns);
	json_u64(&e->line, "elapsed_ns", violation_elapsed_ns(v));
	json_close(&e->line, '}');
	r = async_put(e);
	if (r == 0)
		r = export_stretches(v, state_put, e);
	if (r < 0)
		return r;
	async_open(e, v, 'e', v->section, v->raw.end_ns);
	r = async_put(e);
	for (unsigned i = 0; i < v->nr_spells && r == 0; i++) {
		const struct watch_spell *s = &v->spell[i].raw;

		if (s->waker_tid && s->t_wake && spell_has_slept(s))
			r = names_put(e, s->waker_tgid, s->waker_tid, s->waker_comm)
				    ?: waker_put(e, v, s);
	}
	return r;
}

static int chrome_event(struct export *e, struct load *l, const struct load_item *item)
{
	const struct ctf_values *values;
	const struct ctf_value *end;
	struct out *o = &e->line;
	struct trace_who who;
	int r = load_who(l, &who);

	if (r == 0)
		r = load_values(l, &values);
	if (r < 0)
		return r;
	json_open(o, NULL, '{');
	json_str(o, "ph", "i");
	json_str(o, "s", "t");
	json_str(o, "cat", "event");
	json_str(o, "name", item->event->name);
	json_i64(o, "pid", who.pid < 0 ? 0 : who.pid);
	json_i64(o, "tid", who.tid < 0 ? (who.pid < 0 ? 0 : who.pid) : who.tid);
	time_put(o, "ts", item->event->t_ns - e->base_ns);
	json_open(o, "args", '{');
	end = values->item + values->nr;
	for (const struct ctf_value *v = values->item; v < end; v += 1 + v->nr_below)
		if (v->scope == SCOPE_PAYLOAD)
			print_json_members(o, v + 1, v + 1 + v->nr_below);
	json_close(o, '}');
	json_close(o, '}');
	return export_element(e, ",\n");
}

static int chrome_end(struct export *e)
{
	out_add(&e->out, "\n],\"otherData\":{\"exporter\":\"tocsin\",\"begin_ns\":\"%lld\"}}\n",
		(long long)e->base_ns);
	return 0;
}

const struct export_ops export_chrome = {chrome_begin, chrome_violation, chrome_event, chrome_end};
