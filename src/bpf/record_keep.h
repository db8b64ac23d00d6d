/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_RECORD_KEEP_H
#define TOCSIN_BPF_RECORD_KEEP_H

/* The kernel half as a flight recorder: pinned in the BPF file system, it goes on when the process
 * that loaded it has ended. There is one a machine. */

#include "record.h"

#define RECORD_KEEP_DIR "/sys/fs/bpf/tocsin-flight"

/**
 * record_kernel_keep() - let it go on without us.
 * @about: what record_kept_open() shall give back, lent
 *
 * Return: 0, -EEXIST there is one already, -errno; @err has the sentence.
 */
int record_kernel_keep(struct record_kernel *k, const void *about, size_t about_bytes,
		       struct tocsin_err *err);

struct record_kept {
	void *about; /* owned */
	size_t about_bytes;
	struct {
		unsigned cpu;
		int fd;
	} * ring; /* owned */
	unsigned nr_rings;
	uint64_t loss[KERNEL_LOSS_NR]; /* so far, as the programs count */
};

/** record_kept_open() - find it. Return: 0, -ENOENT there is none, -errno; @err has the sentence.
 */
int record_kept_open(struct record_kept *ret, struct tocsin_err *err);
void record_kept_done(struct record_kept *kept);

/** record_kept_remove() - end it. Return: 0, -ENOENT, -errno; @err has the sentence. */
int record_kept_remove(struct tocsin_err *err);

#endif
