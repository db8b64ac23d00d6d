/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_LINKED_H
#define TOCSIN_BPF_WATCH_LINKED_H

/*
 * Sections of linked programs, which no probe sees: the thread writes them into the slot in its TLS
 * (abi/section.h), and here they are read: at each switch-out, when the thread's memory is still
 * the current one, by the poll timer of the CPU it runs on, and at its exit.
 *
 * A section seen open becomes an open_section of its own array, under the place it has in the slot,
 * and is fired and reported like any other. As the slot is read at every switch-out, what is new in
 * it began, or ended, in the stint that is ending: so the thread's accumulators of this stint are
 * those at its start, or end. The one exception is a thread that was preempted between reading the
 * clock and storing it: its time lies in the stint before, whose accumulators are kept. A time that
 * lies in neither claims no split.
 *
 * Sections within budget that begin and end between two looks are never seen, and need not be. To
 * see the others in time a running thread is polled at the smallest budget of its process (the poll
 * lemma without probes); polling does not cease with idleness, since no start can ask for it.
 */

#include "../abi/section.h"
#include "watch_section.h"
#include "watch_state.h"

#define LATE_MAX      (1u << 16) /* more at one look is no count but garbage */
#define LINKED_MAX_NS (100ull * 3600 * 1000000000)

struct slot_head {
	__u64 magic;
	__u32 abi;
	__u32 state;
	__u32 nr_late;
	__u32 begun;
	__u32 deeper;
	__u32 reserved;
	__u64 min_budget_ns;
	__u64 pad[3];
};

_Static_assert(sizeof(struct slot_head) == __builtin_offsetof(struct section_slot, open),
	       "the head of a section slot");

INLINE void lose_many(__u32 which, __u64 n)
{
	if (which < LOSS_NR)
		__sync_fetch_and_add(&losses[which], n);
}

/* The accumulators at a time at which the thread ran: 0, or -1 when they are not known any more. */
INLINE int off_at(const struct thread *t, __u64 when, __u64 *off)
{
	if (t->state == TS_RUNNING && when >= t->stint_in) {
		for (int k = 0; k < NR_OFF; k++)
			off[k] = t->off[k];
		return 0;
	}
	if (when < t->last_in || when > t->last_out)
		return -1;
	for (int k = 0; k < NR_OFF; k++)
		off[k] = t->last_off[k];
	return 0;
}

INLINE bool times_are_sane(__u64 start, __u64 deadline, __u64 end, __u64 now)
{
	return start <= end && end <= now && deadline >= start && deadline - start <= LINKED_MAX_NS;
}

/* The control word of a section that the slot has shown; 0: nobody has said what its id means. */
GLOBAL __u64 linked_ctl(struct thread *t, __u32 id)
{
	struct linked_id key = {.id = id};
	__u32 *section;

	if (!t)
		return 0;
	key.tgid = t->tgid;
	section = bpf_map_lookup_elem(&linked_ids, &key);
	if (!section) {
		lose(LOSS_LINKED_UNNAMED);
		return 0;
	}
	if (dropped[*section % WATCH_SECTIONS_MAX])
		return 0;
	return CTL_MAKE(t->serial++, *section % WATCH_SECTIONS_MAX);
}

INLINE void linked_fill(struct thread *t, struct open_section *o, __u64 start, __u64 deadline)
{
	o->start = start;
	o->deadline = deadline;
	o->sp = 0;
	o->word = 0;
	o->user_sp = 0;
	o->flags = 0;
	o->short_ns = t->short_ns;
	o->n_short = t->n_short;
	o->n_long = t->n_long;
	if (off_at(t, start, o->off))
		o->flags = OPEN_NO_SPLIT;
	else if (start < t->stint_in && t->n_long)
		o->n_long--; /* the spell between is its own */
}

/* Seen open for the first time. */
GLOBAL int linked_open(struct thread *t, struct open_section *o, const struct section_open *e,
		       __u64 now)
{
	__u64 ctl;

	if (!t || !o || !e)
		return 0;
	o->begun = e->begun; /* whatever becomes of it, it is looked at once */
	if (!times_are_sane(e->start_ns, e->deadline_ns, e->start_ns, now)) {
		lose(LOSS_LINKED_BAD);
		return 0;
	}
	ctl = linked_ctl(t, e->id);
	if (!ctl)
		return 0;
	linked_fill(t, o, e->start_ns, e->deadline_ns);
	barrier_compiler();
	o->ctl = ctl;
	t->nr_linked++;
	if (!t->next_deadline || e->deadline_ns < t->next_deadline)
		t->next_deadline = e->deadline_ns;
	return 0;
}

/* The slot does not show it any more, and did not say that it was late. */
GLOBAL int linked_gone(struct thread *t, struct open_section *o, __u64 now)
{
	__u64 ctl;

	if (!t || !o)
		return 0;
	ctl = __sync_lock_test_and_set(&o->ctl, 0);
	if (!(ctl & CTL_OPEN))
		return 0;
	t->nr_linked--;
	if (!(ctl & CTL_FIRED))
		return 0;
	/* its entry among the late ones was overwritten before it was read, or never written */
	return section_end_over(t, o, ctl, now, SECTION_ABANDON_FRAME | SECTION_NO_SPLIT);
}

