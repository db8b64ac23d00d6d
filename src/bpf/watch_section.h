/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_SECTION_H
#define TOCSIN_BPF_WATCH_SECTION_H

/* Sections: opened, closed, fired, reported. */

#include "watch_stack.h"
#include "watch_state.h"

/* A section that seems to have been left is looked at again after this time: it may be a signal's
 * stack that lies higher. */
#define DOUBT_NS 1000000

/* Keyed sections whose stop never comes are given up when their process has gone: how often that is
 * looked for. */
#define HORIZON_NS                                                                             \
	100000000ull /* a queue holds a keyed section no longer without looking whether it has \
			ended */
#define ORPHAN_NS 1000000000ull

/* Two frames further apart than this are not on one stack. */
#define STACK_SPAN (64ull << 20)

/* A section at its end, or at the moment its deadline passed. */
struct ending {
	__u64 ctl;
	__u64 start;
	__u64 deadline;
	__u64 end;
	__u64 fired_ns;
	__u64 key;
	__u64 off[NR_OFF]; /* spent in each off-CPU state */
	__u64 short_ns;
	__u32 flags;
	__u32 type;
	__u32 tid;
	__u32 tgid;
	__u32 stop_tid;
	__u32 state;
	__u32 n_long;
	__u32 n_short;
	__u32 sent;
	__u32 seq; /* of the thread's state, when `off` was copied from it */
	char comm[WATCH_COMM_LEN];
};

INLINE struct watch_stats *stats_of(__u32 section)
{
	return bpf_map_lookup_elem(&stats, &section);
}

/* One section ended: within budget this is all that is kept of it. */
INLINE void stats_count(struct watch_stats *st, __u64 elapsed)
{
	__u32 bucket = tocsin_hist_bucket(elapsed);

	if (!st)
		return;
	asm volatile(
		""
		: "+r"(bucket)); /* the verifier wants to see the bound that the compiler knows */
	if (bucket >= TOCSIN_HIST_BUCKETS)
		bucket = TOCSIN_HIST_BUCKETS - 1;
	__sync_fetch_and_add(&st->bucket[bucket], 1);
}

INLINE void comm_of(char *comm, struct task_struct *task)
{
	bpf_probe_read_kernel(comm, WATCH_COMM_LEN, &task->comm);
}

/* The parts of the split; when they cannot be claimed all of it is unknown. They sum to the elapsed
 * time always. */
INLINE void split_of(const struct ending *e, __u64 *split, __u32 *flags)
{
	__u64 elapsed = e->end - e->start, off = 0;

	for (int i = 0; i < NR_OFF; i++)
		off += e->off[i];
	if (off > elapsed)
		*flags |= SECTION_NO_SPLIT;
	split[TS_RUNNING] = elapsed - off;
	split[TS_WAITING] = e->off[0];
	split[TS_THROTTLED] = e->off[1];
	split[TS_BLOCKED] = e->off[2];
	split[TS_STOPPED] = e->off[3];
	split[TS_UNKNOWN] = 0;
	if (*flags & SECTION_NO_SPLIT) {
		for (int i = 0; i < TS_NR; i++)
			split[i] = 0;
		split[TS_UNKNOWN] = elapsed;
	}
}

/* The spell it is in, as it was when the rest was copied: it may have ended on another CPU since.
 */
INLINE bool spell_now(struct watch_spell *to, const struct thread *t, __u32 seq)
{
	*to = t->cur;
	to->flags |= SPELL_OPEN;
	barrier_compiler();
	return *(volatile __u32 *)&t->seq == seq;
}

