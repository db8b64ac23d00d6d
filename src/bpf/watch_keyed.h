/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_KEYED_H
#define TOCSIN_BPF_WATCH_KEYED_H

/* Probe arguments, and sections that pair by one of them instead of by thread. */

#include "watch_process.h"
#include "watch_section.h"
#include "watch_state.h"

#include "probe.h"

#define KERNEL_EEXIST 17

/* Make room for a key that is still there. Its section may be open: then the older one is given up.
 * Or a stop has taken it and is about to delete it, on another CPU, within some 100 ns. */
static long keyed_evict(__u32 i, struct keyed_id *id)
{
	struct keyed *old = bpf_map_lookup_elem(&keyed_open, id);
	__u64 ctl;

	if (!old)
		return 1;
	ctl = keyed_take(old, id);
	if (!ctl)
		return 0;
	lose(LOSS_KEY_REUSED);
	keyed_leave(old, id, ctl, bpf_ktime_get_ns(), SECTION_ABANDON_FRAME);
	bpf_map_delete_elem(&keyed_open, id);
	return 1;
}

/* Returns 0, or non-zero when there is no room. */
GLOBAL int keyed_insert(const struct keyed_id *id, const struct keyed *k)
{
	struct keyed_id key;
	long r;

	if (!id || !k)
		return -1;
	key = *id;
	r = bpf_map_update_elem(&keyed_open, &key, k, BPF_NOEXIST);
	for (int try = 0; try < 4 && r == -KERNEL_EEXIST; try++) {
		bpf_loop(1024, keyed_evict, &key, 0);
		r = bpf_map_update_elem(&keyed_open, &key, k, BPF_NOEXIST);
	}
	return (int)r;
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

	if (!t || !p || !c)
		return 0;
	if (arg_read(ctx, &p->key, &id.key)) {
		lose(LOSS_KEY_UNREAD);
		return 0;
	}
	id.section = p->section;
	id.tgid = t->tgid;
	k.ctl = CTL_MAKE(t->serial++, p->section);
	k.key = id.key;
	k.start = now;
	k.deadline = now + p->budget_ns;
	k.tid = t->tid;
	k.tgid = t->tgid;
	for (int i = 0; i < NR_OFF; i++)
		k.off[i] = t->off[i];
	k.short_ns = t->short_ns;
	k.n_long = t->n_long;
	k.n_short = t->n_short;
	comm_of(k.comm, task);
	t->starts_keyed = 1;
	keyed_count(t->tid, 1);
	if (keyed_insert(&id, &k)) {
		keyed_count(t->tid, -1);
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
	d->serial = CTL_SERIAL(k.ctl);
	barrier_compiler();
	d->when = p->budget_ns < HORIZON_NS ? k.deadline : now + HORIZON_NS;
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
	ctl = k ? keyed_take(k, &id) : 0;
	if (!k || !ctl) {
		lose(LOSS_STOP_UNMATCHED);
		return 0;
	}
	keyed_count(k->tid, -1);
	if (ctl & CTL_FIRED) /* since we read the clock: then it did last that long */
		now = bpf_ktime_get_ns();
	elapsed = now - k->start;
	st = stats_of(p->section);
	stats_count(st, elapsed);
	if (elapsed > p->budget_ns) {
		if (st)
			__sync_fetch_and_add(&st->over, 1);
		keyed_fill(&e, k, &id, ctl, now);
		e.type = EV_CLOSED;
		e.stop_tid = (__u32)task->pid;
		if (t && t->tid == k->tid && t->born <= k->start) {
			off_since(t, k->off, now, e.off);
			e.state = TS_RUNNING;
			e.n_long = t->n_long - k->n_long;
			e.n_short = t->n_short - k->n_short;
			e.short_ns = t->short_ns - k->short_ns;
			e.sent = spells_send(t, ctl, k->start, k->n_long);
			if (t->gap >= k->start)
				e.flags |= SECTION_NO_SPLIT | SECTION_GAP;
		} else {
			e.flags |= SECTION_NO_SPLIT | SECTION_MOVED;
		}
		section_report(&e, NULL);
	}
	bpf_map_delete_elem(&keyed_open, &id); /* a start of the same key waits for this */
	if (t && t->n_long && !has_open(t))
		spells_drop(t);
	return 0;
}

#endif
