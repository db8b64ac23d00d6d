/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_WATCH_H
#define TOCSIN_ABI_WATCH_H

/*
 * Records and tables that the kernel half of `tocsin watch` (bpf/watch.bpf.c) and its collector
 * share. Fixed-width types, explicit padding, asserted in abi/asserts.c; the version changes with
 * any of them. Times are nanoseconds of CLOCK_MONOTONIC unless another clock is named. Compiled
 * into the kernel half too: the types come from <linux/types.h> there and here, and nothing else of
 * the system is included.
 */

#include <linux/types.h>

#include "hist.h"
#include "stack.h"

#define TOCSIN_WATCH_ABI 3

enum tocsin_state {
#define X(NAME, name, text) TS_##NAME,
#include "states.def"
#undef X
	TS_NR,
};

enum tocsin_loss {
#define X(NAME, name, strict, text) LOSS_##NAME,
#include "losses.def"
#undef X
	LOSS_NR,
};

#define WATCH_COMM_LEN 16
#define WATCH_OPEN     64  /* open sections a thread */
#define WATCH_SPELLS   128 /* spells kept a thread */
#define WATCH_CHUNK    8   /* spells in one chunk of the pool */
#define WATCH_CHUNKS   (WATCH_SPELLS / WATCH_CHUNK)
#define WATCH_STACK    24 /* frames of a kernel stack */
#define WATCH_SECTIONS_MAX \
	256 /* sections defined at once: an index is 8 bits of an open section's control word */
#define WATCH_PROBES_MAX \
	4096         /* probes placed, unless the collector makes room for another number */
#define WATCH_ARGS 6 /* probe arguments of a note */

/* How to read one probe argument from the registers of the traced thread; all kinds sign- or
 * zero-extend to 64 bits. */
enum watch_arg_kind {
	ARG_NONE,   /* no argument wanted */
	ARG_CONST,  /* value */
	ARG_REG,    /* register */
	ARG_MEM,    /* *(register + index * scale + value), user memory */
	ARG_RECORD, /* field of a tracepoint's record at offset value */
	ARG_STRING, /* notes only: the value is a user pointer; 24 bytes of text take the places of
		       three arguments */
};

struct watch_arg {
	__u8 kind; /* enum watch_arg_kind */
	__u8 size; /* bytes: 1, 2, 4 or 8 */
	__u8 is_signed;
	__u8 scale;  /* 1, 2, 4 or 8; 0: no index register */
	__u16 reg;   /* byte offset in struct pt_regs */
	__u16 index; /* the same, of the index register */
	__s64 value;
};

/* What a probe does: the table `probes`, indexed by the BPF cookie of the link. */
enum watch_action {
	ACT_NONE, /* removed while running: the hit is ignored */
	ACT_START,
	ACT_STOP,
	ACT_NOTE_BEGIN, /* the thread says what it is going to wait for: WATCH_ARGS arguments are
			   kept */
	ACT_NOTE_END,
	ACT_DOUBT, /* the program gives up what it was doing: open sections may have been left */
};

#define WATCH_PROBE_FRAME \
	0x01 /* start and stop belong to one stack frame: they pair by stack pointer */
#define WATCH_PROBE_KEYED           0x02 /* pair by the key argument instead of by thread */
#define WATCH_PROBE_SWITCHES_STACKS 0x04 /* the order of two stack pointers says nothing */
#define WATCH_PROBE_ENDS                                                                          \
	0x08 /* the function's ends have probes: its return address stays in place while it lives \
	      */

struct watch_probe {
	__u8 action;   /* enum watch_action */
	__u8 flags;    /* WATCH_PROBE_* */
	__u16 section; /* index into sections, or the note's kind */
	union {
		__s32 sp_adjust; /* of a uprobe: added to the stack pointer to give that of the
				    function's first instruction */
		__u32 next; /* of a tracepoint, whose sections share one link: the cookie of the
			       next of them, 0: none */
	};
	__u64 budget_ns;
	struct watch_arg key;
	struct watch_arg arg[WATCH_ARGS];
};

