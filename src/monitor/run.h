/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_MONITOR_RUN_H
#define TOCSIN_MONITOR_RUN_H

/* Monitors in the kernel half: bound to its tracepoints and to places of running programs. */

#include "../bpf/monitor.h"
#include "../collector/process.h"
#include "violated.h"

struct monitor_run;

/* A step that was no violation. */
struct stepped {
	const struct model *model; /* lent */
	int from, to;              /* states; of a formula the sets below */
	int event;                 /* of the model; -1: of a formula */
	uint64_t from_set, to_set, atoms;
	uint64_t key;
	uint32_t pid, tid, cpu;
	char comm[16];
};

typedef int stepped_fn(void *context, const struct stepped *s);

struct monitor_run_options {
	struct model *const *model; /* lent for the life of the run */
	size_t nr_models;
	const char *const *bind; /* lent for the call */
	size_t nr_binds;
	bool *bind_used; /* one each */
	enum automaton_policy policy;
	struct pid_set pids;
	bool all, follow, force;
	const char *program; /* that a child of ours is about to execute; NULL: none */
	pid_t program_pid;
	uint32_t max_instances;
	uint64_t ring_bytes;
	uint64_t rate; /* violations of a monitor that are said, a second; 0: all */
	bool has_coverage, has_stacks;
	bool has_self; /* this process, too, if it is one of those */
	violated_fn *say;
	stepped_fn *stepped; /* hears of every step; NULL: nobody */
	void *context;
};

/**
 * monitor_run_open() - load, bind and attach; nothing is stepped yet.
 * @ret: to be given to monitor_run_close()
 *
 * Return: 0, -EINVAL a binding that makes no sense, -ENOENT no such place or value, -ENOTSUP,
 * -EPERM, -errno; @err has the causes. Thread-safe: yes. Signal-safe: no.
 */
int monitor_run_open(const struct monitor_run_options *o, struct monitor_run **ret,
		     struct tocsin_err *err);

/**
 * monitor_run_check() - could this model run here as it is? Nothing is loaded or attached.
 *
 * Return: 0, or what monitor_run_open() would return for its rules; @err says why.
 */
int monitor_run_check(struct model *model, struct tocsin_err *err);

/** monitor_run_arm() - from here on; false: no more. */
void monitor_run_arm(struct monitor_run *r, bool is_armed);

int monitor_run_fd(struct monitor_run *r); /* readable when violations wait */

/** monitor_run_poll() - say what waits. Return: 0, or what the listener returned. */
int monitor_run_poll(struct monitor_run *r);

/** monitor_run_alive() - does a process that was asked for run still? True of all and of children.
 */
bool monitor_run_alive(const struct monitor_run *r);

/** monitor_run_counts() - of one monitor. @covered: NULL, or room for it. Return: 0, -errno. */
int monitor_run_counts(struct monitor_run *r, size_t model, struct monitor_state *ret,
		       struct monitor_covered *covered);
void monitor_run_losses(struct monitor_run *r, uint64_t loss[MONITOR_LOSS_NR]);

/** monitor_run_note() - what was bound where, a sentence; NULL: no more. Lent. */
const char *monitor_run_note(const struct monitor_run *r, size_t i);

struct monitor_run *monitor_run_close(struct monitor_run *r);

#endif
