// SPDX-License-Identifier: MIT
/*
 * Guards: `!`, `&&`, `||` in this order of strength, brackets, and comparisons of sums such as
 * `x - y <= 10ms` or `depth + 1 > LIMIT`. Two stacks instead of recursion, so that no text is too
 * deep.
 */
#include <errno.h>
#include <string.h>

#include "parse.h"

#define STACK 64

struct reader {
	struct parse *p;
	size_t at, end;
	int value[STACK]; /* roots of what was read */
	char op[STACK];   /* '(' '!' '&' '|' */
	int nr_values, nr_ops;
};

static void space_skip(const struct parse *p, size_t *at, size_t end)
{
	while (*at < end && is_space(parse_at(p, *at)))
		(*at)++;
}

static struct model_span rest_of(size_t at, size_t end)
{
	return (struct model_span){(uint32_t)at, (uint32_t)(end > at ? end - at : 0)};
}

/* ---- sums */

static int sum_add_var(struct parse *p, struct model_sum *s, int var, bool is_minus,
		       struct model_span where)
{
	int *list = is_minus ? s->minus : s->plus;

	if (list[1] >= 0)
		return parse_error(p, where, NULL, "more than two variables on one side of a sum");
	list[list[0] >= 0] = var;
	return 0;
}

static int term_read(struct parse *p, size_t *at, size_t end, bool is_minus, struct model_sum *s)
{
	size_t start = *at;
	int64_t value;
	bool has_unit;
	int var, r;

	if (*at < end && is_number_char(parse_at(p, *at))) {
		r = parse_number(p, at, end, &value, &has_unit);
		if (r < 0)
			return r;
		s->has_unit |= has_unit;
		s->is_bare |= !has_unit && value != 0;
		if (__builtin_add_overflow(s->value, is_minus ? -value : value, &s->value))
			return parse_error(p, rest_of(start, *at), NULL, "sum is too large");
		return 0;
	}
	if (*at >= end || !is_name_start(parse_at(p, *at)))
		return parse_error(p, rest_of(*at, end), NULL, "expected a variable or a number");
	while (*at < end && is_name_char(parse_at(p, *at)))
		(*at)++;
	var = parse_var(p, rest_of(start, *at));
	if (var < 0)
		return var;
	if (*at + 1 < end && parse_at(p, *at) == '(' && parse_at(p, *at + 1) == ')') {
		*at += 2;
		p->m->var[var].is_call = true;
	}
	return sum_add_var(p, s, var, is_minus, rest_of(start, *at));
}

int sum_read(struct parse *p, size_t *at, size_t end, struct model_sum *ret)
{
	struct model_sum s = {.plus = {-1, -1}, .minus = {-1, -1}};
	bool is_minus = false;
	int r;

	space_skip(p, at, end);
	if (parse_at(p, *at) == '-') {
		is_minus = true;
		(*at)++;
		space_skip(p, at, end);
	}
	for (;;) {
		r = term_read(p, at, end, is_minus, &s);
		if (r < 0)
			return r;
		space_skip(p, at, end);
		if (*at >= end || (parse_at(p, *at) != '+' && parse_at(p, *at) != '-'))
			break;
		is_minus = parse_at(p, (*at)++) == '-';
		space_skip(p, at, end);
	}
	*ret = s;
	return 0;
}

static void left_mark(struct parse *p, const struct model_sum *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->plus[i] >= 0)
			p->m->var[s->plus[i]].is_left = true;
		if (s->minus[i] >= 0)
			p->m->var[s->minus[i]].is_left = true;
	}
}

/* ---- tests */

static int compare_read(struct parse *p, size_t *at, size_t end, enum automaton_compare *ret)
{
	static const struct {
		const char *text;
		enum automaton_compare compare;
	} all[] = {{"<=", AUTOMATON_LE}, {">=", AUTOMATON_GE}, {"==", AUTOMATON_EQ},
		   {"!=", AUTOMATON_NE}, {"<", AUTOMATON_LT},  {">", AUTOMATON_GT}};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_t len = strlen(all[i].text);

		if (*at + len <= end && memcmp(p->m->text + *at, all[i].text, len) == 0) {
			*at += len;
			*ret = all[i].compare;
			return 0;
		}
	}
	return parse_error(p, rest_of(*at, end), "comparisons are < <= == != >= >",
			   "expected a comparison");
}

