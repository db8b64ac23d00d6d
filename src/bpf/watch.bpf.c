// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel half of `tocsin watch`: sections on unmodified programs, their deadlines, and where
 * their time went.
 *
 * Probes (uprobes, USDT, tracepoints) start and stop sections. A start notes the time and the
 * thread's accumulators in a slot of the thread's state; a stop within budget is a count in a
 * histogram and nothing else. Scheduler hooks keep the accumulators: switch-out with a sleeping
 * state is blocked (or stopped), else waiting, or throttled when the task says so; a wake-up moves
 * blocked to waiting and does nothing else to anybody; time is charged to the state that is left.
 *
 * A deadline is noticed, while the thread runs, by one pinned timer a CPU, which is armed for the
 * running thread at the smaller of its next deadline and now + the smallest budget it has started.
 * A start whose deadline lies before the CPU's timer kicks it: a drain of an empty user ring with a
 * forced wake-up raises an irq_work, whose tracepoint may arm timers where a probe may not. So
 * every deadline is known before it passes (the poll lemma), and a start that is polled for costs
 * nothing extra. Off CPU the thread's deadline waits in the CPU's queue (watch_queue.h), or, if it
 * comes back earlier, is looked at when it does.
 *
 * A section is reported once when its deadline passes and once when it ends; which of the two comes
 * first is decided on its control word (watch_state.h). A split is claimed only where no switch was
 * missed: some are not traced on some kernels, so a thread that leaves a CPU it never entered has a
 * gap, and before a deadline fires off CPU, task->on_cpu is asked.
 */
#include "kernel.h"

#include "watch_evidence.h"
#include "watch_queue.h"
#include "watch_section.h"
#include "watch_state.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* --- the timer
 * ----------------------------------------------------------------------------------------------------
 */

/* Polls without a new start, after which a thread is no longer polled: its next start kicks. */
#define IDLE_POLLS 16

