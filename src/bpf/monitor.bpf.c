// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel half of `tocsin monitor run`: models stepped by whatever they are bound to.
 *
 * A point is a tracepoint that has a program here (abi/monitor_points.def), or a probe that the
 * collector placed. Its program puts the event's values side by side and walks the rules that the
 * collector wrote for it: a rule has a condition over the values, says which of them tells the
 * instances of its monitor apart, and which event of the model this is, or which atom of a formula.
 * So one program serves every model, and what is loaded is data: tables, rules, and which probes
 * there are.
 *
 * An instance of a task is found through the task's own storage, of a CPU by its number, of a
 * process or an object in a hash table. It comes into being at an event that starts it, and goes
 * with its task or process.
 */
#include "monitor_state.h"

#include "monitor_slot.h"
#include "monitor_timer.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define RULES_OF_POINT 64

/* ---- whose instance */

INLINE bool is_wanted(struct task_struct *task)
{
	__u32 tgid = (__u32)task->tgid;

	if (!task->pid || tgid == own_tgid)
		return false;
	return watch_all || bpf_map_lookup_elem(&processes, &tgid);
}

INLINE struct task_slots *slots_of(struct task_struct *task)
{
	struct task_slots *ts = NULL;

	if (task->bpf_storage)
		ts = bpf_task_storage_get(&tasks, task, 0, 0);
	if (ts || !is_wanted(task))
		return ts;
	ts = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (ts)
		ts->tid = (__u32)task->pid;
	else
		lose(MONITOR_LOSS_TASK_NOMEM);
	return ts;
}

INLINE __u32 slot_of_task(struct task_slots *ts, __u32 monitor, bool may_begin)
{
	__u32 at = monitor & (MONITOR_MAX - 1), slot = ts->slot[at], other;

	if (slot || !may_begin || ts->is_over)
		return slot;
	slot = slot_take(monitor, ts->tid);
	if (!slot)
		return 0;
	other = __sync_val_compare_and_swap(&ts->slot[at], 0, slot);
	if (!other)
		return slot;
	slot_give(slot); /* another CPU was first */
	return other;
}

GLOBAL __u32 slot_of_object(__u64 key, __u32 tgid, __u32 monitor, __u32 may_begin)
{
	struct object_id id = {.key = key, .tgid = tgid, .monitor = monitor};
	__u32 *found = bpf_map_lookup_elem(&objects, &id), slot;

	if (found)
		return *found;
	if (!may_begin)
		return 0;
	slot = slot_take(monitor, key);
	if (!slot)
		return 0;
	if (!bpf_map_update_elem(&objects, &id, &slot, BPF_NOEXIST))
		return slot;
	slot_give(slot); /* another CPU was first, or the table is full */
	found = bpf_map_lookup_elem(&objects, &id);
	if (!found)
		lose(MONITOR_LOSS_INSTANCES_FULL);
	return found ? *found : 0;
}

/* ---- rules */

INLINE __u64 value_at(const struct monitor_values *v, __u32 i)
{
	return v->v[i & (MONITOR_VALUES - 1)];
}

/* Step the instance that a rule is about. */
INLINE int rule_step(struct monitor_values *v, struct task_slots *ts, __u32 at, struct step *st)
{
	struct monitor_rule *r = bpf_map_lookup_elem(&rules, &at);
	struct monitor_state *m;
	struct monitor_slot *s;
	__u32 monitor, slot = 0;
	__u64 key;

	if (!v || !st || !r)
		return 0;
	monitor = r->monitor;
	m = bpf_map_lookup_elem(&monitors, &monitor);
	if (!m)
		return 0;
	key = value_at(v, r->key);
	switch (r->scope) {
	case MONITOR_TASK:
		if (ts) {
			slot = slot_of_task(ts, monitor, r->flags & MONITOR_RULE_STARTS);
			key = ts->tid;
		}
		break;
	case MONITOR_CPU: slot = key < nr_cpus ? m->first + (__u32)key : 0; break;
	case MONITOR_PROCESS:
		slot = slot_of_object(key, 0, monitor, r->flags & MONITOR_RULE_STARTS);
		break;
	case MONITOR_OBJECT:
		slot = slot_of_object(key, (__u32)v->v[MONITOR_V_PROCESS], monitor,
				      r->flags & MONITOR_RULE_STARTS);
		break;
	default:
		slot = m->first;
		key = 0;
		break;
	}
	s = slot ? slot_at(slot) : NULL;
	if (!s)
		return 0;
	st->monitor = (__u16)monitor;
	st->slot = slot;
	st->event = r->event;
	st->has_inputs = r->nr_inputs;
	for (__u32 i = 0; i < MONITOR_INPUTS && i < r->nr_inputs; i++)
		st->input[r->input[i] & (AUTOMATON_INPUTS - 1)] = value_at(v, r->from[i]);
	return slot_event(s, m, st, key);
}

