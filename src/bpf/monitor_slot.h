/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_MONITOR_SLOT_H
#define TOCSIN_BPF_MONITOR_SLOT_H

/*
 * One instance: its lock, its steps, its violations.
 *
 * The lock never waits. Whoever finds it held leaves the event with the holder, who steps it
 * before he lets go: the holder may be a program on another CPU, or one that this program has
 * interrupted, which waiting would wait for for ever. The lock's word:
 *
 *	bit 0 held, bit 1 missed, bits 8-15, 16-23, 24-31: events left there, + 1, in their order
 *
 * Up to three events fit. An event that finds no room, or that comes with inputs, or a valuation,
 * which would not fit, is missed: then what the instance is in is not known any more, and it is
 * begun anew, without a verdict, counted in MONITOR_LOSS_BUSY. So contention never makes a
 * violation.
 *
 * The stepper is told to keep a violating instance (AUTOMATON_KEEP in every table), so that it can
 * be sent as it was; the monitor's policy is applied here.
 */

#include "monitor_state.h"

#include "../automata/step.h"

#define LOCK_HELD   1u
#define LOCK_MISSED 2u
#define LOCK_MAIL   0xffffff00u

#define LOCKED     1
#define LOCK_LEFT  0  /* the event is with the holder */
#define LOCK_FAILS -1 /* it is missed, and counted */

/* @mail: event + 1; 0: it cannot be left. */
INLINE int slot_lock(struct monitor_slot *s, __u32 mail)
{
	__u32 old = *(volatile __u32 *)&s->in.host32, new;

	for (int try = 0; try < 16; try++) {
		if (!(old & LOCK_HELD))
			new = old | LOCK_HELD;
		else if (!mail || (old >> 24))
			new = old | LOCK_MISSED;
		else if (!(old & 0xff00))
			new = old | mail << 8;
		else if (!(old & 0xff0000))
			new = old | mail << 16;
		else
			new = old | mail << 24;
		new = __sync_val_compare_and_swap(&s->in.host32, old, new);
		if (new == old) {
			if (!(old & LOCK_HELD))
				return LOCKED;
			if (mail && !(old >> 24))
				return LOCK_LEFT;
			break;
		}
		old = new;
	}
	lose(MONITOR_LOSS_BUSY);
	return LOCK_FAILS;
}

/* Let go. Returns 0, or the event + 1 that was left meanwhile: then it is still held. */
INLINE __u32 slot_unlock(struct monitor_slot *s)
{
	__u32 old = *(volatile __u32 *)&s->in.host32, new, mail = 0;

	for (int try = 0; try < 16; try++) {
		mail = old >> 8 & 0xff;
		new = mail ? (old >> 8 & LOCK_MAIL) | (old & 0xff) : 0;
		if (old & LOCK_MISSED) { /* nothing is known from here on */
			s->in.state = 0;
			s->in.bits = 0;
			s->in.deadline_ns = 0;
			s->in.flags &= AUTOMATON_FROZEN;
			s->in.pending = 0;
			new = 0;
			mail = 0;
		}
		new = __sync_val_compare_and_swap(&s->in.host32, old, new);
		if (new == old)
			return mail;
		old = new;
	}
	/* 16 others in a row: they have left what they had, and the next to come takes it */
	__sync_fetch_and_or(&s->in.host32, LOCK_MISSED);
	__sync_fetch_and_and(&s->in.host32, ~LOCK_HELD);
	lose(MONITOR_LOSS_BUSY);
	return 0;
}

/* What a step is about. */
struct step {
	__u64 now;   /* 0: not looked at yet */
	__u64 atoms; /* of a formula: pulses; `set` and `clear` stay */
	__u64 set, clear;
	__u32 slot;
	__u16 monitor;
	__u8 event;
	__u8 has_inputs;
	__u64 input[AUTOMATON_INPUTS];
};

#include "monitor_trace.h"

/* ---- violations */

