/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_AUTOMATA_STEP_H
#define TOCSIN_AUTOMATA_STEP_H

/*
 * The stepper: the one source of what a model's table means, compiled into the tool, the library
 * and the kernel half. No library, no memory of its own, no loop without a constant bound, forward
 * jumps only; every index is masked or compared, so the kernel's verifier takes it and a wrong
 * table harms nobody.
 *
 * Of a graph, a step is one load of a cell when the edge has nothing to test, to do or to watch
 * (AUTOMATON_PLAIN). Otherwise, in this order:
 *
 *	1. is the deadline of the state passed? then time has violated it, before the event;
 *	2. the first edge, in the order of the text, whose guard is true; none: a violation;
 *	3. its actions, one after the other;
 *	4. the new state's bounds become a deadline; already passed: a violation.
 *
 * A guard is code: tests that jump forward to other tests, to "true" or to "false". Every clock
 * starts at 0 with the instance.
 *
 * Of a formula, a step evaluates the bits in order (each is an atom or made of bits before it, and
 * of its own value a step ago for the past), then the duties, then the set of states that some run
 * of the formula's automaton may be in. An empty set: no continuation makes the formula true.
 *
 * Thread-safe: per instance. Signal-safe: yes. Times are ns of one clock that does not go back.
 */

#include "../abi/automaton.h"

#define AUTOMATON_INLINE static inline __attribute__((always_inline))

/* The parts that loop. In the kernel half they are global functions, which the verifier looks at
 * once and not at each call in each state; their pointers must be checked there, as it takes them
 * for pointers that may be NULL. */
#ifdef __bpf__
#	define AUTOMATON_PART        __attribute__((noinline))
#	define AUTOMATON_THERE(a, b) ((a) && (b))
#else
#	define AUTOMATON_PART        AUTOMATON_INLINE
#	define AUTOMATON_THERE(a, b) 1
#endif

/* Before the first valuation. */
#define AUTOMATON_BEFORE (1ULL << 63)

AUTOMATON_INLINE __s64 automaton_slot(const struct automaton_instance *in, __u32 slot)
{
	return in->slot[slot < AUTOMATON_SLOTS ? slot : 0];
}

AUTOMATON_INLINE void automaton_slot_set(struct automaton_instance *in, __u32 slot, __s64 value)
{
	in->slot[slot < AUTOMATON_SLOTS ? slot : 0] = value;
}

/* A variable's value, as a number that wraps. */
AUTOMATON_INLINE __u64 automaton_value(const struct automaton_table *t,
				       const struct automaton_instance *in, __u64 now,
				       const struct automaton_inputs *input, __u8 var)
{
	__u32 i = var & 0x0f;

	switch (var & 0xf0) {
	case AUTOMATON_VAR_CLOCK: return now - (__u64)automaton_slot(in, i);
	case AUTOMATON_VAR_STORED: return (__u64)automaton_slot(in, i);
	case AUTOMATON_VAR_INPUT:
		return input ? (__u64)input->value[i & (AUTOMATON_INPUTS - 1)] : 0;
	case AUTOMATON_VAR_PARAM: return (__u64)t->param[i];
	default: return 0;
	}
}

AUTOMATON_INLINE __u64 automaton_sum(const struct automaton_table *t,
				     const struct automaton_instance *in, __u64 now,
				     const struct automaton_inputs *input, const __u8 *plus,
				     const __u8 *minus)
{
	return automaton_value(t, in, now, input, plus[0]) +
	       automaton_value(t, in, now, input, plus[1]) -
	       automaton_value(t, in, now, input, minus[0]) -
	       automaton_value(t, in, now, input, minus[1]);
}

AUTOMATON_INLINE int automaton_compare(__u32 how, __s64 a, __s64 b)
{
	switch (how) {
	case AUTOMATON_LT: return a < b;
	case AUTOMATON_LE: return a <= b;
	case AUTOMATON_EQ: return a == b;
	case AUTOMATON_NE: return a != b;
	case AUTOMATON_GE: return a >= b;
	default: return a > b;
	}
}