GLOBAL int rule_apply(struct monitor_values *v, struct task_slots *ts, struct task_slots *other,
		      __u32 at, struct step *st)
{
	struct monitor_rule *r = bpf_map_lookup_elem(&rules, &at);
	__u64 bit;
	int holds;

	if (!v || !st || !r)
		return 0;
	if (r->flags & MONITOR_RULE_OTHER)
		ts = other;
	holds = !r->nr_terms || monitor_holds(r, v);
	if (r->how == MONITOR_STEP) {
		if (!holds)
			return 0;
		st->now = 0;
		return rule_step(v, ts, at, st);
	}
	bit = holds ? 1ull << (r->event & 63) : 0;
	if (r->how == MONITOR_PULSE)
		st->atoms |= bit;
	else if (r->how == MONITOR_SET)
		st->set |= bit;
	else
		st->clear |= bit;
	if (!r->is_last)
		return 0;
	rule_step(v, ts, at, st);
	st->atoms = st->set = st->clear = 0;
	return 0;
}

/* All rules of a point. @ts, @other: the tasks that it is about; NULL: not watched. */
GLOBAL int point_apply(struct monitor_values *v, struct task_slots *ts, struct task_slots *other,
		       __u32 point)
{
	struct monitor_point *p = bpf_map_lookup_elem(&points, &point);
	struct step st; /* what a rule does not set is not looked at */
	__u32 first, nr;

	if (!v || !p || p->is_silent || !is_armed)
		return 0;
	st.now = st.atoms = st.set = st.clear = 0;
	first = p->first;
	nr = p->nr;
	for (__u32 i = 0; i < RULES_OF_POINT && i < nr; i++) {
		rule_apply(v, ts, other, first + i, &st);
	}
	return 0;
}

/* ---- points of the kernel */

/* The compiler would join two pointers to ask both at once, which the verifier does not allow. */
INLINE __u64 is_there(const struct task_slots *ts)
{
	__u64 there = ts != NULL;

	asm volatile("" : "+r"(there));
	return there;
}

INLINE void values_of(struct monitor_values *v, struct task_struct *task)
{
	v->v[MONITOR_V_THREAD] = (__u32)task->pid;
	v->v[MONITOR_V_PROCESS] = (__u32)task->tgid;
	v->v[MONITOR_V_CPU] = bpf_get_smp_processor_id();
	v->v[MONITOR_V_PRIO] = (__u64)(__s64)task->prio;
	v->v[MONITOR_V_RT] = task->prio < PRIO_FAIR;
	v->v[MONITOR_V_USER] = !(task->flags & PF_KTHREAD);
}

/* As tracefs shows it: the lowest bits, or that it was put aside while it ran. */
INLINE __u64 state_shown(unsigned int state, bool preempt)
{
	if (preempt)
		return 256;
	return state & 0x7f;
}

/* Some switches are not traced on some kernels: a task that leaves a CPU that it never entered, or
 * enters one twice. What its instances missed is not known, so they begin anew. */
GLOBAL int slot_resync(__u32 slot)
{
	struct monitor_slot *s = slot_at(slot);

	if (!s || !slot || !s->in.state)
		return 0;
	lose(MONITOR_LOSS_GAP);
	if (slot_lock(s, 0) != LOCKED)
		return 0; /* its holder begins it anew */
	s->in.state = 0;
	s->in.bits = 0;
	s->in.deadline_ns = 0;
	s->in.pending = 0;
	s->in.flags &= AUTOMATON_FROZEN;
	s->path[0] = 0;
	for (int k = 0; k < 4 && slot_unlock(s); k++)
		; /* events that came meanwhile are of before */
	return 0;
}