GLOBAL int violation_send(struct monitor_slot *s, struct monitor_state *m, struct step *st,
			  __u64 why_now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 now = bpf_ktime_get_ns();
	struct monitor_event *ev;
	long len;

	if (!s || !m || !st)
		return 0;
	__sync_fetch_and_add(&m->violations, 1);
	if (m->rate) {
		if (now - m->window_ns >= 1000000000ull) {
			m->window_ns = now;
			m->in_window = 0;
		}
		if (__sync_fetch_and_add(&m->in_window, 1) >= m->rate) {
			__sync_fetch_and_add(&m->unsaid, 1);
			return 0;
		}
	}
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev) {
		lose(MONITOR_LOSS_RING_FULL);
		return 0;
	}
	ev->type = MONITOR_EV_VIOLATION;
	ev->monitor = st->monitor;
	ev->why = (__u8)why_now;
	ev->event = st->event;
	ev->t_ns = st->now ? st->now : now;
	ev->key = s->key;
	ev->atoms = st->atoms | st->set;
	ev->before = m->violations - 1;
	ev->unsaid = m->unsaid;
	m->unsaid = 0;
	ev->pid = (__u32)task->tgid;
	ev->tid = (__u32)task->pid;
	ev->cpu = bpf_get_smp_processor_id();
	ev->nr_user = 0;
	ev->nr_kernel = 0;
	__builtin_memcpy(ev->comm, task->comm, sizeof(ev->comm));
	__builtin_memcpy(&ev->in, &s->in, sizeof(ev->in));
	ev->path[0] = s->path[0];
	ev->path[1] = s->path[1];
	if (has_stacks) {
		len = bpf_get_task_stack(task, ev->kernel, sizeof(ev->kernel), 0);
		ev->nr_kernel = len > 0 ? (__u16)((__u64)len >> 3) : 0;
		len = bpf_get_task_stack(task, ev->user, sizeof(ev->user), BPF_F_USER_STACK);
		ev->nr_user = len > 0 ? (__u16)((__u64)len >> 3) : 0;
	}
	bpf_ringbuf_submit(ev, 0);
	return 0;
}

INLINE void policy_apply(struct monitor_slot *s, const struct monitor_state *m)
{
	if (m->policy == AUTOMATON_KEEP)
		return;
	s->in.state = 0;
	s->in.bits = 0;
	s->in.deadline_ns = 0;
	s->in.pending = 0;
	s->in.flags = m->policy == AUTOMATON_FREEZE ? AUTOMATON_FROZEN : 0;
	s->path[0] = 0;
	if (m->kind == AUTOMATON_GRAPH)
		s->path[1] = 0;
}

/* ---- clocks */

/* The instance's next instant is known to a queue, or will be. Held. */
GLOBAL int deadline_stage(struct monitor_slot *s, __u32 slot)
{
	struct cpu_state *c = this_cpu();
	struct deadline *d = NULL;
	__u64 when, now;
	__u32 at;

	if (!s || !c)
		return 0;
	when = s->in.deadline_ns;
	if (!when || (s->queued && s->queued <= when))
		return 0;
	at = *(volatile __u32 *)&c->staged_head;
	for (int try = 0; try < 4; try++) { /* an interrupt may stage one in between */
		__u32 seen;

		if (at - *(volatile __u32 *)&c->staged_tail >= STAGED)
			break;
		seen = __sync_val_compare_and_swap(&c->staged_head, at, at + 1);
		if (seen == at) {
			d = &c->staged[at % STAGED];
			break;
		}
		at = seen;
	}
	if (!d) {
		lose(MONITOR_LOSS_STAGED_FULL);
		return 0;
	}
	s->queued = when;
	d->slot = slot;
	barrier_compiler();
	d->when = when;
	now = bpf_ktime_get_ns();
	if (c->armed_at <= now || c->armed_at > when)
		kick();
	return 0;
}

/* ---- steps */