/* A thread came up in a queue. Returns the time to look again, 0: not through this queue. */
static __noinline __u64 thread_check(struct task_struct *task, struct thread *t, __u64 when,
				     __u64 now)
{
	struct check c = {.t = t, .task = task, .now = now, .next = ~0ull, .off_cpu = 1};
	__u32 seq = 1;

	if (!task || !t)
		return 0;
	/* The clear is a full barrier: it stands before the look at the state, as the state's
	 * change stands before the look at `queued` in the switch hook. One of the two sees the
	 * other. */
	__sync_val_compare_and_swap(&t->queued, when, 0);
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
	if (seq & 1)
		return now + 20000;
	if (c.state == TS_RUNNING)
		return 0; /* its CPU's timer has it */
	if (task->on_cpu) /* coming in just now, or its switch-in was not seen: what we hold is not
			     its state */
		return now + poll_min_ns;
	bpf_loop(WATCH_OPEN, check_one, &c, 0);
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
		keyed_check(&d, now);
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
		if (next) {
			t->queued = next;
			d.when = next;
			queue_push(c, cpu, &d);
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
static __noinline int staged_take(struct cpu_state *c, __u32 cpu)
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

	if (!task || !t || t->state != TS_RUNNING)
		return 0;
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

static __noinline int timer_serve(__u32 queue_cpu)
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
	if (c->staged_head != c->staged_tail) {
		struct deadline *first;

		staged_take(c, cpu);
		first = queue_at(cpu, 0);
		if (c->queue_len && first)
			timer_arm(c, cpu, first->when > now ? first->when : now + 1000, now);
	}
	return 0;
}

/* --- the scheduler
 * ------------------------------------------------------------------------------------------------
 */

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

INLINE bool is_throttled(struct task_struct *task)
{
	return bpf_core_field_exists(task->throttled) && task->throttled;
}

static __noinline int switch_out(struct task_struct *task, struct thread *t, struct cpu_state *c,
				 __u64 now, __u64 how)
{
	__u32 prev_state = (__u32)how, preempted = (__u32)(how >> 32), state;
	__u64 deadline;

	if (!task || !t || !c)
		return 0;
	if (t->state != TS_RUNNING)
		t->gap = now;
	if (preempted || !prev_state)
		state = is_throttled(task) ? TS_THROTTLED : TS_WAITING;
	else
		state = prev_state & (STATE_STOPPED | STATE_TRACED | STATE_FROZEN) ? TS_STOPPED
										   : TS_BLOCKED;
	if (!t->top) {
		state_enter(t, state, now);
		return 0;
	}
	if (t->next_deadline && now >= t->next_deadline)
		sections_check(t, task, now);
	evidence_out(t, task, now, prev_state, state);
	if (state == TS_THROTTLED) {
		struct cfs_rq *cfs = task->se.cfs_rq;

		t->cfs = (__u64)cfs;
		t->throttle_clock = BPF_CORE_READ(cfs, throttled_clock_self_time);
	}
	state_enter(t, state, now);
	deadline = t->next_deadline;
	if (!deadline)
		return 0;
	__sync_fetch_and_add(&t->serial,
			     0); /* full barrier, pairs with the one in thread_check() */
	if (!t->queued || t->queued > deadline) {
		struct deadline entry = {
			.when = deadline, .id = t->tid, .section = DEADLINE_THREAD};
		__u32 cpu = bpf_get_smp_processor_id();

		t->queued = deadline;
		if (queue_push(c, cpu, &entry))
			t->queued = 0;
		else
			timer_arm(c, cpu, deadline, now);
	}
	return 0;
}

/* A throttled spell: the part that the quota's clock counts, never more than the spell; the rest
 * waited for the CPU. */
static __noinline __u64 throttled_part(struct thread *t, struct task_struct *task, __u64 spell_ns)
{
	struct cfs_rq *cfs;
	__u64 part;

	if (!t || !task)
		return 0;
	cfs = task->se.cfs_rq;
	if ((__u64)cfs != t->cfs)
		return spell_ns; /* it came back elsewhere: no clock of that queue tells about this
				    one */
	part = BPF_CORE_READ(cfs, throttled_clock_self_time) - t->throttle_clock;
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
		if (s->state == TS_THROTTLED) {
			evidence_cgroup(s, t->cfs);
			wait_from += s->throttled_ns;
		}
		evidence_occupant(c, s, wait_from);
	}
	return spell_keep(t);
}

static __noinline int switch_in(struct task_struct *task, struct thread *t, struct cpu_state *c,
				__u64 now)
{
	__u32 cpu = bpf_get_smp_processor_id();
	__u64 next, poll;

	if (!task || !t || !c)
		return 0;
	if (t->state == TS_RUNNING) {
		t->gap = now;
	} else if (t->top) {
		if (t->state == TS_THROTTLED) {
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
	if (t->top && t->next_deadline && now >= t->next_deadline)
		sections_check(t, task, now);
	next = t->top ? t->next_deadline : 0;
	if (t->poll_ns && t->idle_polls < IDLE_POLLS) {
		poll = now + t->poll_ns;
		if (!next || poll < next)
			next = poll;
	}
	if (next)
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
		switch_out(prev, t, c, now, (__u64)preempt << 32 | prev_state);
	t = thread_of(next);
	if (t)
		switch_in(next, t, c, now);
	return 0;
}

/* Who wakes it, and what it slept in. Runs in the waker always, as sched_wakeup does not. */
SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	struct thread *t = thread_of(task);
	__u64 now;

	if (!t || !t->top || (t->state != TS_BLOCKED && t->state != TS_STOPPED))
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
	struct thread *t = thread_of(task);
	__u64 now;

	if (!t || (t->state != TS_BLOCKED && t->state != TS_STOPPED))
		return 0;
	now = bpf_ktime_get_ns();
	t->cur.t_wake = now;
	state_enter(t, TS_WAITING, now);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(on_io, struct request *rq)
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
	c->io_bytes = 0;
	return 0;
}

/* --- processes
 * ----------------------------------------------------------------------------------------------------
 */

static __noinline int process_report(__u32 what, __u32 tgid, __u32 parent, struct task_struct *task)
{
	struct watch_event_process *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);

	if (!ev || !task) {
		lose(LOSS_EVENT_RING_FULL);
		if (ev)
			bpf_ringbuf_discard(ev, 0);
		return 0;
	}
	ev->head.type = EV_PROCESS;
	ev->head.cpu = bpf_get_smp_processor_id();
	ev->head.t_ns = bpf_ktime_get_ns();
	ev->what = what;
	ev->tgid = tgid;
	ev->parent = parent;
	ev->pad = 0;
	comm_of(ev->comm, task);
	bpf_ringbuf_submit(ev, 0);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = (__u32)parent->tgid, to = (__u32)child->tgid, one = 1;

	if (!follow || from == to || !bpf_map_lookup_elem(&processes, &from))
		return 0;
	if (bpf_map_update_elem(&processes, &to, &one, BPF_ANY)) {
		lose(LOSS_THREADS_FULL);
		return 0;
	}
	return process_report(PROCESS_FORKED, to, from, child);
}

