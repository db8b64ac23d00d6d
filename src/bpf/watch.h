/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_WATCH_H
#define TOCSIN_BPF_WATCH_H

/* The loader of the kernel half of `tocsin watch`: one object, silent, every failure with its
 * cause. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "../abi/watch.h"
#include "../base/err.h"

struct watch_kernel_config {
	uint64_t gate_ns;     /* spells shorter than this are summed only */
	uint64_t poll_min_ns; /* a running thread is looked at no oftener than this */
	uint32_t max_threads;
	uint32_t max_processes;
	uint32_t max_probes;   /* attached at once or one after the other */
	uint32_t max_sections; /* defined at once or one after the other, at most WATCH_SECTIONS_MAX
				*/
	uint32_t max_spells;   /* kept for all threads together */
	uint32_t max_keyed;
	uint32_t max_stacks;
	uint32_t max_deadlines;    /* off CPU, a CPU; 0: by max_threads and the number of CPUs */
	uint64_t ring_bytes;       /* a power of two */
	bool all;                  /* every process that hits a probe */
	bool follow;               /* children of watched processes */
	uint64_t cgroup_id;        /* 0: none */
	uint32_t cgroup_subsys;    /* ~0: cgroup version 2 */
	uint32_t stack_bytes;      /* of a user stack, at most STACK_BYTES_MAX; 0: no user stacks */
	uint64_t stack_ring_bytes; /* a power of two */
	uint64_t stack_session;    /* tells the stacks of one watch from those of another */
	const char *const *comm;   /* names of processes to watch, lent */
	uint32_t nr_comms;
};

/* The default of each field above; all, follow and the filters are off. */
void watch_kernel_defaults(struct watch_kernel_config *cfg);

/**
 * watch_kernel_cgroup_subsys() - the index of a cgroup version 1 controller in this kernel.
 * @controller: its name; "" stands for version 2 and gives ~0
 *
 * Return: 0, or -ENOENT.
 */
int watch_kernel_cgroup_subsys(const char *controller, uint32_t *ret, struct tocsin_err *err);

enum watch_program {
	WATCH_PROBE_START,
	WATCH_PROBE_STOP,
	WATCH_RECORD_START, /* of a tracepoint */
	WATCH_RECORD_STOP,
	WATCH_NOTE,
};

struct watch_kernel;

/**
 * watch_kernel_open() - load the kernel half, make its timers and attach its hooks.
 * @cfg:     limits and filters, lent
 * @ret:     to be given to watch_kernel_close()
 * @err:     causes
 *
 * Nothing is watched until processes and probes are added. All links are held by descriptors: when
 * this process ends, in whatever way, the kernel takes them away.
 *
 * Return: 0, or -EPERM no privilege, -ENOTSUP the kernel lacks something named in @err, -ENOMEM,
 * -errno. Thread-safe: yes. Signal-safe: no.
 */
int watch_kernel_open(const struct watch_kernel_config *cfg, struct watch_kernel **ret,
		      struct tocsin_err *err);

struct watch_kernel *watch_kernel_close(struct watch_kernel *k);

/** watch_kernel_set_probe() - say what the link with this cookie does. Return: 0, -E2BIG there are
 * max_probes already, or -errno. */
int watch_kernel_set_probe(struct watch_kernel *k, uint32_t cookie,
			   const struct watch_probe *probe);

/** watch_kernel_silence_probe() - the link with this cookie does nothing from here on. Return: 0,
 * -errno. */
int watch_kernel_silence_probe(struct watch_kernel *k, uint32_t cookie);

/**
 * watch_kernel_drop_section() - open sections of this index are given up, and never fire.
 * @ret_open: how many there were; not those that pair by key, which are counted as abandoned.
 * Written on success only
 *
 * Their probes must have been told to do nothing before.
 *
 * Return: 0, or -errno they could not be counted, but are given up.
 */
int watch_kernel_drop_section(struct watch_kernel *k, uint32_t section, uint64_t *ret_open,
			      struct tocsin_err *err);

/**
 * watch_kernel_reset_section() - an index that was never said to be in use is as new: nothing of it
 * is open and its counters are zero. Its probes must have been told to do nothing before.
 *
 * Return: 0, or -errno.
 */
int watch_kernel_reset_section(struct watch_kernel *k, uint32_t section, struct tocsin_err *err);

/** watch_kernel_add_process() - watch this thread group. Return: 0, -E2BIG there are max_processes
 * already, or -errno. */
int watch_kernel_add_process(struct watch_kernel *k, uint32_t tgid);

/** watch_kernel_has_processes() - is any thread group watched? */
bool watch_kernel_has_processes(struct watch_kernel *k);

