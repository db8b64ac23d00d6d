/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RECORD_KERNEL_H
#define TOCSIN_COLLECTOR_RECORD_KERNEL_H

/* Kernel events of a recording: a process among the others whose rings are the CPUs'. */

#include "record_internal.h"

/**
 * record_kernel_load() - load the kernel half, if kernel events are wanted; before there is a
 * trace.
 *
 * Return: 0, -ENOTSUP built without the kernel half, or as record_kernel_open(); @err has the
 * sentence.
 */
int record_kernel_load(struct recorder *rec, struct tocsin_err *err);

/** record_kernel_begin() - take its rings. Return: 0, or -errno; @err has the sentence. */
int record_kernel_begin(struct recorder *rec, struct tocsin_err *err);

/** record_kernel_go() - events from now on. record_kernel_halt() - no more; what is there is all.
 */
void record_kernel_go(struct recorder *rec);
void record_kernel_halt(struct recorder *rec);

/** record_kernel_add() - the events of this process, and with `follow` of those that descend from
 * it. Return: 0, or -errno; @err has the sentence. */
int record_kernel_add(struct recorder *rec, pid_t pid, struct tocsin_err *err);

/** record_kernel_is_alive() - may there still be events? */
bool record_kernel_is_alive(const struct recorder *rec);

/** record_kernel_tell_losses() - count, and tell the trace, what the rings do not know of. */
void record_kernel_tell_losses(struct recorder *rec);

/** record_kernel_convert() - records on the clock of the trace. @ret: valid until the next call.
 * Return: 0, or -EBADMSG. */
int record_kernel_convert(struct recorder *rec, struct record_ring *ring,
			  const struct ring_extent *ext, struct ring_extent *ret);

/** record_kernel_measured() - the clocks were measured. */
void record_kernel_measured(struct recorder *rec);

/** record_kernel_snapshot() - what is in the flight recorder's rings. Return: 0, -ENOENT there is
 * none, -EPROTO, -errno; @err has the sentence. */
int record_kernel_snapshot(struct recorder *rec, struct tocsin_err *err);

void record_kernel_end(struct recorder *rec);

#endif