/* Every open section of the current thread is given up. */
static __noinline int sections_abandon(struct thread *t, __u64 now, __u32 flag)
{
	if (!t)
		return 0;
	for (__u32 i = 0; i < WATCH_OPEN; i++) {
		struct open_section *o = &t->open[i];
		struct watch_stats *st;
		__u64 ctl;

		if (i >= t->top)
			break;
		ctl = __sync_lock_test_and_set(&o->ctl, 0);
		if (!(ctl & CTL_OPEN))
			continue;
		st = stats_of(CTL_SECTION(ctl));
		if (st)
			__sync_fetch_and_add(&st->abandoned, 1);
		if (((ctl & CTL_FIRED) || now >= o->deadline) && !dropped[CTL_SECTION(ctl)])
			section_end_over(t, o, ctl, now, flag);
	}
	t->top = 0;
	t->next_deadline = 0;
	spells_drop(t);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct thread *t = thread_of(task);
	__u32 tgid = (__u32)task->tgid;

	if (t) {
		sections_abandon(t, bpf_ktime_get_ns(), SECTION_ABANDON_EXIT);
		bpf_task_storage_delete(&threads, task); /* cannot fail: it was just found, and only
							    its own task deletes it */
		__sync_fetch_and_add(&nr_threads, -1);
	}
	if (!BPF_CORE_READ(task, signal, live.counter) && bpf_map_lookup_elem(&processes, &tgid)) {
		bpf_map_delete_elem(&processes, &tgid);
		process_report(PROCESS_EXITED, tgid, 0, task);
	}
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct thread *t = thread_of(task);
	__u32 tgid = (__u32)task->tgid;

	if (t)
		sections_abandon(t, bpf_ktime_get_ns(), SECTION_ABANDON_EXEC);
	if (bpf_map_lookup_elem(&processes, &tgid))
		process_report(PROCESS_EXECED, tgid, 0, task);
	return 0;
}

/* --- probes
 * -------------------------------------------------------------------------------------------------------
 */

static __noinline int in_cgroup(struct task_struct *task)
{
	struct cgroup_subsys_state *css;
	struct css_set *set;

	if (!task)
		return 0;
	set = task->cgroups;
	if (cgroup_subsys == ~0u)
		css = (struct cgroup_subsys_state *)&BPF_CORE_READ(set, dfl_cgrp)->self;
	else
		css = BPF_CORE_READ(set, subsys[cgroup_subsys & 15]);
	for (int i = 0; i < 32 && css; i++) {
		struct cgroup *cg = BPF_CORE_READ(css, cgroup);

		if (BPF_CORE_READ(cg, kn, id) == cgroup_id)
			return 1;
		css = BPF_CORE_READ(css, parent);
	}
	return 0;
}

struct comm_match {
	char comm[WATCH_COMM_LEN];
	__u32 found;
};

