// SPDX-License-Identifier: MIT
/*
 * Formulas of linear temporal logic, as the kernel's rvgen has them in its .ltl files: assignments,
 * of which RULE is the rule and the others are put in where they are named; names that are assigned
 * to nothing are atoms. Beyond rvgen: precedence (not, always and the like; until, since; and; or;
 * imply; equivalent; all to the right), `equivalent`, `within TIME`, and the past (previous, once,
 * historically, since). Where rvgen, which has no precedence, reads a formula differently, that is
 * said.
 *
 * Settings are comments that begin with "#!", which rvgen passes over: `#! scope task`.
 */
#include "ltl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/parse.h"

#define STACK       128
#define ASSIGNMENTS 64

static const struct word {
	const char *name;
	enum ltl_op op;
	int operands;
	int strength; /* how firmly it binds */
	bool is_rvgen;
} words[] = {
	{"true", LTL_TRUE, 0, 0, true},
	{"false", LTL_FALSE, 0, 0, true},
	{"not", LTL_NOT, 1, 6, true},
	{"always", LTL_ALWAYS, 1, 6, true},
	{"eventually", LTL_EVENTUALLY, 1, 6, true},
	{"next", LTL_NEXT, 1, 6, true},
	{"previous", LTL_PREVIOUS, 1, 6, false},
	{"once", LTL_ONCE, 1, 6, false},
	{"historically", LTL_HISTORICALLY, 1, 6, false},
	{"until", LTL_UNTIL, 2, 5, true},
	{"since", LTL_SINCE, 2, 5, false},
	{"and", LTL_AND, 2, 4, true},
	{"or", LTL_OR, 2, 3, true},
	{"imply", LTL_IMPLY, 2, 2, true},
	{"equivalent", LTL_SAME, 2, 1, false},
};

#define WORDS_NR (sizeof(words) / sizeof(words[0]))

static const struct word *word_of(enum ltl_op op)
{
	for (size_t i = 0; i < WORDS_NR; i++)
		if (words[i].op == op)
			return &words[i];
	return NULL;
}

static int strength_of(enum ltl_op op)
{
	const struct word *w = word_of(op);

	return w ? w->strength : 0;
}

struct reader {
	struct parse *p;
	size_t at, end;
	bool is_flat;
	struct ltl_list *list;
	int value[STACK];
	struct {
		enum ltl_op op;
		struct model_span where;
		int64_t bound_ns;
	} op[STACK];
	int nr_values, nr_ops;
	bool wants_operand;
};

/* Blanks and comments. */
static size_t space_end(const struct parse *p, size_t at, size_t end)
{
	while (at < end) {
		if (is_space(parse_at(p, at)))
			at++;
		else if (parse_at(p, at) == '#')
			while (at < end && parse_at(p, at) != '\n')
				at++;
		else
			break;
	}
	return at;
}

static struct model_span name_take(const struct parse *p, size_t at, size_t end)
{
	size_t start = at;

	while (at < end && is_name_char(parse_at(p, at)))
		at++;
	return (struct model_span){(uint32_t)start, (uint32_t)(at - start)};
}

static bool is_atom_name(const struct parse *p, struct model_span s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if (p->m->text[s.at + i] >= 'a' && p->m->text[s.at + i] <= 'z')
			return false;
	return s.len && !is_number_char(p->m->text[s.at]);
}

static int node_add(struct reader *r, struct ltl_node n)
{
	if (r->list->nr == LTL_NODES || r->nr_values == STACK)
		return parse_error(r->p, n.where, NULL, "formula has more than %d parts",
				   LTL_NODES);
	r->list->node[r->list->nr] = n;
	r->value[r->nr_values++] = r->list->nr++;
	return 0;
}

static int op_apply(struct reader *r)
{
	const struct word *w = word_of(r->op[--r->nr_ops].op);
	struct ltl_node n = {.op = r->op[r->nr_ops].op,
			     .a = -1,
			     .b = -1,
			     .bound_ns = r->op[r->nr_ops].bound_ns,
			     .where = r->op[r->nr_ops].where};

	if (!w || r->nr_values < w->operands)
		return parse_error(r->p, n.where, NULL, "an operand is missing");
	if (w->operands == 2)
		n.b = r->value[--r->nr_values];
	n.a = r->value[--r->nr_values];
	return node_add(r, n);
}

static int op_push(struct reader *r, enum ltl_op op, struct model_span where)
{
	if (r->nr_ops == STACK)
		return parse_error(r->p, where, NULL, "formula is too deep");
	r->op[r->nr_ops].op = op;
	r->op[r->nr_ops].where = where;
	r->op[r->nr_ops++].bound_ns = -1;
	return 0;
}