GLOBAL int task_resync(struct task_slots *ts)
{
	if (!ts)
		return 0;
	for (__u32 i = 0; i < MONITOR_MAX; i++)
		if (ts->slot[i])
			slot_resync(ts->slot[i]);
	return 0;
}

INLINE void task_moves(struct task_slots *ts, __u32 to)
{
	if (ts->where == to)
		task_resync(ts);
	ts->where = (__u16)to;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	struct task_slots *a = slots_of(prev), *b = slots_of(next);
	struct monitor_values v;

	if (!watch_all && !is_there(a) && !is_there(b))
		return 0;
	if (a)
		task_moves(a, WHERE_OFF_CPU);
	if (b)
		task_moves(b, WHERE_ON_CPU);
	v.v[0] = (__u32)prev->pid;
	v.v[1] = state_shown(prev_state, preempt);
	v.v[2] = (__u64)(__s64)prev->prio;
	v.v[3] = (__u32)next->pid;
	v.v[4] = (__u64)(__s64)next->prio;
	values_of(&v, prev);
	return point_apply(&v, a, b, MONITOR_P_SCHED_SWITCH);
}

INLINE int woken(struct task_struct *task, __u32 point)
{
	struct task_slots *ts = slots_of(task);
	struct task_struct *waker = bpf_get_current_task_btf();
	struct monitor_values v;

	if (!ts && !watch_all)
		return 0;
	values_of(&v, waker);
	v.v[0] = (__u32)task->pid;
	v.v[1] = (__u64)(__s64)task->prio;
	v.v[2] = bpf_core_field_exists(task->wake_cpu) ? (__u64)(__s64)task->wake_cpu : 0;
	v.v[3] = v.v[MONITOR_V_PRIO];
	v.v[MONITOR_V_PRIO] = v.v[1];
	v.v[MONITOR_V_RT] = task->prio < PRIO_FAIR;
	v.v[MONITOR_V_USER] = !(task->flags & PF_KTHREAD);
	return point_apply(&v, ts, NULL, point);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_sched_wakeup, struct task_struct *task)
{
	return woken(task, MONITOR_P_SCHED_WAKEUP);
}

SEC("tp_btf/sched_waking")
int BPF_PROG(on_sched_waking, struct task_struct *task)
{
	return woken(task, MONITOR_P_SCHED_WAKING);
}

SEC("tp_btf/sched_set_need_resched_tp")
int BPF_PROG(on_need_resched, struct task_struct *task, int cpu, int tif)
{
	struct task_slots *ts = slots_of(task);
	struct monitor_values v;

	if (!ts && !watch_all)
		return 0;
	values_of(&v, task);
	v.v[0] = (__u32)task->pid;
	v.v[1] = (__u64)(__s64)cpu;
	v.v[2] = (__u64)(__s64)tif;
	return point_apply(&v, ts, NULL, MONITOR_P_NEED_RESCHED);
}

/* Of the task that is there, with up to three values. */
INLINE int here(__u32 point, __u64 a, __u64 b, __u64 c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_slots *ts = slots_of(task);
	struct monitor_values v;

	if (!ts && !watch_all)
		return 0;
	values_of(&v, task);
	v.v[0] = a;
	v.v[1] = b;
	v.v[2] = c;
	return point_apply(&v, ts, NULL, point);
}

