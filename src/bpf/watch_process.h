/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_PROCESS_H
#define TOCSIN_BPF_WATCH_PROCESS_H

/* Who is watched: processes that come and go, and the threads that are registered. */

#include "watch_linked.h"
#include "watch_section.h"
#include "watch_stack.h"
#include "watch_state.h"

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
	comm_of(ev->comm, task->group_leader);
	bpf_ringbuf_submit(ev, 0);
	return 0;
}

GLOBAL int section_abandon(struct thread *t, struct open_section *o, __u64 now, __u32 flag)
{
	struct watch_stats *st;
	__u64 ctl;

	if (!t || !o)
		return 0;
	ctl = __sync_lock_test_and_set(&o->ctl, 0);
	if (!(ctl & CTL_OPEN))
		return 0;
	st = stats_of(CTL_SECTION(ctl));
	if (st)
		__sync_fetch_and_add(&st->abandoned, 1);
	if (((ctl & CTL_FIRED) || now >= o->deadline) && !dropped[CTL_SECTION(ctl)])
		section_end_over(t, o, ctl, now, flag);
	return 0;
}

/* Every open section of the current thread is given up. */
GLOBAL int sections_abandon(struct thread *t, __u64 now, __u32 flag)
{
	if (!t)
		return 0;
	for (__u32 i = 0; i < WATCH_OPEN && i < t->top; i++)
		section_abandon(t, &t->open[i], now, flag);
	for (__u32 i = 0; i < SECTION_OPEN && t->nr_linked; i++)
		section_abandon(t, &t->linked[i], now, flag);
	t->top = 0;
	t->nr_linked = 0;
	t->next_deadline = 0;
	t->note_kind = 0;
	t->born = now;
	over_clear(t);
	spells_drop(t);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct thread *t = thread_of(task);
	__u32 tgid = (__u32)task->tgid;

	if (t) {
		stack_leave(task, t->tid, STACK_EXITED);
		if (t->slot) /* its memory is still there */
			linked_sync(t, bpf_ktime_get_ns());
		sections_abandon(t, bpf_ktime_get_ns(), SECTION_ABANDON_EXIT);
		sleeper_leave(t, task);                  /* its last switch-in was missed */
		bpf_task_storage_delete(&threads, task); /* cannot fail: it was just found, and only
							    its own task deletes it */
		__sync_fetch_and_add(&nr_threads, -1);
	}
	if (!BPF_CORE_READ(task, signal, live.counter) && bpf_map_lookup_elem(&processes, &tgid)) {
		bpf_map_delete_elem(&processes, &tgid);
		bpf_map_delete_elem(&linked, &tgid);
		process_report(PROCESS_EXITED, tgid, 0, task);
	}
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct thread *t = thread_of(task);
	__u32 tgid = (__u32)task->tgid;

	if (t) {
		stack_leave(task, t->tid, STACK_EXECED);
		sections_abandon(t, bpf_ktime_get_ns(), SECTION_ABANDON_EXEC);
		t->slot = 0; /* it was in the program that is gone */
		t->start_ns = task->start_time;
		t->tid = (__u32)task->pid; /* a thread that executes takes its leader's number */
	}
	bpf_map_delete_elem(&linked, &tgid);
	if (bpf_map_lookup_elem(&processes, &tgid))
		process_report(PROCESS_EXECED, tgid, 0, task);
	return 0;
}

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

/* A thread's state; NULL when there is no room. */
static __noinline struct thread *thread_make(struct task_struct *task, __u32 state)
{
	struct thread *t;
	__u64 now;

	if (!task)
		return NULL;
	if (__sync_fetch_and_add(&nr_threads, 1) >= max_threads) { /* two may come at once */
		__sync_fetch_and_add(&nr_threads, -1);
		lose(LOSS_THREADS_FULL);
		return NULL;
	}
	t = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		__sync_fetch_and_add(&nr_threads, -1);
		lose(LOSS_THREAD_NOMEM);
		return NULL;
	}
	now = bpf_ktime_get_ns();
	t->tid = (__u32)task->pid;
	t->tgid = (__u32)task->tgid;
	t->state = state;
	t->since = now;
	t->born = now;
	t->start_ns = task->start_time;
	t->stint_in = now;
	t->serial = now & ((1ull << 47) - 1);
	return t;
}

/* The current thread's state, made when it is to be watched; NULL when not, or when there is no
 * room. */
static __noinline struct thread *thread_register(struct task_struct *task)
{
	if (!task || !is_wanted(task))
		return NULL;
	return thread_make(task, TS_RUNNING);
}

/* A thread of a linked process is watched from now on, in the state it seems to be in: if it is in
 * another, the next switch shows it, and is a gap. */
static __noinline int linked_join(struct task_struct *task, const struct linked_process *p,
				  __u32 state, __u32 is_new)
{
	struct thread *t;
	__u64 tp;

	if (!task || !p)
		return 0;
	tp = THREAD_POINTER(task);
	if (!tp) {
		lose(LOSS_LINKED_UNREAD); /* no thread pointer: a 32-bit program, or one without a C
					     library */
		return 0;
	}
	t = bpf_task_storage_get(&threads, task, 0, 0);
	if (!t)
		t = thread_make(task, state);
	if (!t || t->slot)
		return 0;
	t->poll_ns = p->min_budget_ns > poll_min_ns ? p->min_budget_ns : poll_min_ns;
	t->slot_is_new = is_new;
	barrier_compiler();
	t->slot = tp + (__u64)p->tp_offset;
	if (t->state == TS_BLOCKED || t->state == TS_STOPPED)
		sleeper_enter(t, task);
	return 0;
}

/* A new thread of a process. */
static __noinline int linked_fork(struct task_struct *parent, struct task_struct *child)
{
	struct linked_process *p;
	__u32 tgid;

	if (!parent || !child)
		return 0;
	tgid = (__u32)child->tgid;
	p = bpf_map_lookup_elem(&linked, &tgid);
	if (!p)
		return 0;
	if (THREAD_POINTER(child) == THREAD_POINTER(parent)) {
		lose(LOSS_LINKED_UNREAD); /* raw clone() without a TLS of its own: two threads, one
					     slot */
		return 0;
	}
	return linked_join(child, p, TS_WAITING, 1);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = (__u32)parent->tgid, to = (__u32)child->tgid, one = 1;

	if (from == to)
		return linked_fork(parent, child);
	if (!follow || !bpf_map_lookup_elem(&processes, &from))
		return 0;
	if (bpf_map_update_elem(&processes, &to, &one, BPF_ANY)) {
		lose(LOSS_THREADS_FULL);
		return 0;
	}
	return process_report(PROCESS_FORKED, to, from, child);
}

/* The threads that linked processes have already, each time the collector reads it. */
SEC("iter/task")
int linked_threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct linked_process *p;
	__u32 tgid;

	if (!task)
		return 0;
	tgid = (__u32)task->tgid;
	p = bpf_map_lookup_elem(&linked, &tgid);
	if (!p)
		return 0;
	return linked_join(task, p,
			   task->on_cpu    ? TS_RUNNING
			   : task->__state ? TS_BLOCKED
					   : TS_WAITING,
			   0);
}

#endif