static long comm_compare(__u32 i, struct comm_match *m)
{
	struct wanted_comm *w = bpf_map_lookup_elem(&wanted_comms, &i);
	__u64 *a, *b;

	if (!w)
		return 1;
	a = (__u64 *)w->comm;
	b = (__u64 *)m->comm;
	if (a[0] == b[0] && a[1] == b[1]) {
		m->found = 1;
		return 1;
	}
	return 0;
}

/* Is the current process one of those to watch? A process found by name is remembered. */
static __noinline int is_wanted(struct task_struct *task)
{
	__u32 tgid, one = 1;

	if (!task)
		return 0;
	tgid = (__u32)task->tgid;
	if (tgid == own_tgid)
		return 0;
	if (watch_all || bpf_map_lookup_elem(&processes, &tgid))
		return 1;
	if (cgroup_id && in_cgroup(task))
		return 1;
	if (nr_wanted_comms) {
		struct comm_match m = {};

		comm_of(m.comm, task->group_leader);
		bpf_loop(nr_wanted_comms, comm_compare, &m, 0);
		if (m.found) {
			bpf_map_update_elem(&processes, &tgid, &one,
					    BPF_ANY); /* full: compared again next time */
			return 1;
		}
	}
	return 0;
}

/* The current thread's state, made when it is to be watched; NULL when not, or when there is no
 * room. */
static __noinline struct thread *thread_register(struct task_struct *task)
{
	struct thread *t;
	__u64 now;

	if (!task || !is_wanted(task))
		return NULL;
	if (nr_threads >= max_threads) {
		lose(LOSS_THREADS_FULL);
		return NULL;
	}
	t = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		lose(LOSS_THREAD_NOMEM);
		return NULL;
	}
	now = bpf_ktime_get_ns();
	t->tid = (__u32)task->pid;
	t->tgid = (__u32)task->tgid;
	t->state = TS_RUNNING;
	t->since = now;
	t->serial = now & ((1ull << 47) - 1);
	__sync_fetch_and_add(&nr_threads, 1);
	return t;
}

static long kick_nothing(struct bpf_dynptr *sample, void *ctx)
{
	return 1;
}

/* Have the CPU's timer armed in time for a deadline that a probe has just set. */
static __noinline int kick(void)
{
	long r = bpf_user_ringbuf_drain(&kicks, kick_nothing, NULL, BPF_RB_FORCE_WAKEUP);

	__sync_fetch_and_add(&nr_kicks, 1);
	if (r < 0)
		lose(LOSS_KICK_FAILED);
	return 0;
}

INLINE int arg_read(void *ctx, const struct watch_arg *a, __u64 *value)
{
	__u64 v = 0, base = 0, index = 0;

	switch (a->kind) {
	case ARG_CONST: v = (__u64)a->value; break;
	case ARG_REG:
		if (bpf_probe_read_kernel(&v, sizeof(v), ctx + (a->reg & 0xff)))
			return -1;
		break;
	case ARG_MEM:
	case ARG_STRING:
		if (bpf_probe_read_kernel(&base, sizeof(base), ctx + (a->reg & 0xff)))
			return -1;
		if (a->kind == ARG_STRING) {
			v = base;
			break;
		}
		if (a->scale &&
		    bpf_probe_read_kernel(&index, sizeof(index), ctx + (a->index & 0xff)))
			return -1;
		if (bpf_probe_read_user(&v, sizeof(v),
					(void *)(base + index * a->scale + (__u64)a->value)))
			return -1;
		break;
	case ARG_RECORD:
		if (bpf_probe_read_kernel(&v, sizeof(v), ctx + ((__u64)a->value & 0x3ff)))
			return -1;
		break;
	default: return -1;
	}
	if (a->size < 8) {
		__u32 shift = 64 - 8 * (a->size & 7);

		v <<= shift & 63;
		if (a->is_signed)
			v = (__u64)((__s64)v >> (shift & 63));
		else
			v >>= shift & 63;
	}
	*value = v;
	return 0;
}

/* Sections of frames that no longer exist: the stack pointer has risen above them, or stands where
 * they stood. */
