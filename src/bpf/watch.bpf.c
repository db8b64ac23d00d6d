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

#include "watch_keyed.h"
#include "watch_process.h"
#include "watch_sched.h"
#include "watch_section.h"
#include "watch_state.h"
#include "watch_timer.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Sections of frames that no longer exist: the stack pointer has risen above them, or stands where
 * they stood. What stands in the very frame may be another section of the function that now starts
 * one
 * (`section`, with the return address `word`): it goes only when its return address was another. */
GLOBAL int frames_prune(struct thread *t, __u64 sp, __u32 section, __u64 word)
{
	if (!t)
		return 0;
	for (__u32 n = 0; n < WATCH_OPEN; n++) {
		struct open_section *o;
		__u32 i = t->top - 1;

		if (i >= WATCH_OPEN)
			break;
		o = &t->open[i];
		if (o->ctl &&
		    (!o->sp || (o->flags & OPEN_SWITCHES) || o->sp > sp || sp - o->sp > STACK_SPAN))
			break;
		if (o->ctl && o->sp == sp && CTL_SECTION(o->ctl) != section &&
		    (!word || !o->word || o->word == word))
			break;
		t->top = i;
		section_leave(t, o);
	}
	return 0;
}

/* The verifier wants to see the bound. */
INLINE struct open_section *slot_at(struct thread *t, __u32 i)
{
	asm volatile("" : "+r"(i));
	i &= WATCH_OPEN - 1;
	return &t->open[i];
}

/* Nothing is open there, or what was is of a section that the collector has taken away: its stop
 * will not come. */
INLINE bool slot_is_idle(struct open_section *o)
{
	__u64 ctl = *(volatile __u64 *)&o->ctl;

	return !ctl || dropped[CTL_SECTION(ctl)];
}

/* A slot for one more open section; WATCH_OPEN when there is none. */
INLINE __u32 slot_find(struct thread *t)
{
	__u32 i = t->top;

	if (i < WATCH_OPEN)
		return i;
	for (i = 0; i < WATCH_OPEN; i++)
		if (slot_is_idle(&t->open[i]))
			break;
	return i;
}

/* Give back the idle slots above the last open one. */
INLINE void top_lower(struct thread *t)
{
	for (__u32 n = 0; n < WATCH_OPEN; n++) {
		__u32 i = t->top - 1;

		if (i >= WATCH_OPEN || !slot_is_idle(&t->open[i]))
			break;
		t->top = i;
	}
	if (t->top)
		return;
	if (t->n_long && !has_open(t))
		spells_drop(t);
	if (t->nr_over)
		over_clear(t);
	t->note_kind = 0; /* its end may have been skipped by an error */
}

/* The same section begins again in the same frame: the older one was left without its stop, by an
 * error perhaps. */
GLOBAL int restart_prune(struct thread *t, __u32 section, __u64 user_sp)
{
	if (!t)
		return 0;
	for (__u32 i = 0; i < WATCH_OPEN; i++) {
		struct open_section *o = &t->open[i];
		__u64 ctl = *(volatile __u64 *)&o->ctl;

		if (i >= t->top)
			break;
		if ((ctl & CTL_OPEN) && CTL_SECTION(ctl) == section && o->user_sp == user_sp)
			section_leave(t, o);
	}
	return 0;
}

INLINE struct watch_probe *probe_of(__u32 cookie)
{
	return bpf_map_lookup_elem(&probes, &cookie);
}