/* `t`: the thread; NULL for a keyed section, which has none. */
GLOBAL int section_report(const struct ending *e, const struct thread *t)
{
	struct watch_event_section *ev;
	struct watch_stats *st;
	__u64 split[TS_NR];
	__u32 flags;

	if (!e)
		return 0;
	flags = e->flags;
	split_of(e, split, &flags);
	st = stats_of(CTL_SECTION(e->ctl));
	if (st && e->type != EV_FIRED) /* whether or not its record finds room */
		for (int i = 0; i < TS_NR; i++)
			__sync_fetch_and_add(&st->over_split_ns[i], split[i]);
	if (st && e->type != EV_FIRED && (e->flags & SECTION_FIRED))
		__sync_fetch_and_add(&st->fired_ended, 1);
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev) {
		lose(LOSS_EVENT_RING_FULL);
		return 0;
	}
	__builtin_memcpy(ev->split_ns, split, sizeof(split));
	ev->head.type = e->type;
	ev->head.cpu = bpf_get_smp_processor_id();
	ev->head.t_ns = bpf_ktime_get_ns();
	ev->section = CTL_SECTION(e->ctl);
	ev->tid = e->tid;
	ev->tgid = e->tgid;
	ev->serial = CTL_SERIAL(e->ctl);
	ev->key = e->key;
	ev->start_ns = e->start;
	ev->deadline_ns = e->deadline;
	ev->end_ns = e->end;
	ev->state = e->state;
	ev->stop_tid = e->stop_tid;
	ev->spells = e->sent;
	ev->spells_long = e->n_long;
	ev->spells_short = e->n_short;
	ev->short_ns = e->short_ns;
	ev->pad = 0;
	ev->user_stack = t ? t->user_stack : STACK_NOT_ASKED;
	ev->thread_start_ns = t ? t->start_ns : 0;
	__builtin_memcpy(ev->comm, e->comm, sizeof(ev->comm));
	ev->fired_ns = flags & SECTION_FIRED ? e->fired_ns : 0;
	if (t && (flags & SECTION_SPELL_OPEN) && !spell_now(&ev->now, t, e->seq))
		flags &= ~SECTION_SPELL_OPEN;
	if (!(flags & SECTION_SPELL_OPEN))
		__builtin_memset(&ev->now, 0, sizeof(ev->now));
	ev->flags = flags;
	bpf_ringbuf_submit(ev, 0);
	return 0;
}

/* --- spells
 * -------------------------------------------------------------------------------------------------------
 */

INLINE struct watch_spell *spell_at(struct thread *t, __u32 n)
{
	__u32 chunk = t->chunk[n / WATCH_CHUNK % WATCH_CHUNKS];
	struct chunk *c;

	if (!chunk)
		return NULL;
	chunk--;
	c = bpf_map_lookup_elem(&spells, &chunk);
	if (!c)
		return NULL;
	return &c->spell[n % WATCH_CHUNK];
}

/* Keep the spell that has just ended; the oldest of WATCH_SPELLS gives way. */
GLOBAL int spell_keep(struct thread *t)
{
	struct watch_spell *s;
	__u32 n, chunk, at;

	if (!t)
		return 0;
	n = t->n_long++;
	at = n / WATCH_CHUNK % WATCH_CHUNKS;
	if (!t->chunk[at]) {
		if (bpf_map_pop_elem(&free_chunks, &chunk)) {
			lose(LOSS_SPELLS_FULL);
			return 0;
		}
		t->chunk[at] = (__u16)(chunk + 1);
	}
	s = spell_at(t, n);
	if (s)
		*s = t->cur;
	return 0;
}

/* The outermost section is closed: nobody will ask for these spells again. */
GLOBAL int spells_drop(struct thread *t)
{
	if (!t)
		return 0;
	for (int i = 0; i < WATCH_CHUNKS; i++) {
		__u32 chunk = t->chunk[i];

		if (!chunk)
			continue;
		chunk--;
		t->chunk[i] = 0;
		bpf_map_push_elem(&free_chunks, &chunk, 0); /* cannot fail: it came from there */
	}
	t->n_long = 0;
	return 0;
}

struct spell_walk {
	struct thread *t;
	__u64 ctl;
	__u64 start;
	__u32 next;
	__u32 last;
	__u32 sent;
	__u32 tid;
};

static long spell_send(__u32 i, struct spell_walk *w)
{
	struct watch_event_spell *ev;
	struct watch_spell *s;

	if (w->next >= w->last)
		return 1;
	s = spell_at(w->t, w->next++);
	if (!s || s->t_in <= w->start)
		return 0; /* none was free for it, or it is an older one's place */
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev) {
		lose(LOSS_EVENT_RING_FULL);
		return 0;
	}
	ev->head.type = EV_SPELL;
	ev->head.cpu = bpf_get_smp_processor_id();
	ev->head.t_ns = s->t_in;
	ev->section = CTL_SECTION(w->ctl);
	ev->tid = w->tid;
	ev->serial = CTL_SERIAL(w->ctl);
	ev->spell = *s;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP); /* the closing record wakes the collector */
	w->sent++;
	return 0;
}

/* Those of the thread's spells that lie in a section that has just ended: `next` is the first that
 * may. Returns the number sent. */
