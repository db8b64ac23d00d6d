/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_MONITOR_H
#define TOCSIN_ABI_MONITOR_H

/*
 * What binds events to a monitor, as a table: conditions, keys and inputs by the number of a value.
 * The kernel half (bpf/monitor.bpf.c) and the replay of traces (monitor/replay.c) read it alike.
 * Fixed-width types, explicit padding, asserted in abi/asserts.c.
 */

#include <linux/types.h>

#include "automaton.h"
#include "watch.h"

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

enum monitor_scope { /* as enum model_scope has them */
		     MONITOR_GLOBAL = 1,
		     MONITOR_CPU,
		     MONITOR_TASK,
		     MONITOR_PROCESS,
		     MONITOR_OBJECT,
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

#define MONITOR_RULE_OTHER  0x01 /* of the two tasks of the event, the second */
#define MONITOR_RULE_STARTS 0x02 /* an instance may come into being by it */

/* Apart in the kernel half, where the verifier then looks at each once, and its pointers may be
 * NULL to it. */
#ifdef __bpf__
#	define MONITOR_PART __attribute__((noinline))
#else
#	define MONITOR_PART static inline __attribute__((always_inline))
#endif

/* The stack of truths behind one more step. */
MONITOR_PART __u32 monitor_term_apply(const struct monitor_term *t, __s64 v, __u32 truths)
{
	if (!t)
		return 0;
	switch (t->op) {
	case MONITOR_TRUE: return truths << 1 | 1;
	case MONITOR_EQ: return truths << 1 | (v == t->value);
	case MONITOR_NE: return truths << 1 | (v != t->value);
	case MONITOR_LT: return truths << 1 | (v < t->value);
	case MONITOR_LE: return truths << 1 | (v <= t->value);
	case MONITOR_GT: return truths << 1 | (v > t->value);
	case MONITOR_GE: return truths << 1 | (v >= t->value);
	case MONITOR_BITS: return truths << 1 | ((v & t->value) != 0);
	case MONITOR_AND: return truths >> 1 & (truths | ~1u);
	case MONITOR_OR: return truths >> 1 | (truths & 1);
	default: return truths ^ 1;
	}
}

struct monitor_values {
	__u64 v[MONITOR_VALUES];
};

/* Is the condition true of these values? */
MONITOR_PART int monitor_holds(const struct monitor_rule *r, const struct monitor_values *values)
{
	__u32 truths = 1; /* the first stands for "no condition" */

	if (!r || !values)
		return 0;
	for (__u32 i = 0; i < MONITOR_TERMS && i < r->nr_terms; i++) {
		const struct monitor_term *t = &r->term[i];

		truths = monitor_term_apply(t, (__s64)values->v[t->field & (MONITOR_VALUES - 1)],
					    truths);
	}
	return truths & 1;
}

/* ---- the kernel half */

#define MONITOR_MAX     32   /* monitors at once */
#define MONITOR_RULES   1024 /* of all together */
#define MONITOR_PLACES  2048 /* probes placed */
#define MONITOR_ARGS    6    /* values of a probe */
#define MONITOR_PATH    8    /* events of an instance that are kept */
#define MONITOR_STACK   24   /* frames */
#define MONITOR_NO_RULE 0xffffu

/* Places of an event's values: first its own, then those built in. */
enum monitor_value {
	MONITOR_V_THREAD = 10,
	MONITOR_V_PROCESS,
	MONITOR_V_CPU,
	MONITOR_V_PRIO,
	MONITOR_V_RT,
	MONITOR_V_USER, /* it has memory of its own: no kernel thread */
};

enum monitor_point_id {
#define X(NAME, group, name, values) MONITOR_P_##NAME,
#include "monitor_points.def"
#undef X
	MONITOR_P_NR,
};

enum monitor_loss {
#define X(NAME, name, strict, text) MONITOR_LOSS_##NAME,
#include "monitor_losses.def"
#undef X
	MONITOR_LOSS_NR,
};

/* A point's rules: `nr` from `first` on. Of a place, and how its values are read. */
struct monitor_point {
	__u16 first, nr;
	__u16 is_silent; /* it is going away, or is not armed yet */
	__u16 nr_args;
	struct watch_arg arg[MONITOR_ARGS];
};

/* An instance in the kernel half: 128 bytes. in.host32 is its lock (bpf/monitor_slot.h), in.host16
 * its monitor + 1; 0: it is free. */
struct monitor_slot {
	struct automaton_instance in;
	__u64 key;
	__u64 queued;  /* the time under which a queue holds it; 0: none */
	__u64 path[2]; /* the newest event in the low 16 bits: state before it << 8 | event + 1; of
			  a formula path[1] has the atoms that stay */
};

struct monitor_state {
	__u64 steps;              /* filled by the loader, from the CPUs' own */
	__u64 violations, unsaid; /* unsaid: over the rate, since the last that was sent */
	__u64 window_ns;
	__u32 in_window;
	__u32 first; /* slot, of scopes whose instances are there from the start */
	__u64 rate;  /* violations sent a second */
	__u8 policy; /* enum automaton_policy */
	__u8 kind;   /* enum automaton_kind */
	__u8 scope;
	__u8 needs_time; /* it has clocks, duties, or is covered or traced: no plain step */
	__u32 instances;
};

enum monitor_event_type { MONITOR_EV_VIOLATION = 1, MONITOR_EV_GONE, MONITOR_EV_STEP };

/* A step that was no violation, when steps are traced. */
struct monitor_step {
	__u32 type; /* MONITOR_EV_STEP */
	__u16 monitor;
	__u8 event; /* 0xff: a valuation of a formula */
	__u8 pad;
	__u64 key;
	__u64 from, to; /* states, or of a formula sets of them */
	__u64 atoms;
	__u32 pid, tid;
	__u32 cpu;
	__u32 pad2;
	char comm[WATCH_COMM_LEN];
};

struct monitor_event {
	__u32 type;
	__u16 monitor;
	__u8 why;
	__u8 event; /* 0xff: time, or a formula */
	__u64 t_ns;
	__u64 key;
	__u64 atoms;
	__u64 before, unsaid;
	__u32 pid, tid;
	__u32 cpu;
	__u16 nr_user, nr_kernel;
	char comm[WATCH_COMM_LEN];
	struct automaton_instance in;
	__u64 path[2];
	__u64 user[MONITOR_STACK];
	__u64 kernel[MONITOR_STACK];
};

/* What was seen of a model: how often each edge was taken, and how long its state had lasted. */
struct monitor_covered_cell {
	__u64 count, sum_ns, max_ns;
};

struct monitor_covered {
	struct monitor_covered_cell cell[AUTOMATON_STATES][AUTOMATON_EVENTS];
	__u64 state[AUTOMATON_STATES];
};

#endif