/* The nearest operator on the left that takes a bound gets it. */
static int within_read(struct reader *r, struct model_span where)
{
	int64_t bound = 0;
	bool has_unit = false;
	int e = 0;

	r->at = space_end(r->p, r->at, r->end);
	if (r->wants_operand || !is_number_char(parse_at(r->p, r->at)))
		return parse_error(r->p, where, "expected within TIME, such as within 10ms",
				   "no time behind 'within'");
	e = parse_number(r->p, &r->at, r->end, &bound, &has_unit);
	if (e == 0 && (!has_unit || !bound))
		return parse_error(r->p, where, "units are ns, us, ms, s and j",
				   "'within' needs a time with a unit, over 0");
	while (e == 0 && r->nr_ops && r->op[r->nr_ops - 1].op != LTL_EVENTUALLY &&
	       r->op[r->nr_ops - 1].op != LTL_UNTIL && r->op[r->nr_ops - 1].op != LTL_OPEN)
		e = op_apply(r);
	if (e == 0 && (!r->nr_ops || r->op[r->nr_ops - 1].op == LTL_OPEN))
		return parse_error(r->p, where, "eventually X within 10ms, X until Y within 10ms",
				   "'within' belongs to no 'eventually' and no 'until'");
	if (e < 0)
		return e;
	if (r->op[r->nr_ops - 1].bound_ns >= 0)
		return parse_error(r->p, where, NULL, "a second 'within'");
	r->op[r->nr_ops - 1].bound_ns = bound;
	return op_apply(r);
}

static int unknown_word(struct parse *p, struct model_span where)
{
	char name[MODEL_NAME_MAX], near[200], hint[240];
	struct tocsin_nearest nearest;

	if (parse_name(p, where, name) < 0)
		return -EINVAL;
	tocsin_nearest_init(&nearest, name);
	for (size_t i = 0; i < WORDS_NR; i++)
		tocsin_nearest_offer(&nearest, words[i].name);
	(void)snprintf(hint, sizeof(hint), "nearest is %s",
		       tocsin_nearest_text(&nearest, near, sizeof(near)));
	return parse_error(p, where, near[0] ? hint : "names of atoms are in capitals",
			   "'%s' is not a word of formulas", name);
}

static int operator_read(struct reader *r, const struct word *w, struct model_span where)
{
	int e = 0;

	if (r->wants_operand != (w->operands < 2))
		return parse_error(r->p, where, NULL,
				   r->wants_operand ? "expected a formula, not '%s'"
						    : "expected an operator, not '%s'",
				   w->name);
	if (w->operands == 0) {
		r->wants_operand = false;
		return node_add(
			r, (struct ltl_node){
				   .op = w->op, .a = -1, .b = -1, .bound_ns = -1, .where = where});
	}
	while (e == 0 && w->operands == 2 && !r->is_flat && r->nr_ops &&
	       r->op[r->nr_ops - 1].op != LTL_OPEN &&
	       strength_of(r->op[r->nr_ops - 1].op) > w->strength)
		e = op_apply(r);
	r->wants_operand = true;
	return e ?: op_push(r, w->op, where);
}

static int name_read(struct reader *r)
{
	struct model_span where = name_take(r->p, r->at, r->end);

	r->at += where.len;
	if (span_equals(r->p, where, "within"))
		return within_read(r, where);
	for (size_t i = 0; i < WORDS_NR; i++)
		if (span_equals(r->p, where, words[i].name))
			return operator_read(r, &words[i], where);
	if (!is_atom_name(r->p, where))
		return unknown_word(r->p, where);
	if (!r->wants_operand)
		return parse_error(r->p, where, NULL, "expected an operator before '%.*s'",
				   (int)where.len, r->p->m->text + where.at);
	r->wants_operand = false;
	return node_add(r,
			(struct ltl_node){
				.op = LTL_ATOM, .a = -1, .b = -1, .bound_ns = -1, .where = where});
}

static int bracket_close(struct reader *r, struct model_span where)
{
	int e = 0;

	if (r->wants_operand)
		return parse_error(r->p, where, NULL, "expected a formula before ')'");
	while (e == 0 && r->nr_ops && r->op[r->nr_ops - 1].op != LTL_OPEN)
		e = op_apply(r);
	if (e == 0 && !r->nr_ops)
		return parse_error(r->p, where, NULL, "')' that was not opened");
	r->nr_ops -= e == 0;
	return e;
}

