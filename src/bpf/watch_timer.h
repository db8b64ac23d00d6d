/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_TIMER_H
#define TOCSIN_BPF_WATCH_TIMER_H

/* Noticing deadlines: the timer of each CPU, and the kick that has it armed at once. */

#include "watch_linked.h"
#include "watch_queue.h"
#include "watch_section.h"
#include "watch_state.h"

/* A thread came up in a queue. Returns the time to look again, 0: not through this queue. */
static __noinline __u64 thread_check(struct task_struct *task, struct thread *t, __u64 when,
				     __u64 now)
{
	struct check c = {.t = t, .task = task, .now = now, .next = ~0ull, .off_cpu = 1};
	__u64 far, near;
	__u32 seq = 1;

	if (!task || !t)
		return 0;
	/* The clear is a full barrier: it stands before the look at the state, as the state's
	 * change stands before the look at `queued` in the switch hook. One of the two sees the
	 * other. */
	far = __sync_val_compare_and_swap(&t->queued_far, when, 0);
	near = __sync_val_compare_and_swap(&t->queued, when, 0);
	if (far != when && near != when)
		return 0; /* an entry that another has taken the place of */
	for (int try = 0; try < 4; try++) {
		seq = *(volatile __u32 *)&t->seq;
		barrier_compiler();
		c.state = t->state;
		c.since = t->since;
		for (int i = 0; i < NR_OFF; i++)
			c.off[i] = t->off[i];
		barrier_compiler();
		if (!(seq & 1) && *(volatile __u32 *)&t->seq == seq)
			break;
		seq = 1;
	}
	c.seq = seq;
	if (seq & 1)
		return now + 20000;
	if (c.state == TS_RUNNING)
		return 0; /* its CPU's timer has it */
	if (task->on_cpu) /* coming in just now, or its switch-in was not seen: what we hold is not
			     its state */
		return now + poll_min_ns;
	bpf_loop(CHECKED, check_one, &c, 0);
	return c.next == ~0ull ? 0 : c.next;
}

static __noinline int queue_serve_one(struct cpu_state *c, __u32 cpu, __u64 now)
{
	struct deadline *first = queue_at(cpu, 0), d;
	struct task_struct *task;
	struct thread *t;
	__u64 next = 0;

	if (!c || !first || !c->queue_len || first->when > now)
		return 1;
	d = *first;
	queue_pop(c, cpu);
	if (d.section != DEADLINE_THREAD) {
		next = keyed_check(&d, now);
		if (next) {
			d.when = next;
			queue_push(c, cpu, &d);
		}
		return 0;
	}
	if (!bpf_task_from_pid)
		return 0;
	task = bpf_task_from_pid((__s32)d.id);
	if (!task)
		return 0;
	t = bpf_task_storage_get(&threads, task, 0, 0);
	if (t) {
		next = thread_check(task, t, d.when, now);
		if (next && queue_wants(t, next)) {
			d.when = next;
			if (queue_push(c, cpu, &d))
				t->queued = 0;
		}
	}
	bpf_task_release(task);
	return 0;
}

struct serve {
	struct cpu_state *c;
	__u64 now;
	__u32 cpu;
	__u32 pad;
};

static long queue_serve_step(__u32 i, struct serve *s)
{
	__u32 cpu = s->cpu;
	struct cpu_state *c = bpf_map_lookup_elem(&cpus, &cpu);

	return queue_serve_one(c, cpu, s->now);
}

/* Keyed starts of this CPU, noted by probes, which may not touch the queue themselves. */
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
		queue_push(c, cpu, d);
		d->when = 0;
		barrier_compiler();
		c->staged_tail = tail + 1;
	}
	return 0;
}

/* What the running thread needs next; fires what is due. */
static __noinline __u64 running_check(struct task_struct *task, struct thread *t, __u64 now)
{
	__u64 next = 0, poll;

	if (!task || !t)
		return 0;
	state_mend(t, now);
	if (t->slot) {
		linked_sync(t, now);
		t->idle_polls = 0;
	}
	if (t->next_deadline && now >= t->next_deadline)
		sections_check(t, task, now);
	next = t->next_deadline;
	if (t->starts != t->polled_starts) {
		t->polled_starts = t->starts;
		t->idle_polls = 0;
	} else if (t->idle_polls < IDLE_POLLS) {
		t->idle_polls++;
	}
	if (t->poll_ns && t->idle_polls < IDLE_POLLS) {
		poll = now + t->poll_ns;
		if (!next || poll < next)
			next = poll;
	}
	return next;
}

INLINE int timer_serve(__u32 queue_cpu)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *c = bpf_map_lookup_elem(&cpus, &queue_cpu);
	struct deadline *first;
	struct serve s = {};
	struct thread *t;
	__u64 now, next = 0;

	if (!c)
		return 0;
	c->armed_at = 0;
	now = bpf_ktime_get_ns();
	if (cpu == queue_cpu)
		lead_learn(c, now);
	t = thread_of(task);
	if (t && cpu == queue_cpu) /* else the CPU has gone offline and its timer moved */
		next = running_check(task, t, now);
	staged_take(c, queue_cpu);
	s.now = now;
	s.cpu = queue_cpu;
	bpf_loop(256, queue_serve_step, &s, 0);
	first = queue_at(queue_cpu, 0);
	if (c->queue_len && first && (!next || first->when < next))
		next = first->when;
	if (next)
		timer_arm(c, queue_cpu, next > now ? next : now + 1000, now);
	return 0;
}

static int on_timer(void *map, __u32 *key, struct cpu_timer *timer)
{
	__sync_fetch_and_add(&nr_timer_runs, 1);
	timer_serve(*key);
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
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct thread *t;
	__u64 now, next;

	if (!c || !nr_threads)
		return 0;
	t = thread_of(task);
	if (!t && c->staged_head == c->staged_tail)
		return 0;
	now = bpf_ktime_get_ns();
	if (t) {
		next = running_check(task, t, now);
		if (next)
			timer_arm(c, cpu, next > now ? next : now + 1000, now);
	}
	/* The queue is the timer's: this interrupt may stand on top of it. */
	if (c->staged_head != c->staged_tail)
		timer_arm(c, cpu, now + 1000, now);
	return 0;
}

#endif
