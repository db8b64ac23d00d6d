// SPDX-License-Identifier: MIT
/*
 *   14:03:22.123456789 lock: 'drop' is not allowed in 'free' (object 0x7ffe10, srv 4711/4713)
 *       path   free -take-> held 1.20 ms -drop-> free 3.10 us -drop-> violation
 *       vars   clk = 1.20 ms, owner = 4713
 */
#include "violated.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/parse.h"
#include "../base/text.h"
#include "json_text.h"
#include "pen.h"

#define SECOND_NS UINT64_C(1000000000)

static const char *state_name(const struct model *m, int state)
{
	return state >= 0 && state < m->nr_states ? m->state[state].name : "not started";
}

static const char *event_name(const struct model *m, int event)
{
	return event >= 0 && event < m->nr_events ? m->event[event].name : "time";
}

static const char *why_name(const struct violated *v)
{
	switch (v->why) {
	case AUTOMATON_BAD_EVENT: return "event";
	case AUTOMATON_BAD_GUARD: return "guard";
	case AUTOMATON_BAD_TIME: return "time";
	case AUTOMATON_BAD_RULE: return "rule";
	case AUTOMATON_STEPPED:
	case AUTOMATON_IGNORED:
	case AUTOMATON_STARTED_NOW: break;
	}
	return "none";
}

static void atoms_text(struct tocsin_text *t, const struct model *m, uint64_t atoms)
{
	bool is_first = true;

	for (int i = 0; i < m->nr_events; i++)
		if (atoms >> i & 1) {
			tocsin_text_add(t, "%s%s", is_first ? "" : " ", m->event[i].name);
			is_first = false;
		}
	if (is_first)
		tocsin_text_add(t, "nothing");
}

/* The edges that were there for the event, whose guards were false. */
static void guards_text(struct tocsin_text *t, const struct violated *v)
{
	const struct model *m = v->model;
	const char *between = "";

	for (int i = 0; i < m->nr_edges; i++) {
		const struct model_edge *e = &m->edge[i];

		if (e->from != v->state || e->event != v->event || e->guard < 0)
			continue;
		tocsin_text_add(t, "%s%.*s", between, (int)m->expr[e->guard].where.len,
				m->text + m->expr[e->guard].where.at);
		between = ", nor ";
	}
}

static void bound_text(struct tocsin_text *t, const struct violated *v)
{
	const struct model *m = v->model;
	int invariant = v->state >= 0 ? m->state[v->state].invariant : -1;

	if (invariant < 0) {
		tocsin_text_add(t, "what was to come within a bound did not");
		return;
	}
	tocsin_text_add(t, "'%s' lasts too long: %.*s", state_name(m, v->state),
			(int)m->expr[invariant].where.len, m->text + m->expr[invariant].where.at);
	for (int i = 0; i < m->nr_vars; i++) {
		const struct model_var *p = &m->var[i];
		char text[32];

		if (p->kind == MODEL_PARAM && p->has_value &&
		    memmem(m->text + m->expr[invariant].where.at, m->expr[invariant].where.len,
			   p->name, strlen(p->name)))
			tocsin_text_add(
				t, ", %s = %s", p->name,
				tocsin_print_duration((uint64_t)p->value, text, sizeof(text)));
	}
}

const char *violated_reason(const struct violated *v, char *buf, size_t len)
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, len);
	switch (v->why) {
	case AUTOMATON_BAD_EVENT:
		tocsin_text_add(&t, "'%s' is not allowed in '%s'", event_name(v->model, v->event),
				state_name(v->model, v->state));
		break;
	case AUTOMATON_BAD_GUARD:
		tocsin_text_add(&t, "'%s' in '%s' without ", event_name(v->model, v->event),
				state_name(v->model, v->state));
		guards_text(&t, v);
		break;
	case AUTOMATON_BAD_TIME: bound_text(&t, v); break;
	case AUTOMATON_BAD_RULE:
		tocsin_text_add(&t, "the rule is false with ");
		atoms_text(&t, v->model, v->atoms);
		break;
	case AUTOMATON_STEPPED:
	case AUTOMATON_IGNORED:
	case AUTOMATON_STARTED_NOW: break;
	}
	return buf;
}