GLOBAL __u32 spells_send(struct thread *t, __u64 ctl, __u64 start, __u32 next)
{
	struct spell_walk w = {};

	if (!t)
		return 0;
	w.t = t;
	w.ctl = ctl;
	w.start = start;
	w.tid = t->tid;
	w.last = t->n_long;
	w.next = next;
	if (w.last - w.next > WATCH_SPELLS)
		w.next = w.last - WATCH_SPELLS;
	/* The last quarter of the ring is for records of sections: a thread with many open ones
	 * sends its spells with each. */
	if (w.next != w.last &&
	    bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > ring_bytes / 4 * 3) {
		__sync_fetch_and_add(&losses[LOSS_SPELLS_UNSENT], w.last - w.next);
		return 0;
	}
	if (w.next != w.last)
		bpf_loop(WATCH_SPELLS, spell_send, &w, 0);
	return w.sent;
}

/* --- the end of a section
 * ----------------------------------------------------------------------------------------- */

/* What the thread spent off CPU since a section's start. `now` matters only where it is off CPU
 * now. */
INLINE void off_since(struct thread *t, const __u64 *base, __u64 now, __u64 *off)
{
	__u32 state = t->state;

	for (int i = 0; i < NR_OFF; i++)
		off[i] = t->off[i] - base[i];
	if (state >= TS_WAITING && state <= TS_STOPPED && now > t->since) {
		for (int i = 0; i < NR_OFF; i++)
			if (state == (__u32)i + TS_WAITING)
				off[i] += now - t->since;
	}
}

INLINE void ending_fill(struct ending *e, struct thread *t, const struct open_section *o, __u64 ctl,
			__u64 end)
{
	e->ctl = ctl;
	e->start = o->start;
	e->deadline = o->deadline;
	e->end = end;
	e->fired_ns = o->fired_ns;
	e->key = 0;
	e->tid = t->tid;
	e->tgid = t->tgid;
	e->stop_tid = t->tid;
	e->state = t->state;
	e->n_long = t->n_long - o->n_long;
	e->n_short = t->n_short - o->n_short;
	e->short_ns = t->short_ns - o->short_ns;
	e->sent = 0;
	e->seq = 0;
	e->flags = ctl & CTL_FIRED ? SECTION_FIRED : 0;
	if (t->gap >= o->start)
		e->flags |= SECTION_NO_SPLIT | SECTION_GAP;
	if (o->flags & OPEN_NO_SPLIT)
		e->flags |= SECTION_NO_SPLIT;
	off_since(t, o->off, end, e->off);
}

/* Ended over budget, or given up after its deadline (abandoned: why, SECTION_ABANDON_*): the
 * spells, then the record. The slot is already idle. */
GLOBAL int section_end_over(struct thread *t, struct open_section *o, __u64 ctl, __u64 end,
			    __u32 abandoned)
{
	struct ending e = {};
	struct watch_stats *st;

	if (!t || !o)
		return 0;
	ending_fill(&e, t, o, ctl, end);
	e.type = abandoned ? EV_ABANDONED : EV_CLOSED;
	e.flags |= abandoned;
	st = stats_of(CTL_SECTION(ctl));
	if (st)
		__sync_fetch_and_add(&st->over, 1);
	if (e.flags & SECTION_GAP)
		lose(LOSS_GAP);
	e.sent = spells_send(t, ctl, o->start, o->n_long);
	comm_of(e.comm, bpf_get_current_task_btf());
	return section_report(&e, t);
}

/* Its deadline has passed and it is open. Only whoever moved the control word to fired comes here.
 */
GLOBAL int section_fire(struct thread *t, const struct ending *e)
{
	struct watch_stats *st;

	if (!t || !e)
		return 0;
	st = stats_of(CTL_SECTION(e->ctl));
	if (st)
		__sync_fetch_and_add(&st->fired, 1);
	return section_report(e, t);
}

/* A section was left without its stop. */
GLOBAL int section_leave(struct thread *t, struct open_section *o)
{
	struct watch_stats *st;
	__u64 ctl;

	if (!t || !o)
		return 0;
	ctl = __sync_lock_test_and_set(&o->ctl, 0);
	if (!(ctl & CTL_OPEN) || dropped[CTL_SECTION(ctl)])
		return 0;
	lose(LOSS_LEFT_OPEN);
	st = stats_of(CTL_SECTION(ctl));
	if (st)
		__sync_fetch_and_add(&st->abandoned, 1);
	if (ctl & CTL_FIRED)
		section_end_over(t, o, ctl, bpf_ktime_get_ns(),
				 SECTION_ABANDON_FRAME | SECTION_NO_SPLIT);
	return 0;
}