AUTOMATON_PART int automaton_guard(const struct automaton_table *t,
				   const struct automaton_instance *in, __u64 now,
				   const struct automaton_inputs *input, __u32 at)
{
	if (!AUTOMATON_THERE(t, in))
		return 0;
	for (int i = 0; i < AUTOMATON_GUARD; i++) {
		const struct automaton_test *test = &t->test[at & (AUTOMATON_TESTS - 1)];
		__u64 sum = automaton_sum(t, in, now, input, test->plus, test->minus);

		at = automaton_compare(test->compare, (__s64)sum, test->value) ? test->yes
									       : test->no;
		if (at >= AUTOMATON_REJECT)
			return at == AUTOMATON_ACCEPT;
	}
	return 0;
}

/* @range: the first action, and in the high 16 bits how many. Return: 0. */
AUTOMATON_PART int automaton_act(const struct automaton_table *t, struct automaton_instance *in,
				 __u64 now, const struct automaton_inputs *input, __u32 range)
{
	__u32 first = range & 0xffff, nr = range >> 16;

	if (!AUTOMATON_THERE(t, in))
		return 0;
	for (__u32 i = 0; i < AUTOMATON_DO && i < nr; i++) {
		const struct automaton_act *act = &t->act[(first + i) & (AUTOMATON_ACTS - 1)];
		__u64 value = act->is_reset
				      ? now
				      : automaton_sum(t, in, now, input, act->plus, act->minus) +
						(__u64)act->value;

		automaton_slot_set(in, act->slot, (__s64)value);
	}
	return 0;
}

/* The first instant at which a bound of the state does not hold; 0: there is none. */
AUTOMATON_PART __u64 automaton_deadline(const struct automaton_table *t,
					const struct automaton_instance *in,
					const struct automaton_inputs *input, __u64 now)
{
	const struct automaton_state *s;
	__u64 first = 0;

	if (!AUTOMATON_THERE(t, in))
		return 0;
	s = &t->state[in->state & (AUTOMATON_STATES - 1)];
	for (__u32 i = 0; i < AUTOMATON_LIMITS && i < s->nr_bounds; i++) {
		const struct automaton_bound *b =
			&t->bound[(s->bound + i) & (AUTOMATON_BOUNDS - 1)];
		__s64 span = (__s64)((__u64)b->value + automaton_value(t, in, now, input, b->plus) +
				     b->is_inclusive);
		__u64 at = (__u64)automaton_slot(in, b->clock);

		if (span > 0)
			at = at + (__u64)span < at ? ~0ULL : at + (__u64)span;
		at += !at; /* 0 is "never" */
		if (!first || at < first)
			first = at;
	}
	return first;
}

/* Says @result, and does what is to be done after a violation. */
AUTOMATON_INLINE enum automaton_result automaton_violate(const struct automaton_table *t,
							 struct automaton_instance *in,
							 enum automaton_result result)
{
	if (t->policy == AUTOMATON_KEEP) {
		in->deadline_ns = 0; /* it has been said once */
		return result;
	}
	in->state = 0;
	in->deadline_ns = 0;
	in->pending = 0;
	in->bits = 0;
	in->flags = t->policy == AUTOMATON_FREEZE ? AUTOMATON_FROZEN : 0;
	return result;
}

/* Of a graph: all clocks 0, the initial state. */
AUTOMATON_INLINE enum automaton_result automaton_begin(const struct automaton_table *t,
						       struct automaton_instance *in, __u64 now,
						       const struct automaton_inputs *input)
{
	for (__u32 i = 0; i < AUTOMATON_SLOTS; i++)
		in->slot[i] = i < t->nr_clocks ? (__s64)now : 0;
	(void)automaton_act(t, in, now, input, t->first_act | (__u32)t->nr_first << 16);
	in->state = t->initial;
	in->deadline_ns = automaton_deadline(t, in, input, now);
	if (in->deadline_ns && in->deadline_ns <= now)
		return automaton_violate(t, in, AUTOMATON_BAD_TIME);
	return AUTOMATON_STARTED_NOW;
}