/* Why a spell is not fully known, and what its thread was in. */
#define SPELL_IN_SYSCALL 0x0001 /* nr and arg[] are of a system call still in progress */
#define SPELL_IOWAIT     0x0002 /* task->in_iowait */
#define SPELL_MEMSTALL   0x0004 /* task->in_memstall */
#define SPELL_TIMER_WAKE 0x0008 /* woken from a timer interrupt's context */
#define SPELL_IRQ_WAKE   0x0010 /* woken from any interrupt's context: the waker is a bystander */
#define SPELL_GAP        0x0020 /* a switch in between was not seen */
#define SPELL_OPEN       0x0040 /* not over: taken when the deadline passed */
#define SPELL_OCC_PARTIAL \
	0x0080 /* the CPU's log of switches did not reach back to the start of the wait */
#define SPELL_RT_FAIR    0x0100 /* a real-time task stood back for the fair server */
#define SPELL_FUTEX_LOCK 0x0200 /* owner_tid was read from a lock word */
#define SPELL_KLOCK      0x0400 /* owner_tid owns the kernel lock that the task waits for */
#define SPELL_FILE       0x0800 /* file_* describe the descriptor in arg[0] */
#define SPELL_SOCKET     0x1000 /* sock_* describe its socket */

/* One stretch off a CPU. Off CPU it is first blocked or stopped (t_out .. t_wake), then waiting
 * (t_wake .. t_in); or waiting and throttled from the start (t_wake == t_out). */
struct watch_spell {
	__u64 t_out;
	__u64 t_wake; /* became runnable; t_out for one that never slept; 0: has not been woken yet
		       */
	__u64 t_in;   /* 0: still off CPU */
	__u64 throttled_ns; /* part of t_wake .. t_in that the cgroup's quota cost */
	__u8 state; /* TS_WAITING, TS_THROTTLED, TS_BLOCKED, TS_STOPPED: the one it began with */
	__u8 pad0;
	__u16 note_kind;        /* 1 + index in the notes table; 0: none */
	__u32 flags;            /* SPELL_* */
	__s32 nr;               /* system call; -1: none */
	__u32 prev_state;       /* task state bits at switch-out */
	__u64 arg[3];           /* its first arguments */
	__u64 note[WATCH_ARGS]; /* arguments of the note probe */

	/* Who woke it (sched_waking). */
	__u32 waker_tid;
	__u32 waker_tgid;
	char waker_comm[WATCH_COMM_LEN];
	__s32 waker_nr;       /* the waker's own system call, -1: none */
	__u32 stack_id;       /* the sleeper's kernel stack; 0: none */
	__u32 waker_stack_id; /* what woke it: task context, or the interrupt on top of it */
	__u32 cpu;            /* of the switch-in, or of the switch-out while open */

	/* Who holds what it waits for. */
	__u32 owner_tid;
	__u32 owner_tgid;
	char owner_comm[WATCH_COMM_LEN];

	/* Block device completion seen by the waker's CPU just before the wake. */
	__u64 io_age_ns; /* completion to wake; ~0: none seen */
	__u64 io_latency_ns;
	__u32 io_dev; /* kernel dev_t */
	__u32 io_bytes;

	/* The descriptor in arg[0], for system calls that take one. */
	__u64 file_ino;
	__u32 file_dev;
	__u32 file_mode;
	char file_name[24];
	__u16 sock_family;
	__u16 sock_port; /* network order */
	__u8 sock_addr[16];

	/* Waiting: who had the CPU. */
	__u32 occ_tid;
	__s32 occ_prio; /* kernel priority: 0..99 real time, 100..139 nice -20..19 */
	__u64 occ_ns;
	char occ_comm[WATCH_COMM_LEN];
	__u32 occ_tasks; /* how many different stretches the log had */