/* ---- for people */

static void time_text(struct out *o, const struct violated *v)
{
	uint64_t at = v->t_ns + (uint64_t)v->realtime_ns;
	time_t seconds = (time_t)(at / SECOND_NS);
	char clock[32] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm) && strftime(clock, sizeof(clock), "%H:%M:%S", &tm))
		pen_text(o, clock);
	pen_fraction(o, (uint32_t)(at % SECOND_NS));
}

static void who_text(struct out *o, const struct violated *v)
{
	bool has_process = v->model->scope != MODEL_TASK && v->model->scope != MODEL_PROCESS;
	const char *between = "";

	out_add(o, " (");
	switch (v->model->scope) {
	case MODEL_CPU: out_add(o, "CPU %" PRIu64, v->key); break;
	case MODEL_TASK: out_add(o, "task %" PRIu64, v->key); break;
	case MODEL_PROCESS: out_add(o, "process %" PRIu64, v->key); break;
	case MODEL_OBJECT: out_add(o, "object 0x%" PRIx64, v->key); break;
	case MODEL_GLOBAL:
	case MODEL_NO_SCOPE: out_add(o, "global"); break;
	}
	between = ", ";
	if (v->comm[0]) {
		out_add(o, "%s", between);
		out_add_clean(o, v->comm);
		between = " ";
	}
	if (has_process && v->pid >= 0)
		out_add(o, "%s%" PRId64 "/%" PRId64, between, v->pid, v->tid);
	if (v->cpu >= 0 && v->model->scope != MODEL_CPU)
		out_add(o, ", CPU %" PRId64, v->cpu);
	out_add(o, ")\n");
}

static void lasted_text(struct out *o, const struct violated *v, unsigned i)
{
	uint64_t from = i ? v->past[i - 1].t_ns : 0,
		 to = i < v->nr_past ? v->past[i].t_ns : v->t_ns;
	char text[32];

	if (from && to >= from)
		out_add(o, " %s", tocsin_format_duration(to - from, text, sizeof(text)));
}

static void path_text(struct out *o, const struct violated *v)
{
	if (!v->nr_past)
		return;
	out_add(o, "    path   ");
	for (unsigned i = 0; i < v->nr_past; i++) {
		const struct violated_past *p = &v->past[i];

		if (v->model->kind == AUTOMATON_FORMULA) {
			char text[512];
			struct tocsin_text t;

			tocsin_text_init(&t, text, sizeof(text));
			atoms_text(&t, v->model, p->atoms);
			out_add(o, "%s[%s]", i ? " " : "", text);
			continue;
		}
		out_add(o, "%s", state_name(v->model, p->from));
		lasted_text(o, v, i);
		out_add(o, " -%s-> ", event_name(v->model, p->event));
	}
	if (v->model->kind == AUTOMATON_GRAPH && v->why == AUTOMATON_BAD_TIME && v->event < 0) {
		out_add(o, "%s", state_name(v->model, v->state));
		lasted_text(o, v, v->nr_past);
		out_add(o, " -time-> ");
	}
	out_add(o, "%sviolation\n", v->model->kind == AUTOMATON_FORMULA ? " -> " : "");
}

static void vars_text(struct out *o, const struct violated *v)
{
	const char *between = "    vars   ";
	char text[32];

	for (int i = 0; i < v->model->nr_vars; i++) {
		const struct model_var *var = &v->model->var[i];
		uint64_t slot = (uint64_t)v->in.slot[(var->code & 0x0f) % AUTOMATON_SLOTS];

		if (var->kind != MODEL_CLOCK && var->kind != MODEL_STORED)
			continue;
		if (var->kind == MODEL_CLOCK && (!slot || slot > v->t_ns))
			continue;
		out_add(o, "%s%s = ", between, var->name);
		if (var->kind == MODEL_CLOCK)
			out_add(o, "%s",
				tocsin_format_duration(v->t_ns - slot, text, sizeof(text)));
		else
			out_add(o, "%" PRId64, (int64_t)slot);
		between = ", ";
	}
	if (between[0] == ',')
		out_add(o, "\n");
}

