// SPDX-License-Identifier: MIT
/*
 * The table of a formula. Parts without a future operator become bits, of which each step makes a
 * new valuation from the atoms and from its own last values: that is all that the past needs.
 *
 * Bounded operators become duties. A duty remembers the earliest moment since which it is owed: a
 * later one is met by the same event, so one clock each is exact. That is so only where the
 * operator is owed in every run, which is why it must be a conjunct of an outer `always`, alone or
 * behind `imply`, and its operands must be of the present or the past.
 *
 * The rest becomes an automaton by tableau.c. It watches safety alone: `X until Y` is violated when
 * neither holds, never because Y does not come; so an `eventually` that could never be violated is
 * refused.
 */
#include <errno.h>
#include <string.h>

#include "ltl.h"

struct builder {
	struct parse *p;
	struct ltl_list *list;
	bool is_pure[LTL_NODES];   /* no operator of the future in it */
	bool has_bound[LTL_NODES]; /* a bounded one */
	int bit[LTL_NODES];        /* -1: none yet */
	struct outer outer;
	int outer_of[LTL_NODES][2]; /* as it is, negated; -1: none yet */
	int rest;                   /* of what is left for the automaton; -1: nothing */
	struct model_span rest_where;
};

static void classify(struct builder *b)
{
	for (int i = 0; i < b->list->nr; i++) {
		const struct ltl_node *n = &b->list->node[i];
		bool has_operands = n->op != LTL_ATOM && n->a >= 0;

		b->is_pure[i] = n->op < LTL_NEXT;
		b->has_bound[i] = n->bound_ns >= 0;
		if (has_operands) {
			b->is_pure[i] &= b->is_pure[n->a];
			b->has_bound[i] |= b->has_bound[n->a];
		}
		if (n->b >= 0) {
			b->is_pure[i] &= b->is_pure[n->b];
			b->has_bound[i] |= b->has_bound[n->b];
		}
		b->bit[i] = b->outer_of[i][0] = b->outer_of[i][1] = -1;
	}
}

/* ---- bits */

static int bit_new(struct builder *b, enum automaton_bit_op op, int x, int y,
		   struct model_span where)
{
	struct automaton_table *t = &b->p->m->table;

	if (t->nr_bits == AUTOMATON_BITS)
		return parse_error(b->p, where, NULL, "formula needs more than %d bits",
				   AUTOMATON_BITS);
	t->bit[t->nr_bits] = (struct automaton_bit){
		.op = (uint8_t)op, .a = (uint8_t)(x > 0 ? x : 0), .b = (uint8_t)(y > 0 ? y : 0)};
	return t->nr_bits++;
}

static enum automaton_bit_op bit_op(enum ltl_op op)
{
	static const enum automaton_bit_op ops[] = {
		[LTL_ATOM] = AUTOMATON_BIT_ATOM,   [LTL_TRUE] = AUTOMATON_BIT_TRUE,
		[LTL_NOT] = AUTOMATON_BIT_NOT,     [LTL_AND] = AUTOMATON_BIT_AND,
		[LTL_OR] = AUTOMATON_BIT_OR,       [LTL_IMPLY] = AUTOMATON_BIT_IMPLY,
		[LTL_SAME] = AUTOMATON_BIT_SAME,   [LTL_PREVIOUS] = AUTOMATON_BIT_PREVIOUS,
		[LTL_ONCE] = AUTOMATON_BIT_ONCE,   [LTL_HISTORICALLY] = AUTOMATON_BIT_HISTORICALLY,
		[LTL_SINCE] = AUTOMATON_BIT_SINCE,
	};

	return ops[op];
}

/* The bit of a part, and before it those of its parts. Return: its number, or -EINVAL. */
static int bit_of(struct builder *b, int root)
{
	bool is_needed[LTL_NODES] = {false};

	is_needed[root] = true;
	for (int i = root; i >= 0; i--) {
		const struct ltl_node *n = &b->list->node[i];

		if (!is_needed[i] || n->op == LTL_ATOM)
			continue;
		if (n->a >= 0)
			is_needed[n->a] = true;
		if (n->b >= 0)
			is_needed[n->b] = true;
	}
	for (int i = 0; i <= root; i++) {
		const struct ltl_node *n = &b->list->node[i];
		int x = -1;

		if (!is_needed[i] || b->bit[i] >= 0)
			continue;
		if (n->op == LTL_FALSE) {
			x = bit_new(b, AUTOMATON_BIT_TRUE, 0, 0, n->where);
			b->bit[i] = x < 0 ? x : bit_new(b, AUTOMATON_BIT_NOT, x, 0, n->where);
		} else if (n->op == LTL_ATOM) {
			b->bit[i] = bit_new(b, AUTOMATON_BIT_ATOM, n->a, 0, n->where);
		} else {
			x = n->a >= 0 ? b->bit[n->a] : 0;
			b->bit[i] = bit_new(b, bit_op(n->op), x, n->b >= 0 ? b->bit[n->b] : 0,
					    n->where);
		}
		if (b->bit[i] < 0)
			return -EINVAL;
	}
	return b->bit[root];
}

