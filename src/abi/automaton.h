/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_AUTOMATON_H
#define TOCSIN_ABI_AUTOMATON_H

/*
 * A model as one flat table: no pointers, fixed size, little endian, asserted in
 * abi/asserts_automaton.c. It is made by automata/, loaded into a map of the kernel half as it
 * stands, and stepped by automata/step.h wherever it is. docs/formats/model.md says what each part
 * means.
 *
 * Every index in it is masked or compared with its capacity before use, so a table that is wrong
 * gives wrong verdicts and nothing worse.
 */

#include <linux/types.h>

#define AUTOMATON_MAGIC   0x61747562u /* "buta" in memory */
#define AUTOMATON_VERSION 1

#define AUTOMATON_STATES   64 /* number 0 is "not started", so a model has up to 63 */
#define AUTOMATON_EVENTS   64
#define AUTOMATON_EDGES    1024
#define AUTOMATON_TESTS    512
#define AUTOMATON_ACTS     512
#define AUTOMATON_BOUNDS   128
#define AUTOMATON_SLOTS    8 /* clocks and stored variables */
#define AUTOMATON_INPUTS   8 /* values that come with an event */
#define AUTOMATON_PARAMS   16
#define AUTOMATON_PARALLEL 8  /* edges of one state for one event */
#define AUTOMATON_GUARD    16 /* tests of one guard */
#define AUTOMATON_DO       8  /* actions of one edge */
#define AUTOMATON_LIMITS   4  /* bounds of one state */
#define AUTOMATON_BITS     64 /* atoms and what is made of them */
#define AUTOMATON_SETS     63 /* states of a formula; bit 63 is "before the first" */
#define AUTOMATON_DUTIES   8

enum automaton_kind {
	AUTOMATON_GRAPH = 1,   /* one current state, edges by event */
	AUTOMATON_FORMULA = 2, /* a set of possible states, steps by valuation of atoms */
};

/* automaton_table.cell: 0, no edge; AUTOMATON_PLAIN | next state, an edge with nothing to test, to
 * do or to watch; else the first edge's index + 1. */
#define AUTOMATON_PLAIN 0x8000

/* automaton_table.event_flags */
#define AUTOMATON_START     0x01 /* starts an instance, which is then in its initial state */
#define AUTOMATON_START_RUN 0x02 /* starts an instance, and steps it */

/* What happens after a violation. */
enum automaton_policy {
	AUTOMATON_RESET = 0,  /* wait for the next start */
	AUTOMATON_KEEP = 1,   /* stay in the state */
	AUTOMATON_FREEZE = 2, /* see nothing more */
};

/* A variable: a kind in the high four bits, its index in the low four. */
enum automaton_var {
	AUTOMATON_VAR_NONE = 0x00, /* the value 0 */
	AUTOMATON_VAR_CLOCK = 0x10,
	AUTOMATON_VAR_STORED = 0x20,
	AUTOMATON_VAR_INPUT = 0x30,
	AUTOMATON_VAR_PARAM = 0x40,
};

enum automaton_compare {
	AUTOMATON_LT,
	AUTOMATON_LE,
	AUTOMATON_EQ,
	AUTOMATON_NE,
	AUTOMATON_GE,
	AUTOMATON_GT,
};

#define AUTOMATON_ACCEPT 0xffff
#define AUTOMATON_REJECT 0xfffe

/* plus[0] + plus[1] - minus[0] - minus[1] COMPARE value; then on to another test, forward only. */
struct automaton_test {
	__s64 value;
	__u16 yes, no;
	__u8 compare;
	__u8 plus[2], minus[2];
	__u8 pad[7];
};

struct automaton_edge {
	__u16 next;  /* state */
	__u16 guard; /* first test + 1; 0: none */
	__u16 act;   /* first action */
	__u8 nr_acts;
	__u8 is_last; /* of those of one state for one event */
};

/* slot = now (of a clock), or plus[0] + plus[1] - minus[0] - minus[1] + value. */
struct automaton_act {
	__s64 value;
	__u8 slot;
	__u8 is_reset;
	__u8 plus[2], minus[2];
	__u8 pad[2];
};

/* A clock that must stay below value + plus; at it, when inclusive, is still good. */
struct automaton_bound {
	__s64 value;
	__u8 clock; /* slot */
	__u8 plus;  /* variable */
	__u8 is_inclusive;
	__u8 pad[5];
};

