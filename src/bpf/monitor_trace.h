/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_MONITOR_TRACE_H
#define TOCSIN_BPF_MONITOR_TRACE_H

/* Every step as a record, for `tocsin rv mon --trace`. Without it the verifier takes the calls
 * away.
 */

#include "monitor_state.h"

/* @from: the state before, or the set of them; of a graph 0 when the event only starts the
 * instance, of which there is nothing to tell. Held. */
GLOBAL int step_trace(struct monitor_slot *s, struct step *st, __u64 from)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct monitor_step *rec;

	if (!s || !st || (!from && st->event != 0xff))
		return 0;
	rec = bpf_ringbuf_reserve(&events, sizeof(*rec), 0);
	if (!rec) {
		lose(MONITOR_LOSS_RING_FULL);
		return 0;
	}
	rec->type = MONITOR_EV_STEP;
	rec->monitor = st->monitor;
	rec->event = st->event;
	rec->pad = 0;
	rec->key = s->key;
	rec->from = from;
	rec->to = s->in.state;
	rec->atoms = st->atoms;
	rec->pid = (__u32)task->tgid;
	rec->tid = (__u32)task->pid;
	rec->cpu = bpf_get_smp_processor_id();
	rec->pad2 = 0;
	__builtin_memcpy(rec->comm, task->comm, sizeof(rec->comm));
	bpf_ringbuf_submit(rec, 0);
	return 0;
}

#endif