/* A step that is not plain: apart, so that the plain one is a few instructions. */
static __attribute__((noinline, unused)) enum automaton_result automaton_step_slow(
	const struct automaton_table *t, struct automaton_instance *in, __u32 event, __u64 now,
	const struct automaton_inputs *input)
{
	__u32 cell, at;

	if (!in->state) {
		__u32 flags = t->event_flags[event & (AUTOMATON_EVENTS - 1)];
		enum automaton_result began;

		if ((in->flags & AUTOMATON_FROZEN) || (t->has_start && !flags))
			return AUTOMATON_IGNORED;
		began = automaton_begin(t, in, now, input);
		if (began != AUTOMATON_STARTED_NOW || (flags & AUTOMATON_START))
			return began;
	}
	if (in->deadline_ns && now >= in->deadline_ns)
		return automaton_violate(t, in, AUTOMATON_BAD_TIME);
	cell = t->cell[in->state & (AUTOMATON_STATES - 1)][event & (AUTOMATON_EVENTS - 1)];
	if (!cell)
		return automaton_violate(t, in, AUTOMATON_BAD_EVENT);
	if (cell & AUTOMATON_PLAIN) {
		in->state = cell & (AUTOMATON_STATES - 1);
		return AUTOMATON_STEPPED;
	}
	at = cell - 1;
	for (int i = 0; i < AUTOMATON_PARALLEL; i++) {
		const struct automaton_edge *e = &t->edge[(at + (__u32)i) & (AUTOMATON_EDGES - 1)];

		if (!e->guard || automaton_guard(t, in, now, input, e->guard - 1u)) {
			(void)automaton_act(t, in, now, input, e->act | (__u32)e->nr_acts << 16);
			in->state = e->next & (AUTOMATON_STATES - 1);
			in->deadline_ns = automaton_deadline(t, in, input, now);
			if (in->deadline_ns && in->deadline_ns <= now)
				return automaton_violate(t, in, AUTOMATON_BAD_TIME);
			return AUTOMATON_STEPPED;
		}
		if (e->is_last)
			break;
	}
	return automaton_violate(t, in, AUTOMATON_BAD_GUARD);
}

/**
 * automaton_step() - an event, of a graph.
 * @t:     of kind AUTOMATON_GRAPH
 * @in:    changed
 * @event: below t->nr_events
 * @now:   ns, not 0
 * @input: AUTOMATON_INPUTS values that come with the event; NULL: all 0
 */
AUTOMATON_INLINE enum automaton_result automaton_step(const struct automaton_table *t,
						      struct automaton_instance *in, __u32 event,
						      __u64 now,
						      const struct automaton_inputs *input)
{
	__u32 cell = t->cell[in->state & (AUTOMATON_STATES - 1)][event & (AUTOMATON_EVENTS - 1)];

	if (__builtin_expect(cell & AUTOMATON_PLAIN, AUTOMATON_PLAIN)) {
		in->state = cell & (AUTOMATON_STATES - 1);
		return AUTOMATON_STEPPED;
	}
	return automaton_step_slow(t, in, event, now, input);
}

/**
 * automaton_expire() - time has passed without an event, of a graph or a formula.
 *
 * Return: AUTOMATON_BAD_TIME when the deadline has passed, else AUTOMATON_STEPPED, and
 * @in->deadline_ns says when to look again.
 */
AUTOMATON_INLINE enum automaton_result automaton_expire(const struct automaton_table *t,
							struct automaton_instance *in, __u64 now)
{
	if (in->deadline_ns && now >= in->deadline_ns)
		return automaton_violate(t, in, AUTOMATON_BAD_TIME);
	return AUTOMATON_STEPPED;
}