GLOBAL int over_clear(struct thread *t)
{
	if (!t)
		return 0;
	__builtin_memset(t->over, 0, sizeof(t->over));
	t->nr_over = 0;
	return 0;
}

/* Another call has put its return address where the section's function had its own. Only in the
 * thread's own context. */
INLINE bool frame_is_overwritten(const struct open_section *o)
{
	__u64 word = 0;

	return o->word && !(o->flags & OPEN_SWITCHES) &&
	       !bpf_probe_read_user(&word, sizeof(word), (void *)o->sp) && word != o->word;
}

/* A frame section whose frame is above the user's stack pointer, or whose return address has been
 * written over, is over, though its stop was not seen (exception, longjmp): it must not fire. */
INLINE bool frame_is_gone(struct task_struct *task, const struct open_section *o)
{
	struct pt_regs *regs;

	if (!o->sp || (o->flags & OPEN_SWITCHES))
		return false;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (regs->sp > o->sp && regs->sp - o->sp < STACK_SPAN)
		return true;
	return task == bpf_get_current_task_btf() && frame_is_overwritten(o);
}

struct check {
	struct thread *t;
	struct task_struct *task;
	__u64 now;
	__u64 next;    /* earliest deadline still to come */
	__u64 off_cpu; /* the thread is off CPU: state, since and off are a consistent copy of its
			  own */
	__u64 since;
	__u64 off[NR_OFF];
	__u32 state;
	__u32 seq;
};

#define CHECKED (SECTION_OPEN + WATCH_OPEN) /* places of a thread that may hold an open section */

static __noinline long check_one(__u32 i, struct check *c)
{
	struct thread *t = c->t;
	struct open_section *o;
	struct ending e = {};
	__u64 ctl, deadline;

	if (i < SECTION_OPEN) {
		if (!t->nr_linked)
			return 0;
		o = &t->linked[i];
	} else {
		i -= SECTION_OPEN;
		if (i >= t->top || i >= WATCH_OPEN)
			return 1;
		o = &t->open[i];
	}
	ctl = *(volatile __u64 *)&o->ctl;
	if (!(ctl & CTL_OPEN) || (ctl & (CTL_FIRED | CTL_DOUBT)) || dropped[CTL_SECTION(ctl)])
		return 0;
	deadline = o->deadline;
	if (c->now >= deadline && frame_is_gone(c->task, o))
		deadline = c->now + DOUBT_NS;
	if (c->now < deadline) {
		if (deadline < c->next)
			c->next = deadline;
		return 0;
	}
	ending_fill(&e, t, o, ctl, c->now);
	if (c->off_cpu) {
		e.state = c->state;
		e.seq = c->seq;
		for (int k = 0; k < NR_OFF; k++) {
			e.off[k] = c->off[k] - o->off[k];
			if (c->state == (__u32)k + TS_WAITING && c->now > c->since)
				e.off[k] += c->now - c->since;
		}
	}
	o->fired_ns = c->now;
	/* A success says that the slot was this section's all the while it was read. */
	if (__sync_val_compare_and_swap(&o->ctl, ctl, ctl | CTL_FIRED) != ctl)
		return 0;
	e.type = EV_FIRED;
	e.flags |= SECTION_FIRED | (c->off_cpu ? SECTION_SPELL_OPEN : 0);
	e.fired_ns = c->now;
	comm_of(e.comm, c->task);
	t->user_stack = stack_ask(c->task, c->now);
	section_fire(t, &e);
	return 0;
}

/* Fire what is due, in the thread's own context or on its CPU; sets next_deadline to what is due
 * next. */
static __noinline int sections_check(struct thread *t, struct task_struct *task, __u64 now)
{
	struct check c = {.t = t, .task = task, .now = now, .next = ~0ull};

	if (!t || !task)
		return 0;
	bpf_loop(CHECKED, check_one, &c, 0);
	t->next_deadline = c.next == ~0ull ? 0 : c.next;
	return 0;
}

/* --- keyed sections
 * -----------------------------------------------------------------------------------------------
 */