	/* Throttled: by what. */
	__u32 occ_tgid;
	__u64 cgroup_id; /* kernfs id of the cgroup that has the quota; 0: none */
	__u64 quota_ns;
	__u64 period_ns;
	char cgroup[32]; /* last component of its path */

	__u64 user_stack; /* cookie of the thread's stack (abi/stack.h), or why there is none */
};

enum watch_event_type {
	EV_FIRED,     /* the deadline passed, the section is open */
	EV_SPELL,     /* one spell of a section that ended over its budget; before its EV_CLOSED */
	EV_CLOSED,    /* the section ended over its budget */
	EV_ABANDONED, /* the thread exited, or the frame went away, after the deadline */
	EV_PROCESS,   /* a watched process appeared or went away */
};

struct watch_event_head {
	__u32 type; /* enum watch_event_type */
	__u32 cpu;
	__u64 t_ns;
};

#define SECTION_NO_SPLIT      0x01  /* parts are not claimed: all of it is in TS_UNKNOWN */
#define SECTION_MOVED         0x02  /* stopped by another thread than started it */
#define SECTION_FIRED         0x04  /* its deadline was noticed while it was open */
#define SECTION_GAP           0x08  /* why there is no split: a switch was missed */
#define SECTION_SPELL_OPEN    0x10  /* `now` describes the spell it is in */
#define SECTION_ABANDON_EXIT  0x20  /* the thread exited */
#define SECTION_ABANDON_EXEC  0x40  /* the process executed another program */
#define SECTION_ABANDON_FRAME 0x80  /* the stack frame was left without a return */
#define SECTION_KEYED         0x100 /* key is meaningful */

/* EV_FIRED, EV_CLOSED, EV_ABANDONED. (tid, serial) is the section's identity. */
struct watch_event_section {
	struct watch_event_head head;
	__u32 section;
	__u32 flags; /* SECTION_* */
	__u32 tid;
	__u32 tgid;
	__u64 serial;
	__u64 key;
	__u64 start_ns;
	__u64 deadline_ns;
	__u64 end_ns;          /* when it ended, or the time of the firing */
	__u64 fired_ns;        /* when the deadline was noticed; 0 without SECTION_FIRED */
	__u64 split_ns[TS_NR]; /* sums to end_ns - start_ns */
	char comm[WATCH_COMM_LEN];
	__u32 state;        /* enum tocsin_state at end_ns */
	__u32 stop_tid;     /* who stopped it */
	__u32 spells;       /* EV_SPELLs sent before this record */
	__u32 spells_long;  /* spells longer than the gate in the section, sent or not */
	__u32 spells_short; /* spells shorter than the gate */
	__u32 pad;
	__u64 short_ns;         /* their sum */
	struct watch_spell now; /* EV_FIRED with SECTION_SPELL_OPEN */
	__u64 user_stack;       /* EV_FIRED: cookie of the stack at the deadline, or why not */
	__u64 thread_start_ns;  /* of the thread tid; 0: not known */
};

struct watch_event_spell {
	struct watch_event_head head;
	__u32 section;
	__u32 tid;
	__u64 serial;
	struct watch_spell spell;
};

#define PROCESS_FORKED 1
#define PROCESS_EXECED 2
#define PROCESS_EXITED 3

struct watch_event_process {
	struct watch_event_head head;
	__u32 what; /* PROCESS_* */
	__u32 tgid;
	__u32 parent;
	__u32 pad;
	char comm[WATCH_COMM_LEN];
};

/* Counters of one section, per CPU; the reader sums them. */
struct watch_stats {
	__u64 over; /* sections that ended over budget; all that ended are the sum of the buckets */
	__u64 fired;       /* deadlines that passed while open */
	__u64 fired_ended; /* of those, sections that have ended since */
	__u64 abandoned;
	__u64 over_split_ns[TS_NR];        /* of those over budget */
	__u64 bucket[TOCSIN_HIST_BUCKETS]; /* elapsed of all closed */
};

#endif
