/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_SCHED_H
#define TOCSIN_BPF_WATCH_SCHED_H

/* The scheduler's hooks: which state a thread is in, and since when. */

#include "watch_evidence.h"
#include "watch_linked.h"
#include "watch_queue.h"
#include "watch_section.h"
#include "watch_state.h"

/* Of this queue, since it was made; 0 where the kernel does not keep it. */
INLINE __u64 throttle_clock(struct cfs_rq *cfs)
{
	if (!bpf_core_field_exists(cfs->throttled_clock_self_time))
		return 0;
	return BPF_CORE_READ(cfs, throttled_clock_self_time);
}

/* Before 6.18 it is not the task that is throttled but its queue, with all that wait in it: a task
 * that waits already is then throttled without a switch, and only the queue's clock tells for how
 * long. */
INLINE bool queue_is_throttled_whole(struct task_struct *task)
{
	return !bpf_core_field_exists(task->throttled);
}

INLINE bool is_throttled(struct task_struct *task)
{
	struct cfs_rq *cfs = task->se.cfs_rq;

	if (!queue_is_throttled_whole(task))
		return task->throttled;
	return bpf_core_field_exists(cfs->throttle_count) && BPF_CORE_READ(cfs, throttle_count) > 0;
}

/* The thread begins to wait: from here on its queue's clock counts. */
INLINE void throttle_note(struct thread *t, struct task_struct *task)
{
	struct cfs_rq *cfs = task->se.cfs_rq;

	t->cfs = (__u64)cfs;
	t->throttle_clock = throttle_clock(cfs);
}

/* Off the CPU its memory cannot be read: functions that were left by an exception are noticed here.
 */
GLOBAL int frames_verify(struct thread *t)
{
	if (!t)
		return 0;
	for (__u32 n = 0; n < 4; n++) {
		__u32 i = t->top - 1;
		struct open_section *o;

		if (i >= WATCH_OPEN)
			break;
		o = &t->open[i];
		if (!frame_is_overwritten(o))
			break;
		section_leave(t, o);
		t->top = i;
	}
	return 0;
}

INLINE int switch_out(struct task_struct *task, struct thread *t, struct cpu_state *c, __u64 now,
		      __u64 how)
{
	__u32 prev_state = (__u32)how, preempted = (how >> 32) & 1, next_prio = (__u32)(how >> 40),
	      state;
	__u64 deadline;

	if (!task || !t || !c)
		return 0;
	if (t->state != TS_RUNNING)
		t->gap = now;
	if (t->slot) { /* the last look at this stint, which becomes the one before */
		linked_sync(t, now);
		t->last_in = t->stint_in;
		t->last_out = now;
		for (int k = 0; k < NR_OFF; k++)
			t->last_off[k] = t->off[k];
	}
	if (preempted || !prev_state)
		state = is_throttled(task) ? TS_THROTTLED : TS_WAITING;
	else
		state = prev_state & (STATE_STOPPED | STATE_TRACED | STATE_FROZEN) ? TS_STOPPED
										   : TS_BLOCKED;
	if ((state == TS_BLOCKED || state == TS_STOPPED) && (t->slot || has_open(t)))
		sleeper_enter(t, task);
	if (!has_open(t)) {
		state_enter(t, state, now);
		return 0;
	}
	if (t->next_deadline && now >= t->next_deadline)
		sections_check(t, task, now);
	frames_verify(t);
	evidence_out(t, task, now, prev_state, state);
	if (state == TS_WAITING && task->prio < PRIO_FAIR && next_prio >= PRIO_FAIR)
		t->cur.flags |= SPELL_RT_FAIR;
	if (state == TS_THROTTLED || (state == TS_WAITING && queue_is_throttled_whole(task)))
		throttle_note(t, task);
	state_enter(t, state, now);
	deadline = t->next_deadline;
	if (!deadline)
		return 0;
	__sync_fetch_and_add(&t->serial,
			     0); /* full barrier, pairs with the one in thread_check() */
	if (queue_wants(t, deadline)) {
		struct deadline entry = {
			.when = deadline, .id = t->tid, .section = DEADLINE_THREAD};
		__u32 cpu = bpf_get_smp_processor_id();

		if (queue_push(c, cpu, &entry))
			t->queued = 0;
		else
			timer_arm(c, cpu, deadline, now);
	}
	return 0;
}

/* The part of the wait that the quota's clock counts, never more than the wait; the rest waited for
 * the CPU. */
static __noinline __u64 throttled_part(struct thread *t, struct task_struct *task, __u64 spell_ns)
{
	struct cfs_rq *cfs;
	__u64 part;

	if (!t || !task)
		return 0;
	cfs = task->se.cfs_rq;
	if ((__u64)cfs != t->cfs || !bpf_core_field_exists(cfs->throttled_clock_self_time))
		/* it came back elsewhere: no clock of that queue tells about this one */
		return t->state == TS_THROTTLED ? spell_ns : 0;
	part = throttle_clock(cfs) - t->throttle_clock;
	return part < spell_ns ? part : spell_ns;
}