/* ---- duties */

/* True always, or, when the duty is owed once, at the first step alone. */
static int trigger_default(struct builder *b, bool in_always, struct model_span where)
{
	int x = bit_new(b, AUTOMATON_BIT_TRUE, 0, 0, where);

	if (in_always || x < 0)
		return x;
	x = bit_new(b, AUTOMATON_BIT_PREVIOUS, x, 0, where);
	return x < 0 ? x : bit_new(b, AUTOMATON_BIT_NOT, x, 0, where);
}

/* @guard: what it is owed for; -1: always */
static int duty_add(struct builder *b, int guard, int root, bool in_always)
{
	struct automaton_table *t = &b->p->m->table;
	const struct ltl_node *n = &b->list->node[root];
	struct automaton_duty *d = &t->duty[t->nr_duties];
	int done = n->op == LTL_UNTIL ? n->b : n->a;
	int trigger, done_bit, hold_bit = 0;

	if (!b->is_pure[done] || (n->op == LTL_UNTIL && !b->is_pure[n->a]))
		return parse_error(b->p, n->where, NULL,
				   "operands of a bounded operator cannot look at the future");
	if (t->nr_duties == AUTOMATON_DUTIES)
		return parse_error(b->p, n->where, NULL, "more than %d bounded operators",
				   AUTOMATON_DUTIES);
	trigger = guard >= 0 ? bit_of(b, guard) : trigger_default(b, in_always, n->where);
	done_bit = bit_of(b, done);
	if (n->op == LTL_UNTIL)
		hold_bit = bit_of(b, n->a);
	if (trigger < 0 || done_bit < 0 || hold_bit < 0)
		return -EINVAL;
	*d = (struct automaton_duty){
		.bound_ns = n->bound_ns,
		.trigger = (uint8_t)trigger,
		.done = (uint8_t)done_bit,
		.hold = (uint8_t)hold_bit,
		.flags = (uint8_t)(AUTOMATON_DUTY_INCLUSIVE |
				   (n->op == LTL_UNTIL ? AUTOMATON_DUTY_HOLD : 0)),
	};
	t->nr_duties++;
	return 0;
}

/* ---- the automaton's formula */

static int outer_add(struct builder *b, enum outer_op op, int x, int y, struct model_span where)
{
	struct outer *f = &b->outer;

	for (int i = 0; i < f->nr; i++)
		if (f->node[i].op == op && f->node[i].a == x && f->node[i].b == y)
			return i;
	if (f->nr == OUTERS)
		return parse_error(b->p, where, NULL, "formula has more than %d temporal parts",
				   OUTERS);
	f->node[f->nr].op = op;
	f->node[f->nr].a = x;
	f->node[f->nr].b = y;
	return f->nr++;
}

/* Which of its operands a part needs as they are, and which negated. */
static void operands_mark(const struct ltl_node *n, bool (*need)[2], int negated)
{
	for (int side = 0; side < 2; side++) {
		int operand = side ? n->b : n->a;

		if (operand < 0)
			continue;
		if (n->op == LTL_SAME) {
			need[operand][0] = need[operand][1] = true;
		} else {
			bool flips = n->op == LTL_NOT || (n->op == LTL_IMPLY && side == 0);

			need[operand][negated ^ flips] = true;
		}
	}
}

static int refuse(struct builder *b, const struct ltl_node *n)
{
	if (n->op == LTL_ALWAYS)
		return parse_error(b->p, n->where,
				   "'not always X' is 'eventually not X': give it a bound",
				   "no finite run can violate 'not always'");
	return parse_error(b->p, n->where, "give it a bound: eventually X within 10ms",
			   "no finite run can violate 'eventually' without a bound");
}

/* A part as it is or negated, of operands that are there. */
static int outer_part(struct builder *b, const struct ltl_node *n, int negate)
{
	int(*of)[2] = b->outer_of;
	int x, y;

	switch (n->op) {
	case LTL_NOT: return of[n->a][!negate];
	case LTL_AND:
		return outer_add(b, negate ? OUTER_OR : OUTER_AND, of[n->a][negate],
				 of[n->b][negate], n->where);
	case LTL_OR:
		return outer_add(b, negate ? OUTER_AND : OUTER_OR, of[n->a][negate],
				 of[n->b][negate], n->where);
	case LTL_IMPLY:
		return outer_add(b, negate ? OUTER_AND : OUTER_OR, of[n->a][!negate],
				 of[n->b][negate], n->where);
	case LTL_SAME:
		x = outer_add(b, OUTER_AND, of[n->a][0], of[n->b][negate], n->where);
		y = outer_add(b, OUTER_AND, of[n->a][1], of[n->b][!negate], n->where);
		return x < 0 || y < 0 ? -EINVAL : outer_add(b, OUTER_OR, x, y, n->where);
	case LTL_NEXT: return outer_add(b, OUTER_NEXT, of[n->a][negate], -1, n->where);
	case LTL_UNTIL:
		return outer_add(b, negate ? OUTER_RELEASE : OUTER_UNTIL, of[n->a][negate],
				 of[n->b][negate], n->where);
	case LTL_ALWAYS:
		return negate ? refuse(b, n)
			      : outer_add(b, OUTER_ALWAYS, of[n->a][0], -1, n->where);
	case LTL_EVENTUALLY:
		return negate ? outer_add(b, OUTER_ALWAYS, of[n->a][1], -1, n->where)
			      : refuse(b, n);
	case LTL_ATOM:
	case LTL_TRUE:
	case LTL_FALSE:
	case LTL_PREVIOUS:
	case LTL_ONCE:
	case LTL_HISTORICALLY:
	case LTL_SINCE:
	case LTL_OPEN: break;
	}
	return parse_error(b->p, n->where, NULL, "operators of the past cannot look at the future");
}

