/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_MONITOR_VIOLATED_H
#define TOCSIN_MONITOR_VIOLATED_H

/* What a monitor says: its result model, filled by whoever steps, printed by report/violated.c. */

#include "../abi/monitor.h"
#include "../automata/model.h"

#define VIOLATED_PAST  8  /* events of the instance that are kept */
#define VIOLATED_STACK 32 /* frames */

/* An event that an instance saw, the violating one included. */
struct violated_past {
	uint64_t t_ns; /* 0: not kept */
	int16_t from;  /* state of the model before it; -1: not started */
	int16_t event; /* of the model; of a formula -1, see `atoms` */
	uint64_t atoms;
};

struct violated {
	const struct model *model; /* lent */
	enum automaton_result why; /* AUTOMATON_BAD_EVENT and on */
	uint64_t t_ns;             /* of the trace's or the kernel's clock */
	int64_t realtime_ns;       /* to be added for the time of day */
	int state;                 /* of the model, in which it happened; -1: of a formula */
	int event;                 /* that was not allowed; -1: time alone, or a formula */
	uint64_t atoms;            /* of a formula: those that were true */
	uint64_t key;              /* CPU, task, process or object, by the model's scope */
	int64_t pid, tid;          /* who was there; -1: not known */
	char comm[16];
	int64_t cpu;                              /* -1: not known */
	struct automaton_instance in;             /* as it was found */
	struct violated_past past[VIOLATED_PAST]; /* the oldest first */
	unsigned nr_past;
	uint64_t nr_before; /* of this monitor, before this one */
	uint64_t nr_unsaid; /* of this monitor, passed over since the last one (--rate) */
	unsigned nr_user, nr_kernel;
	const char *const *user, *const *kernel; /* frames as text, lent */
};

/** Hears of violations. Return: 0, or -errno, which ends the run. */
typedef int violated_fn(void *context, const struct violated *v);

#endif
