// SPDX-License-Identifier: MIT
/*
 * Is a graph sane? It is read from its table, so what is proved is what will be stepped.
 *
 * Whether two guards can both be true, or a guard with a bound, is a question about differences of
 * variables: every way through a guard's tests is a list of `x - y <= c`, and such a list has no
 * solution exactly when the graph with an edge of length c for each has a cycle of negative length
 * (Bellman and Ford). Tests that are no differences are left out; what depends on them is then said
 * to be possible, not certain.
 */
#include <errno.h>
#include <string.h>

#include "parse.h"

#define NODES       (1 + AUTOMATON_SLOTS + AUTOMATON_INPUTS + AUTOMATON_PARAMS) /* 0 is zero */
#define CONSTRAINTS 128
#define WAYS        4096 /* through two guards, before giving up */

/* node[x] - node[y] <= most */
struct constraint {
	int x, y;
	int64_t most;
};

struct system {
	struct constraint c[CONSTRAINTS];
	int nr;
	bool is_exact;
};

static int node_of(uint8_t var)
{
	switch (var & 0xf0) {
	case AUTOMATON_VAR_CLOCK:
	case AUTOMATON_VAR_STORED: return 1 + (var & 0x0f);
	case AUTOMATON_VAR_INPUT: return 1 + AUTOMATON_SLOTS + (var & 0x0f);
	case AUTOMATON_VAR_PARAM: return 1 + AUTOMATON_SLOTS + AUTOMATON_INPUTS + (var & 0x0f);
	default: return 0;
	}
}

static void constrain(struct system *s, int x, int y, int64_t most)
{
	if (s->nr == CONSTRAINTS)
		s->is_exact = false;
	else
		s->c[s->nr++] = (struct constraint){x, y, most};
}

static bool has_solution(const struct system *s)
{
	__int128 far[NODES] = {0};
	bool changed = true;

	for (int turn = 0; turn <= NODES && changed; turn++) {
		changed = false;
		for (int i = 0; i < s->nr; i++) {
			__int128 by = far[s->c[i].y] + s->c[i].most;

			if (by < far[s->c[i].x]) {
				far[s->c[i].x] = by;
				changed = true;
			}
		}
	}
	return !changed;
}

/* x - y COMPARE value; @half: which side of a != */
static void compare_constrain(struct system *s, int x, int y, enum automaton_compare compare,
			      int64_t value, int half)
{
	if (compare == AUTOMATON_NE)
		compare = half ? AUTOMATON_GT : AUTOMATON_LT;
	if (compare <= AUTOMATON_EQ)
		constrain(s, x, y, compare == AUTOMATON_LT ? value - 1 : value);
	if (compare >= AUTOMATON_EQ)
		constrain(s, y, x, compare == AUTOMATON_GT ? -value - 1 : -value);
}

/* A test that came out so. Return: ways in which it can, 1 or 2. */
static int test_constrain(struct system *s, const struct automaton_test *t, bool is_true, int half)
{
	static const enum automaton_compare opposite[] = {AUTOMATON_GE, AUTOMATON_GT, AUTOMATON_NE,
							  AUTOMATON_EQ, AUTOMATON_LT, AUTOMATON_LE};
	enum automaton_compare compare = (enum automaton_compare)t->compare;

	if (!is_true)
		compare = opposite[compare];
	if (t->plus[1] || t->minus[1])
		s->is_exact = false;
	else
		compare_constrain(s, node_of(t->plus[0]), node_of(t->minus[0]), compare, t->value,
				  half);
	return compare == AUTOMATON_NE ? 2 : 1;
}

/* ---- every way through one guard, then another */

struct walk {
	const struct automaton_table *t;
	const struct automaton_edge *edge[2];           /* the second may be NULL */
	bool (*take)(struct walk *w, struct system *s); /* of a way through all; true: enough */
	const struct automaton_state *state;            /* that they leave */
	uint8_t bound_clock_reset[AUTOMATON_SLOTS];     /* by the edge */
	const struct automaton_state *next;
	bool is_exact; /* of the way that was taken */
	int ways;
};

