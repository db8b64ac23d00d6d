/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_RCU_H
#define TOCSIN_PERCPU_RCU_H

/* What the files of RCU share; the protocol is described in rcu.c. */

#include <stdbool.h>
#include <stdint.h>

#include "rcu_lock.h"
#include "tocsin/rcu.h"

enum {
	RCU_SHARED_FORKED = 0, /* wiped: this is the child of a fork */
	RCU_SHARED_MAKING = 1,
	RCU_SHARED_READY = 2,
};

/* What a child of a fork must not inherit. In the arena it is wiped; the static one, for want of an
 * arena, is cleared by the handler of pthread_atfork(). */
struct rcu_shared {
	uint32_t state;              /* RCU_SHARED_*; who makes it ready sets the fields below */
	int32_t pid;                 /* of the process, not of a vfork() child */
	uint32_t base;               /* slots below are not given out: see rcu.c, fork */
	uint32_t high;               /* no slot from here on was ever claimed; only grows */
	uint32_t hint;               /* a good place to look for a free slot */
	uint32_t claims;             /* ever */
	uint32_t sweep_at;           /* claims at which dead owners are looked for */
	uint32_t full;               /* attempts since no slot was free; 0: there may be some */
	struct rcu_lock period_lock; /* one grace period, one sweep at a time */
	struct rcu_lock drain_lock;
	struct rcu_lock worker_lock; /* start and stop */
	uint64_t counted[2]; /* open sections without a slot, by the phase that they began in */
};

struct rcu_arena {
	struct rcu_shared shared;
	_Alignas(4096) struct tocsin_rcu_slot slots[TOCSIN_RCU_SLOTS];
};

/* NULL: no thread has a slot, all sections are counted. Constant once rcu_init() has run. */
extern struct rcu_arena *rcu_arena;
/* [0] is the static one, [1] the arena's, NULL without an arena. */
extern struct rcu_shared *rcu_shares[2];
/* Which word of counted[] new sections take; updaters change it. */
extern uint32_t rcu_phase;

/** rcu_init() - what the constructor does: map the arena, register with membarrier(2). Repeated
 * calls do nothing. Thread-safe: yes. Signal-safe: no. */
void rcu_init(void);

/** rcu_shared() - the locks and counts that this process uses now. */
struct rcu_shared *rcu_shared(void);

/**
 * rcu_sweep() - take back the slots whose threads have ended outside of a section.
 *
 * The caller holds period_lock.
 */
void rcu_sweep(struct rcu_shared *shared);

/**
 * rcu_slot_bury() - take back the slot of a thread that has ended, in a section or not.
 * @exact: also notice a thread id that was given to a newer thread; costs reading from /proc
 *
 * The caller holds period_lock: two that bury could wipe a slot just handed out.
 *
 * Return: true the owner was dead and the slot is free now.
 */
bool rcu_slot_bury(struct rcu_shared *shared, struct tocsin_rcu_slot *slot, bool exact);

/** rcu_thread_start_ticks() - clock ticks from boot to the start of thread @tid of this process.
 * Return: them, or -errno. Signal-safe: yes. */
int64_t rcu_thread_start_ticks(int32_t tid);

#endif
