// SPDX-License-Identifier: MIT
/*
 * The table of a graph. Guards become code that jumps forward only: each test of an expression gets
 * the test that is next when it is true and when it is false, handed down from the root; a test's
 * place is that of its leaf in the text, so every jump goes forward.
 */
#include <errno.h>
#include <string.h>

#include "parse.h"

/* Where a part of an expression leads. */
struct way {
	uint16_t yes, no;
};

static uint8_t code_of(const struct model *m, int var)
{
	return var < 0 ? (uint8_t)AUTOMATON_VAR_NONE : m->var[var].code;
}

static void codes_of(const struct model *m, const struct model_sum *s, uint8_t plus[2],
		     uint8_t minus[2])
{
	for (int i = 0; i < 2; i++) {
		plus[i] = code_of(m, s->plus[i]);
		minus[i] = code_of(m, s->minus[i]);
	}
}

/* Parts of the expression under @root have lower numbers than it, so @first[] and @way[] need one
 * pass each. Return: index of the first test + 1, or -EINVAL. */
static int guard_build(struct parse *p, int root, struct model_span where)
{
	struct model *m = p->m;
	struct automaton_table *t = &m->table;
	static const struct way outside = {AUTOMATON_ACCEPT, AUTOMATON_REJECT};
	bool is_in[MODEL_EXPRS] = {false};
	uint16_t first[MODEL_EXPRS]; /* test */
	struct way way[MODEL_EXPRS];
	int begin = t->nr_tests;

	is_in[root] = true;
	for (int i = root; i >= 0; i--)
		if (is_in[i] && m->expr[i].op != MODEL_TEST)
			is_in[m->expr[i].a] = is_in[m->expr[i].b] = true;
	for (int i = 0; i <= root; i++) {
		if (!is_in[i])
			continue;
		if (m->expr[i].op != MODEL_TEST) {
			first[i] = first[m->expr[i].a];
			continue;
		}
		if (t->nr_tests == AUTOMATON_TESTS || t->nr_tests - begin == AUTOMATON_GUARD)
			return parse_error(p, where, NULL,
					   "more than %d tests in a guard, or %d in all",
					   AUTOMATON_GUARD, AUTOMATON_TESTS);
		first[i] = t->nr_tests++;
	}
	way[root] = outside;
	for (int i = root; i >= 0; i--) {
		const struct model_expr *e = &m->expr[i];

		if (!is_in[i])
			continue;
		if (e->op == MODEL_NOT) {
			way[e->a] = (struct way){way[i].no, way[i].yes};
		} else if (e->op == MODEL_AND) {
			way[e->a] = (struct way){first[e->b], way[i].no};
			way[e->b] = way[i];
		} else if (e->op == MODEL_OR) {
			way[e->a] = (struct way){way[i].yes, first[e->b]};
			way[e->b] = way[i];
		} else {
			struct automaton_test *test = &t->test[first[i]];

			*test = (struct automaton_test){
				.value = -e->sum.value,
				.yes = way[i].yes,
				.no = way[i].no,
				.compare = (uint8_t)e->compare,
			};
			codes_of(m, &e->sum, test->plus, test->minus);
		}
	}
	return begin + 1;
}

static void acts_build(struct parse *p)
{
	struct model *m = p->m;

	for (int i = 0; i < m->nr_acts; i++) {
		const struct model_act *from = &m->act[i];
		struct automaton_act *to = &m->table.act[i];

		to->slot = m->var[from->var].code & 0x0f;
		to->is_reset = from->is_reset;
		if (!from->is_reset) {
			to->value = from->sum.value;
			codes_of(m, &from->sum, to->plus, to->minus);
		}
	}
	m->table.nr_acts = (uint16_t)m->nr_acts;
}

static int bound_build(struct parse *p, const struct model_expr *e)
{
	struct model *m = p->m;
	struct automaton_table *t = &m->table;
	struct automaton_bound *b = &t->bound[t->nr_bounds];
	const struct model_var *clock = &m->var[e->sum.plus[0]];

	if (clock->kind != MODEL_CLOCK)
		return parse_error(p, e->where, NULL, "'%s' is not a clock", clock->name);
	if (e->sum.minus[0] >= 0 && is_name_start(m->var[e->sum.minus[0]].name[0]) &&
	    m->var[e->sum.minus[0]].kind == MODEL_CLOCK)
		return parse_error(p, e->where, "put it on the edges",
				   "a state cannot compare two clocks");
	if (t->nr_bounds == AUTOMATON_BOUNDS)
		return parse_error(p, e->where, NULL, "more than %d bounds of states",
				   AUTOMATON_BOUNDS);
	*b = (struct automaton_bound){
		.value = -e->sum.value,
		.clock = clock->code & 0x0f,
		.plus = code_of(m, e->sum.minus[0]),
		.is_inclusive = e->compare == AUTOMATON_LE,
	};
	t->nr_bounds++;
	return 0;
}