/* Return: the part of the automaton's formula that is this one, or -EINVAL. */
static int outer_of(struct builder *b, int root)
{
	bool need[LTL_NODES][2] = {{false}};

	need[root][0] = true;
	for (int i = root; i >= 0; i--)
		for (int negate = 0; negate < 2; negate++)
			if (need[i][negate] && !b->is_pure[i])
				operands_mark(&b->list->node[i], need, negate);
	for (int i = 0; i <= root; i++)
		for (int negate = 0; negate < 2; negate++) {
			int bit;

			if (!need[i][negate] || b->outer_of[i][negate] >= 0)
				continue;
			bit = b->is_pure[i] ? bit_of(b, i) : 0;
			if (bit < 0)
				return bit;
			b->outer_of[i][negate] =
				b->is_pure[i] ? outer_add(b, negate ? OUTER_NOT_BIT : OUTER_BIT,
							  bit, -1, b->list->node[i].where)
					      : outer_part(b, &b->list->node[i], negate);
			if (b->outer_of[i][negate] < 0)
				return -EINVAL;
		}
	return b->outer_of[root][0];
}

static int rest_add(struct builder *b, int root, bool in_always)
{
	struct model_span where = b->list->node[root].where;
	int x = outer_of(b, root);

	if (x >= 0 && in_always)
		x = outer_add(b, OUTER_ALWAYS, x, -1, where);
	if (x >= 0 && b->rest >= 0)
		x = outer_add(b, OUTER_AND, b->rest, x, where);
	if (x < 0)
		return x;
	b->rest = x;
	b->rest_where = where;
	return 0;
}

/* ---- conjuncts */

static int conjunct_add(struct builder *b, int root, bool in_always)
{
	const struct ltl_node *n = &b->list->node[root];

	if (n->bound_ns >= 0)
		return duty_add(b, -1, root, in_always);
	if (n->op == LTL_IMPLY && in_always && b->is_pure[n->a] &&
	    b->list->node[n->b].bound_ns >= 0)
		return duty_add(b, n->a, n->b, true);
	if (b->has_bound[root])
		return parse_error(
			b->p, n->where,
			"always (X imply eventually Y within 10ms), and others joined by and",
			"a bounded operator stands alone or behind 'imply', in an outer "
			"'always'");
	return rest_add(b, root, in_always);
}

static int conjuncts_split(struct builder *b, int root)
{
	struct {
		int root;
		bool in_always;
	} stack[LTL_NODES];
	int nr = 1, r = 0;

	stack[0].root = root;
	stack[0].in_always = false;
	while (nr && r == 0) {
		int at = stack[--nr].root;
		bool in_always = stack[nr].in_always;
		const struct ltl_node *n = &b->list->node[at];

		if (n->op == LTL_AND && b->has_bound[at] && nr + 2 <= LTL_NODES) {
			stack[nr].root = n->b;
			stack[nr++].in_always = in_always;
			stack[nr].root = n->a;
			stack[nr++].in_always = in_always;
		} else if (n->op == LTL_ALWAYS) {
			stack[nr].root = n->a;
			stack[nr++].in_always = true;
		} else {
			r = conjunct_add(b, at, in_always);
		}
	}
	return r;
}

static void atoms_check(struct builder *b)
{
	struct model *m = b->p->m;

	for (int i = 0; i < m->table.nr_bits; i++)
		if (m->table.bit[i].op == AUTOMATON_BIT_ATOM)
			m->event[m->table.bit[i].a].is_used = true;
	for (int i = 0; i < m->nr_events; i++)
		if (!m->event[i].is_used)
			(void)parse_warn(b->p, m->event[i].where, NULL,
					 "atom '%s' is not in the rule", m->event[i].name);
}

int ltl_build(struct parse *p, struct ltl_list *list, int root)
{
	struct builder b = {.p = p, .list = list, .rest = -1};
	struct automaton_table *t = &p->m->table;
	int r;

	t->kind = AUTOMATON_FORMULA;
	classify(&b);
	r = conjuncts_split(&b, root);
	if (r == 0 && b.rest >= 0)
		r = tableau_build(p, &b.outer, b.rest, b.rest_where);
	if (r == 0 && b.rest < 0)
		t->set[t->nr_sets++] = (struct automaton_set){.from = 1ULL << 63 | 1};
	t->nr_events = (uint8_t)p->m->nr_events;
	if (r == 0)
		atoms_check(&b);
	return r;
}
