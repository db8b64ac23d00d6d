/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_WATCH_KERNEL_H
#define TOCSIN_BPF_WATCH_KERNEL_H

/* What the files of the loader share; see watch.h for what they offer. */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "complaint.h"
#include "watch.h"
#include "watch_links.h"
/* bpftool's generated code is not ours to mend */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "watch.skel.h"
#pragma GCC diagnostic pop

struct hook; /* watch_probes.c */

struct watch_kernel {
	struct watch_bpf *skel;
	struct ring_buffer *ring;
	struct ring_buffer *stack_ring; /* NULL: no stacks */
	watch_event_fn stack_fn;
	void *stack_arg;
	struct watch_stats *per_cpu; /* scratch for one section's statistics of all CPUs */
	int nr_cpus;
	bool has_btf;
	bool has_multi; /* probes go into links of many */
	struct hook *hooks;
	bool throttle_known;
	bool has_task_lookup;
	bool has_disk_hook;
	watch_event_fn fn;
	void *arg;
};

/* The kernel half that asks for user stacks. Return: NULL with errno, ENOTSUP: not on this kernel.
 */
struct watch_bpf *watch_stacks_open(void);
int watch_stacks_configure(struct watch_bpf *s, const struct watch_kernel_config *cfg);
int watch_stacks_ring_open(struct watch_kernel *k);

#endif