static __noinline int spell_end(struct thread *t, struct task_struct *task, struct cpu_state *c,
				__u64 now)
{
	struct watch_spell *s;
	__u64 spell_ns, wait_from;

	if (!t || !task || !c)
		return 0;
	s = &t->cur;
	spell_ns = now - s->t_out;
	if (spell_ns < gate_ns) {
		t->n_short++;
		t->short_ns += spell_ns;
		return 0;
	}
	s->t_in = now;
	s->cpu = bpf_get_smp_processor_id();
	wait_from = s->t_wake;
	if (!wait_from) { /* woken unseen */
		s->t_wake = now;
		s->flags |= SPELL_GAP;
	} else if (now - wait_from >= gate_ns) {
		if (s->state == TS_THROTTLED || s->throttled_ns) {
			evidence_cgroup(s, t->cfs);
			wait_from += s->throttled_ns;
		}
		evidence_occupant(c, s, wait_from);
	}
	/* The stack of a spell that is a good part of a budget: it has cost that much already. */
	s->user_stack =
		spell_ns >= t->poll_ns / STACK_PART ? stack_ask(task, now) : STACK_NOT_ASKED;
	return spell_keep(t);
}

INLINE int switch_in(struct task_struct *task, struct thread *t, struct cpu_state *c, __u64 now)
{
	__u32 cpu = bpf_get_smp_processor_id();
	__u64 next, poll;

	if (!task || !t || !c)
		return 0;
	sleeper_leave(t, task);
	if (t->state == TS_RUNNING) {
		t->gap = now;
	} else if (has_open(t)) {
		if (t->state == TS_THROTTLED ||
		    (t->state == TS_WAITING && queue_is_throttled_whole(task))) {
			__u64 part = throttled_part(t, task, now - t->since);

			t->cur.throttled_ns = part;
			/* move the throttled part out, so that what state_enter() charges is the
			 * wait behind it */
			t->seq++;
			barrier_compiler();
			t->off[OFF_INDEX(TS_THROTTLED)] += part;
			t->since += part;
			t->state = TS_WAITING;
			barrier_compiler();
			t->seq++;
		}
		spell_end(t, task, c, now);
	}
	state_enter(t, TS_RUNNING, now);
	t->stint_in = now;
	if ((t->top || t->nr_linked) && t->next_deadline && now >= t->next_deadline)
		sections_check(t, task, now);
	next = t->top || t->nr_linked ? t->next_deadline : 0;
	if (t->poll_ns && t->idle_polls < IDLE_POLLS) {
		poll = now + t->poll_ns;
		if (!next || poll < next)
			next = poll;
	}
	if (next && !timer_is_early(c, next, now))
		timer_arm(c, cpu, next, now);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	struct cpu_state *c;
	struct stint *stint;
	struct thread *t;
	__u64 now;

	if (!nr_threads)
		return 0;
	c = this_cpu();
	if (!c)
		return 0;
	now = bpf_ktime_get_ns();
	stint = &c->stint[c->next_stint++ % STINTS];
	stint->t = now;
	stint->tid = (__u32)prev->pid;
	stint->tgid = (__u32)prev->tgid;
	stint->prio = prev->prio;
	__builtin_memcpy(stint->comm, prev->comm, WATCH_COMM_LEN);
	t = thread_of(prev);
	if (t)
		switch_out(prev, t, c, now,
			   (__u64)(__u32)next->prio << 40 | (__u64)preempt << 32 | prev_state);
	t = thread_of(next);
	if (t)
		switch_in(next, t, c, now);
	return 0;
}

/* Who wakes it, and what it slept in. Runs in the waker always, as sched_wakeup does not. */
SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	struct thread *t;
	__u64 now;

	if (!sleeper_may_be(task))
		return 0;
	t = thread_of(task);
	if (!t || !has_open(t) || (t->state != TS_BLOCKED && t->state != TS_STOPPED))
		return 0;
	now = bpf_ktime_get_ns();
	if (now - t->since >= gate_ns)
		evidence_waking(ctx, t, task, now);
	return 0;
}

/* Runnable from here on. For a task that runs or waits already a wake-up changes nothing. */
SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	struct thread *t;
	__u64 now;

	if (!sleeper_may_be(task))
		return 0;
	t = thread_of(task);
	if (!t || (t->state != TS_BLOCKED && t->state != TS_STOPPED))
		return 0;
	now = bpf_ktime_get_ns();
	sleeper_leave(t, task);
	t->cur.t_wake = now;
	if (queue_is_throttled_whole(task))
		throttle_note(t, task);
	state_enter(t, TS_WAITING, now);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(on_io, struct request *rq, int error, unsigned int nr_bytes)
{
	struct cpu_state *c;
	__u64 now, begin;

	if (!nr_threads)
		return 0;
	c = this_cpu();
	if (!c)
		return 0;
	now = bpf_ktime_get_ns();
	begin = rq->io_start_time_ns;
	if (!begin)
		begin = rq->start_time_ns;
	c->io_t = now;
	c->io_latency_ns = begin && now > begin ? now - begin : 0;
	c->io_dev = rq->part ? BPF_CORE_READ(rq, part, bd_dev) : 0;
	c->io_bytes = nr_bytes;
	return 0;
}

#endif
