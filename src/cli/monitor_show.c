// SPDX-License-Identifier: MIT
/* A model that was read, for people and for programs. */
#include "monitor_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/parse.h"
#include "../report/json_text.h"

static const char *kind_text(const struct model *m)
{
	return m->kind == AUTOMATON_GRAPH ? "automaton" : "formula";
}

static const char *var_kind_text(enum model_var_kind kind)
{
	static const char *const texts[] = {"clock", "stored", "input", "parameter"};

	return texts[kind];
}

static const char *start_text(uint8_t flags)
{
	return flags & AUTOMATON_START       ? "starts"
	       : flags & AUTOMATON_START_RUN ? "starts and steps"
					     : "";
}

void monitor_edge_text(struct out *o, const struct model *m, const struct model_edge *e)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "%.*s", (int)e->where.len, m->text + e->where.at);
	out_add_clean(o, text);
}

static void value_add(struct out *o, const struct model_var *v)
{
	char text[32];

	if (v->kind != MODEL_PARAM || !v->has_value)
		return;
	if (v->is_timed || v->unit_ns)
		out_add(o, " = %s", tocsin_print_duration((uint64_t)v->value, text, sizeof(text)));
	else
		out_add(o, " = %" PRId64, v->value);
}

static void states_text(struct out *o, const struct model *m)
{
	for (int i = 0; i < m->nr_states; i++) {
		const struct model_state *s = &m->state[i];

		out_add(o, "  state  %s%s%s", s->name, i == m->initial ? ", initial" : "",
			s->is_final ? ", final" : "");
		if (s->invariant >= 0)
			out_add(o, ", bounded");
		out_add(o, "\n");
		for (int e = 0; e < m->nr_edges; e++) {
			if (m->edge[e].from != i)
				continue;
			out_add(o, "           ");
			monitor_edge_text(o, m, &m->edge[e]);
			out_add(o, " -> %s\n", m->state[m->edge[e].to].name);
		}
	}
}

void monitor_show_text(struct out *o, const struct model *m, const struct monitor_events *k)
{
	out_add(o, "%s: %s", m->name, kind_text(m));
	if (m->scope)
		out_add(o, ", per %s", model_scope_name(m->scope));
	out_add(o, "\n");
	if (m->about[0]) {
		out_add(o, "  ");
		out_add_clean(o, m->about);
		out_add(o, "\n");
	}
	if (m->note[0]) {
		out_add(o, "  ");
		out_add_clean(o, m->note);
		out_add(o, "\n");
	}
	states_text(o, m);
	if (m->kind == AUTOMATON_FORMULA)
		out_add(o, "  %d possible states, %d bits, %d duties\n", m->table.nr_sets,
			m->table.nr_bits, m->table.nr_duties);
	for (int i = 0; i < m->nr_vars; i++) {
		out_add(o, "  %s  %s", var_kind_text(m->var[i].kind), m->var[i].name);
		value_add(o, &m->var[i]);
		out_add(o, "\n");
	}
	for (int i = 0; i < m->nr_events; i++) {
		const struct model_event *e = &m->event[i];

		out_add(o, "  %s  %s%s%s", m->kind == AUTOMATON_GRAPH ? "event" : "atom", e->name,
			e->flags ? ", " : "", start_text(e->flags));
		if (e->points[0]) {
			out_add(o, ": ");
			out_add_clean(o, e->points);
			out_add(o, " (here: %s)", has_text(monitor_events_of(k, e, NULL, 0)));
		}
		out_add(o, "\n");
	}
}

static void states_json(struct out *o, const struct model *m)
{
	json_open(o, "states", '[');
	for (int i = 0; i < m->nr_states; i++) {
		json_open(o, NULL, '{');
		json_str(o, "name", m->state[i].name);
		json_bool(o, "initial", i == m->initial);
		json_bool(o, "final", m->state[i].is_final);
		json_bool(o, "bounded", m->state[i].invariant >= 0);
		json_close(o, '}');
	}
	json_close(o, ']');
	json_open(o, "edges", '[');
	for (int i = 0; i < m->nr_edges; i++) {
		const struct model_edge *e = &m->edge[i];

		json_open(o, NULL, '{');
		json_str(o, "from", m->state[e->from].name);
		json_str(o, "to", m->state[e->to].name);
		json_str(o, "event", m->event[e->event].name);
		json_strn(o, "text", m->text + e->where.at, e->where.len);
		json_close(o, '}');
	}
	json_close(o, ']');
}

void monitor_show_json(struct out *o, const struct model *m, const struct monitor_events *k)
{
	char missing[MODEL_POINTS] = "", points[MODEL_POINTS];
	enum has all = monitor_events_all(k, m, missing, sizeof(missing));

	json_open(o, NULL, '{');
	json_str(o, "type", "model");
	json_str(o, "name", m->name);
	json_str(o, "file", m->file);
	json_str(o, "kind", kind_text(m));
	json_str(o, "scope", model_scope_name(m->scope));
	json_str(o, "about", m->about);
	json_str(o, "note", m->note);
	json_u64(o, "table_version", m->table.version);
	json_str(o, "here", has_text(all));
	json_str(o, "missing", missing);
	states_json(o, m);
	json_open(o, "events", '[');
	for (int i = 0; i < m->nr_events; i++) {
		json_open(o, NULL, '{');
		json_str(o, "name", m->event[i].name);
		json_str(o, "start", start_text(m->event[i].flags));
		json_str(o, "tracepoints", monitor_events_points(&m->event[i], points));
		json_str(o, "points", m->event[i].points);
		json_str(o, "here", has_text(monitor_events_of(k, &m->event[i], NULL, 0)));
		json_close(o, '}');
	}
	json_close(o, ']');
	json_open(o, "variables", '[');
	for (int i = 0; i < m->nr_vars; i++) {
		json_open(o, NULL, '{');
		json_str(o, "name", m->var[i].name);
		json_str(o, "kind", var_kind_text(m->var[i].kind));
		if (m->var[i].has_value)
			json_i64(o, "value", m->var[i].value);
		json_close(o, '}');
	}
	json_close(o, ']');
	json_u64(o, "sets", m->table.nr_sets);
	json_u64(o, "bits", m->table.nr_bits);
	json_u64(o, "duties", m->table.nr_duties);
	json_close(o, '}');
	out_add(o, "\n");
}

