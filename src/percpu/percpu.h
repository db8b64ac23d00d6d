/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_PERCPU_H
#define TOCSIN_PERCPU_PERCPU_H

/* What a struct tocsin_percpu is, for its two files: percpu.c (the gate) and op.c (the operations).
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rseq.h"
#include "signals.h"
#include "tocsin/percpu.h"

/* In memory of its own, which a fork()ed child finds zeroed. */
struct percpu_gates {
	uint32_t
		alive; /* PERCPU_FORKED, _OPENING or _ALIVE; changed by who opens a child's gates */
	uint32_t reserved[15];
	void *table[]; /* by index: the item, or NULL: closed. Sections read it, gate_close() takes,
			  gate_open() puts back */
};

enum { PERCPU_FORKED = 0, PERCPU_OPENING = 1, PERCPU_ALIVE = 2 };

struct tocsin_percpu {
	struct percpu_gates *gates;
	unsigned nr;
	uint32_t index_offset; /* in the rseq area */
	bool is_by_cid;
	bool is_locked; /* no fence here: nobody uses sections on this object, the gate is a lock */
	bool has_wipe;  /* the kernel zeroes gates in a child; else the pid tells */
	pid_t pid;      /* who made or last opened the gates; only if !has_wipe */
	unsigned wiped; /* items lost by fork */
	size_t size_bytes, stride_bytes;
	size_t map_bytes, gates_bytes;
	char *items;
	uintptr_t *holder; /* by index: thread pointer of who is behind the gate, 0: nobody. Written
			      by the holder only */
};

/**
 * gate_close() - nobody else works on the item from here on, until gate_open().
 * @signals: what signals_block() of the caller returned: let in while waiting for long
 *
 * Sections that were under way have ended.
 *
 * Return: 0, -EDEADLK this thread has it, or what rseq_fence() says; then the gate is as before.
 */
int gate_close(struct tocsin_percpu *p, unsigned idx, const uint64_t *signals);
void gate_open(struct tocsin_percpu *p, unsigned idx);

/** gates_after_fork() - in a child: open what fork() left closed. Return: false: nothing to do. */
bool gates_after_fork(struct tocsin_percpu *p);

/** percpu_tp() - the thread pointer: different for every thread, never 0. */
static inline uintptr_t percpu_tp(void)
{
	return (uintptr_t)__builtin_thread_pointer();
}

#endif
