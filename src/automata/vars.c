// SPDX-License-Identifier: MIT
/*
 * What kind each variable is, which nobody declares. One that is reset is a clock, one that is set
 * is stored; one that is in capitals, called like a function, given a value, or only ever compared
 * with is a parameter; one that is compared with a time is a clock that somebody forgot to reset;
 * the rest comes with the events.
 */
#include <errno.h>
#include <string.h>

#include "parse.h"

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

static bool is_capitals(const char *name)
{
	for (; *name; name++)
		if (*name >= 'a' && *name <= 'z')
			return false;
	return true;
}

static int kind_settle(struct parse *p, struct model_var *v)
{
	if (v->is_reset && v->is_set)
		return parse_error(p, v->where, "clocks are reset, variables are set",
				   "'%s' is both reset and set", v->name);
	if ((v->is_reset || v->is_set) && (v->has_value || v->is_call))
		return parse_error(p, v->where, NULL, "'%s' is a parameter, which nothing changes",
				   v->name);
	if (v->is_reset) {
		v->kind = MODEL_CLOCK;
	} else if (v->is_set) {
		v->kind = MODEL_STORED;
	} else if (v->has_value || v->is_call || is_capitals(v->name) || !v->is_left) {
		v->kind = MODEL_PARAM;
	} else if (v->is_timed) {
		v->kind = MODEL_CLOCK;
		return parse_warn(p, v->where, "it counts from the start of the instance",
				  "clock '%s' is never reset", v->name);
	} else {
		v->kind = MODEL_INPUT;
	}
	return 0;
}

static void unit_settle(struct parse *p, struct model_var *v)
{
	if (ends_with(v->name, "_jiffies") || ends_with(v->name, "_JIFFIES"))
		v->unit_ns = (int64_t)p->jiffy_ns;
	else if (ends_with(v->name, "_ns") || ends_with(v->name, "_NS"))
		v->unit_ns = 1;
	if (v->has_value && !v->is_timed && v->unit_ns > 1 &&
	    __builtin_mul_overflow(v->value, v->unit_ns, &v->value))
		(void)parse_error(p, v->where, NULL, "value of '%s' is too large in nanoseconds",
				  v->name);
}

static int code_give(struct parse *p, struct model_var *v)
{
	struct automaton_table *t = &p->m->table;
	static const struct {
		uint8_t code;
		int most;
		const char *what;
	} kinds[] = {
		[MODEL_CLOCK] = {AUTOMATON_VAR_CLOCK, AUTOMATON_SLOTS, "clocks"},
		[MODEL_STORED] = {AUTOMATON_VAR_STORED, AUTOMATON_SLOTS,
				  "clocks and stored variables"},
		[MODEL_INPUT] = {AUTOMATON_VAR_INPUT, AUTOMATON_INPUTS,
				 "variables that come with events"},
		[MODEL_PARAM] = {AUTOMATON_VAR_PARAM, AUTOMATON_PARAMS, "parameters"},
	};
	int index = v->kind == MODEL_CLOCK    ? t->nr_clocks++
		    : v->kind == MODEL_STORED ? t->nr_clocks + t->nr_stored++
		    : v->kind == MODEL_INPUT  ? t->nr_inputs++
					      : t->nr_params++;

	if (index >= kinds[v->kind].most)
		return parse_error(p, v->where, NULL, "more than %d %s", kinds[v->kind].most,
				   kinds[v->kind].what);
	v->code = (uint8_t)(kinds[v->kind].code | index);
	if (v->kind == MODEL_PARAM)
		t->param[index] = v->value;
	return 0;
}

static bool is_clock(const struct model *m, int var)
{
	return var >= 0 && m->var[var].kind == MODEL_CLOCK;
}

static bool sum_has_clock(const struct model *m, const struct model_sum *s)
{
	return is_clock(m, s->plus[0]) || is_clock(m, s->plus[1]) || is_clock(m, s->minus[0]) ||
	       is_clock(m, s->minus[1]);
}

/* The unit that a name in the sum tells; 0: none does. */
static int64_t sum_unit(const struct model *m, const struct model_sum *s)
{
	const int all[] = {s->plus[0], s->plus[1], s->minus[0], s->minus[1]};

	for (int i = 0; i < 4; i++)
		if (all[i] >= 0 && m->var[all[i]].unit_ns)
			return m->var[all[i]].unit_ns;
	return 0;
}

/* A number that is compared with a clock counts something. */
static int bare_settle(struct parse *p, struct model_sum *s, struct model_span where)
{
	const struct model *m = p->m;
	int64_t unit_ns = sum_unit(m, s);

	if (!s->is_bare || (!unit_ns && !sum_has_clock(m, s)))
		return 0;
	if (!unit_ns)
		return parse_warn(p, where, "units are ns, us, ms, s and j",
				  "a number without a unit counts nanoseconds here");
	if (__builtin_mul_overflow(s->value, unit_ns, &s->value) || s->value > INT64_MAX / 4 ||
	    s->value < -INT64_MAX / 4)
		return parse_error(p, where, NULL, "number is too large in nanoseconds");
	return 0;
}

/* The one side of an order of kinds in which codes are given: clocks, stored, others. */
static int codes_give(struct parse *p)
{
	struct model *m = p->m;
	int r = 0;

	for (int kind = MODEL_CLOCK; kind <= MODEL_PARAM; kind++)
		for (int i = 0; i < m->nr_vars && r == 0; i++)
			if ((int)m->var[i].kind == kind)
				r = code_give(p, &m->var[i]);
	return r;
}

static void times_mark(struct model *m)
{
	for (int i = 0; i < m->nr_exprs; i++) {
		const struct model_expr *e = &m->expr[i];

		for (int k = 0; k < 2 && e->op == MODEL_TEST && e->sum.has_unit; k++) {
			if (e->sum.plus[k] >= 0)
				m->var[e->sum.plus[k]].is_timed = true;
			if (e->sum.minus[k] >= 0)
				m->var[e->sum.minus[k]].is_timed = true;
		}
	}
	for (int i = 0; i < m->nr_acts; i++)
		for (int k = 0; k < 2 && !m->act[i].is_reset; k++) {
			if (m->act[i].sum.plus[k] >= 0)
				m->var[m->act[i].sum.plus[k]].is_left = true;
			if (m->act[i].sum.minus[k] >= 0)
				m->var[m->act[i].sum.minus[k]].is_left = true;
		}
}

int vars_settle(struct parse *p)
{
	struct model *m = p->m;
	int r = 0;

	for (int i = 0; i < m->nr_vars; i++)
		unit_settle(p, &m->var[i]); /* before a time in a test says that it has one */
	times_mark(m);
	for (int i = 0; i < m->nr_vars; i++)
		(void)kind_settle(p, &m->var[i]); /* said, and counted */
	for (int i = 0; i < m->nr_exprs; i++)
		if (m->expr[i].op == MODEL_TEST)
			(void)bare_settle(p, &m->expr[i].sum, m->expr[i].where);
	for (int i = 0; i < m->nr_acts; i++)
		if (!m->act[i].is_reset)
			(void)bare_settle(p, &m->act[i].sum, m->act[i].where);
	r = codes_give(p);
	return p->nr_errors ? -EINVAL : r;
}
