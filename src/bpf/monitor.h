/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_MONITOR_H
#define TOCSIN_BPF_MONITOR_H

/* The loader of the kernel half of `tocsin monitor run`: one object, silent, every failure with its
 * cause. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/monitor.h"
#include "../base/err.h"
#include "watch.h"

struct monitor_kernel_config {
	uint32_t nr_monitors;
	const struct automaton_table *const *table; /* one each, lent */
	const struct monitor_state *state; /* one each: policy, kind, scope, needs_time, rate */
	const bool *point;                 /* MONITOR_P_NR: which tracepoints have rules */
	uint32_t max_instances;            /* of tasks, processes and objects together */
	uint64_t ring_bytes;               /* a power of two */
	bool all, follow, has_coverage, has_stacks;
	bool has_trace; /* a record each step */
	bool has_self;  /* this process is watched as others are */
};

struct monitor_kernel;

/**
 * monitor_kernel_open() - load the kernel half, make its timers, write its tables.
 * @cfg: lent
 * @ret: to be given to monitor_kernel_close()
 *
 * Nothing is stepped until monitor_kernel_arm(). All links are held by descriptors: when this
 * process ends, in whatever way, the kernel takes them away.
 *
 * Return: 0, or -EPERM no privilege, -ENOTSUP the kernel lacks something named in @err, -ENOMEM,
 * -errno. Thread-safe: yes. Signal-safe: no.
 */
int monitor_kernel_open(const struct monitor_kernel_config *cfg, struct monitor_kernel **ret,
			struct tocsin_err *err);
struct monitor_kernel *monitor_kernel_close(struct monitor_kernel *k);

/** monitor_kernel_open_empty() - only a program that does nothing, on task:task_prctl_unknown: what
 * a step is compared with. Return: as above. */
int monitor_kernel_open_empty(struct monitor_kernel **ret, struct tocsin_err *err);

/** monitor_kernel_rule() - write rule @at. Return: 0, -errno. */
int monitor_kernel_rule(struct monitor_kernel *k, uint32_t at, const struct monitor_rule *rule);

/** monitor_kernel_point() - write a point: enum monitor_point_id, or MONITOR_P_NR + a cookie.
 * Return: 0, -E2BIG, -errno. */
int monitor_kernel_point(struct monitor_kernel *k, uint32_t at, const struct monitor_point *point);

/** monitor_kernel_watch() - watch a thread group. Return: 0, -errno. */
int monitor_kernel_watch(struct monitor_kernel *k, uint32_t tgid);

/** monitor_kernel_attach() - attach the tracepoints that have rules. Return: 0, -errno. */
int monitor_kernel_attach(struct monitor_kernel *k, struct tocsin_err *err);

/** monitor_kernel_arm() - events count from here on; false: no more. */
void monitor_kernel_arm(struct monitor_kernel *k, bool is_armed);

/** monitor_kernel_attach_uprobes(), monitor_kernel_attach_tracepoint() - as watch_kernel_...() do;
 * of a tracepoint once only. */
int monitor_kernel_attach_uprobes(struct monitor_kernel *k, const struct watch_uprobes *u,
				  struct watch_link **ret_link, struct tocsin_err *err);
int monitor_kernel_attach_tracepoint(struct monitor_kernel *k, const char *category,
				     const char *name, uint32_t cookie,
				     struct watch_link **ret_link, struct tocsin_err *err);

/** @event: what it is says its type; MONITOR_EV_STEP: a struct monitor_step. */
typedef int monitor_event_fn(void *arg, const struct monitor_event *event);

int monitor_kernel_fd(struct monitor_kernel *k); /* readable when events wait */

/** monitor_kernel_consume() - hand over what waits. Return: 0, or what @fn returned. */
int monitor_kernel_consume(struct monitor_kernel *k, monitor_event_fn *fn, void *arg);

void monitor_kernel_losses(struct monitor_kernel *k, uint64_t loss[MONITOR_LOSS_NR]);

/** monitor_kernel_state() - a monitor's counters; instances are those there are. Return: 0, -errno.
 */
int monitor_kernel_state(struct monitor_kernel *k, uint32_t monitor, struct monitor_state *ret);

/** monitor_kernel_covered() - with has_coverage. Return: 0, -errno. */
int monitor_kernel_covered(struct monitor_kernel *k, uint32_t monitor, struct monitor_covered *ret);

/** monitor_kernel_forget() - the instances of a process's objects are given back. Return: how many,
 * or -errno. */
int monitor_kernel_forget(struct monitor_kernel *k, uint32_t tgid);

/** monitor_kernel_timer_runs() - how often a clock's timer ran. */
uint64_t monitor_kernel_timer_runs(struct monitor_kernel *k);

#endif
