// SPDX-License-Identifier: MIT
/*
 * A compiled model out of somebody's memory. The stepper masks every index, so a wrong table harms
 * nobody; it would give verdicts that mean nothing, which is worse in a test than none. So all that
 * the stepper can come to is looked at: each index against what the table says it has, jumps of
 * guards forward, parallel edges to their last.
 */
#include "inprocess.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "../automata/step.h"
#include "../base/banned.h"

static bool range_ok(unsigned first, unsigned nr, unsigned most, unsigned there)
{
	return nr <= most && (!nr || first + nr <= there);
}

static bool var_ok(const struct automaton_table *t, unsigned var)
{
	unsigned i = var & 0x0f;

	switch (var & 0xf0) {
	case AUTOMATON_VAR_NONE: return !i;
	case AUTOMATON_VAR_CLOCK: return i < t->nr_clocks;
	case AUTOMATON_VAR_STORED:
		return i >= t->nr_clocks && i < (unsigned)t->nr_clocks + t->nr_stored;
	case AUTOMATON_VAR_INPUT: return i < t->nr_inputs;
	case AUTOMATON_VAR_PARAM: return i < t->nr_params;
	default: return false;
	}
}

static bool vars_ok(const struct automaton_table *t, const __u8 plus[2], const __u8 minus[2])
{
	return var_ok(t, plus[0]) && var_ok(t, plus[1]) && var_ok(t, minus[0]) &&
	       var_ok(t, minus[1]);
}

static bool head_ok(const struct automaton_table *t)
{
	return t->bytes == sizeof(*t) && t->policy <= AUTOMATON_FREEZE && t->nr_events &&
	       t->nr_events <= AUTOMATON_EVENTS && t->nr_states <= AUTOMATON_STATES &&
	       t->nr_clocks + t->nr_stored <= AUTOMATON_SLOTS && t->nr_inputs <= AUTOMATON_INPUTS &&
	       t->nr_params <= AUTOMATON_PARAMS && t->nr_bits <= AUTOMATON_BITS &&
	       t->nr_sets <= AUTOMATON_SETS && t->nr_duties <= AUTOMATON_DUTIES &&
	       t->has_start <= 1 && t->nr_edges <= AUTOMATON_EDGES &&
	       t->nr_tests <= AUTOMATON_TESTS && t->nr_acts <= AUTOMATON_ACTS &&
	       t->nr_bounds <= AUTOMATON_BOUNDS;
}

static bool tests_ok(const struct automaton_table *t)
{
	for (unsigned i = 0; i < t->nr_tests; i++) {
		const struct automaton_test *test = &t->test[i];

		if (test->compare > AUTOMATON_GT || !vars_ok(t, test->plus, test->minus) ||
		    (test->yes < AUTOMATON_REJECT &&
		     (test->yes <= i || test->yes >= t->nr_tests)) ||
		    (test->no < AUTOMATON_REJECT && (test->no <= i || test->no >= t->nr_tests)))
			return false;
	}
	return true;
}

static bool acts_ok(const struct automaton_table *t)
{
	for (unsigned i = 0; i < t->nr_acts; i++)
		if (t->act[i].slot >= t->nr_clocks + t->nr_stored || t->act[i].is_reset > 1 ||
		    !vars_ok(t, t->act[i].plus, t->act[i].minus))
			return false;
	for (unsigned i = 0; i < t->nr_bounds; i++)
		if (t->bound[i].clock >= t->nr_clocks || t->bound[i].is_inclusive > 1 ||
		    !var_ok(t, t->bound[i].plus))
			return false;
	return range_ok(t->first_act, t->nr_first, AUTOMATON_DO, t->nr_acts);
}

static bool edges_ok(const struct automaton_table *t)
{
	for (unsigned i = 0; i < t->nr_edges; i++) {
		const struct automaton_edge *e = &t->edge[i];

		if (!e->next || e->next >= t->nr_states || e->guard > t->nr_tests ||
		    !range_ok(e->act, e->nr_acts, AUTOMATON_DO, t->nr_acts))
			return false;
	}
	return true;
}

static bool cell_ok(const struct automaton_table *t, unsigned cell)
{
	unsigned next = cell & ~(unsigned)AUTOMATON_PLAIN;

	if (!cell)
		return true;
	if (cell & AUTOMATON_PLAIN)
		return next && next < t->nr_states;
	for (unsigned i = cell - 1; i < t->nr_edges && i < cell - 1 + AUTOMATON_PARALLEL; i++)
		if (t->edge[i].is_last)
			return true;
	return false;
}

