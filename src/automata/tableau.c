// SPDX-License-Identifier: MIT
/*
 * From a formula to an automaton: the on-the-fly tableau of Gerth, Peled, Vardi and Wolper, "Simple
 * on-the-fly automatic verification of linear temporal logic" (1995), without its acceptance sets,
 * as only safety is watched.
 *
 * A node is what must hold now (new, still to be taken apart; old, taken apart) and next. A part
 * that can hold in two ways makes two nodes. Nodes with nothing new are states; two with the same
 * old and next are one. Sets of parts are bits of a word.
 */
#include <errno.h>

#include "ltl.h"

#define PENDING 512     /* nodes that wait */
#define TURNS   1000000 /* before giving up */

struct node {
	uint64_t from; /* states; bit 63: before the first */
	uint64_t new, old, next;
};

struct tableau {
	struct parse *p;
	const struct outer *f;
	struct node state[AUTOMATON_SETS];
	int nr;
	struct node pending[PENDING];
	int nr_pending;
	struct model_span where;
};

static uint64_t part(int i)
{
	return 1ULL << i;
}

static int pend(struct tableau *t, struct node n)
{
	if (t->nr_pending == PENDING)
		return parse_error(t->p, t->where, NULL, "formula is too large for its automaton");
	t->pending[t->nr_pending++] = n;
	return 0;
}

/* Nothing is new in it: one that is there, or a state, whose own next is to be taken apart. */
static int state_add(struct tableau *t, const struct node *n)
{
	for (int i = 0; i < t->nr; i++)
		if (t->state[i].old == n->old && t->state[i].next == n->next) {
			t->state[i].from |= n->from;
			return 0;
		}
	if (t->nr == AUTOMATON_SETS)
		return parse_error(t->p, t->where, "split it into several models",
				   "formula needs more than %d states", AUTOMATON_SETS);
	t->state[t->nr] = *n;
	return pend(t, (struct node){.from = part(t->nr++), .new = n->next});
}

/* Is the other polarity of this bit in the node? */
static bool is_contradicted(const struct tableau *t, const struct node *n, int i)
{
	for (int k = 0; k < t->f->nr; k++)
		if ((n->old & part(k)) && t->f->node[k].a == t->f->node[i].a &&
		    t->f->node[k].op + t->f->node[i].op == OUTER_BIT + OUTER_NOT_BIT &&
		    t->f->node[k].op != t->f->node[i].op)
			return true;
	return false;
}

/* Adds what must hold, now and next; what was taken apart is not so again. */
static struct node with(struct node n, uint64_t now, uint64_t next)
{
	n.new |= now & ~n.old;
	n.next |= next;
	return n;
}

static int expand(struct tableau *t, struct node n)
{
	int i = __builtin_ctzll(n.new), a = t->f->node[i].a, b = t->f->node[i].b, r;

	n.new &= ~part(i);
	n.old |= part(i);
	switch (t->f->node[i].op) {
	case OUTER_BIT:
	case OUTER_NOT_BIT: return is_contradicted(t, &n, i) ? 0 : pend(t, n);
	case OUTER_AND: return pend(t, with(n, part(a) | part(b), 0));
	case OUTER_NEXT: return pend(t, with(n, 0, part(a)));
	case OUTER_ALWAYS: return pend(t, with(n, part(a), part(i)));
	case OUTER_OR: r = pend(t, with(n, part(a), 0)); return r ?: pend(t, with(n, part(b), 0));
	case OUTER_UNTIL:
		r = pend(t, with(n, part(a), part(i)));
		return r ?: pend(t, with(n, part(b), 0));
	case OUTER_RELEASE:
		r = pend(t, with(n, part(b), part(i)));
		return r ?: pend(t, with(n, part(a) | part(b), 0));
	}
	return -EINVAL;
}

static void sets_write(const struct tableau *t)
{
	struct automaton_table *table = &t->p->m->table;

	for (int s = 0; s < t->nr; s++) {
		struct automaton_set *set = &table->set[s];

		set->from = t->state[s].from;
		for (int i = 0; i < t->f->nr; i++) {
			uint64_t bit = 1ULL << (t->f->node[i].a & 63);

			if (!(t->state[s].old & part(i)) || t->f->node[i].op > OUTER_NOT_BIT)
				continue;
			set->care |= bit;
			if (t->f->node[i].op == OUTER_BIT)
				set->want |= bit;
		}
	}
	table->nr_sets = (uint8_t)t->nr;
}

int tableau_build(struct parse *p, const struct outer *f, int root, struct model_span where)
{
	struct tableau t = {.p = p, .f = f, .where = where};
	int r = pend(&t, (struct node){.from = 1ULL << 63, .new = part(root)});

	for (int turn = 0; r == 0 && t.nr_pending; turn++) {
		struct node n = t.pending[--t.nr_pending];

		if (turn == TURNS)
			return parse_error(p, where, NULL,
					   "formula is too large for its automaton");
		r = n.new ? expand(&t, n) : state_add(&t, &n);
	}
	if (r == 0)
		sets_write(&t);
	return r;
}