/**
 * watch_kernel_link_process() - threads of this process have section slots (abi/section.h).
 * @tp_offset: of the slot, from the thread pointer
 *
 * New threads are watched from their start; those that are there, after
 * watch_kernel_link_threads().
 *
 * Return: 0, -E2BIG the table is full, -errno.
 */
int watch_kernel_link_process(struct watch_kernel *k, uint32_t tgid, int64_t tp_offset,
			      uint64_t min_budget_ns);

/** watch_kernel_link_name() - what the id of a section means in this process. Return: 0, -E2BIG,
 * -errno. */
int watch_kernel_link_name(struct watch_kernel *k, uint32_t tgid, uint32_t id, uint32_t section);

/** watch_kernel_link_threads() - the threads that linked processes have by now are watched. Return:
 * 0, -errno. */
int watch_kernel_link_threads(struct watch_kernel *k, struct tocsin_err *err);

/* One place of a link of probes. */
struct watch_place {
	uint64_t offset;         /* in the file */
	uint64_t ref_ctr_offset; /* of the USDT semaphore, 0: none */
	uint32_t cookie;
};

struct watch_uprobes {
	enum watch_program program;
	pid_t pid;        /* only this process, 0: every one that maps the file */
	const char *path; /* lent */
	bool is_return;
	const struct watch_place *place; /* lent */
	size_t nr;
};

struct watch_link;

/**
 * watch_kernel_attach_uprobes() - attach probes to places in one file, to all or to none.
 * @u:        where, lent
 * @ret_link: to be given to watch_links_close()
 *
 * They are one link of the kernel where it has such links (multi_is_known()), which is quick to
 * attach and to close, and costs a hit some 10 ns less; else each is one of perf_event_open().
 *
 * Return: 0, -ESRCH no such process, or -errno of the kernel.
 */
int watch_kernel_attach_uprobes(struct watch_kernel *k, const struct watch_uprobes *u,
				struct watch_link **ret_link, struct tocsin_err *err);

/** watch_kernel_attach_tracepoint() - the same for category:name. Return: 0, or -errno. */
int watch_kernel_attach_tracepoint(struct watch_kernel *k, enum watch_program program,
				   const char *category, const char *name, uint32_t cookie,
				   struct watch_link **ret_link, struct tocsin_err *err);

/**
 * watch_links_close() - take probes away; entries may be NULL, and become it.
 *
 * The kernel waits at each until nobody can be in the probe any more, some 20 ms. So several are
 * closed at the same time, on threads that end before this returns, and share the wait.
 */
void watch_links_close(struct watch_link **link, size_t nr);

typedef int (*watch_event_fn)(void *arg, const void *event, size_t len);

/** watch_kernel_event_fd() - becomes readable when events wait. */
int watch_kernel_event_fd(struct watch_kernel *k);

/**
 * watch_kernel_consume() - hand over what waits.
 *
 * Return: events handed over, or a negative errno of @fn, which stops it.
 */
int watch_kernel_consume(struct watch_kernel *k, watch_event_fn fn, void *arg);

/** watch_kernel_can_stack() - can the kernel walk user stacks later (Linux 6.18)? */
bool watch_kernel_can_stack(void);

/** watch_kernel_stacks_fd() - becomes readable when many user stacks wait. -1: there are none. */
int watch_kernel_stacks_fd(struct watch_kernel *k);

/**
 * watch_kernel_consume_stacks() - hand over the user stacks that wait (struct stack_event).
 *
 * May be called from within a callback of watch_kernel_consume().
 *
 * Return: as watch_kernel_consume().
 */
int watch_kernel_consume_stacks(struct watch_kernel *k, watch_event_fn fn, void *arg);

/** watch_kernel_losses() - the counters so far. */
void watch_kernel_losses(struct watch_kernel *k, uint64_t loss[LOSS_NR]);

/** watch_kernel_stats() - a section's counters, summed over CPUs. Return: 0, or -errno. */
int watch_kernel_stats(struct watch_kernel *k, uint32_t section, struct watch_stats *ret);

/** watch_kernel_stack() - addresses of a kernel stack. Return: frames, 0 when the id is not known.
 */
size_t watch_kernel_stack(struct watch_kernel *k, uint32_t id, uint64_t frames[WATCH_STACK]);

struct watch_kernel_facts {
	bool throttle_known; /* the kernel says when a task is throttled */
	bool kicks;          /* a start can have its CPU's timer armed at once */
	bool off_cpu;        /* deadlines fire while the thread is off CPU */
	uint64_t nr_threads;
	uint64_t nr_kicks;
	uint64_t nr_timer_runs;
};

void watch_kernel_facts(struct watch_kernel *k, struct watch_kernel_facts *ret);

#endif