/* Bounds of a state, of clocks that were not reset and of those that are 0 now. */
static void bounds_constrain(const struct automaton_table *t, const struct automaton_state *s,
			     const uint8_t *reset, struct system *sys)
{
	for (int i = 0; i < s->nr_bounds; i++) {
		const struct automaton_bound *b = &t->bound[s->bound + i];
		bool is_zero = reset && reset[b->clock];

		constrain(sys, is_zero ? 0 : 1 + b->clock, node_of(b->plus),
			  b->is_inclusive ? b->value : b->value - 1);
	}
}

static void system_init(const struct walk *w, struct system *s)
{
	s->nr = 0;
	s->is_exact = true;
	for (int i = 0; i < w->t->nr_clocks; i++)
		constrain(s, 0, 1 + i, 0); /* clocks are not below 0 */
	bounds_constrain(w->t, w->state, NULL, s);
}

struct step {
	int part;    /* of the walk */
	uint16_t at; /* test, or where it ends */
	int choice;  /* next to try: 0, 1 false; 2, 3 true; halves of != */
	struct system before;
};

static uint16_t part_first(const struct walk *w, int part)
{
	const struct automaton_edge *e = w->edge[part];

	return e->guard ? (uint16_t)(e->guard - 1) : (uint16_t)AUTOMATON_ACCEPT;
}

/* Depth first, with a stack of its own. Return: did take() say enough? */
static bool walk_ways(struct walk *w)
{
	static __thread struct step stack[2 * AUTOMATON_GUARD + 2]; /* some 100 KiB: a cache */
	int depth = 0;

	stack[0] = (struct step){.part = 0, .at = part_first(w, 0)};
	system_init(w, &stack[0].before);
	while (depth >= 0) {
		struct step *s = &stack[depth], *next = s + 1;
		const struct automaton_test *test;
		bool is_true = s->choice >= 2;

		if (s->at == AUTOMATON_REJECT || s->choice > 3) {
			depth--;
			continue;
		}
		if (s->at == AUTOMATON_ACCEPT && s->part == 0 && w->edge[1]) {
			s->part = 1;
			s->at = part_first(w, 1);
			continue;
		}
		if (s->at == AUTOMATON_ACCEPT) {
			w->is_exact = s->before.is_exact;
			if (++w->ways > WAYS ||
			    (has_solution(&s->before) && w->take(w, &s->before)))
				return true;
			depth--;
			continue;
		}
		test = &w->t->test[s->at];
		next->before = s->before;
		next->part = s->part;
		next->at = is_true ? test->yes : test->no;
		next->choice = 0;
		if (test_constrain(&next->before, test, is_true, s->choice & 1) == 1)
			s->choice++; /* there is no second half */
		s->choice++;
		depth++;
	}
	return false;
}

static bool take_any(struct walk *w, struct system *s)
{
	(void)w;
	(void)s;
	return true;
}

/* ---- what is asked */

struct graph {
	struct parse *p;
	const struct automaton_table *t;
	const struct model_edge *text[AUTOMATON_EDGES]; /* of the table's edges */
	int from[AUTOMATON_EDGES], event[AUTOMATON_EDGES];
	bool is_possible[AUTOMATON_EDGES];
};

/* The table's edges are in the order of state, event, text. */
static void texts_find(struct graph *g)
{
	const struct model *m = g->p->m;
	int nr = 0;

	for (int s = 0; s < m->nr_states; s++)
		for (int e = 0; e < m->nr_events; e++)
			for (int i = 0; i < m->nr_edges; i++)
				if (m->edge[i].from == s && m->edge[i].event == e) {
					g->text[nr] = &m->edge[i];
					g->from[nr] = s;
					g->event[nr++] = e;
				}
}