static __noinline int frames_prune(struct thread *t, __u64 sp)
{
	if (!t)
		return 0;
	for (__u32 n = 0; n < WATCH_OPEN; n++) {
		struct open_section *o;
		struct watch_stats *st;
		__u32 i = t->top - 1;
		__u64 ctl;

		if (i >= WATCH_OPEN)
			break;
		o = &t->open[i];
		if (o->ctl && (!o->sp || o->sp > sp || sp - o->sp > STACK_SPAN))
			break;
		ctl = __sync_lock_test_and_set(&o->ctl, 0);
		t->top = i;
		if (!(ctl & CTL_OPEN))
			continue;
		lose(LOSS_LEFT_OPEN);
		st = stats_of(CTL_SECTION(ctl));
		if (st)
			__sync_fetch_and_add(&st->abandoned, 1);
		if (ctl & CTL_FIRED)
			section_end_over(t, o, ctl, bpf_ktime_get_ns(), SECTION_ABANDON_FRAME);
	}
	return 0;
}

static __noinline int keyed_start(void *ctx, struct thread *t, const struct watch_probe *p,
				  __u64 now)
{
	__u32 cpu = bpf_get_smp_processor_id(), at;
	struct task_struct *task = bpf_get_current_task_btf();
	struct cpu_state *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct keyed_id id = {};
	struct keyed k = {};
	struct deadline *d;
	long r;

	if (!t || !p || !c)
		return 0;
	if (arg_read(ctx, &p->key, &id.key)) {
		lose(LOSS_KEY_UNREAD);
		return 0;
	}
	id.section = p->section;
	id.tgid = t->tgid;
	k.ctl = CTL_MAKE(t->serial++, p->section);
	k.start = now;
	k.deadline = now + p->budget_ns;
	k.tid = t->tid;
	for (int i = 0; i < NR_OFF; i++)
		k.off[i] = t->off[i];
	comm_of(k.comm, task);
	r = bpf_map_update_elem(&keyed_open, &id, &k, BPF_NOEXIST);
	if (r == -17 /* EEXIST */) {
		lose(LOSS_KEY_REUSED);
		r = bpf_map_update_elem(&keyed_open, &id, &k, BPF_ANY);
	}
	if (r) {
		lose(LOSS_KEYED_FULL);
		return 0;
	}
	if (c->staged_head - c->staged_tail >= STAGED - 8) {
		lose(LOSS_DEADLINES_FULL);
		kick();
		return 0;
	}
	at = __sync_fetch_and_add(&c->staged_head, 1);
	d = &c->staged[at % STAGED];
	d->key = id.key;
	d->id = id.tgid;
	d->section = id.section;
	barrier_compiler();
	d->when = k.deadline;
	if (c->armed_at <= now || c->armed_at > k.deadline ||
	    c->staged_head - c->staged_tail > STAGED / 2)
		kick();
	return 0;
}

static __noinline int keyed_stop(void *ctx, struct thread *t, const struct watch_probe *p,
				 __u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct keyed_id id = {};
	struct ending e = {};
	struct watch_stats *st;
	struct keyed *k;
	__u64 ctl, elapsed;

	if (!p)
		return 0;
	if (arg_read(ctx, &p->key, &id.key)) {
		lose(LOSS_KEY_UNREAD);
		return 0;
	}
	id.section = p->section;
	id.tgid = (__u32)task->tgid;
	k = bpf_map_lookup_elem(&keyed_open, &id);
	ctl = k ? __sync_lock_test_and_set(&k->ctl, 0) : 0;
	if (!k || !(ctl & CTL_OPEN)) {
		lose(LOSS_STOP_UNMATCHED);
		return 0;
	}
	elapsed = now - k->start;
	st = stats_of(p->section);
	stats_count(st, elapsed);
	if (elapsed > p->budget_ns) {
		if (st)
			__sync_fetch_and_add(&st->over, 1);
		keyed_fill(&e, k, &id, ctl, now);
		e.type = EV_CLOSED;
		e.stop_tid = (__u32)task->pid;
		if (t && t->tid == k->tid) {
			off_since(t, k->off, now, e.off);
			e.state = TS_RUNNING;
			if (t->gap >= k->start)
				e.flags |= SECTION_NO_SPLIT | SECTION_GAP;
		} else {
			e.flags |= SECTION_NO_SPLIT | SECTION_MOVED;
		}
		section_report(&e, NULL);
	}
	bpf_map_delete_elem(&keyed_open,
			    &id); /* only this stop deletes it: it took the control word */
	return 0;
}