static void stack_text(struct out *o, const char *what, const char *const *frame, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		out_add(o, "    %-6s ", i ? "" : what);
		out_add_clean(o, frame[i]);
		out_add(o, "\n");
	}
}

void violated_text(struct out *o, const struct violated *v)
{
	char reason[512];

	time_text(o, v);
	out_add(o, " %s: ", v->model->name);
	out_add_clean(o, violated_reason(v, reason, sizeof(reason)));
	who_text(o, v);
	path_text(o, v);
	if (v->model->kind == AUTOMATON_GRAPH)
		vars_text(o, v);
	stack_text(o, "user", v->user, v->nr_user);
	stack_text(o, "kernel", v->kernel, v->nr_kernel);
	if (v->nr_unsaid)
		out_add(o, "    %" PRIu64 " more since the last one were counted only\n",
			v->nr_unsaid);
}

/* ---- JSON */

static void atoms_json(struct out *o, const char *name, const struct model *m, uint64_t atoms)
{
	json_open(o, name, '[');
	for (int i = 0; i < m->nr_events; i++)
		if (atoms >> i & 1)
			json_str(o, NULL, m->event[i].name);
	json_close(o, ']');
}

static void past_json(struct out *o, const struct violated *v)
{
	json_open(o, "path", '[');
	for (unsigned i = 0; i < v->nr_past; i++) {
		json_open(o, NULL, '{');
		if (v->past[i].t_ns)
			json_u64(o, "t_ns", v->past[i].t_ns);
		if (v->model->kind == AUTOMATON_FORMULA) {
			atoms_json(o, "atoms", v->model, v->past[i].atoms);
		} else {
			json_str(o, "state", state_name(v->model, v->past[i].from));
			json_str(o, "event", event_name(v->model, v->past[i].event));
		}
		json_close(o, '}');
	}
	json_close(o, ']');
}

static void vars_json(struct out *o, const struct violated *v)
{
	json_open(o, "clocks_ns", '{');
	for (int i = 0; i < v->model->nr_vars; i++) {
		const struct model_var *var = &v->model->var[i];
		uint64_t slot = (uint64_t)v->in.slot[(var->code & 0x0f) % AUTOMATON_SLOTS];

		if (var->kind == MODEL_CLOCK && slot && slot <= v->t_ns)
			json_u64(o, var->name, v->t_ns - slot);
	}
	json_close(o, '}');
	json_open(o, "stored", '{');
	for (int i = 0; i < v->model->nr_vars; i++)
		if (v->model->var[i].kind == MODEL_STORED)
			json_i64(o, v->model->var[i].name,
				 v->in.slot[(v->model->var[i].code & 0x0f) % AUTOMATON_SLOTS]);
	json_close(o, '}');
}

static void stack_json(struct out *o, const char *name, const char *const *frame, unsigned nr)
{
	json_open(o, name, '[');
	for (unsigned i = 0; i < nr; i++)
		json_str(o, NULL, frame[i]);
	json_close(o, ']');
}

void violated_json(struct out *o, const struct violated *v)
{
	char reason[512];

	json_open(o, NULL, '{');
	json_str(o, "type", "monitor_violation");
	json_str(o, "monitor", v->model->name);
	json_u64(o, "t_ns", v->t_ns);
	json_u64(o, "realtime_ns", v->t_ns + (uint64_t)v->realtime_ns);
	json_str(o, "why", why_name(v));
	json_str(o, "reason", violated_reason(v, reason, sizeof(reason)));
	json_str(o, "scope", model_scope_name(v->model->scope));
	json_u64(o, "key", v->key);
	if (v->model->kind == AUTOMATON_GRAPH) {
		json_str(o, "state", state_name(v->model, v->state));
		json_str(o, "event", event_name(v->model, v->event));
	} else {
		atoms_json(o, "atoms", v->model, v->atoms);
	}
	if (v->pid >= 0)
		json_i64(o, "pid", v->pid);
	if (v->tid >= 0)
		json_i64(o, "tid", v->tid);
	if (v->comm[0])
		JSON_NAME(o, "comm", v->comm);
	if (v->cpu >= 0)
		json_i64(o, "cpu", v->cpu);
	past_json(o, v);
	if (v->model->kind == AUTOMATON_GRAPH)
		vars_json(o, v);
	if (v->nr_user)
		stack_json(o, "user_stack", v->user, v->nr_user);
	if (v->nr_kernel)
		stack_json(o, "kernel_stack", v->kernel, v->nr_kernel);
	json_u64(o, "before", v->nr_before);
	json_u64(o, "unsaid", v->nr_unsaid);
	json_close(o, '}');
	out_add(o, "\n");
}