struct automaton_state {
	__u16 bound; /* first */
	__u8 nr_bounds;
	__u8 is_final;
};

enum automaton_bit_op {
	AUTOMATON_BIT_ATOM,
	AUTOMATON_BIT_TRUE,
	AUTOMATON_BIT_NOT,
	AUTOMATON_BIT_AND,
	AUTOMATON_BIT_OR,
	AUTOMATON_BIT_IMPLY,
	AUTOMATON_BIT_SAME,
	AUTOMATON_BIT_PREVIOUS,
	AUTOMATON_BIT_ONCE,
	AUTOMATON_BIT_HISTORICALLY,
	AUTOMATON_BIT_SINCE, /* a since b */
};

/* Bit n of a valuation, made of bits below n. */
struct automaton_bit {
	__u8 op;
	__u8 a, b; /* bits; of an atom, a is its number */
	__u8 pad;
};

/* A state of a formula: it follows those of `from` when the bits of `care` are as `want` has them.
 */
struct automaton_set {
	__u64 from, care, want;
};

#define AUTOMATON_DUTY_HOLD      0x01 /* `hold` must be true until `done` is */
#define AUTOMATON_DUTY_INCLUSIVE 0x02

/* When bit `trigger` is true, bit `done` must become so within the bound. */
struct automaton_duty {
	__s64 bound_ns;
	__u8 trigger, done, hold;
	__u8 flags;
	__u8 pad[4];
};

struct automaton_table {
	__u32 magic;
	__u32 version;
	__u32 bytes; /* of this struct */
	__u8 kind;
	__u8 policy;
	__u8 initial;   /* state */
	__u8 nr_states; /* with "not started" */
	__u8 nr_events; /* of a formula: atoms */
	__u8 nr_clocks; /* slots 0 to nr_clocks - 1 */
	__u8 nr_stored; /* the slots behind them */
	__u8 nr_inputs;
	__u8 nr_params;
	__u8 nr_bits;
	__u8 nr_sets;
	__u8 nr_duties; /* use slots of their number */
	__u8 has_start; /* there are start events; else the first event starts */
	__u8 nr_first;  /* actions at the start of an instance */
	__u16 first_act;
	__u16 nr_edges, nr_tests, nr_acts, nr_bounds;
	__u16 pad[2];
	__s64 param[AUTOMATON_PARAMS]; /* set before the first step */
	__u8 event_flags[AUTOMATON_EVENTS];
	struct automaton_state state[AUTOMATON_STATES];
	__u16 cell[AUTOMATON_STATES][AUTOMATON_EVENTS];
	struct automaton_edge edge[AUTOMATON_EDGES];
	struct automaton_test test[AUTOMATON_TESTS];
	struct automaton_act act[AUTOMATON_ACTS];
	struct automaton_bound bound[AUTOMATON_BOUNDS];
	struct automaton_bit bit[AUTOMATON_BITS];
	struct automaton_set set[AUTOMATON_STATES];
	struct automaton_duty duty[AUTOMATON_DUTIES];
};

#define AUTOMATON_FROZEN  0x01
#define AUTOMATON_STARTED 0x02 /* of a formula: it has seen a first valuation */

/* One monitored thing. All zero is "not started". Written by one stepper at a time. */
struct automaton_instance {
	__u64 state;       /* a number, or a set of bits */
	__u64 bits;        /* the last valuation */
	__u64 deadline_ns; /* when time alone becomes a violation; 0: never */
	__u8 flags;
	__u8 pending; /* duties, a bit each */
	__u16 host16; /* for whoever keeps it; no step looks at these two */
	__u32 host32;
	__s64 slot[AUTOMATON_SLOTS]; /* of clocks: when they were 0 */
};

/* What comes with an event. */
struct automaton_inputs {
	__s64 value[AUTOMATON_INPUTS];
};

/* What a step came to. */
enum automaton_result {
	AUTOMATON_STEPPED,
	AUTOMATON_IGNORED, /* not started yet, or frozen */
	AUTOMATON_STARTED_NOW,
	AUTOMATON_BAD_EVENT, /* violations from here on: no edge for the event */
	AUTOMATON_BAD_GUARD, /* edges, but their guards were false */
	AUTOMATON_BAD_TIME,  /* a bound of a state, or of a duty, has passed */
	AUTOMATON_BAD_RULE,  /* the formula is false whatever follows */
};

#endif
