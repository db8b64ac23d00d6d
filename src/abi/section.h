/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_SECTION_H
#define TOCSIN_ABI_SECTION_H

/*
 * The section slot of a thread of a linked program: in its initial-exec TLS, written by the thread
 *alone, without a system call; read by the kernel half of `tocsin watch` at every switch-out of the
 *thread, in the poll timer of the CPU it runs on, and at its exit. It finds the slot at thread
 *pointer + control_tracee.slot_tp_offset.
 *
 * The reader runs on the thread's own CPU while the thread stands still, so the writer needs
 *compiler barriers only, and no read is torn; but it may come between any two stores. The writer's
 *order:
 *
 *	begin	state = OPENING | index << 8 | n;   s = clock;   open[index] = {s, s + budget, id,
 *++begun}; state = n + 1 end	state = CLOSING | index << 8 | n;   e = clock; if (e > deadline) {
 *late[nr_late % SECTION_LATE] = {...}; nr_late++; } open[index].id = 0;   state = n, less the ended
 *entries at its top
 *
 * OPENING: a start time may have been read that is not to be seen yet: the reader looks again soon.
 *CLOSING: the end may have been read: the section at `index` must not fire any more; if it was
 *late, `late` is going to say so. Entries end in any order; one that ended below the top has id 0
 *until the top comes down to it.
 *
 * Times are CLOCK_MONOTONIC in nanoseconds: the scheduler hooks' clock, so that a split is exact.
 *Little endian, asserted in abi/asserts.c. The reader believes nothing: counts are bounded,
 *times checked against its own clock, what does not fit is counted.
 */

#include <linux/types.h>

#define SECTION_ABI   1
#define SECTION_MAGIC 0x6e6f697463657354ULL /* "Tsection" */
#define SECTION_OPEN  16 /* open at once by one thread; deeper ones measure themselves only */
#define SECTION_LATE  8  /* the last that ended over their budget */

/* section_slot.state */
#define SECTION_COUNT(state) ((state)&0xffu)
#define SECTION_INDEX(state) ((state) >> 8 & 0xffu)
#define SECTION_OPENING      0x40000000u
#define SECTION_CLOSING      0x80000000u

struct section_open {
	__u64 start_ns;
	__u64 deadline_ns;
	__u32 id; /* 1 + class in the control page; 0: ended, or ends itself (deeper than the slot)
		   */
	__u32 begun; /* section_slot.begun of this section: its identity within the thread */
};

struct section_late {
	__u64 start_ns;
	__u64 deadline_ns;
	__u64 end_ns;
	__u32 id;
	__u32 begun;
};

struct section_slot {
	__u64 magic; /* SECTION_MAGIC, from the thread's first instruction on */
	__u32 abi;   /* SECTION_ABI */
	__u32 state;
	__u32 nr_late; /* ended over budget, ever */
	__u32 begun;   /* begun, ever */
	__u32 deeper;  /* begun with the slot full: not watched */
	__u32 reserved;
	__u64 min_budget_ns; /* smallest budget that the thread has used; 0: none yet */
	__u64 pad[3];
	struct section_open open[SECTION_OPEN];
	struct section_late late[SECTION_LATE];
};

#endif
