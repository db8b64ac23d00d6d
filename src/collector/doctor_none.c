// SPDX-License-Identifier: MIT
/* In the place of doctor_kernel.c, doctor_uprobe.c and doctor_half.c where Tocsin was built without
 * its kernel half. */

#include "doctor_probe.h"

#define NONE(id)                                                                              \
	void probe_##id(struct doctor *d, struct doctor_row *row)                             \
	{                                                                                     \
		(void)d;                                                                      \
		doctor_no(row, 0, "this tocsin was built without its kernel half");           \
		doctor_remedy(row, "install libbpf-dev, clang and bpftool, and build again"); \
	}

/* The linker holds this list complete. */
NONE(btf)
NONE(sched_hooks)
NONE(prog_types)
NONE(kernel_memory)
NONE(task_storage)
NONE(ring_buffer)
NONE(uprobe)
NONE(cookie)
NONE(uprobe_multi)
NONE(nop5)
NONE(probe_cost)
NONE(syscalls)
NONE(timer)
NONE(timer_hook)
NONE(task_lookup)
NONE(kick)
NONE(kick_drain)
NONE(kernel_half)
NONE(stack_at_wake)
NONE(sleepable)
NONE(task_work)
NONE(fentry)
NONE(throttled)
NONE(disk_hook)
NONE(lock_owner)

void doctor_kernel_begin(struct doctor *d)
{
	(void)d;
}

void doctor_kernel_end(struct doctor *d)
{
	(void)d;
}