#define HERE(name, tracepoint, POINT)                           \
	SEC("tp_btf/" tracepoint)                               \
	int BPF_PROG(name, unsigned long a)                     \
	{                                                       \
		return here(MONITOR_P_##POINT, (__u64)a, 0, 0); \
	}
#define HERE_BOOL(name, tracepoint, POINT)               \
	SEC("tp_btf/" tracepoint)                        \
	int BPF_PROG(name, bool a)                       \
	{                                                \
		return here(MONITOR_P_##POINT, a, 0, 0); \
	}

HERE_BOOL(on_sched_entry, "sched_entry_tp", SCHED_ENTRY)
HERE_BOOL(on_sched_exit, "sched_exit_tp", SCHED_EXIT)
HERE(on_irq_entry, "irq_handler_entry", IRQ_ENTRY)
HERE(on_timer_entry, "local_timer_entry", TIMER_ENTRY)
HERE(on_reschedule_entry, "reschedule_entry", RESCHEDULE_ENTRY)
HERE(on_call_entry, "call_function_entry", CALL_ENTRY)
HERE(on_call_single_entry, "call_function_single_entry", CALL_SINGLE_ENTRY)
HERE(on_signal_deliver, "signal_deliver", SIGNAL_DELIVER)

SEC("tp_btf/page_fault_user")
int BPF_PROG(on_fault_user, unsigned long address, struct pt_regs *regs, unsigned long code)
{
	return here(MONITOR_P_FAULT_USER, address, regs->ip, code);
}

SEC("tp_btf/page_fault_kernel")
int BPF_PROG(on_fault_kernel, unsigned long address, struct pt_regs *regs, unsigned long code)
{
	return here(MONITOR_P_FAULT_KERNEL, address, regs->ip, code);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long id)
{
	return here(MONITOR_P_SYS_ENTER, (__u64)id, 0, 0);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	return here(MONITOR_P_SYS_EXIT, regs->orig_ax, (__u64)ret, 0);
}

SEC("tp_btf/contention_begin")
int BPF_PROG(on_contention_begin, void *lock, unsigned int flags)
{
	return here(MONITOR_P_CONTENTION_BEGIN, (__u64)lock, flags, 0);
}

SEC("tp_btf/contention_end")
int BPF_PROG(on_contention_end, void *lock, int ret)
{
	return here(MONITOR_P_CONTENTION_END, (__u64)lock, (__u64)(__s64)ret, 0);
}

SEC("tp_btf/task_prctl_unknown")
int BPF_PROG(on_prctl, int option, unsigned long arg2, unsigned long arg3)
{
	return here(MONITOR_P_PRCTL, (__u64)(__s64)option, arg2, arg3);
}

/* ---- places that the collector chose */

INLINE int placed(void *ctx, __u64 cookie)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 at = MONITOR_P_NR + (__u32)cookie;
	struct monitor_point *p = bpf_map_lookup_elem(&points, &at);
	struct task_slots *ts;
	struct monitor_values v;

	if (!p || p->is_silent)
		return 0;
	ts = slots_of(task);
	if (!ts)
		return 0;
	values_of(&v, task);
	for (int i = 0; i < MONITOR_ARGS; i++) {
		__u64 value = 0;

		if (i < p->nr_args && p->arg[i].kind != ARG_NONE &&
		    arg_read(ctx, &p->arg[i], &value)) {
			lose(MONITOR_LOSS_VALUE_UNREAD);
			return 0;
		}
		v.v[i] = value;
	}
	return point_apply(&v, ts, NULL, at);
}

SEC("uprobe")
int on_probe(struct pt_regs *ctx)
{
	return placed(ctx, bpf_get_attach_cookie(ctx));
}

SEC("tp")
int on_record(void *ctx)
{
	return placed(ctx, bpf_get_attach_cookie(ctx));
}

/* ---- who comes and goes */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = (__u32)parent->tgid, new = (__u32)child->tgid, one = 1;

	if (follow && tgid != new &&bpf_map_lookup_elem(&processes, &tgid) &&
	    bpf_map_update_elem(&processes, &new, &one, BPF_ANY))
		lose(MONITOR_LOSS_TASK_NOMEM);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct task_slots *ts = NULL;
	struct monitor_event *ev;
	__u32 tgid = (__u32)task->tgid;

	if (task->bpf_storage)
		ts = bpf_task_storage_get(&tasks, task, 0, 0);
	if (!ts)
		return 0;
	ts->is_over = 1;
	for (__u32 i = 0; i < MONITOR_MAX; i++) {
		__u32 slot = __sync_lock_test_and_set(&ts->slot[i], 0);

		if (slot)
			slot_give(slot);
	}
	if (task->signal->live.counter > 0)
		return 0;
	bpf_map_delete_elem(&processes, &tgid);
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev) { /* its objects stay until the end */
		lose(MONITOR_LOSS_RING_FULL);
		return 0;
	}
	ev->type = MONITOR_EV_GONE;
	ev->pid = tgid;
	bpf_ringbuf_submit(ev, 0);
	return 0;
}

/* What a probe costs whose program does nothing: for the bench. */
SEC("tp_btf/task_prctl_unknown")
int BPF_PROG(on_prctl_empty, int option)
{
	return 0;
}