INLINE int section_start(void *ctx, struct watch_probe *p, __u64 user_sp)
{
	struct task_struct *task;
	struct open_section *o;
	struct cpu_state *c;
	__u32 i;
	struct thread *t;
	__u64 now, deadline, sp = 0, word = 0;

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
	state_mend(t, now);
	t->starts++;
	if (!t->poll_ns || p->budget_ns < t->poll_ns)
		t->poll_ns = p->budget_ns > poll_min_ns ? p->budget_ns : poll_min_ns;
	if (p->flags & WATCH_PROBE_KEYED)
		return keyed_start(ctx, t, p, now);
	if (p->flags & WATCH_PROBE_FRAME) {
		sp = user_sp + (__u64)(__s64)p->sp_adjust;
		if ((p->flags & WATCH_PROBE_ENDS) &&
		    bpf_probe_read_user(&word, sizeof(word), (void *)sp))
			word = 0;
		if (t->top && !(p->flags & WATCH_PROBE_SWITCHES_STACKS))
			frames_prune(t, sp, p->section, word);
	}
	if (t->top) {
		if (user_sp)
			restart_prune(t, p->section, user_sp);
		if (slot_is_idle(slot_at(t, t->top - 1)))
			top_lower(t);
	}
	i = slot_find(t);
	if (i >= WATCH_OPEN) {
		lose(LOSS_OPEN_FULL);
		if (!sp && t->over[p->section % WATCH_SECTIONS_MAX] < 255) {
			t->over[p->section % WATCH_SECTIONS_MAX]++;
			t->nr_over++;
		}
		return 0;
	}
	o = slot_at(t, i);
	deadline = now + p->budget_ns;
	o->start = now;
	o->deadline = deadline;
	o->sp = sp;
	o->user_sp = user_sp;
	o->word = word;
	o->flags = p->flags & WATCH_PROBE_SWITCHES_STACKS ? OPEN_SWITCHES : 0;
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

INLINE int section_stop(void *ctx, struct watch_probe *p, __u64 user_sp)
{
	struct task_struct *task;
	struct open_section *o;
	struct watch_stats *st;
	__u32 i;
	struct thread *t;
	__u64 now, sp = 0, ctl, elapsed;

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
	if (p->flags & WATCH_PROBE_FRAME)
		sp = user_sp + (__u64)(__s64)p->sp_adjust;
	if (!sp && t->nr_over && t->over[p->section % WATCH_SECTIONS_MAX]) {
		t->over[p->section % WATCH_SECTIONS_MAX]--;
		t->nr_over--;
		return 0;
	}
	if (sp && t->top && slot_at(t, t->top - 1)->sp < sp &&
	    !(p->flags & WATCH_PROBE_SWITCHES_STACKS))
		frames_prune(t, sp - 1, p->section, 0); /* callees that were left unseen */
	i = slot_of_stop(t, p, sp);
	if (i >= WATCH_OPEN) {
		lose(LOSS_STOP_UNMATCHED);
		return 0;
	}
	o = slot_at(t, i);
	ctl = __sync_lock_test_and_set(&o->ctl, 0);
	if (ctl &
	    CTL_FIRED) /* by an interrupt since we read the clock: then it did last that long */
		now = bpf_ktime_get_ns();
	elapsed = now - o->start;
	st = stats_of(p->section);
	stats_count(st, elapsed);
	if (elapsed > p->budget_ns) {
		state_mend(t, now);
		section_end_over(t, o, ctl, now, 0);
	}
	top_lower(t);
	return 0;
}

SEC("uprobe")
int probe_start(struct pt_regs *ctx)
{
	return section_start(ctx, probe_of((__u32)bpf_get_attach_cookie(ctx)), ctx->sp);
}

SEC("uprobe")
int probe_stop(struct pt_regs *ctx)
{
	return section_stop(ctx, probe_of((__u32)bpf_get_attach_cookie(ctx)), ctx->sp);
}

/* The kernel attaches a program to a tracepoint once only: the sections that share one are a chain.
 */
struct record {
	void *ctx;
	__u32 at;
	__u32 pad;
};

static long record_start_one(__u32 i, struct record *r)
{
	struct watch_probe *p = probe_of(r->at);

	if (!p)
		return 1;
	section_start(r->ctx, p, 0);
	r->at = p->next;
	return !r->at;
}

static long record_stop_one(__u32 i, struct record *r)
{
	struct watch_probe *p = probe_of(r->at);

	if (!p)
		return 1;
	section_stop(r->ctx, p, 0);
	r->at = p->next;
	return !r->at;
}

SEC("tp")
int record_start(void *ctx)
{
	struct record r = {.ctx = ctx, .at = (__u32)bpf_get_attach_cookie(ctx)};

	bpf_loop(WATCH_SECTIONS_MAX, record_start_one, &r, 0);
	return 0;
}

SEC("tp")
int record_stop(void *ctx)
{
	struct record r = {.ctx = ctx, .at = (__u32)bpf_get_attach_cookie(ctx)};

	bpf_loop(WATCH_SECTIONS_MAX, record_stop_one, &r, 0);
	return 0;
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
	if (p->action == ACT_DOUBT) {
		t->note_kind = 0;
		for (__u32 i = 0; i < WATCH_OPEN && i < t->top; i++)
			if (t->open[i].ctl & CTL_OPEN)
				__sync_fetch_and_or(&t->open[i].ctl, CTL_DOUBT);
		return 0;
	}
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
