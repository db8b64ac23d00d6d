/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_RECORD_KERNEL_H
#define TOCSIN_BPF_RECORD_KERNEL_H

/* What the files of the loader share; see record.h for what they offer. */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "record.h"
/* bpftool's generated code is not ours to mend */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "record.skel.h"
#pragma GCC diagnostic pop

struct ring_map {
	unsigned cpu;
	int fd;
};

struct record_kernel {
	struct record_bpf *skel;
	struct bpf_link **link; /* of tracepoints */
	uint32_t nr_links;
	struct ring_map *ring;
	unsigned nr_rings;
	bool is_on;
	uint64_t missed;    /* by the kernel while it was on, in the times before this one */
	uint64_t missed_at; /* its counters when it was switched on */
};

#endif