GLOBAL int cover(struct step *st, struct monitor_slot *s, __u64 from)
{
	__u32 monitor, slot, at;
	struct monitor_covered *c;
	struct monitor_covered_cell *cell;
	__u64 *since, ns;

	if (!st || !s)
		return 0;
	monitor = st->monitor;
	slot = st->slot;
	c = bpf_map_lookup_elem(&coverage, &monitor);
	since = bpf_map_lookup_elem(&entered, &slot);
	if (!c || !since)
		return 0;
	at = (__u32)from & (AUTOMATON_STATES - 1);
	cell = &c->cell[at][st->event & (AUTOMATON_EVENTS - 1)];
	ns = *since && st->now > *since ? st->now - *since : 0;
	__sync_fetch_and_add(&cell->count, 1);
	__sync_fetch_and_add(&cell->sum_ns, ns);
	if (ns > cell->max_ns)
		cell->max_ns = ns;
	if (s->in.state != from)
		*since = st->now;
	__sync_fetch_and_add(&c->state[s->in.state & (AUTOMATON_STATES - 1)], 1);
	return 0;
}

INLINE void path_note(struct monitor_slot *s, __u64 from, __u32 event)
{
	__u64 entry = (from & 0x3f) << 8 | (event + 1);

	s->path[1] = s->path[1] << 16 | s->path[0] >> 48;
	s->path[0] = s->path[0] << 16 | entry;
}

/* One event of an instance that is held. */
GLOBAL int graph_step(struct monitor_slot *s, struct automaton_table *t, struct monitor_state *m,
		      struct step *st)
{
	enum automaton_result result;
	__u64 from;
	__u32 event;

	if (!s || !t || !m || !st)
		return 0;
	event = st->event & (AUTOMATON_EVENTS - 1);
	from = s->in.state;
	if (m->needs_time)
		st->now = bpf_ktime_get_ns();
	if (!from && !(t->event_flags[event] & AUTOMATON_START))
		from = t->initial;
	result = automaton_step(t, &s->in, event, st->now ? st->now : 1,
				st->has_inputs ? (struct automaton_inputs *)st->input : NULL);
	if (result == AUTOMATON_IGNORED)
		return 0;
	path_note(s, from, event);
	if (has_coverage)
		cover(st, s, from);
	if (has_trace && result < AUTOMATON_BAD_EVENT)
		step_trace(s, st, from);
	if (result >= AUTOMATON_BAD_EVENT) {
		violation_send(s, m, st, result);
		policy_apply(s, m);
	} else if (s->in.deadline_ns) {
		deadline_stage(s, st->slot);
	}
	return 1;
}

/* The same of a formula. */
GLOBAL int formula_step(struct monitor_slot *s, struct automaton_table *t, struct monitor_state *m,
			struct step *st)
{
	enum automaton_result result;
	__u64 from;

	if (!s || !t || !m || !st)
		return 0;
	st->now = bpf_ktime_get_ns();
	s->path[1] = (s->path[1] & ~st->clear) | st->set;
	st->atoms |= s->path[1];
	from = s->in.state;
	result = automaton_observe(t, &s->in, st->atoms, st->now);
	if (result == AUTOMATON_IGNORED)
		return 0;
	st->event = 0xff;
	if (has_trace && result < AUTOMATON_BAD_EVENT)
		step_trace(s, st, from);
	if (result >= AUTOMATON_BAD_EVENT) {
		violation_send(s, m, st, result);
		policy_apply(s, m);
	} else if (s->in.deadline_ns) {
		deadline_stage(s, st->slot);
	}
	return 1;
}

/* Whose it is may have changed since its number was looked up. */
INLINE bool slot_is(const struct monitor_slot *s, __u32 monitor, __u64 key)
{
	return s->in.host16 == monitor + 1 && s->key == key;
}

INLINE void steps_count(__u32 monitor, __u32 nr)
{
	__u64 *mine = bpf_map_lookup_elem(&steps, &monitor);

	if (mine)
		__sync_fetch_and_add(mine, nr); /* an interrupt may count in between */
}