/* The tests under a state's expression, which are all joined by &&, in the order of the text. */
static int bounds_build(struct parse *p, int state)
{
	struct model *m = p->m;
	struct automaton_state *s = &m->table.state[state + 1];
	int stack[AUTOMATON_LIMITS * 4], nr = 0, r = 0;

	s->is_final = m->state[state].is_final;
	s->bound = m->table.nr_bounds;
	if (m->state[state].invariant < 0)
		return 0;
	stack[nr++] = m->state[state].invariant;
	while (nr && r == 0) {
		const struct model_expr *e = &m->expr[stack[--nr]];

		if (e->op == MODEL_TEST) {
			r = bound_build(p, e);
			if (r == 0 && s->nr_bounds++ == AUTOMATON_LIMITS)
				return parse_error(p, e->where, NULL,
						   "more than %d bounds of a state",
						   AUTOMATON_LIMITS);
		} else if (nr + 2 <= AUTOMATON_LIMITS * 4) {
			stack[nr++] = e->b;
			stack[nr++] = e->a;
		} else {
			return parse_error(p, e->where, NULL, "more than %d bounds of a state",
					   AUTOMATON_LIMITS);
		}
	}
	return r;
}

/* One edge of a state for an event, behind those that it has. */
static int edge_build(struct parse *p, const struct model_edge *from, int nr_before)
{
	struct automaton_table *t = &p->m->table;
	struct automaton_edge *e = &t->edge[t->nr_edges];
	int guard = 0;

	if (nr_before == AUTOMATON_PARALLEL)
		return parse_error(p, from->where, NULL,
				   "more than %d edges from one state for one event",
				   AUTOMATON_PARALLEL);
	if (from->guard >= 0)
		guard = guard_build(p, from->guard, from->where);
	if (guard < 0)
		return guard;
	*e = (struct automaton_edge){
		.next = (uint16_t)(from->to + 1),
		.guard = (uint16_t)guard,
		.act = (uint16_t)from->first_act,
		.nr_acts = (uint8_t)from->nr_acts,
		.is_last = 1,
	};
	if (nr_before)
		t->edge[t->nr_edges - 1].is_last = 0;
	t->nr_edges++;
	return 0;
}

/* Is there nothing but the next state in it? */
static bool is_plain(const struct automaton_table *t, int state, const struct automaton_edge *e)
{
	return e->is_last && !e->guard && !e->nr_acts && !t->state[state].nr_bounds &&
	       !t->state[e->next].nr_bounds;
}

static int cell_build(struct parse *p, int state, int event)
{
	struct model *m = p->m;
	struct automaton_table *t = &m->table;
	int first = t->nr_edges, nr = 0, r = 0;

	for (int i = 0; i < m->nr_edges && r == 0; i++)
		if (m->edge[i].from == state && m->edge[i].event == event)
			r = edge_build(p, &m->edge[i], nr++);
	if (r == 0 && nr) {
		uint16_t *cell = &t->cell[state + 1][event];

		*cell = is_plain(t, state + 1, &t->edge[first])
				? (uint16_t)(AUTOMATON_PLAIN | t->edge[first].next)
				: (uint16_t)(first + 1);
	}
	return r;
}

/*
 * Which events start an instance, when the model does not say: as rvgen guesses it, those that
 * always lead to the initial state, else those that only the initial state has.
 */
static void start_guess(struct model *m)
{
	bool leads[AUTOMATON_EVENTS], only[AUTOMATON_EVENTS], any = false;

	for (int i = 0; i < m->nr_events; i++)
		leads[i] = only[i] = m->event[i].is_used;
	for (int i = 0; i < m->nr_edges; i++) {
		leads[m->edge[i].event] &= m->edge[i].to == m->initial;
		only[m->edge[i].event] &= m->edge[i].from == m->initial;
	}
	for (int i = 0; i < m->nr_events; i++)
		any |= leads[i];
	for (int i = 0; i < m->nr_events; i++) {
		if (leads[i])
			m->event[i].flags = AUTOMATON_START;
		else if (!any && only[i])
			m->event[i].flags = AUTOMATON_START_RUN;
	}
}

int graph_build(struct parse *p)
{
	struct model *m = p->m;
	struct automaton_table *t = &m->table;
	bool said = false;
	int r = 0;

	t->kind = AUTOMATON_GRAPH;
	t->nr_states = (uint8_t)(m->nr_states + 1);
	t->nr_events = (uint8_t)m->nr_events;
	t->initial = (uint8_t)(m->initial + 1);
	t->first_act = (uint16_t)m->first_act;
	t->nr_first = (uint8_t)m->nr_first;
	acts_build(p);
	for (int i = 0; i < m->nr_states && r == 0; i++)
		r = bounds_build(p, i);
	for (int s = 0; s < m->nr_states && r == 0; s++)
		for (int e = 0; e < m->nr_events && r == 0; e++)
			r = cell_build(p, s, e);
	for (int i = 0; i < m->nr_events; i++)
		said |= m->event[i].flags;
	if (!said)
		start_guess(m);
	for (int i = 0; i < m->nr_events; i++) {
		t->event_flags[i] = m->event[i].flags;
		t->has_start |= !!m->event[i].flags;
	}
	return r;
}