static int token_read(struct reader *r)
{
	struct model_span one = {(uint32_t)r->at, 1};
	char c = parse_at(r->p, r->at);

	if (is_name_char(c))
		return name_read(r);
	r->at++;
	if (c == '(' && r->wants_operand)
		return op_push(r, LTL_OPEN, one);
	if (c == ')')
		return bracket_close(r, one);
	return parse_error(r->p, one, NULL,
			   c == '(' ? "expected an operator before '('" : "unexpected character");
}

int ltl_formula_read(struct parse *p, struct model_span where, bool is_flat, struct ltl_list *list)
{
	struct reader r = {.p = p,
			   .at = where.at,
			   .end = where.at + where.len,
			   .is_flat = is_flat,
			   .list = list,
			   .wants_operand = true};
	int e = 0;

	while (e == 0 && (r.at = space_end(p, r.at, r.end)) < r.end)
		e = token_read(&r);
	if (e == 0 && r.wants_operand)
		return parse_error(p, where, NULL, "the formula ends where an operand is expected");
	while (e == 0 && r.nr_ops) {
		if (r.op[r.nr_ops - 1].op == LTL_OPEN)
			return parse_error(p, r.op[r.nr_ops - 1].where, NULL,
					   "'(' that is not closed");
		e = op_apply(&r);
	}
	return e ?: r.value[0];
}

/* ---- assignments */

struct assignment {
	struct model_span name, body;
	int root; /* in what is put together; -1: not yet */
	bool is_used;
	struct ltl_list list;
};

struct file {
	struct parse *p;
	struct assignment *item; /* owned */
	int nr;
	struct ltl_list all; /* of the rule, equal parts once */
};

static int find(const struct file *f, struct model_span name)
{
	const char *text = f->p->m->text;

	for (int i = 0; i < f->nr; i++)
		if (f->item[i].name.len == name.len &&
		    memcmp(text + f->item[i].name.at, text + name.at, name.len) == 0)
			return i;
	return -1;
}

/* #! KEY VALUE */
static void settings_read(struct parse *p)
{
	const char *text = p->m->text, *line = text, *end = text + p->m->len;

	while (line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((next ? next : end) - line);

		if (len > 2 && line[0] == '#' && line[1] == '!') {
			struct model_span rest =
				span_trimmed(p, (struct model_span){(uint32_t)(line + 2 - text),
								    (uint32_t)len - 2});
			struct model_span key = name_take(p, rest.at, rest.at + rest.len);

			rest.at += key.len;
			rest.len -= key.len;
			(void)parse_setting(p, key, rest); /* said, and counted */
		}
		line += len + 1;
	}
}

/* Where the next `NAME =` begins, or the end. */
static size_t assignment_find(const struct parse *p, size_t at)
{
	size_t end = p->m->len;

	while ((at = space_end(p, at, end)) < end) {
		struct model_span name = name_take(p, at, end);
		size_t behind = space_end(p, at + name.len, end);

		if (is_atom_name(p, name) && behind < end && parse_at(p, behind) == '=')
			return at;
		at += name.len ? name.len : 1;
	}
	return end;
}

static int assignments_split(struct file *f)
{
	struct parse *p = f->p;
	size_t at = space_end(p, 0, p->m->len), next = assignment_find(p, at);

	if (at < p->m->len && next != at)
		return parse_error(p, (struct model_span){(uint32_t)at, 1},
				   "a formula begins with 'RULE ='", "expected NAME = FORMULA");
	while (next < p->m->len) {
		struct assignment *a = &f->item[f->nr];
		size_t body;

		if (f->nr == ASSIGNMENTS)
			return parse_error(p, (struct model_span){(uint32_t)next, 1}, NULL,
					   "more than %d assignments", ASSIGNMENTS);
		a->name = name_take(p, next, p->m->len);
		a->root = -1;
		body = space_end(p, next + a->name.len, p->m->len) + 1;
		next = assignment_find(p, body);
		a->body = span_trimmed(
			p, (struct model_span){(uint32_t)body, (uint32_t)(next - body)});
		if (find(f, a->name) >= 0)
			return parse_error(p, a->name, NULL, "'%.*s' is assigned to twice",
					   (int)a->name.len, p->m->text + a->name.at);
		f->nr++;
	}
	return 0;
}