static bool graph_ok(const struct automaton_table *t)
{
	if (!t->initial || t->initial >= t->nr_states || !tests_ok(t) || !acts_ok(t) ||
	    !edges_ok(t))
		return false;
	for (unsigned s = 0; s < t->nr_states; s++)
		if (!range_ok(t->state[s].bound, t->state[s].nr_bounds, AUTOMATON_LIMITS,
			      t->nr_bounds))
			return false;
	for (unsigned e = 0; e < t->nr_events; e++)
		if (t->event_flags[e] > (AUTOMATON_START | AUTOMATON_START_RUN) || t->cell[0][e])
			return false;
	for (unsigned s = 1; s < t->nr_states; s++)
		for (unsigned e = 0; e < t->nr_events; e++)
			if (!cell_ok(t, t->cell[s][e]))
				return false;
	return true;
}

static bool bit_ok(const struct automaton_table *t, unsigned i)
{
	const struct automaton_bit *b = &t->bit[i];

	switch (b->op) {
	case AUTOMATON_BIT_ATOM: return b->a < t->nr_events;
	case AUTOMATON_BIT_TRUE: return true;
	case AUTOMATON_BIT_NOT:
	case AUTOMATON_BIT_PREVIOUS:
	case AUTOMATON_BIT_ONCE:
	case AUTOMATON_BIT_HISTORICALLY: return b->a < i;
	case AUTOMATON_BIT_AND:
	case AUTOMATON_BIT_OR:
	case AUTOMATON_BIT_IMPLY:
	case AUTOMATON_BIT_SAME:
	case AUTOMATON_BIT_SINCE: return b->a < i && b->b < i;
	default: return false;
	}
}

static bool formula_ok(const struct automaton_table *t)
{
	unsigned long long bits = t->nr_bits < 64 ? (1ULL << t->nr_bits) - 1 : ~0ULL;
	unsigned long long sets = ((1ULL << t->nr_sets) - 1) | AUTOMATON_BEFORE;

	for (unsigned i = 0; i < t->nr_bits; i++)
		if (!bit_ok(t, i))
			return false;
	for (unsigned i = 0; i < t->nr_sets; i++)
		if ((t->set[i].from & ~sets) || (t->set[i].care & ~bits) ||
		    (t->set[i].want & ~t->set[i].care))
			return false;
	for (unsigned i = 0; i < t->nr_duties; i++) {
		const struct automaton_duty *d = &t->duty[i];

		if (d->bound_ns < 0 || d->trigger >= t->nr_bits || d->done >= t->nr_bits ||
		    d->flags > (AUTOMATON_DUTY_HOLD | AUTOMATON_DUTY_INCLUSIVE) ||
		    ((d->flags & AUTOMATON_DUTY_HOLD) && d->hold >= t->nr_bits))
			return false;
	}
	return true;
}

/* One name after the other, each with its zero byte. Return: -EBADMSG: there are too few, or what
 * is there is none. */
static int names_take(const char **ret, unsigned nr, const char **from, const char *end)
{
	for (unsigned i = 0; i < nr; i++) {
		size_t left = (size_t)(end - *from), len = strnlen(*from, left);

		if (len == left || !len || len >= INPROCESS_NAME_BYTES)
			return -EBADMSG;
		ret[i] = *from;
		*from += len + 1;
	}
	return 0;
}

/* No name at all, or all. */
static int names_load(struct inprocess_model *m, const char *names, size_t len)
{
	const struct automaton_table *t = &m->table;
	const char *at = m->names, *end = m->names + len;
	int r;

	for (unsigned i = 0; i < AUTOMATON_EVENTS; i++)
		m->event[i] = "";
	for (unsigned i = 0; i < AUTOMATON_STATES; i++)
		m->state[i] = "";
	for (unsigned i = 0; i < AUTOMATON_INPUTS; i++)
		m->input[i] = "";
	if (!len)
		return 0;
	if (len > sizeof(m->names))
		return -EBADMSG;
	memcpy(m->names, names, len);
	r = names_take(m->event, t->nr_events, &at, end);
	if (r == 0 && t->kind == AUTOMATON_GRAPH)
		r = names_take(m->state + 1, t->nr_states - 1u, &at, end);
	if (r == 0)
		r = names_take(m->input, t->nr_inputs, &at, end);
	return r < 0 || at != end ? -EBADMSG : 0;
}

int inprocess_model_load(const void *bytes, size_t nr_bytes, struct inprocess_model *ret)
{
	struct automaton_table *t = &ret->table;

	if (!bytes || nr_bytes < sizeof(*t))
		return -EBADMSG;
	memcpy(t, bytes, sizeof(*t));
	if (t->magic != AUTOMATON_MAGIC)
		return -EBADMSG;
	if (t->version != AUTOMATON_VERSION)
		return -EPROTONOSUPPORT;
	if (!head_ok(t))
		return -EBADMSG;
	if (t->kind == AUTOMATON_GRAPH ? !graph_ok(t)
				       : t->kind != AUTOMATON_FORMULA || !formula_ok(t))
		return -EBADMSG;
	return names_load(ret, (const char *)bytes + sizeof(*t), nr_bytes - sizeof(*t));
}