static bool same_effect(const struct automaton_table *t, const struct automaton_edge *a,
			const struct automaton_edge *b)
{
	return a->next == b->next && a->nr_acts == b->nr_acts &&
	       (!a->nr_acts ||
		memcmp(&t->act[a->act], &t->act[b->act], a->nr_acts * sizeof(t->act[0])) == 0);
}

static void pair_check(struct graph *g, int a, int b)
{
	const struct automaton_table *t = g->t;
	const struct model *m = g->p->m;
	struct walk w = {.t = t,
			 .edge = {&t->edge[a], &t->edge[b]},
			 .take = take_any,
			 .state = &t->state[g->from[a] + 1]};
	const char *state = m->state[g->from[a]].name, *event = m->event[g->event[a]].name;

	if (!walk_ways(&w))
		return;
	if (same_effect(t, &t->edge[a], &t->edge[b]))
		(void)parse_warn(g->p, g->text[b]->where, NULL,
				 "'%s' on '%s' is here for the second time", event, state);
	else if (w.is_exact && w.ways <= WAYS)
		(void)parse_error(
			g->p, g->text[b]->where, "guards of such edges must exclude one another",
			"not deterministic: '%s' on '%s' leads to '%s' and to '%s'", event, state,
			m->state[g->text[a]->to].name, m->state[g->text[b]->to].name);
	else
		(void)parse_warn(g->p, g->text[b]->where, "the first whose guard is true is taken",
				 "'%s' on '%s' may lead to '%s' and to '%s'", event, state,
				 m->state[g->text[a]->to].name, m->state[g->text[b]->to].name);
}

static void pairs_check(struct graph *g)
{
	int nr = g->p->m->nr_edges;

	for (int a = 0; a < nr; a++)
		for (int b = a + 1;
		     b < nr && g->from[b] == g->from[a] && g->event[b] == g->event[a]; b++)
			pair_check(g, a, b);
}

static bool take_entry(struct walk *w, struct system *s)
{
	struct system after = *s;

	bounds_constrain(w->t, w->next, w->bound_clock_reset, &after);
	return has_solution(&after);
}

/* Can this edge be taken, and does the state that it enters hold then? */
static void edge_check(struct graph *g, int i)
{
	const struct automaton_table *t = g->t;
	const struct automaton_edge *e = &t->edge[i];
	struct walk w = {.t = t,
			 .edge = {e, NULL},
			 .take = take_any,
			 .state = &t->state[g->from[i] + 1],
			 .next = &t->state[e->next]};

	g->is_possible[i] = walk_ways(&w);
	if (!g->is_possible[i]) {
		(void)parse_warn(g->p, g->text[i]->where, NULL, "this guard is never true");
		return;
	}
	for (int k = 0; k < e->nr_acts; k++) {
		const struct automaton_act *act = &t->act[e->act + k];

		if (!act->is_reset)
			return; /* a stored variable may make any bound true */
		w.bound_clock_reset[act->slot] = 1;
	}
	w.take = take_entry;
	if (w.next->nr_bounds && !walk_ways(&w))
		(void)parse_error(g->p, g->text[i]->where, "reset the clock on this edge?",
				  "the bound of '%s' has passed as it is entered",
				  g->p->m->state[e->next - 1].name);
}

/* Every clock is 0 at the start. */
static void start_check(struct graph *g)
{
	const struct model *m = g->p->m;
	const struct automaton_state *s = &g->t->state[g->t->initial];
	uint8_t all[AUTOMATON_SLOTS];
	struct system sys = {.is_exact = true};

	memset(all, 1, sizeof(all));
	bounds_constrain(g->t, s, all, &sys);
	if (!has_solution(&sys))
		(void)parse_error(g->p, m->state[m->initial].where, NULL,
				  "the bound of '%s' has passed as it is entered",
				  m->state[m->initial].name);
}

