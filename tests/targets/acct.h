/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_ACCT_H
#define TOCSIN_TESTS_ACCT_H

/*
 * One section of the target `acct`, with the program's own account of it.
 *
 * The account brackets each probe between two readings of each clock, CPU clock outside, wall clock
 * inside:
 *
 *   cpu[0] t[0] <begin> t[1] cpu[1]  ...work...  cpu[2] t[2] <end> t[3] cpu[3]
 *
 * A probe runs somewhere between its two readings and so does its clock: whatever a probe costs,
 * t[0] <= start <= t[1], t[2] <= end <= t[3], and the CPU time inside the section lies between
 * cpu[2] - cpu[1] and cpu[3] - cpu[0]. No cost is ever subtracted, so none can be got wrong.
 */

#include <semaphore.h>

#include "target.h"

struct trial {
	unsigned id;
	const char *name;
	const char *dir; /* a directory on a disk */
	int cpu[2];      /* here, and there; the same on a machine with one */

	uint64_t t[4];
	uint64_t cpu_ns[4];
	uint64_t run_ns[2];   /* schedstat, one tick late */
	uint64_t delay_ns[2]; /* schedstat, runnable but not running */
	uint64_t switches[2]; /* off a CPU, for any reason */
	int schedstat_fd;
	pid_t tid;

	uint64_t blocked_ns;    /* what the case set out to do, nominal */
	uint64_t stopped_ns[2]; /* the least and the most that the thread was stopped */
	pid_t peer;             /* tid of the owner, waker, or competitor; 0: none */
	uint64_t peer_ns[2];    /* CPU time of the competitor when the section began and ended */
	unsigned port;
	unsigned count;   /* how many operations the case made */
	const char *skip; /* why it could not be run */
};

void acct_begin(unsigned id);
void acct_end(unsigned id);

void trial_begin(struct trial *trial);
void trial_end(struct trial *trial);
/* The last stamps before the thread goes away inside its section; trial_gone() completes the
 * account. */
void trial_leave(struct trial *trial);
void trial_gone(struct trial *trial);

/* A helper thread: it says when it is ready, waits to be let go, and works. */
struct helper {
	struct trial *trial;
	sem_t ready;
	sem_t go;
	_Atomic bool stop;
	pthread_t thread;
	pid_t tid;
	int fd[2];
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool flag; /* under lock */
};

void helper_start(struct helper *helper, struct trial *trial, void *(*fn)(void *));
void helper_ready(struct helper *helper); /* called by the helper: ready, then wait for go */
void helper_join(struct helper *helper);
/* CPU time of a helper so far. */
uint64_t helper_cpu_ns(const struct helper *helper);

struct trial_case {
	const char *name;
	void (*run)(struct trial *trial);
};

/* Both end with a NULL name. */
extern const struct trial_case acct_sched_cases[];
extern const struct trial_case acct_block_cases[];

#endif