INLINE void keyed_fill(struct ending *e, const struct keyed *k, const struct keyed_id *id,
		       __u64 ctl, __u64 end)
{
	e->ctl = ctl;
	e->start = k->start;
	e->deadline = k->deadline;
	e->end = end;
	e->fired_ns = k->fired_ns;
	e->key = id->key;
	e->tid = k->tid;
	e->tgid = id->tgid;
	e->stop_tid = k->tid;
	e->state = TS_UNKNOWN;
	e->flags = SECTION_KEYED | (ctl & CTL_FIRED ? SECTION_FIRED : 0);
	__builtin_memcpy(e->comm, k->comm, sizeof(e->comm));
}

/* Take the control word of the section with this key: 0 when it is not open, or not this key's any
 * more. */
INLINE __u64 keyed_take(struct keyed *k, const struct keyed_id *id)
{
	__u64 ctl = *(volatile __u64 *)&k->ctl, now;

	for (int try = 0; try < 4; try++) { /* a deadline may mark it as fired in between */
		if (!(ctl & CTL_OPEN) || CTL_SECTION(ctl) != id->section ||
		    *(volatile __u64 *)&k->key != id->key ||
		    *(volatile __u32 *)&k->tgid != id->tgid)
			return 0;
		now = __sync_val_compare_and_swap(&k->ctl, ctl, 0);
		if (now == ctl)
			return ctl;
		ctl = now;
	}
	return 0;
}

/* A keyed section whose stop will not come; the control word has been taken. */
GLOBAL int keyed_leave(struct keyed *k, const struct keyed_id *id, __u64 ctl, __u64 now, __u32 flag)
{
	struct ending e = {};
	struct watch_stats *st;

	if (!k || !id)
		return 0;
	keyed_count(k->tid, -1);
	st = stats_of(CTL_SECTION(ctl));
	if (st)
		__sync_fetch_and_add(&st->abandoned, 1);
	if (!(ctl & CTL_FIRED))
		return 0;
	if (st)
		__sync_fetch_and_add(&st->over, 1);
	keyed_fill(&e, k, id, ctl, now);
	e.type = EV_ABANDONED;
	e.flags |= SECTION_NO_SPLIT | flag;
	return section_report(&e, NULL);
}

INLINE bool process_is_gone(__u32 tgid)
{
	struct task_struct *task;

	if (!bpf_task_from_pid)
		return false; /* not known here */
	task = bpf_task_from_pid((__s32)tgid);
	if (!task)
		return true;
	bpf_task_release(task);
	return false;
}

/* The deadline of a keyed section came up in a queue. Returns the time to look again, 0: it has
 * ended. */
GLOBAL __u64 keyed_check(struct deadline *d, __u64 now)
{
	struct keyed_id id = {};
	struct ending e = {};
	struct watch_stats *st;
	struct keyed *k;
	__u64 ctl;

	if (!d)
		return 0;
	id.key = d->key;
	id.section = d->section;
	id.tgid = d->id;
	k = bpf_map_lookup_elem(&keyed_open, &id);
	if (!k)
		return 0;
	ctl = *(volatile __u64 *)&k->ctl;
	if (!(ctl & CTL_OPEN) || CTL_SERIAL(ctl) != d->serial)
		return 0; /* ended, or begun again: that has an entry of its own */
	if (now < k->deadline && !dropped[CTL_SECTION(ctl)])
		return k->deadline - now < HORIZON_NS ? k->deadline : now + HORIZON_NS;
	st = stats_of(CTL_SECTION(ctl));
	if (dropped[CTL_SECTION(ctl)] || process_is_gone(id.tgid)) {
		if (__sync_val_compare_and_swap(&k->ctl, ctl, 0) != ctl)
			return 0;
		keyed_leave(k, &id, ctl, now, SECTION_ABANDON_EXIT);
		bpf_map_delete_elem(&keyed_open, &id);
		return 0;
	}
	if (ctl & CTL_FIRED)
		return now + ORPHAN_NS;
	k->fired_ns = now;
	if (__sync_val_compare_and_swap(&k->ctl, ctl, ctl | CTL_FIRED) != ctl)
		return 0;
	if (st)
		__sync_fetch_and_add(&st->fired, 1);
	keyed_fill(&e, k, &id, ctl | CTL_FIRED, now);
	e.type = EV_FIRED;
	e.flags |= SECTION_NO_SPLIT;
	section_report(&e, NULL);
	return now + ORPHAN_NS;
}

#endif