/* It ended over its budget. */
INLINE int linked_late(struct thread *t, const struct section_late *e, __u64 now)
{
	__u64 ctl = 0, off[NR_OFF];
	struct open_section *o;

	if (!times_are_sane(e->start_ns, e->deadline_ns, e->end_ns, now)) {
		lose(LOSS_LINKED_BAD);
		return 0;
	}
	for (__u32 i = 0; i < SECTION_OPEN; i++) {
		if (t->linked[i].begun != e->begun || !(t->linked[i].ctl & CTL_OPEN) ||
		    t->linked[i].start != e->start_ns)
			continue;
		o = &t->linked[i];
		ctl = __sync_lock_test_and_set(&o->ctl, 0);
		t->nr_linked--;
		break;
	}
	if (!(ctl & CTL_OPEN)) { /* begun and ended between two looks */
		o = &t->scratch;
		ctl = linked_ctl(t, e->id);
		if (!ctl)
			return 0;
		linked_fill(t, o, e->start_ns, e->deadline_ns);
	}
	if (off_at(t, e->end_ns, off))
		o->flags |= OPEN_NO_SPLIT;
	else /* what was spent after the end is not the section's */
		for (int k = 0; k < NR_OFF; k++)
			o->off[k] += t->off[k] - off[k];
	stats_count(stats_of(CTL_SECTION(ctl)), e->end_ns - e->start_ns);
	return section_end_over(t, o, ctl, e->end_ns, 0);
}

GLOBAL int linked_late_one(struct thread *t, __u32 place, __u64 now)
{
	struct section_late e;

	if (!t)
		return 0;
	if (bpf_probe_read_user(&e, sizeof(e),
				(void *)(t->slot + __builtin_offsetof(struct section_slot, late) +
					 place % SECTION_LATE * sizeof(e)))) {
		lose(LOSS_LINKED_LATE);
		return 0;
	}
	return linked_late(t, &e, now);
}

INLINE void linked_late_all(struct thread *t, __u32 nr_late, __u64 now)
{
	__u32 n = nr_late - t->late_seen;

	t->late_seen = nr_late;
	if (n > LATE_MAX) {
		lose(LOSS_LINKED_BAD);
		return;
	}
	if (n > SECTION_LATE) {
		lose_many(LOSS_LINKED_LATE, n - SECTION_LATE);
		n = SECTION_LATE;
	}
	for (__u32 i = 0; i < SECTION_LATE && i < n; i++)
		linked_late_one(t, nr_late - n + i, now);
}

/* One place of the slot. */
GLOBAL int linked_open_one(struct thread *t, __u32 i, __u32 state, __u64 now)
{
	struct section_open e = {};
	struct open_section *o;
	__u64 at;

	if (!t || i >= SECTION_OPEN)
		return 0;
	o = &t->linked[i];
	at = t->slot + __builtin_offsetof(struct section_slot, open) + i * sizeof(e);
	if (i >= SECTION_COUNT(state) || bpf_probe_read_user(&e, sizeof(e), (void *)at))
		e.id = 0;
	if ((o->ctl & CTL_OPEN) && (!e.id || e.begun != o->begun))
		linked_gone(t, o, now);
	if (e.id && e.begun != o->begun)
		linked_open(t, o, &e, now);
	if ((state & SECTION_CLOSING) && SECTION_INDEX(state) == i && (o->ctl & CTL_OPEN))
		__sync_fetch_and_or(&o->ctl, CTL_DOUBT);
	return 0;
}

/* What cannot be read any more must not fire on the strength of what it once was. */
GLOBAL int linked_doubt(struct thread *t)
{
	if (!t)
		return 0;
	for (__u32 i = 0; i < SECTION_OPEN; i++)
		if (t->linked[i].ctl & CTL_OPEN)
			__sync_fetch_and_or(&t->linked[i].ctl, CTL_DOUBT);
	return 0;
}

/* Bring the thread's open sections up to date with its slot. In its own context, or in an interrupt
 * on top of it. */
GLOBAL int linked_sync(struct thread *t, __u64 now)
{
	struct slot_head h;

	if (!t || !t->slot)
		return 0;
	if (bpf_probe_read_user(&h, sizeof(h), (void *)t->slot) || h.magic != SECTION_MAGIC ||
	    h.abi != SECTION_ABI) {
		lose(LOSS_LINKED_UNREAD);
		if (t->nr_linked)
			linked_doubt(t);
		return 0;
	}
	if (!t->slot_is_new) {
		t->slot_is_new = 1;
		t->late_seen = h.nr_late;
		t->deeper_seen = h.deeper;
	}
	if (h.nr_late != t->late_seen)
		linked_late_all(t, h.nr_late, now);
	if (h.state || t->nr_linked)
		for (__u32 i = 0; i < SECTION_OPEN; i++)
			linked_open_one(t, i, h.state, now);
	if (h.min_budget_ns && (!t->poll_ns || h.min_budget_ns < t->poll_ns))
		t->poll_ns = h.min_budget_ns > poll_min_ns ? h.min_budget_ns : poll_min_ns;
	if (h.deeper != t->deeper_seen) {
		if (h.deeper - t->deeper_seen < LATE_MAX)
			lose_many(LOSS_OPEN_FULL, h.deeper - t->deeper_seen);
		t->deeper_seen = h.deeper;
	}
	if (t->n_long && !has_open(t))
		spells_drop(t);
	return 0;
}

#endif
