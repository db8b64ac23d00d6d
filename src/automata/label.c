// SPDX-License-Identifier: MIT
/*
 * Labels. Of a state: its name, and behind "\n" what must hold while it is there. Of an edge: its
 * events, each with what must be true and what is to be done:
 *
 *	switch_in;clk < 10ms && (cpu == 0 || depth > 1);reset(clk);set(depth = depth + 1)\nwakeup
 *
 * Several guards of one event must all be true. "\n" is these two characters, as graphviz has it.
 */
#include <errno.h>
#include <string.h>

#include "parse.h"

/* The part of @rest before a "\n", "\l" or "\r", which @rest loses. Return: was there one? */
static bool line_take(const struct parse *p, struct model_span *rest, struct model_span *ret)
{
	const char *text = p->m->text;
	size_t end = rest->at + rest->len, at = rest->at;

	if (rest->len == 0)
		return false;
	while (at < end && !(text[at] == '\\' && at + 1 < end && strchr("nlr", text[at + 1])))
		at++;
	*ret = span_trimmed(p, (struct model_span){rest->at, (uint32_t)(at - rest->at)});
	if (at < end)
		at += 2;
	*rest = (struct model_span){(uint32_t)at, (uint32_t)(end - at)};
	return true;
}

static struct model_span word_at(const struct parse *p, struct model_span s)
{
	uint32_t len = 0;

	if (s.len && is_name_start(p->m->text[s.at]))
		while (len < s.len && is_name_char(p->m->text[s.at + len]))
			len++;
	return (struct model_span){s.at, len};
}

static int expr_and(struct parse *p, int a, int b, struct model_span where)
{
	struct model *m = p->m;

	if (a < 0)
		return b;
	if (m->nr_exprs == MODEL_EXPRS)
		return parse_error(p, where, NULL, "more than %d parts of guards", MODEL_EXPRS);
	m->expr[m->nr_exprs] = (struct model_expr){.op = MODEL_AND, .a = a, .b = b, .where = where};
	return m->nr_exprs++;
}

/* Only upper bounds of clocks, and all of them. */
static int invariant_check(struct parse *p, int root)
{
	struct model *m = p->m;
	int stack[AUTOMATON_LIMITS * 2 + 2], nr = 0;

	stack[nr++] = root;
	while (nr) {
		const struct model_expr *e = &m->expr[stack[--nr]];

		if (e->op == MODEL_AND && nr + 2 <= AUTOMATON_LIMITS * 2) {
			stack[nr++] = e->b;
			stack[nr++] = e->a;
		} else if (e->op != MODEL_TEST || e->compare > AUTOMATON_LE || e->sum.plus[0] < 0 ||
			   e->sum.plus[1] >= 0 || e->sum.minus[1] >= 0) {
			return parse_error(p, e->where,
					   "states have upper bounds of clocks: clk < 10ms, joined "
					   "by &&",
					   "not what a state can have");
		} else {
			m->var[e->sum.plus[0]].is_timed = true;
			m->var[e->sum.plus[0]].is_left = true;
		}
	}
	return 0;
}

int label_state(struct parse *p, int state, struct model_span label)
{
	struct model_state *s = &p->m->state[state];
	struct model_span line, word;
	int guard, r;

	(void)line_take(p, &label, &line); /* it is not empty */
	word = word_at(p, line);
	if (!word.len || word.len != line.len)
		return parse_error(p, line.len ? line : label, NULL,
				   "'%.*s' is not the name of a state", (int)line.len,
				   p->m->text + line.at);
	if (!span_equals(p, word, "") && s->where.len &&
	    (word.len != s->where.len ||
	     memcmp(p->m->text + word.at, p->m->text + s->where.at, word.len) != 0))
		(void)parse_warn(p, word,
				 "rvgen takes the name from one and the edges from the other",
				 "the state's name is not its node's '%.*s'", (int)s->where.len,
				 p->m->text + s->where.at);
	r = parse_name(p, word, s->name);
	s->where = word;
	while (r == 0 && line_take(p, &label, &line)) {
		if (!line.len)
			continue;
		r = guard_read(p, line, &guard);
		r = r ?: invariant_check(p, guard);
		if (r == 0) {
			s->invariant = expr_and(p, s->invariant, guard, line);
			r = s->invariant < 0 ? -EINVAL : 0;
		}
	}
	return r;
}