/* Does rvgen, which knows no precedence, read something else? */
static int reading_compare(struct parse *p, const struct assignment *a)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) struct ltl_list *flat = calloc(1, sizeof(*flat));
	bool same;

	if (!flat)
		return -ENOMEM;
	for (int i = 0; i < a->list.nr; i++) {
		const struct word *w = word_of(a->list.node[i].op);

		if ((w && !w->is_rvgen) || a->list.node[i].bound_ns >= 0)
			return 0; /* which it does not read at all */
	}
	if (ltl_formula_read(p, a->body, true, flat) < 0)
		return 0; /* it was read before, so this cannot be */
	same = flat->nr == a->list.nr;
	for (int i = 0; same && i < flat->nr; i++)
		same = flat->node[i].op == a->list.node[i].op &&
		       flat->node[i].where.at == a->list.node[i].where.at;
	if (!same)
		(void)parse_warn(p, a->body, "put brackets where they make the difference",
				 "rvgen, which has no precedence, reads this differently");
	return 0;
}

static int cons(struct parse *p, struct ltl_list *all, struct ltl_node n)
{
	for (int i = 0; i < all->nr; i++) {
		const struct ltl_node *o = &all->node[i];

		if (o->op == n.op && o->a == n.a && o->b == n.b && o->bound_ns == n.bound_ns)
			return i;
	}
	if (all->nr == LTL_NODES)
		return parse_error(p, n.where, NULL, "formula has more than %d parts", LTL_NODES);
	all->node[all->nr] = n;
	return all->nr++;
}

/* An assignment whose names are all known goes into the whole. Return: 1, 0 not yet, -EINVAL. */
static int assignment_resolve(struct file *f, struct assignment *a)
{
	int map[LTL_NODES];

	for (int i = 0; i < a->list.nr; i++)
		if (a->list.node[i].op == LTL_ATOM) {
			int other = find(f, a->list.node[i].where);

			if (other >= 0 && f->item[other].root < 0)
				return 0;
		}
	for (int i = 0; i < a->list.nr; i++) {
		struct ltl_node n = a->list.node[i];
		int other = n.op == LTL_ATOM ? find(f, n.where) : -1;

		if (other >= 0) {
			f->item[other].is_used = true;
			map[i] = f->item[other].root;
			continue;
		}
		if (n.op == LTL_ATOM)
			n.a = parse_event(f->p, n.where);
		else if (n.a >= 0)
			n.a = map[n.a];
		if (n.op == LTL_ATOM && n.a < 0)
			return -EINVAL;
		if (n.b >= 0)
			n.b = map[n.b];
		map[i] = cons(f->p, &f->all, n);
		if (map[i] < 0)
			return -EINVAL;
	}
	a->root = map[a->list.nr - 1];
	return 1;
}

static int assignments_resolve(struct file *f)
{
	bool changed = true;
	int r = 0;

	while (changed && r >= 0) {
		changed = false;
		for (int i = 0; i < f->nr && r >= 0; i++) {
			if (f->item[i].root >= 0)
				continue;
			r = assignment_resolve(f, &f->item[i]);
			changed |= r == 1;
		}
	}
	for (int i = 0; i < f->nr && r >= 0; i++)
		if (f->item[i].root < 0)
			r = parse_error(f->p, f->item[i].name, NULL, "'%.*s' is made of itself",
					(int)f->item[i].name.len,
					f->p->m->text + f->item[i].name.at);
	return r < 0 ? r : 0;
}

static int file_read(struct file *f)
{
	struct parse *p = f->p;
	int rule = -1, r;

	settings_read(p);
	r = assignments_split(f);
	for (int i = 0; i < f->nr && r == 0; i++) {
		int root = ltl_formula_read(p, f->item[i].body, false, &f->item[i].list);

		r = root < 0 ? root : reading_compare(p, &f->item[i]);
		if (span_equals(p, f->item[i].name, "RULE"))
			rule = i;
	}
	if (r == 0 && rule < 0)
		r = parse_error(p, (struct model_span){0, 0}, NULL, "no assignment 'RULE = ...'");
	r = r ?: assignments_resolve(f);
	if (r < 0)
		return r;
	for (int i = 0; i < f->nr; i++)
		if (i != rule && !f->item[i].is_used)
			(void)parse_warn(p, f->item[i].name, NULL, "'%.*s' is not used",
					 (int)f->item[i].name.len, p->m->text + f->item[i].name.at);
	return ltl_build(p, &f->all, f->item[rule].root);
}

int ltl_read(struct parse *p)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) struct file *f = calloc(1, sizeof(*f));
	TOCSIN_CLEANUP(tocsin_free_voidp)
	struct assignment *items = calloc(ASSIGNMENTS, sizeof(*items));

	if (!f || !items)
		return -ENOMEM;
	p->m->kind = AUTOMATON_FORMULA;
	f->p = p;
	f->item = items;
	return file_read(f);
}
