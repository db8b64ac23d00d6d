// SPDX-License-Identifier: MIT
/* The flat table of a model, held still by the compiler: a change here is a change of
 * AUTOMATON_VERSION. */
#include <stddef.h>

#include "automaton.h"

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " changed size")
#define AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field " moved")

SIZE(automaton_test, 24);
AT(automaton_test, yes, 8);
AT(automaton_test, compare, 12);
AT(automaton_test, minus, 15);
SIZE(automaton_edge, 8);
AT(automaton_edge, nr_acts, 6);
SIZE(automaton_act, 16);
AT(automaton_act, slot, 8);
AT(automaton_act, minus, 12);
SIZE(automaton_bound, 16);
AT(automaton_bound, clock, 8);
SIZE(automaton_state, 4);
SIZE(automaton_bit, 4);
SIZE(automaton_set, 24);
SIZE(automaton_duty, 16);
AT(automaton_duty, trigger, 8);
AT(automaton_table, kind, 12);
AT(automaton_table, nr_events, 16);
AT(automaton_table, first_act, 26);
AT(automaton_table, nr_edges, 28);
AT(automaton_table, param, 40);
AT(automaton_table, event_flags, 168);
AT(automaton_table, state, 232);
AT(automaton_table, cell, 488);
AT(automaton_table, edge, 8680);
AT(automaton_table, test, 16872);
AT(automaton_table, act, 29160);
AT(automaton_table, bound, 37352);
AT(automaton_table, bit, 39400);
AT(automaton_table, set, 39656);
AT(automaton_table, duty, 41192);
SIZE(automaton_table, 41320);
SIZE(automaton_instance, 96);
AT(automaton_instance, slot, 32);
_Static_assert(AUTOMATON_SETS < 64, "bit 63 is before the first");
_Static_assert(!(AUTOMATON_INPUTS & (AUTOMATON_INPUTS - 1)), "its index is masked");
_Static_assert(AUTOMATON_DUTIES <= AUTOMATON_SLOTS, "a slot for each duty");