static int test_read(struct reader *g)
{
	struct parse *p = g->p;
	struct model *m = p->m;
	struct model_sum left, right;
	struct model_expr e = {.op = MODEL_TEST};
	size_t start = g->at;
	int r = sum_read(p, &g->at, g->end, &left);

	r = r ?: compare_read(p, &g->at, g->end, &e.compare);
	r = r ?: sum_read(p, &g->at, g->end, &right);
	if (r < 0)
		return r;
	e.where = span_trimmed(p, rest_of(start, g->at));
	left_mark(p, &left);
	if (left.plus[0] < 0)
		left_mark(p, &right); /* 10ms < clk */
	for (int i = 0; i < 2 && r == 0; i++) {
		if (right.plus[i] >= 0)
			r = sum_add_var(p, &left, right.plus[i], true, e.where);
		if (r == 0 && right.minus[i] >= 0)
			r = sum_add_var(p, &left, right.minus[i], false, e.where);
	}
	if (r < 0)
		return r;
	left.value -= right.value; /* each is below 2^62 or was refused */
	left.has_unit |= right.has_unit;
	left.is_bare |= right.is_bare;
	if (left.has_unit && left.is_bare)
		return parse_error(p, e.where, "units are ns, us, ms, s and j",
				   "one number has a unit and one has none");
	e.sum = left;
	if (m->nr_exprs == MODEL_EXPRS)
		return parse_error(p, e.where, NULL, "more than %d parts of guards", MODEL_EXPRS);
	if (g->nr_values == STACK)
		return parse_error(p, e.where, NULL, "guard is too deep");
	m->expr[m->nr_exprs] = e;
	g->value[g->nr_values++] = m->nr_exprs++;
	return 0;
}

/* ---- how tests are joined */

static int op_push(struct reader *g, char op)
{
	if (g->nr_ops == STACK)
		return parse_error(g->p, rest_of(g->at, g->end), NULL, "guard is too deep");
	g->op[g->nr_ops++] = op;
	return 0;
}

/* The uppermost operator takes its operands, which are there. */
static int op_apply(struct reader *g)
{
	struct model *m = g->p->m;
	struct model_expr e = {0};
	char op = g->op[--g->nr_ops];

	if (m->nr_exprs == MODEL_EXPRS)
		return parse_error(g->p, rest_of(g->at, g->end), NULL,
				   "more than %d parts of guards", MODEL_EXPRS);
	e.op = op == '!' ? MODEL_NOT : op == '&' ? MODEL_AND : MODEL_OR;
	e.b = g->value[--g->nr_values];
	e.a = e.b;
	if (op != '!')
		e.a = g->value[--g->nr_values];
	e.where = m->expr[e.a].where;
	m->expr[m->nr_exprs] = e;
	g->value[g->nr_values++] = m->nr_exprs++;
	return 0;
}

static int strength(char op)
{
	return op == '!' ? 3 : op == '&' ? 2 : op == '|' ? 1 : 0;
}

/* Behind a test: `)`s, then `&&`, `||` or the end. @again: another test must follow. */
static int join_read(struct reader *g, bool *again)
{
	struct parse *p = g->p;
	int r = 0;

	*again = false;
	while (r == 0 && g->nr_ops && g->op[g->nr_ops - 1] == '!')
		r = op_apply(g);
	space_skip(p, &g->at, g->end);
	if (r < 0 || g->at >= g->end)
		return r;
	if (parse_at(p, g->at) == ')') {
		while (r == 0 && g->nr_ops && g->op[g->nr_ops - 1] != '(')
			r = op_apply(g);
		if (r == 0 && !g->nr_ops)
			return parse_error(p, rest_of(g->at, g->at + 1), NULL,
					   "')' that was not opened");
		g->nr_ops -= r == 0;
		g->at++;
		return r ?: 1;
	}
	if ((parse_at(p, g->at) == '&' || parse_at(p, g->at) == '|') &&
	    parse_at(p, g->at + 1) == parse_at(p, g->at)) {
		char op = parse_at(p, g->at);

		while (r == 0 && g->nr_ops && strength(g->op[g->nr_ops - 1]) >= strength(op))
			r = op_apply(g);
		g->at += 2;
		*again = true;
		return r ?: op_push(g, op);
	}
	return parse_error(p, rest_of(g->at, g->end), "tests are joined by && and ||",
			   "unexpected text in a guard");
}

int guard_read(struct parse *p, struct model_span where, int *ret)
{
	struct reader g = {.p = p, .at = where.at, .end = where.at + where.len};
	bool again = true;
	int r = 0;

	while (r == 0 && again) {
		space_skip(p, &g.at, g.end);
		if (g.at < g.end && parse_at(p, g.at) == '(') {
			g.at++;
			r = op_push(&g, '(');
			continue;
		}
		if (g.at < g.end && parse_at(p, g.at) == '!' && parse_at(p, g.at + 1) != '=') {
			g.at++;
			r = op_push(&g, '!');
			continue;
		}
		r = test_read(&g);
		if (r == 0)
			do
				r = join_read(&g, &again);
			while (r == 1);
	}
	while (r == 0 && g.nr_ops) {
		if (g.op[g.nr_ops - 1] == '(')
			return parse_error(p, where, NULL, "'(' that is not closed");
		r = op_apply(&g);
	}
	if (r == 0)
		*ret = g.value[0];
	return r;
}
