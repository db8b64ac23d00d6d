// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Ends the sections of one index that are open on any thread, and counts them: for a section that
 * is taken away while the watch goes on. Run by reading an iterator over all tasks; its maps are
 * those of watch.bpf.c.
 *
 * As everywhere, who takes the control word of an open section owns its end; nothing is reported of
 * these, since their stops are not looked at any more.
 */
#include "kernel.h"

#include "watch_state.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* The context of the program, as the kernel hands it over: its bpf_iter__task. */
struct task_iterator {
	void *meta;
	struct task_struct *task;
};

__u32 wanted_section;
__u64 nr_taken;

SEC("iter/task")
int take_open(struct task_iterator *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *t;

	if (!task)
		return 0;
	t = bpf_task_storage_get(&threads, task, 0, 0);
	if (!t)
		return 0;
	for (int i = 0; i < WATCH_OPEN; i++) {
		__u64 *word = &t->open[i].ctl;
		__u64 ctl = *(volatile __u64 *)word;

		if (!(ctl & CTL_OPEN) || CTL_SECTION(ctl) != wanted_section)
			continue;
		if (__sync_lock_test_and_set(word, 0) & CTL_OPEN)
			nr_taken++;
	}
	return 0;
}
