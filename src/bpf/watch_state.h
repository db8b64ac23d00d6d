/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_STATE_H
#define TOCSIN_BPF_WATCH_STATE_H

/* What the kernel half remembers: the maps, and who may write which field. */

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "../abi/section.h"
#include "../abi/watch.h"

#define barrier_compiler() asm volatile("" ::: "memory")
#define INLINE             static __always_inline

/* A function that the verifier looks at once, by itself, instead of once a path that leads to it:
 * its pointers may be NULL to it and point to that one structure. */
#define GLOBAL __attribute__((noinline))

/* Off-CPU states have an accumulator each; the time on a CPU is what remains of the elapsed time.
 */
#define NR_OFF        (TS_STOPPED - TS_WAITING + 1)
#define OFF_INDEX(st) ((st)-TS_WAITING)

/* An open section's control word: serial << 16 | section << 8 | bits. 0: the slot is idle.
 * Published last by the start, taken with one exchange by whoever ends it, and moved from open to
 * fired by one compare-and-exchange: so a deadline and a stop that race have one order, and a
 * section is reported as fired at most once. */
#define CTL_OPEN                  1ull
#define CTL_FIRED                 2ull
#define CTL_DOUBT                 4ull /* the program said that it gives up: do not fire */
#define CTL_SECTION(ctl)          ((__u32)((ctl) >> 8) & 0xff)
#define CTL_SERIAL(ctl)           ((ctl) >> 16)
#define CTL_MAKE(serial, section) ((serial) << 16 | (__u64)(section) << 8 | CTL_OPEN)

struct open_section {
	__u64 ctl;
	__u64 start;
	__u64 deadline;
	__u64 sp;   /* frame sections: stack pointer at the function's first instruction; else 0 */
	__u64 word; /* return address at sp, which changes when the frame is left; 0: not known */
	__u64 user_sp;     /* stack pointer at the start's probe; 0: a tracepoint's */
	__u64 fired_ns;    /* when the deadline was noticed; valid once ctl says fired */
	__u64 off[NR_OFF]; /* the thread's accumulators at the start */
	__u64 short_ns;
	__u32 n_long;
	__u32 n_short;
	__u32 begun; /* linked: which of the thread's sections it is */
	__u32 flags; /* OPEN_* */
};

#define OPEN_NO_SPLIT 1u /* the accumulators at its start are not known */
#define OPEN_SWITCHES \
	2u /* a frame, but on which of several stacks: it pairs, and tells nothing of others */

/* Polls without a new start, after which a thread is no longer polled: its next start kicks. */
#define IDLE_POLLS 16

/*
 * One registered thread. Writers: the thread itself in its probes and in the switch hooks of the
 * CPU that it leaves or enters; the timer of the CPU it runs on, as an interrupt on top of it; its
 * waker (`off`, `state`, `since`, `cur`'s waker fields), while it is off CPU, under the kernel's
 * own pi_lock. Other CPUs' timers only read, between two equal even values of `seq`, and
 * compare-and-exchange `ctl` and `queued`.
 */
struct thread {
	__u32 tid;
	__u32 tgid;
	__u32 state; /* enum tocsin_state */
	__u32 seq;   /* odd while off, state and since change */
	__u64 since; /* when it entered the state */
	__u64 off[NR_OFF];
	__u64 next_deadline; /* of the open sections not fired; may be too early, never too late; 0:
				none */
	__u64 queued;        /* the time under which a CPU's queue holds the thread; 0: none */
	__u64 queued_far;    /* a later time under which a queue still holds it; 0: none known */
	__u64 gap;           /* last time at which a switch turned out to be missed */
	__u64 poll_ns;       /* smallest budget that the thread has started */
	__u64 born;          /* when it was registered */
	__u64 start_ns;      /* of the task: who bears its number later has another */
	__u64 user_stack;    /* cookie of its latest deadline, or why there is none */
	__u64 serial; /* of the next section; starts at the registration's time, so (tid, serial) is
			 not reused */
	__u32 top;    /* slots in use: open[top - 1] is open, below may be holes */
	__u32 starts; /* sections started, modulo 2^32: tells the poll whether the thread is still
			 busy with sections */
	__u32 polled_starts;
	__u32 idle_polls;
	__u32 n_long; /* long spells of the outermost section, stored or not */
	__u32 n_short;
	__u64 short_ns;
	__u64 cfs; /* run queue in which it waits, as a number; read with probe reads only */
	__u64 throttle_clock;
	__u32 note_kind;
	__u32 nr_over;      /* the sum of `over` */
	__u32 starts_keyed; /* it has started a keyed section once: keyed_by has its count */
	__u32 futex_word;
	__u64 note[WATCH_ARGS];
	__u16 chunk[WATCH_CHUNKS]; /* 1 + index into spells; 0: none */
	struct watch_spell cur;
	struct open_section open[WATCH_OPEN];