/* A step along an edge with nothing to test, to do or to watch, of a model that needs no time: what
 * graph_step() would do, without a call. Held. Returns 0: it is no such step. */
INLINE __u32 plain_step(struct monitor_slot *s, struct automaton_table *t, struct monitor_state *m,
			__u32 event)
{
	__u64 from = s->in.state;
	__u32 cell = t->cell[from & (AUTOMATON_STATES - 1)][event & (AUTOMATON_EVENTS - 1)];

	if (m->needs_time || !(cell & AUTOMATON_PLAIN))
		return 0;
	s->in.state = cell & (AUTOMATON_STATES - 1);
	path_note(s, from, event);
	return 1;
}

/* An event for an instance, whoever has it. */
GLOBAL int slot_event(struct monitor_slot *s, struct monitor_state *m, struct step *st, __u64 key)
{
	struct automaton_table *t;
	__u32 monitor, mail, nr = 0, plain;

	if (!s || !m || !st)
		return 0;
	monitor = st->monitor;
	t = bpf_map_lookup_elem(&tables, &monitor);
	if (!t)
		return 0;
	mail = m->kind == AUTOMATON_GRAPH && !st->has_inputs ? st->event + 1u : 0;
	if (slot_lock(s, mail) != LOCKED)
		return 0;
	for (int i = 0; i < 8; i++) {
		if (!slot_is(s, monitor, key))
			; /* it has been freed, and perhaps is another's */
		else if (m->kind == AUTOMATON_GRAPH)
			nr += (plain = plain_step(s, t, m, st->event)) ? plain
								       : graph_step(s, t, m, st);
		else
			nr += formula_step(s, t, m, st);
		mail = slot_unlock(s);
		if (!mail)
			break;
		st->event = (__u8)(mail - 1);
		st->has_inputs = 0;
	}
	steps_count(monitor, nr);
	return 0;
}

/* ---- having instances */

INLINE struct monitor_slot *slot_at(__u32 slot)
{
	return bpf_map_lookup_elem(&slots, &slot);
}

/* Returns its number, 0: there is none left. */
INLINE __u32 slot_take(__u32 monitor, __u64 key)
{
	struct monitor_slot *s;
	__u32 slot = 0;
	__u64 *since;

	if (bpf_map_pop_elem(&free_slots, &slot)) {
		lose(MONITOR_LOSS_INSTANCES_FULL);
		return 0;
	}
	s = slot_at(slot);
	if (!s)
		return 0;
	s->key = key;
	s->queued = 0;
	s->path[0] = 0;
	s->path[1] = 0;
	s->in.state = 0;
	s->in.bits = 0;
	s->in.deadline_ns = 0;
	s->in.flags = 0;
	s->in.pending = 0;
	if (has_coverage) {
		since = bpf_map_lookup_elem(&entered, &slot);
		if (since)
			*since = 0;
	}
	barrier_compiler();
	*(volatile __u16 *)&s->in.host16 = (__u16)(monitor + 1);
	return slot;
}

/* Nobody uses it from here on; who has its number finds that it is not his. One that somebody holds
 * for that long is not given to others any more. */
GLOBAL int slot_give(__u32 slot)
{
	struct monitor_slot *s = slot_at(slot);
	__u32 old = LOCK_HELD;

	if (!s || !slot)
		return 0;
	for (int try = 0; try < 64; try++) {
		old = __sync_val_compare_and_swap(&s->in.host32, 0, LOCK_HELD);
		if (!old)
			break;
	}
	s->in.host16 = 0;
	if (old) {
		lose(MONITOR_LOSS_BUSY);
		return 0;
	}
	s->in.deadline_ns = 0;
	s->in.state = 0;
	barrier_compiler();
	*(volatile __u32 *)&s->in.host32 = 0; /* what was left there meanwhile is of nobody */
	bpf_map_push_elem(&free_slots, &slot, 0);
	return 0;
}

#endif
