/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_MONITOR_TIMER_H
#define TOCSIN_BPF_MONITOR_TIMER_H

/*
 * Clocks that pass their bound with no event: one pinned timer a CPU, made at load (ADR 0004). A
 * step that gives an instance an earlier instant than a queue knows stages it on its CPU and kicks;
 * the kick's interrupt arms the timer, which alone touches the heap. An entry is never removed:
 * when it comes up, its instance is asked, and put back or dropped.
 */

#include "monitor_slot.h"

#define AGAIN_NS 20000 /* one that is busy is asked again */

GLOBAL int entry_push(struct cpu_state *c, __u32 cpu, __u32 slot, __u64 when)
{
	struct deadline d = {.when = when, .slot = slot};

	if (!c)
		return 0;
	return queue_push(c, cpu, &d);
}

/* Arm the CPU's timer, unless it is already due no later. */
GLOBAL int timer_arm(struct cpu_state *c, __u32 cpu, __u64 when, __u64 now)
{
	struct cpu_timer *t;

	if (!c || !when)
		return 0;
	if (c->armed_at > now && c->armed_at <= when)
		return 0;
	t = bpf_map_lookup_elem(&timers, &cpu);
	if (!t)
		return 0;
	c->armed_at = when;
	if (bpf_timer_start(&t->timer, when, timer_flags)) {
		c->armed_at = 0;
		lose(MONITOR_LOSS_TIMER_FAILED);
	}
	return 0;
}

/* Taken from the list of what began; the heap is ours. */
GLOBAL int staged_take(struct cpu_state *c, __u32 cpu)
{
	if (!c)
		return 0;
	for (int i = 0; i < STAGED; i++) {
		struct deadline *d;
		__u32 tail = c->staged_tail;

		if (tail == *(volatile __u32 *)&c->staged_head)
			break;
		d = &c->staged[tail % STAGED];
		if (!*(volatile __u64 *)&d->when)
			break; /* reserved, being written */
		entry_push(c, cpu, d->slot, d->when);
		d->when = 0;
		barrier_compiler();
		c->staged_tail = tail + 1;
	}
	return 0;
}

/* An instance's entry came up. Returns when to ask again; 0: not through this entry. */
GLOBAL __u64 slot_expire(__u32 slot, __u64 when, __u64 now)
{
	struct monitor_slot *s = slot_at(slot);
	struct automaton_table *t;
	struct monitor_state *m;
	struct step st = {.now = now, .slot = slot, .event = 0xff};
	__u64 next = 0;
	__u32 monitor, old, mail;

	if (!s || s->queued != when)
		return 0;
	old = __sync_val_compare_and_swap(&s->in.host32, 0, LOCK_HELD);
	if (old) {
		s->queued = now + AGAIN_NS;
		return now + AGAIN_NS;
	}
	monitor = s->in.host16 - 1u;
	t = bpf_map_lookup_elem(&tables, &monitor);
	m = bpf_map_lookup_elem(&monitors, &monitor);
	if (t && m && s->in.deadline_ns) {
		st.monitor = (__u16)monitor;
		if (s->in.deadline_ns > now) {
			next = s->in.deadline_ns;
		} else {
			st.now = s->in.deadline_ns;
			if (m->kind == AUTOMATON_FORMULA)
				st.set = s->path[1];
			if (automaton_expire(t, &s->in, now) == AUTOMATON_BAD_TIME) {
				violation_send(s, m, &st, AUTOMATON_BAD_TIME);
				policy_apply(s, m);
			}
		}
	}
	s->queued = next;
	mail = slot_unlock(s);
	if (mail &&
	    m) { /* somebody came while it was held: his event is stepped as he would have */
		st.event = (__u8)(mail - 1);
		st.now = 0;
		if (t && s->in.host16)
			graph_step(s, t, m, &st);
		for (int i = 0; i < 4 && slot_unlock(s); i++)
			lose(MONITOR_LOSS_BUSY);
	}
	return next;
}

struct serve {
	__u64 now;
	__u32 cpu;
	__u32 pad;
};

static long serve_one(__u32 i, struct serve *v)
{
	__u32 cpu = v->cpu;
	struct cpu_state *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct deadline *first = queue_at(cpu, 0), d;
	__u64 next;

	if (!c || !first || !c->queue_len || first->when > v->now)
		return 1;
	d = *first;
	queue_pop(c, cpu);
	next = slot_expire(d.slot, d.when, v->now);
	if (next)
		entry_push(c, cpu, d.slot, next);
	return 0;
}

static int on_timer(void *map, __u32 *key, struct cpu_timer *timer)
{
	__u32 cpu = *key;
	struct cpu_state *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct serve v = {.cpu = cpu};
	struct deadline *first;

	__sync_fetch_and_add(&nr_timer_runs, 1);
	if (!c)
		return 0;
	c->armed_at = 0;
	staged_take(c, cpu);
	v.now = bpf_ktime_get_ns();
	bpf_loop(1024, serve_one, &v, 0);
	first = queue_at(cpu, 0);
	if (c->queue_len && first)
		timer_arm(c, cpu, first->when > v.now ? first->when : v.now + 1000, v.now);
	/* What was staged since may be due before that, and its kick before our arming. */
	if (c->staged_head != *(volatile __u32 *)&c->staged_tail) {
		c->armed_at = 0;
		timer_arm(c, cpu, v.now + 1000, v.now);
	}
	return 0;
}

static long timer_make(__u32 cpu, void *ctx)
{
	struct cpu_timer *t = bpf_map_lookup_elem(&timers, &cpu);

	if (!t || bpf_timer_init(&t->timer, &timers, CLOCK_MONOTONIC) ||
	    bpf_timer_set_callback(&t->timer, on_timer))
		__sync_fetch_and_add(&timers_missing, 1);
	else if (bpf_timer_start(&t->timer, bpf_ktime_get_ns(), timer_flags))
		__sync_fetch_and_add(&timers_unstarted, 1); /* before 6.7 it cannot be pinned */
	return 0;
}

SEC("syscall")
int make_timers(void *ctx)
{
	bpf_loop(nr_cpus, timer_make, NULL, 0);
	return 0;
}

/* The interrupt that a kick raised. */
SEC("tp_btf/irq_work_entry")
int BPF_PROG(on_kick)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *c = bpf_map_lookup_elem(&cpus, &cpu);
	__u64 now;

	if (!c || c->staged_head == *(volatile __u32 *)&c->staged_tail)
		return 0;
	now = bpf_ktime_get_ns();
	/* The queue is the timer's: this interrupt may stand on top of it. */
	timer_arm(c, cpu, now + 1000, now);
	return 0;
}

#endif