	/* A thread of a linked program. Switch-ins, and what the accumulators were in the stint
	 * before. */
	__u64 slot; /* address of its section slot; 0: not linked */
	__u64 stint_in;
	__u64 last_in;
	__u64 last_out;
	__u64 last_off[NR_OFF];
	__u32 late_seen; /* the slot's counters at the last look */
	__u32 deeper_seen;
	__u32 nr_linked;   /* open in `linked`, which has the places of the slot */
	__u32 slot_is_new; /* its counters count from 0: else what it counted before is not ours */
	__u32 is_asleep;   /* it is counted in `asleep` */
	struct open_section linked[SECTION_OPEN];
	struct open_section scratch;

	__u8 over[WATCH_SECTIONS_MAX]; /* starts of a section that found no slot: as many stops are
					  ignored */
};

/* Key: task. Value: its state. Made at the thread's first start; a failure is LOSS_THREAD_NOMEM. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

/* Key: link cookie. Value: what the probe does. Written by the collector. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WATCH_PROBES_MAX);
	__type(key, __u32);
	__type(value, struct watch_probe);
} probes SEC(".maps");

/* Key: section. Value: its counters and histogram, per CPU. Sized by the collector. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watch_stats);
} stats SEC(".maps");

/* Key: thread group. Value: unused. The processes to watch; grows by fork when `follow` is set.
 * When full: the child is not watched, LOSS_THREADS_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} processes SEC(".maps");

/* Spells in chunks of WATCH_CHUNK; a chunk belongs to the thread that popped it from free_chunks
 * until its outermost section closes. When empty: the spell is summed but not kept,
 * LOSS_SPELLS_FULL. */
struct chunk {
	struct watch_spell spell[WATCH_CHUNK];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct chunk);
} spells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_chunks SEC(".maps");

/* Key: hash of a kernel stack. Value: its addresses, 0-terminated when shorter. When full, the
 * stack not seen for the longest time gives way: a spell that names it then has none. */
struct kernel_stack {
	__u64 addr[WATCH_STACK];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct kernel_stack);
} stacks SEC(".maps");

/* Linked processes. Key: thread group. Written by the collector, taken away at exit and exec. */
struct linked_process {
	__s64 tp_offset; /* of the slot, from the thread pointer */
	__u64 min_budget_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct linked_process);
} linked SEC(".maps");

/* What the ids of a process's sections mean. Value: section. Written by the collector. */
struct linked_id {
	__u32 tgid;
	__u32 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct linked_id);
	__type(value, __u32);
} linked_ids SEC(".maps");

/* Sections that pair by key. When full: LOSS_KEYED_FULL. */
struct keyed_id {
	__u64 key;
	__u32 section;
	__u32 tgid;
};

/* An element that is deleted is soon another's: `key`, read after ctl and before ctl is taken by
 * compare and exchange, says whose it is. */
struct keyed {
	__u64 ctl;
	__u64 key;
	__u64 start;
	__u64 deadline;
	__u64 fired_ns;    /* as in struct open_section */
	__u64 off[NR_OFF]; /* the starting thread's accumulators, as in struct open_section */
	__u64 short_ns;
	__u32 n_long;
	__u32 n_short;
	__u32 tid; /* who started it */
	__u32 tgid;
	char comm[WATCH_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct keyed_id);
	__type(value, struct keyed);
} keyed_open SEC(".maps");

/* To the collector. When full: LOSS_EVENT_RING_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

/* One stretch of a task on this CPU, ending at t. */
struct stint {
	__u64 t;
	__u32 tid;
	__u32 tgid;
	__s32 prio;
	__u32 pad;
	char comm[WATCH_COMM_LEN];
};

#define STINTS 64
#define STAGED 64

/* A deadline that a queue holds: of a thread, or of a keyed section. */
struct deadline {
	__u64 when;
	__u64 key;
	__u64 serial;  /* of a keyed section: a key that is used again has another */
	__u32 id;      /* thread, or thread group of a keyed section */
	__u32 section; /* DEADLINE_THREAD, or the keyed section's */
};

#define DEADLINE_THREAD (~0u)

/* Key: CPU. Only programs running on that CPU write, and the timer that is pinned to it. */
struct cpu_state {
	__u64 armed_at; /* what the CPU's timer is to be in time for; 0: not armed */
	__u64 expires;  /* what it was set to: earlier, by how late timers come here */
	__u64 lead_ns;
	__u64 least_late_ns; /* of the timers of this window */
	__u32 nr_late;       /* in this window */
	__u32 pad;
	__u32 queue_len;
	__u32 staged_head; /* reserved by atomic add */
	__u32 staged_tail;
	__u32 next_stint;
	__u64 io_t; /* last completion of a block request */
	__u64 io_latency_ns;
	__u32 io_dev;
	__u32 io_bytes;
	struct stint stint[STINTS];
	struct deadline staged[STAGED]; /* keyed starts on their way to the queue; when == 0: not
					   yet written */
	struct kernel_stack scratch;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

/* Key: CPU. Made and initialised at load: bpf_timer_init may give out later. Probes may not touch
 * this map. */
struct cpu_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_timer);
} timers SEC(".maps");