/* reset(x), reset(x, y), set(x = SUM) */
static int act_read(struct parse *p, struct model_span part, bool is_reset)
{
	struct model *m = p->m;
	size_t at = part.at + (is_reset ? 5 : 3), end = part.at + part.len;
	int r = 0;

	while (is_space(parse_at(p, at)))
		at++;
	if (parse_at(p, at) != '(' || parse_at(p, end - 1) != ')' || at + 2 > end - 1)
		return parse_error(
			p, part, is_reset ? "expected reset(CLOCK)" : "expected set(NAME = VALUE)",
			"not an action");
	at++;
	end--;
	for (;;) {
		struct model_span rest =
			span_trimmed(p, (struct model_span){(uint32_t)at, (uint32_t)(end - at)});
		struct model_span word = word_at(p, rest);
		struct model_act act = {.is_reset = is_reset, .where = part};

		if (!word.len)
			return parse_error(p, rest.len ? rest : part, NULL,
					   "expected the name of a %s",
					   is_reset ? "clock" : "variable");
		act.var = parse_var(p, word);
		if (act.var < 0)
			return -EINVAL;
		at = word.at + word.len;
		while (at < end && is_space(parse_at(p, at)))
			at++;
		if (is_reset)
			m->var[act.var].is_reset = true;
		else
			m->var[act.var].is_set = true;
		if (!is_reset) {
			if (at >= end || parse_at(p, at) != '=')
				return parse_error(p, part, "expected set(NAME = VALUE)",
						   "no '=' in an action");
			at++;
			r = sum_read(p, &at, end, &act.sum);
			if (r < 0)
				return r;
		}
		if (m->nr_acts == AUTOMATON_ACTS)
			return parse_error(p, part, NULL, "more than %d actions", AUTOMATON_ACTS);
		m->act[m->nr_acts++] = act;
		if (at >= end)
			return 0;
		if (parse_at(p, at) != ',')
			return parse_error(p,
					   (struct model_span){(uint32_t)at, (uint32_t)(end - at)},
					   NULL, "unexpected text in an action");
		at++;
	}
}

/* Is it `name(`, with blanks before the bracket or not? */
static bool is_call(const struct parse *p, struct model_span part, const char *name)
{
	struct model_span word = word_at(p, part);
	size_t at = word.at + word.len;

	while (is_space(parse_at(p, at)))
		at++;
	return span_equals(p, word, name) && parse_at(p, at) == '(';
}

/* What stands behind the event: guards into @guard, actions appended to the model's. */
static int parts_read(struct parse *p, struct model_span rest, int *guard)
{
	int more, r = 0;

	while (r == 0 && rest.len) {
		const char *semicolon = memchr(p->m->text + rest.at, ';', rest.len);
		uint32_t len =
			semicolon ? (uint32_t)(semicolon - (p->m->text + rest.at)) : rest.len;
		struct model_span part = span_trimmed(p, (struct model_span){rest.at, len});

		rest.at += len + !!semicolon;
		rest.len -= len + !!semicolon;
		if (!part.len) {
			r = parse_error(p, part, NULL, "nothing between ';' and ';'");
		} else if (is_call(p, part, "reset")) {
			r = act_read(p, part, true);
		} else if (is_call(p, part, "set")) {
			r = act_read(p, part, false);
		} else if (!guard) {
			r = parse_error(p, part, "only reset() and set() can be here",
					"the initial arrow has no guard");
		} else {
			r = guard_read(p, part, &more);
			if (r == 0)
				*guard = expr_and(p, *guard, more, part);
			if (r == 0 && *guard < 0)
				r = -EINVAL;
		}
	}
	return r;
}

static int edge_add(struct parse *p, int from, int to, struct model_span line)
{
	struct model *m = p->m;
	struct model_span word = word_at(p, line), rest;
	struct model_edge e = {.from = from, .to = to, .guard = -1, .where = line};
	int r;

	if (!word.len)
		return parse_error(p, line, NULL, "expected the name of an event");
	rest = span_trimmed(p, (struct model_span){word.at + word.len, line.len - word.len});
	if (rest.len && m->text[rest.at] != ';')
		return parse_error(p, rest, "expected EVENT;GUARD;reset(CLOCK)",
				   "unexpected text behind the event");
	if (rest.len) {
		rest.at++;
		rest.len--;
	}
	e.event = parse_event(p, word);
	if (e.event < 0)
		return e.event;
	m->event[e.event].is_used = true;
	e.first_act = m->nr_acts;
	r = parts_read(p, rest, &e.guard);
	if (r < 0)
		return r;
	e.nr_acts = m->nr_acts - e.first_act;
	if (e.nr_acts > AUTOMATON_DO)
		return parse_error(p, line, NULL, "more than %d actions on an edge", AUTOMATON_DO);
	if (m->nr_edges == AUTOMATON_EDGES)
		return parse_error(p, line, NULL, "more than %d edges", AUTOMATON_EDGES);
	m->edge[m->nr_edges++] = e;
	return 0;
}

int label_edge(struct parse *p, int from, int to, struct model_span label)
{
	struct model_span line;
	int r = 0;

	while (r == 0 && line_take(p, &label, &line)) {
		if (!line.len)
			r = parse_error(p, line, NULL, "an empty line in a label");
		else
			r = edge_add(p, from, to, line);
	}
	return r;
}

int label_initial(struct parse *p, struct model_span label)
{
	struct model *m = p->m;
	int r;

	m->first_act = m->nr_acts;
	r = parts_read(p, label, NULL);
	m->nr_first = m->nr_acts - m->first_act;
	if (r == 0 && m->nr_first > AUTOMATON_DO)
		return parse_error(p, label, NULL, "more than %d actions on an edge", AUTOMATON_DO);
	return r;
}