/* ---- the end */

static const struct monitor_covered_cell *cell_of(const struct monitor_summary *s,
						  const struct model_edge *e)
{
	return &s->covered->cell[e->from + 1][e->event];
}

/* Edges of one state for one event cannot be told apart: they count as one. */
static bool is_first_edge(const struct model *m, int i)
{
	for (int k = 0; k < i; k++)
		if (m->edge[k].from == m->edge[i].from && m->edge[k].event == m->edge[i].event)
			return false;
	return true;
}

static void covered_count(const struct monitor_summary *s, unsigned *edges, unsigned *of,
			  unsigned *states)
{
	*edges = *of = *states = 0;
	for (int i = 0; i < s->model->nr_edges; i++) {
		if (!is_first_edge(s->model, i))
			continue;
		++*of;
		*edges += cell_of(s, &s->model->edge[i])->count != 0;
	}
	for (int i = 0; i < s->model->nr_states; i++)
		*states += s->covered->state[i + 1] != 0;
}

static void edges_text(struct out *o, const struct monitor_summary *s)
{
	const struct model *m = s->model;

	for (int i = 0; i < m->nr_edges; i++) {
		const struct monitor_covered_cell *c = cell_of(s, &m->edge[i]);
		char max[32], mean[32];

		if (!is_first_edge(m, i))
			continue;
		out_add(o, "  %-16s %-20s %12llu", m->state[m->edge[i].from].name,
			m->event[m->edge[i].event].name, c->count);
		if (c->count)
			out_add(o, "  after %s, at most %s",
				tocsin_format_duration(c->sum_ns / c->count, mean, sizeof(mean)),
				tocsin_format_duration(c->max_ns, max, sizeof(max)));
		out_add(o, "\n");
	}
}

void monitor_summary_text(struct out *o, const struct monitor_summary *s)
{
	unsigned edges, of, states;

	out_add(o, "%s: %" PRIu64 " violation%s, %" PRIu64 " step%s, %" PRIu64 " instance%s",
		s->model->name, s->violations, s->violations == 1 ? "" : "s", s->steps,
		s->steps == 1 ? "" : "s", s->instances, s->instances == 1 ? "" : "s");
	if (s->unsaid)
		out_add(o, "; %" PRIu64 " violations were counted only", s->unsaid);
	if (s->covered && s->model->kind == AUTOMATON_GRAPH) {
		covered_count(s, &edges, &of, &states);
		out_add(o, "; %u of %d states, %u of %u edges\n", states, s->model->nr_states,
			edges, of);
		edges_text(o, s);
		return;
	}
	out_add(o, "\n");
}

void monitor_summary_json(struct out *o, const struct monitor_summary *s)
{
	json_open(o, NULL, '{');
	json_str(o, "type", "monitor_summary");
	json_str(o, "monitor", s->model->name);
	json_u64(o, "violations", s->violations);
	json_u64(o, "unsaid", s->unsaid);
	json_u64(o, "steps", s->steps);
	json_u64(o, "instances", s->instances);
	if (s->covered && s->model->kind == AUTOMATON_GRAPH) {
		json_open(o, "edges", '[');
		for (int i = 0; i < s->model->nr_edges; i++) {
			const struct model_edge *e = &s->model->edge[i];

			if (!is_first_edge(s->model, i))
				continue;
			json_open(o, NULL, '{');
			json_str(o, "state", s->model->state[e->from].name);
			json_str(o, "event", s->model->event[e->event].name);
			json_u64(o, "count", cell_of(s, e)->count);
			json_u64(o, "sum_ns", cell_of(s, e)->sum_ns);
			json_u64(o, "max_ns", cell_of(s, e)->max_ns);
			json_close(o, '}');
		}
		json_close(o, ']');
	}
	json_close(o, '}');
	out_add(o, "\n");
}