/* Key: CPU * queue_capacity + place in the CPU's heap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct deadline);
} queues SEC(".maps");

/* Key: 0.. Value: name of a process to watch, as the kernel keeps it. */
struct wanted_comm {
	char comm[WATCH_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct wanted_comm);
} wanted_comms SEC(".maps");

/* Set by the collector before the load. */
const volatile __u64 gate_ns = 50000;      /* spells shorter than this are summed only */
const volatile __u64 poll_min_ns = 100000; /* a running thread is looked at no oftener than this */
const volatile __u64 timer_flags = TIMER_ABS | TIMER_CPU_PIN;
const volatile __u32 queue_capacity = 8192;
const volatile __u64 ring_bytes = 4 << 20; /* of `events` */
const volatile __u32 max_threads = 65536;
const volatile __u32 nr_cpus = 1;
const volatile __u32 nr_wanted_comms = 0;
const volatile __u32 watch_all = 0;       /* every process that hits a probe */
const volatile __u32 follow = 0;          /* children of watched processes */
const volatile __u64 cgroup_id = 0;       /* processes in this cgroup, or below it */
const volatile __u32 cgroup_subsys = ~0u; /* index of its version 1 controller; ~0: version 2 */
const volatile __u32 own_tgid = 0;        /* the collector: never watched */

/* Read by the collector while running. */
__u64 losses[LOSS_NR];
__u8 dropped[WATCH_SECTIONS_MAX]; /* sections that the collector has taken away: open ones never
				     fire */
__u64 nr_threads;                 /* registered now */
__u64 nr_kicks;
__u64 nr_timer_runs;
__u64 timers_missing;   /* timers that could not be made at load */
__u64 timers_unstarted; /* made, but they cannot be started pinned to a CPU */

INLINE void lose(__u32 which)
{
	if (which < LOSS_NR)
		__sync_fetch_and_add(&losses[which], 1);
}

#define HEAP_IS_FULL()    lose(LOSS_DEADLINES_FULL)
#define KICK_HAS_FAILED() lose(LOSS_KICK_FAILED)

INLINE struct thread *thread_of(struct task_struct *task)
{
	if (!task->bpf_storage) /* one load instead of a helper call for the many that are not
				   watched */
		return NULL;
	return bpf_task_storage_get(&threads, task, 0, 0);
}

/* Open keyed sections by the thread that started them, which may be ended on any CPU by any other,
 * where its own state cannot be reached. Two thread ids that share a place share the count:
 * evidence is then collected that nobody asks for. */
#define KEYED_BY (1u << 16)
__u32 keyed_by[KEYED_BY];

INLINE void keyed_count(__u32 tid, __s32 add)
{
	__sync_fetch_and_add(&keyed_by[tid % KEYED_BY], (__u32)add);
}

/* Its spells are somebody's. */
INLINE bool has_open(const struct thread *t)
{
	return t->top || t->nr_linked ||
	       (t->starts_keyed && *(volatile __u32 *)&keyed_by[t->tid % KEYED_BY]);
}

/* Threads that sleep and whose wake-up somebody wants to know, by thread id: of all wake-ups on the
 * machine, the others cost one look here. For a thread without a section its wake-up tells nothing:
 * a section starts on a CPU, and is charged from there on. Ids that share a place share the count;
 * then a wake-up is looked at for nothing. */
#define ASLEEP (1u << 16)
__u32 asleep[ASLEEP];

INLINE bool sleeper_may_be(const struct task_struct *task)
{
	return *(volatile __u32 *)&asleep[(__u32)task->pid % ASLEEP];
}

INLINE void sleeper_enter(struct thread *t, struct task_struct *task)
{
	if (t->is_asleep)
		return;
	__sync_fetch_and_add(&asleep[(__u32)task->pid % ASLEEP], 1);
	t->is_asleep = 1;
}

INLINE void sleeper_leave(struct thread *t, struct task_struct *task)
{
	if (!t->is_asleep)
		return;
	t->is_asleep = 0;
	__sync_fetch_and_add(&asleep[(__u32)task->pid % ASLEEP], -1);
}

INLINE void state_enter(struct thread *t, __u32 state, __u64 now)
{
	__u32 left = t->state;
	__u64 spent = now - t->since;

	t->seq++;
	barrier_compiler();
	for (int i = 0; i < NR_OFF; i++)
		if (left == (__u32)i + TS_WAITING)
			t->off[i] += spent;
	t->state = state;
	t->since = now;
	barrier_compiler();
	t->seq++;
}

/* It runs, and we hold that it does not: its switch-in was not seen. */
INLINE void state_mend(struct thread *t, __u64 now)
{
	if (t->state == TS_RUNNING)
		return;
	t->gap = now;
	state_enter(t, TS_RUNNING, now);
}

INLINE struct cpu_state *this_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &cpu);
}

#endif