/* The verifier wants to see the bound. */
INLINE struct open_section *slot_at(struct thread *t, __u32 i)
{
	asm volatile("" : "+r"(i));
	i &= WATCH_OPEN - 1;
	return &t->open[i];
}

/* A slot for one more open section; WATCH_OPEN when there is none. */
INLINE __u32 slot_find(struct thread *t)
{
	__u32 i = t->top;

	if (i < WATCH_OPEN)
		return i;
	for (i = 0; i < WATCH_OPEN; i++)
		if (!t->open[i].ctl)
			break;
	return i;
}

INLINE int section_start(void *ctx, __u64 cookie, __u64 user_sp)
{
	struct task_struct *task;
	struct open_section *o;
	struct watch_probe *p;
	struct cpu_state *c;
	__u32 at = (__u32)cookie, i;
	struct thread *t;
	__u64 now, deadline, sp = 0;

	p = bpf_map_lookup_elem(&probes, &at);
	if (!p || p->action != ACT_START)
		return 0;
	task = bpf_get_current_task_btf();
	t = bpf_task_storage_get(&threads, task, 0, 0);
	if (!t) {
		t = thread_register(task);
		if (!t)
			return 0;
	}
	now = bpf_ktime_get_ns();
	t->starts++;
	if (!t->poll_ns || p->budget_ns < t->poll_ns)
		t->poll_ns = p->budget_ns > poll_min_ns ? p->budget_ns : poll_min_ns;
	if (p->flags & WATCH_PROBE_KEYED)
		return keyed_start(ctx, t, p, now);
	if (p->flags & WATCH_PROBE_FRAME) {
		sp = user_sp + (__u64)(__s64)p->sp_adjust;
		if (t->top && !(p->flags & WATCH_PROBE_SWITCHES_STACKS))
			frames_prune(t, sp);
	}
	i = slot_find(t);
	if (i >= WATCH_OPEN) {
		lose(LOSS_OPEN_FULL);
		if (!sp && t->over[p->section % WATCH_SECTIONS_MAX] < 255)
			t->over[p->section % WATCH_SECTIONS_MAX]++;
		return 0;
	}
	o = slot_at(t, i);
	deadline = now + p->budget_ns;
	o->start = now;
	o->deadline = deadline;
	o->sp = p->flags & WATCH_PROBE_SWITCHES_STACKS ? 0 : sp;
	for (int k = 0; k < NR_OFF; k++)
		o->off[k] = t->off[k];
	o->short_ns = t->short_ns;
	o->n_long = t->n_long;
	o->n_short = t->n_short;
	barrier_compiler();
	o->ctl = CTL_MAKE(t->serial++, p->section);
	if (i == t->top)
		t->top = i + 1;
	barrier_compiler();
	if (!t->next_deadline || deadline < t->next_deadline)
		t->next_deadline = deadline;
	c = this_cpu();
	if (c && (c->armed_at <= now || c->armed_at > deadline))
		kick();
	return 0;
}

INLINE void top_lower(struct thread *t)
{
	for (__u32 n = 0; n < WATCH_OPEN; n++) {
		__u32 i = t->top - 1;

		if (i >= WATCH_OPEN || t->open[i].ctl)
			break;
		t->top = i;
	}
	if (!t->top && t->n_long)
		spells_drop(t);
}

