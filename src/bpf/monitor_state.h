/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_MONITOR_STATE_H
#define TOCSIN_BPF_MONITOR_STATE_H

/* What the kernel half of monitors remembers: the maps, and who may write which field. */

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "../abi/monitor.h"

#define INLINE static __always_inline
/* A function that the verifier looks at once; its pointers may be NULL to it. */
#define GLOBAL __attribute__((noinline))

#define barrier_compiler() asm volatile("" ::: "memory")

/* Key: monitor. Value: its table. Written by the loader, once. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct automaton_table);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor_state);
} monitors SEC(".maps");

/* Steps of each monitor. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MONITOR_MAX);
	__type(key, __u32);
	__type(value, __u64);
} steps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_RULES);
	__type(key, __u32);
	__type(value, struct monitor_rule);
} rules SEC(".maps");

/* Key: enum monitor_point_id; behind those, the cookie of a probe's link. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_P_NR + MONITOR_PLACES);
	__type(key, __u32);
	__type(value, struct monitor_point);
} points SEC(".maps");

/* Instances. Number 0 is none. Written by whoever holds their lock. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor_slot);
} slots SEC(".maps");

/* Those that nobody uses. When empty: MONITOR_LOSS_INSTANCES_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_slots SEC(".maps");

enum where { WHERE_UNKNOWN, WHERE_ON_CPU, WHERE_OFF_CPU };

/* A task's instances, by monitor; 0: none. Made when an event of a wanted task is seen. */
struct task_slots {
	__u32 slot[MONITOR_MAX];
	__u32 tid;
	__u16 is_over; /* it has exited: what still comes of it is not looked at */
	__u16 where;   /* enum where: by the last switch that was seen */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_slots);
} tasks SEC(".maps");

/* Instances of processes and objects. */
struct object_id {
	__u64 key;
	__u32 tgid;
	__u32 monitor;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct object_id);
	__type(value, __u32);
} objects SEC(".maps");

/* Processes to watch; grows by fork when `follow` is set. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} processes SEC(".maps");

/* To the collector. When full: MONITOR_LOSS_RING_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* With --coverage: by monitor; and when an instance entered its state, by slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor_covered);
} coverage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} entered SEC(".maps");

#define STAGED 64

/* A clock of an instance that a queue holds. */
struct deadline {
	__u64 when;
	__u32 slot;
	__u32 pad;
};

/* Key: CPU. The heap is the timer's alone; what begins a clock only stages it. */
struct cpu_state {
	__u64 armed_at;
	__u32 queue_len;
	__u32 staged_head; /* reserved by atomic add */
	__u32 staged_tail;
	__u32 pad;
	struct deadline staged[STAGED]; /* when == 0: not yet written */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

struct cpu_timer {
	struct bpf_timer timer;
};

/* Made at load and pinned. Probes may not touch this map. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_timer);
} timers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct deadline);
} queues SEC(".maps");

/* Set by the loader. */
const volatile __u64 timer_flags = TIMER_ABS | TIMER_CPU_PIN;
const volatile __u32 queue_capacity = 8192;
const volatile __u32 nr_cpus = 1;
const volatile __u32 watch_all = 0;
const volatile __u32 follow = 0;
const volatile __u32 own_tgid = 0; /* never watched */
const volatile __u32 has_coverage = 0;
const volatile __u32 has_stacks = 1;
const volatile __u32 has_trace = 0;

/* Read, and the first written, by the collector while running. */
__u32 is_armed;
__u64 losses[MONITOR_LOSS_NR];
__u64 nr_kicks;
__u64 nr_timer_runs;
__u64 timers_missing;
__u64 timers_unstarted;

INLINE void lose(__u32 which)
{
	if (which < MONITOR_LOSS_NR)
		__sync_fetch_and_add(&losses[which], 1);
}

#define HEAP_IS_FULL()    lose(MONITOR_LOSS_DEADLINES_FULL)
#define KICK_HAS_FAILED() lose(MONITOR_LOSS_KICK_FAILED)

#include "heap.h"
#include "probe.h"

INLINE struct cpu_state *this_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &cpu);
}

#endif
