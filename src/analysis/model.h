/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_MODEL_H
#define TOCSIN_ANALYSIS_MODEL_H

/*
 * The result model: what a violation is, once explained. analysis/ fills it; report/ and ctf/ print
 * it and compute nothing. Everything is owned by the struct violation and freed by
 * violation_free().
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#include "../abi/watch.h"
#include "../unwind/named.h"

enum cause_kind {
#define X(NAME, name, text) CAUSE_##NAME,
#include "causes.def"
#undef X
	CAUSE_NR,
};

/* Who is named: the waker, the owner, the occupant. */
struct peer {
	uint32_t tid; /* 0: nobody */
	uint32_t tgid;
	char comm[WATCH_COMM_LEN];
};

enum confidence {
	CONFIDENCE_CERTAIN, /* read from the kernel's or the program's own words */
	CONFIDENCE_LIKELY,  /* the evidence allows one reading, and misses one confirmation */
	CONFIDENCE_NONE,    /* unknown */
};

/* One reason with its share. The shares of a violation's causes sum to its elapsed time. Names in
 * it are fit for a terminal: what the kernel gave is cleaned of control characters. */
struct cause {
	enum cause_kind kind;
	enum confidence confidence;
	enum tocsin_state state; /* what the thread was in; TS_UNKNOWN: several, or not known */
	uint64_t ns;
	unsigned nr_spells;  /* how many spells it collects */
	struct peer peer;    /* who is to blame; tid 0 with a comm: several of that name */
	const char *syscall; /* that it slept in, lent for ever; NULL: none, or several */
	char subject[160];   /* on what: "fdatasync", "row lock (transaction 742)", "/x"; or "" */
	uint64_t quota_ns;   /* CAUSE_QUOTA: so much in each period; 0: not known */
	uint64_t period_ns;
	char text[256];     /* "blocked 12.4 ms on a row lock: woken by postgres 4712" */
	char evidence[256]; /* of its longest spell: "syscall=fdatasync stack=io_schedule" */
};

struct spell {
	struct watch_spell raw;
	/* why it was blocked or stopped; or why it had no CPU, when it never slept */
	enum cause_kind kind;
	enum cause_kind wait_kind; /* why it had no CPU after it had slept */
	unsigned nr_frames;
	/* kernel functions, innermost first; lent by the symbol table */
	const char *frame[WATCH_STACK];
	const char *syscall;            /* name, or NULL */
	struct named_stack *user_stack; /* NULL: not asked for */
};

#define VIOLATION_OPEN      0x01 /* the deadline passed, it is still open: a live notice */
#define VIOLATION_ABANDONED 0x02 /* ended by exit, exec or a frame that went away */

struct violation {
	char *section;   /* name of the section */
	uint32_t flags;  /* VIOLATION_* */
	uint64_t number; /* from 1, in order of detection */
	uint64_t budget_ns;
	uint64_t fired_late_ns; /* deadline to notice, 0 when it closed first */
	struct watch_event_section raw;
	struct spell *spell;
	unsigned nr_spells;      /* held here; raw.spells_long says how many there were */
	unsigned nr_spells_lost; /* sent by the kernel half but not received */
	struct cause *cause;     /* largest first */
	unsigned nr_causes;
	char verdict[512];          /* the sentences of the causes that matter, joined by "; " */
	int64_t realtime_offset_ns; /* add to CLOCK_MONOTONIC for CLOCK_REALTIME */
	struct named_stack *stack;  /* the user stack at the deadline; NULL: not wanted */
};

struct violation *violation_free(struct violation *v);

/* Totals of one section at the end, or at any time. */
struct section_summary {
	const char *name; /* lent */
	const char *text; /* the section as written, lent */
	uint64_t budget_ns;
	uint64_t closed;       /* sections that ended, within or over budget */
	uint64_t over;         /* of these, over */
	uint64_t fired;        /* deadlines that passed while open */
	uint64_t abandoned;    /* ended by exit, exec, or a frame that went away */
	uint64_t still_open;   /* over budget, and not ended when the watch did */
	uint64_t removed_open; /* given up: open when the section was removed */
	uint64_t unreported;   /* of those over: ended after the last that --count let through */
	uint64_t mean_ns;      /* of all closed */
	uint64_t over_split_ns[TS_NR];                    /* of those over budget */
	uint64_t p50_ns, p90_ns, p99_ns, p999_ns, max_ns; /* from the histogram: error <= 0.8 % */
	struct cause *cause; /* causes of all its violations, summed by kind, subject and peer,
				largest first */
	unsigned nr_causes;
	uint64_t other_ns; /* causes beyond the table's capacity */
};

struct watch_summary {
	uint64_t duration_ns;
	struct section_summary *section;
	unsigned nr_sections;
	uint64_t loss[LOSS_NR];
	uint64_t records_lost; /* violations whose records did not arrive whole */
	bool throttle_known;   /* false: this kernel does not say when a task is throttled */
};

#endif