/* The newest open section that this stop ends; WATCH_OPEN when there is none. */
INLINE __u32 slot_of_stop(struct thread *t, const struct watch_probe *p, __u64 sp)
{
	for (__u32 n = 0; n < WATCH_OPEN; n++) {
		__u32 i = t->top - 1 - n;

		if (i >= WATCH_OPEN)
			break;
		if ((t->open[i].ctl & CTL_OPEN) && CTL_SECTION(t->open[i].ctl) == p->section &&
		    (!sp || t->open[i].sp == sp))
			return i;
	}
	return WATCH_OPEN;
}

INLINE int section_stop(void *ctx, __u64 cookie, __u64 user_sp)
{
	struct task_struct *task;
	struct open_section *o;
	struct watch_probe *p;
	struct watch_stats *st;
	__u32 at = (__u32)cookie, i;
	struct thread *t;
	__u64 now, sp = 0, ctl, elapsed;

	p = bpf_map_lookup_elem(&probes, &at);
	if (!p || p->action != ACT_STOP)
		return 0;
	now = bpf_ktime_get_ns();
	task = bpf_get_current_task_btf();
	t = bpf_task_storage_get(&threads, task, 0, 0);
	if (p->flags & WATCH_PROBE_KEYED) {
		if (t || is_wanted(task))
			keyed_stop(ctx, t, p, now);
		return 0;
	}
	if (!t) {
		if (is_wanted(task))
			lose(LOSS_STOP_UNMATCHED);
		return 0;
	}
	if (p->flags & WATCH_PROBE_FRAME && !(p->flags & WATCH_PROBE_SWITCHES_STACKS))
		sp = user_sp + (__u64)(__s64)p->sp_adjust;
	if (!sp && t->over[p->section % WATCH_SECTIONS_MAX]) {
		t->over[p->section % WATCH_SECTIONS_MAX]--;
		return 0;
	}
	i = slot_of_stop(t, p, sp);
	if (i >= WATCH_OPEN) {
		lose(LOSS_STOP_UNMATCHED);
		return 0;
	}
	o = slot_at(t, i);
	ctl = __sync_lock_test_and_set(&o->ctl, 0);
	elapsed = now - o->start;
	st = stats_of(p->section);
	stats_count(st, elapsed);
	if (elapsed > p->budget_ns)
		section_end_over(t, o, ctl, now, 0);
	top_lower(t);
	return 0;
}

SEC("uprobe")
int probe_start(struct pt_regs *ctx)
{
	return section_start(ctx, bpf_get_attach_cookie(ctx), ctx->sp);
}

SEC("uprobe")
int probe_stop(struct pt_regs *ctx)
{
	return section_stop(ctx, bpf_get_attach_cookie(ctx), ctx->sp);
}

SEC("tp")
int record_start(void *ctx)
{
	return section_start(ctx, bpf_get_attach_cookie(ctx), 0);
}

SEC("tp")
int record_stop(void *ctx)
{
	return section_stop(ctx, bpf_get_attach_cookie(ctx), 0);
}

/* The thread says what it is going to wait for; believed until it says that the wait is over. */
SEC("uprobe")
int probe_note(struct pt_regs *ctx)
{
	__u32 at = (__u32)bpf_get_attach_cookie(ctx);
	struct watch_probe *p = bpf_map_lookup_elem(&probes, &at);
	struct thread *t = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0);

	if (!p || !t)
		return 0;
	if (p->action == ACT_NOTE_END) {
		t->note_kind = 0;
		return 0;
	}
	if (p->action != ACT_NOTE_BEGIN)
		return 0;
	t->note_kind = 0;
	for (int i = 0; i < WATCH_ARGS; i++) {
		__u64 v = 0;

		if (p->arg[i].kind == ARG_NONE)
			continue;
		if (arg_read(ctx, &p->arg[i], &v))
			v = 0;
		if (p->arg[i].kind == ARG_STRING && i <= WATCH_ARGS - 3) {
			t->note[i] = 0;
			bpf_probe_read_user_str(&t->note[i], 24, (void *)v);
			i += 2;
			continue;
		}
		t->note[i] = v;
	}
	barrier_compiler();
	t->note_kind = (__u32)p->section + 1;
	return 0;
}