/* The valuation of all bits, after the atoms. */
AUTOMATON_PART __u64 automaton_bits(const struct automaton_table *t, __u64 old, __u32 is_first,
				    __u64 atoms)
{
	__u64 bits = 0;

	if (!AUTOMATON_THERE(t, t))
		return 0;
	for (__u32 i = 0; i < AUTOMATON_BITS && i < t->nr_bits; i++) {
		const struct automaton_bit *b = &t->bit[i];
		__u64 x = bits >> (b->a & 63) & 1, y = bits >> (b->b & 63) & 1;
		__u64 was = old >> i & 1;

		switch (b->op) {
		case AUTOMATON_BIT_ATOM: x = atoms >> (b->a & 63) & 1; break;
		case AUTOMATON_BIT_TRUE: x = 1; break;
		case AUTOMATON_BIT_NOT: x = !x; break;
		case AUTOMATON_BIT_AND: x &= y; break;
		case AUTOMATON_BIT_OR: x |= y; break;
		case AUTOMATON_BIT_IMPLY: x = (!x) | y; break;
		case AUTOMATON_BIT_SAME: x = x == y; break;
		case AUTOMATON_BIT_PREVIOUS: x = is_first ? 0 : old >> (b->a & 63) & 1; break;
		case AUTOMATON_BIT_ONCE: x |= is_first ? 0 : was; break;
		case AUTOMATON_BIT_HISTORICALLY: x &= is_first ? 1 : was; break;
		default: x = y | (x & (is_first ? 0 : was)); break;
		}
		bits |= x << i;
	}
	return bits;
}

/* Return: is a duty broken by this valuation? */
AUTOMATON_PART int automaton_duties(const struct automaton_table *t, struct automaton_instance *in,
				    __u64 now)
{
	__u64 first = 0;

	if (!AUTOMATON_THERE(t, in))
		return 0;
	for (__u32 i = 0; i < AUTOMATON_DUTIES && i < t->nr_duties; i++) {
		const struct automaton_duty *d = &t->duty[i];
		__u64 at;

		if (in->bits >> (d->done & 63) & 1) {
			in->pending = (__u8)(in->pending & ~(1u << i));
			continue;
		}
		if (!(in->pending >> i & 1)) {
			if (!(in->bits >> (d->trigger & 63) & 1))
				continue;
			in->pending = (__u8)(in->pending | 1u << i);
			in->slot[i] = (__s64)now;
		}
		if ((d->flags & AUTOMATON_DUTY_HOLD) && !(in->bits >> (d->hold & 63) & 1))
			return 1;
		at = (__u64)in->slot[i] + (__u64)d->bound_ns +
		     !!(d->flags & AUTOMATON_DUTY_INCLUSIVE);
		if (!first || at < first)
			first = at;
	}
	in->deadline_ns = first;
	return 0;
}

/* The states of a formula that may follow those of @from. */
AUTOMATON_PART __u64 automaton_follow(const struct automaton_table *t, __u64 from, __u64 bits)
{
	__u64 next = 0;

	if (!AUTOMATON_THERE(t, t))
		return 0;
	for (__u32 i = 0; i < AUTOMATON_SETS && i < t->nr_sets; i++)
		if ((t->set[i].from & from) && (bits & t->set[i].care) == t->set[i].want)
			next |= 1ULL << i;
	return next;
}

/**
 * automaton_observe() - a valuation of all atoms, of a formula.
 * @t:     of kind AUTOMATON_FORMULA
 * @atoms: a bit each
 * @now:   ns, not 0
 */
AUTOMATON_INLINE enum automaton_result automaton_observe(const struct automaton_table *t,
							 struct automaton_instance *in, __u64 atoms,
							 __u64 now)
{
	__u32 is_first = !(in->flags & AUTOMATON_STARTED);
	__u64 from = is_first ? AUTOMATON_BEFORE : in->state, next;

	if (in->flags & AUTOMATON_FROZEN)
		return AUTOMATON_IGNORED;
	if (in->deadline_ns && now >= in->deadline_ns)
		return automaton_violate(t, in, AUTOMATON_BAD_TIME);
	in->bits = automaton_bits(t, in->bits, is_first, atoms);
	in->flags |= AUTOMATON_STARTED;
	if (automaton_duties(t, in, now))
		return automaton_violate(t, in, AUTOMATON_BAD_RULE);
	next = automaton_follow(t, from, in->bits);
	if (!next)
		return automaton_violate(t, in, AUTOMATON_BAD_RULE);
	in->state = next;
	return is_first ? AUTOMATON_STARTED_NOW : AUTOMATON_STEPPED;
}

#endif
