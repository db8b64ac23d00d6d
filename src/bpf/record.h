/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_RECORD_H
#define TOCSIN_BPF_RECORD_H

/* The loader of the kernel half of `tocsin record -k`: one object, silent, every failure with its
 * cause. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/record_kernel.h"
#include "../base/err.h"

/* A tracepoint besides those of the groups. */
struct record_kernel_tracepoint {
	const char *category, *name; /* lent */
	struct kernel_plan plan;
};

struct record_kernel_config {
	bool event[KERNEL_EVENT_NR];
	const struct record_kernel_tracepoint *tracepoint; /* lent */
	uint32_t nr_tracepoints;
	uint32_t first_id;      /* of the records of event 0; the others follow */
	uint32_t contexts;      /* mask */
	uint32_t context_bytes; /* that they take in a record, a multiple of 8 */
	uint64_t ring_bytes; /* of each CPU's ring, a power of two, at most KERNEL_RING_BYTES_MAX */
	bool is_overwriting;
	bool all;       /* every process, else those that are added */
	bool follow;    /* and the processes that these make */
	bool with_self; /* also this process */
};

struct record_kernel;

/**
 * record_kernel_open() - load the programs, make a ring for each CPU that is there, attach.
 * @cfg: lent until return
 * @ret: to be given to record_kernel_close()
 * @err: causes; what could not be attached is named
 *
 * Nothing is recorded until record_kernel_switch(). All of it goes when this process ends, in
 * whatever way.
 *
 * Return: 0, or -EPERM no privilege, -ENOTSUP the kernel lacks something, -ENOENT no such
 * tracepoint, -ENOMEM, -errno. Thread-safe: yes. Signal-safe: no.
 */
int record_kernel_open(const struct record_kernel_config *cfg, struct record_kernel **ret,
		       struct tocsin_err *err);
struct record_kernel *record_kernel_close(struct record_kernel *k);

/** record_kernel_switch() - record from now on, or no more. On return after switching off, no
 * program is in the middle of a record. */
void record_kernel_switch(struct record_kernel *k, bool is_on);

/** record_kernel_add_process() - record this thread group. Return: 0, -E2BIG, -errno. */
int record_kernel_add_process(struct record_kernel *k, uint32_t tgid);

/** record_kernel_nr_processes() - thread groups that are recorded and have not ended. */
uint64_t record_kernel_nr_processes(const struct record_kernel *k);

/** record_kernel_nr_rings() - rings; record_kernel_ring() - the map of one and its CPU, lent. */
unsigned record_kernel_nr_rings(const struct record_kernel *k);
int record_kernel_ring(const struct record_kernel *k, unsigned i, unsigned *ret_cpu);

/** record_kernel_losses() - the counters so far, those that the kernel keeps included. */
void record_kernel_losses(struct record_kernel *k, uint64_t ret_loss[KERNEL_LOSS_NR]);

#endif