/* ---- the flat table, as what it holds */

static void var_add(struct out *o, uint8_t var)
{
	static const char *const kinds[] = {"0", "clock", "stored", "input", "param"};

	if (var & 0xf0)
		out_add(o, "%s[%d]", kinds[var >> 4], var & 0x0f);
	else
		out_add(o, "0");
}

static void sum_add(struct out *o, const uint8_t *plus, const uint8_t *minus)
{
	var_add(o, plus[0]);
	for (int i = 0; i < 3; i++) {
		uint8_t var = i == 0 ? plus[1] : minus[i - 1];

		if (!var)
			continue;
		out_add(o, i == 0 ? " + " : " - ");
		var_add(o, var);
	}
}

static void way_add(struct out *o, const char *word, uint16_t to)
{
	if (to >= AUTOMATON_REJECT)
		out_add(o, " %s: %s", word, to == AUTOMATON_ACCEPT ? "accept" : "reject");
	else
		out_add(o, " %s: %u", word, to);
}

static void graph_table(struct out *o, const struct automaton_table *t)
{
	for (int s = 1; s < t->nr_states; s++) {
		out_add(o, "state %d:", s);
		for (int e = 0; e < t->nr_events; e++) {
			uint16_t cell = t->cell[s][e];

			if (cell & AUTOMATON_PLAIN)
				out_add(o, " %d->%d", e, cell & (AUTOMATON_STATES - 1));
			else if (cell)
				out_add(o, " %d:edge %d", e, cell - 1);
		}
		out_add(o, "%s\n", t->state[s].is_final ? " final" : "");
		for (int i = 0; i < t->state[s].nr_bounds; i++) {
			const struct automaton_bound *b = &t->bound[t->state[s].bound + i];

			out_add(o, "  bound: slot[%d] %s %" PRId64 " + ", b->clock,
				b->is_inclusive ? "<=" : "<", (int64_t)b->value);
			var_add(o, b->plus);
			out_add(o, "\n");
		}
	}
	for (int i = 0; i < t->nr_edges; i++) {
		const struct automaton_edge *e = &t->edge[i];

		out_add(o, "edge %d: to %u", i, e->next);
		if (e->guard)
			out_add(o, ", test %u", e->guard - 1u);
		if (e->nr_acts)
			out_add(o, ", acts %u to %u", e->act, e->act + e->nr_acts - 1u);
		out_add(o, "%s\n", e->is_last ? "" : ", else the next");
	}
}

void monitor_show_table(struct out *o, const struct model *m)
{
	const struct automaton_table *t = &m->table;

	out_add(o, "table version %u, %u bytes: %s, %d states, %d events, initial %d\n",
		(unsigned)t->version, (unsigned)t->bytes, kind_text(m),
		t->nr_states ? t->nr_states - 1 : 0, t->nr_events, t->initial);
	graph_table(o, t);
	for (int i = 0; i < t->nr_tests; i++) {
		const struct automaton_test *test = &t->test[i];

		out_add(o, "test %d: ", i);
		sum_add(o, test->plus, test->minus);
		out_add(o, " %s %" PRId64,
			model_compare_text((enum automaton_compare)test->compare),
			(int64_t)test->value);
		way_add(o, "yes", test->yes);
		way_add(o, "no", test->no);
		out_add(o, "\n");
	}
	for (int i = 0; i < t->nr_acts; i++) {
		const struct automaton_act *act = &t->act[i];

		out_add(o, "act %d: slot[%d] = ", i, act->slot);
		if (act->is_reset) {
			out_add(o, "now\n");
			continue;
		}
		sum_add(o, act->plus, act->minus);
		out_add(o, " + %" PRId64 "\n", (int64_t)act->value);
	}
	for (int i = 0; i < t->nr_bits; i++)
		out_add(o, "bit %d: op %d of %d, %d\n", i, t->bit[i].op, t->bit[i].a, t->bit[i].b);
	for (int i = 0; i < t->nr_sets; i++)
		out_add(o, "set %d: from %#llx, care %#llx, want %#llx\n", i,
			(unsigned long long)t->set[i].from, (unsigned long long)t->set[i].care,
			(unsigned long long)t->set[i].want);
	for (int i = 0; i < t->nr_duties; i++)
		out_add(o, "duty %d: %d then %d %s %" PRId64 " ns, hold %d\n", i,
			t->duty[i].trigger, t->duty[i].done,
			t->duty[i].flags & AUTOMATON_DUTY_INCLUSIVE ? "<=" : "<",
			(int64_t)t->duty[i].bound_ns,
			t->duty[i].flags & AUTOMATON_DUTY_HOLD ? t->duty[i].hold : -1);
}
