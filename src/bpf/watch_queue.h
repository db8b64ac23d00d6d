/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_QUEUE_H
#define TOCSIN_BPF_WATCH_QUEUE_H

/*
 * Deadlines off CPU: each CPU's heap (heap.h).
 *
 * A thread that leaves its CPU with open sections puts its next deadline into that CPU's heap,
 * unless an entry of its own that is due no later is still there. Entries are never removed early:
 * one that comes up is compared with the thread as it is by then, and put back under the deadline
 * that then is next, or dropped. So a thread that blocks 10,000 times a second costs one entry a
 * budget, not one a switch.
 *
 * Only the CPU itself touches its heap: the switch hook, with interrupts off, and the pinned timer
 * in its softirq, which no switch can interrupt. (Where softirqs are threads, PREEMPT_RT, the
 * loader refuses.)
 */

#include "watch_state.h"

#include "heap.h"

/* Is an entry for this deadline of the thread's missing? Then it counts as pushed. Where an earlier
 * one is wanted than that which is there, the later one stays in its heap and is remembered: it
 * need not be pushed again when the earlier is over. */
INLINE bool queue_wants(struct thread *t, __u64 deadline)
{
	if (t->queued && t->queued <= deadline)
		return false;
	if (t->queued_far == deadline) {
		t->queued = deadline;
		return false;
	}
	if (t->queued > t->queued_far)
		t->queued_far = t->queued;
	t->queued = deadline;
	return true;
}

/* A timer's interrupt comes late, by some microseconds always, on a virtual machine by ten and
 * more. What the quickest of the last LEAD_WINDOW timers of the CPU took is known to be needed, so
 * the next are set earlier by most of it. One that comes too early for once finds nothing due, and
 * is set again: nothing is ever reported before its time. */
#define LEAD_WINDOW 64
#define LEAD_MAX_NS 50000

INLINE void lead_learn(struct cpu_state *c, __u64 now)
{
	__u64 late = now - c->expires;

	if (!c->expires || now < c->expires)
		return;
	c->expires = 0;
	if (!c->nr_late || late < c->least_late_ns)
		c->least_late_ns = late;
	if (++c->nr_late < LEAD_WINDOW)
		return;
	c->nr_late = 0;
	late = c->least_late_ns - c->least_late_ns / 8;
	c->lead_ns = late < LEAD_MAX_NS ? late : LEAD_MAX_NS;
}

/* The CPU's timer will be in time for it as it stands. */
INLINE bool timer_is_early(const struct cpu_state *c, __u64 when, __u64 now)
{
	return c->armed_at > now && c->armed_at <= when;
}

/* Arm the CPU's timer, unless it is already due no later. */
GLOBAL int timer_arm(struct cpu_state *c, __u32 cpu, __u64 when, __u64 now)
{
	struct cpu_timer *t;

	if (!c || !when)
		return 0;
	if (timer_is_early(c, when, now))
		return 0;
	t = bpf_map_lookup_elem(&timers, &cpu);
	if (!t)
		return 0;
	c->armed_at = when;
	c->expires = when - c->lead_ns > now ? when - c->lead_ns : now;
	if (bpf_timer_start(&t->timer, c->expires, timer_flags)) {
		c->armed_at = 0;
		lose(LOSS_TIMER_FAILED);
	}
	return 0;
}

#endif
