/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_MONITOR_H
#define TOCSIN_ABI_MONITOR_H

/*
 * What binds events to a monitor, as a table: conditions, keys and inputs by the number of a value.
 * The kernel half (bpf/monitor.bpf.c) and the replay of traces (monitor/replay.c) read it alike.
 * Fixed-width types, explicit padding, asserted in abi/asserts.c.
 */

#include <linux/types.h>

#define MONITOR_TERMS  12 /* of one condition */
#define MONITOR_INPUTS 6  /* of one binding */
#define MONITOR_VALUES 16 /* that come with an event */

/* A condition in postfix order over a stack of truths. */
enum monitor_op {
	MONITOR_TRUE, /* push 1: the event has that value */
	MONITOR_EQ,
	MONITOR_NE,
	MONITOR_LT,
	MONITOR_LE,
	MONITOR_GT,
	MONITOR_GE,
	MONITOR_BITS,
	MONITOR_AND, /* from here on: of the two truths on top */
	MONITOR_OR,
	MONITOR_NOT,
};

struct monitor_term {
	__s64 value;
	__u8 op;    /* enum monitor_op */
	__u8 field; /* which of the event's values */
	__u8 pad[6];
};

enum monitor_how {
	MONITOR_STEP,  /* an event of a graph */
	MONITOR_PULSE, /* an atom of a formula: true at this event when the condition is */
	MONITOR_SET,   /* true from here on, when the condition is */
	MONITOR_CLEAR, /* and no more */
};

struct monitor_rule {
	__u16 monitor;
	__u8 event;   /* or atom */
	__u8 how;     /* enum monitor_how */
	__u8 scope;   /* enum model_scope */
	__u8 key;     /* which of the event's values */
	__u8 is_last; /* of the rules of one formula for one event: now it is valued */
	__u8 nr_terms;
	__u8 nr_inputs;
	__u8 flags;                 /* MONITOR_RULE_* */
	__u8 input[MONITOR_INPUTS]; /* of the model, */
	__u8 from[MONITOR_INPUTS];  /* and which of the event's values it is */
	__u8 pad[2];
	struct monitor_term term[MONITOR_TERMS];
};

#define MONITOR_RULE_OTHER 0x01 /* of the two tasks of the event, the second */

/* Is the condition true of these values? */
static inline __attribute__((always_inline)) int monitor_holds(const struct monitor_rule *r,
							       const __u64 *value)
{
	__u32 truths = 1; /* the first stands for "no condition" */

	for (__u32 i = 0; i < MONITOR_TERMS; i++) {
		const struct monitor_term *t = &r->term[i];
		__s64 v;

		if (i >= r->nr_terms)
			break;
		v = (__s64)value[t->field & (MONITOR_VALUES - 1)];
		switch (t->op) {
		case MONITOR_TRUE: truths = truths << 1 | 1; break;
		case MONITOR_EQ: truths = truths << 1 | (v == t->value); break;
		case MONITOR_NE: truths = truths << 1 | (v != t->value); break;
		case MONITOR_LT: truths = truths << 1 | (v < t->value); break;
		case MONITOR_LE: truths = truths << 1 | (v <= t->value); break;
		case MONITOR_GT: truths = truths << 1 | (v > t->value); break;
		case MONITOR_GE: truths = truths << 1 | (v >= t->value); break;
		case MONITOR_BITS: truths = truths << 1 | ((v & t->value) != 0); break;
		case MONITOR_AND: truths = truths >> 1 & (truths | ~1u); break;
		case MONITOR_OR: truths = truths >> 1 | (truths & 1); break;
		default: truths ^= 1; break;
		}
	}
	return truths & 1;
}

#endif