/* States that can be reached, or that can reach a final one. */
static void reach(const struct graph *g, bool *is_reached, bool backward)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (int i = 0; i < g->p->m->nr_edges; i++) {
			int from = g->from[i], to = g->text[i]->to;

			if (backward) {
				int swap = from;

				from = to;
				to = swap;
			}
			if (g->is_possible[i] && is_reached[from] && !is_reached[to])
				changed = is_reached[to] = true;
		}
	}
}

static void states_check(struct graph *g, bool *is_reached)
{
	const struct model *m = g->p->m;
	bool can_end[AUTOMATON_STATES] = {false};
	int nr_out[AUTOMATON_STATES] = {0};

	for (int i = 0; i < m->nr_states; i++)
		can_end[i] = m->state[i].is_final;
	is_reached[m->initial] = true;
	reach(g, is_reached, false);
	reach(g, can_end, true);
	for (int i = 0; i < m->nr_edges; i++)
		nr_out[g->from[i]]++;
	for (int i = 0; i < m->nr_states; i++) {
		const struct model_state *s = &m->state[i];

		if (!is_reached[i])
			(void)parse_warn(g->p, s->where, NULL, "state '%s' is never reached",
					 s->name);
		else if (!nr_out[i])
			(void)parse_warn(g->p, s->where, "every event there is a violation",
					 "state '%s' is dead: no edge leaves it", s->name);
		else if (!can_end[i])
			(void)parse_warn(g->p, s->where, NULL,
					 "state '%s' is dead: no way leads to a final one",
					 s->name);
	}
}

static void events_check(struct graph *g, const bool *is_reached)
{
	const struct model *m = g->p->m;
	bool is_seen[AUTOMATON_EVENTS] = {false};

	for (int i = 0; i < m->nr_edges; i++)
		is_seen[g->event[i]] |= g->is_possible[i] && is_reached[g->from[i]];
	for (int i = 0; i < m->nr_events; i++) {
		const struct model_event *e = &m->event[i];

		if (!e->is_used)
			(void)parse_warn(g->p, e->where, NULL, "event '%s' is on no edge", e->name);
		else if (!is_seen[i])
			(void)parse_warn(g->p, e->where, NULL,
					 "event '%s' is on no edge that can be taken", e->name);
	}
}

static void names_check(struct parse *p)
{
	const struct model *m = p->m;

	for (int i = 0; i < m->nr_states; i++)
		for (int k = 0; k < i; k++)
			if (strcmp(m->state[i].name, m->state[k].name) == 0)
				(void)parse_error(p, m->state[i].where, NULL,
						  "a second state is called '%s'",
						  m->state[i].name);
	for (int i = 0; i < m->nr_events; i++)
		for (int k = 0; k < m->nr_states; k++)
			if (strcmp(m->event[i].name, m->state[k].name) == 0)
				(void)parse_warn(p, m->event[i].where,
						 "rvgen makes C from it that does not compile",
						 "'%s' is a state and an event", m->event[i].name);
	for (int v = 0; v < m->nr_vars; v++) {
		for (int i = 0; i < m->nr_events; i++)
			if (strcmp(m->var[v].name, m->event[i].name) == 0)
				(void)parse_warn(p, m->var[v].where, NULL,
						 "'%s' is an event and a variable", m->var[v].name);
		for (int i = 0; i < m->nr_states; i++)
			if (strcmp(m->var[v].name, m->state[i].name) == 0)
				(void)parse_warn(p, m->var[v].where, NULL,
						 "'%s' is a state and a variable", m->var[v].name);
	}
}

int graph_check(struct parse *p)
{
	struct graph g = {.p = p, .t = &p->m->table};
	bool is_reached[AUTOMATON_STATES] = {false};

	texts_find(&g);
	names_check(p);
	for (int i = 0; i < p->m->nr_edges; i++)
		edge_check(&g, i);
	start_check(&g);
	pairs_check(&g);
	states_check(&g, is_reached);
	events_check(&g, is_reached);
	return p->nr_errors ? -EINVAL : 0;
}
