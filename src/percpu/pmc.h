/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_PMC_H
#define TOCSIN_PERCPU_PMC_H

/* The inside of tocsin/pmc.h, for its tests. */

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>

#include "tocsin/pmc.h"

#define PMC_EVENTS_MAX 8 /* types of CPU in a machine */

struct tocsin_pmc {
	unsigned nr; /* one for each type of CPU; 0: the thread's clock */
	enum tocsin_pmc_how how;
	uint64_t page_bytes;
	uint64_t start; /* of the thread's clock */
	struct pmc_event {
		int fd;
		struct perf_event_mmap_page *page; /* the kernel writes; NULL: not mapped */
	} event[PMC_EVENTS_MAX];
};

/* What a section found, all at one moment. */
struct pmc_frame {
	uint64_t raw;    /* the counter */
	uint64_t offset; /* of the page */
	uint32_t index;  /* of the counter, plus one; 0: the event is not on a counter now */
	uint32_t width;  /* bits of the counter */
};

/**
 * pmc_page_read() - the count that a page stands for, now.
 *
 * Return: 0; -EAGAIN it cannot be read from here (not permitted, no rseq, a debugger that steps).
 */
int pmc_page_read(const struct perf_event_mmap_page *page, uint64_t *ret_count);

/** pmc_count() - of a frame: counters are narrower than 64 bits and the offset makes up for it. */
static inline uint64_t pmc_count(const struct pmc_frame *frame)
{
	unsigned unused = 64 - frame->width;

	if (!frame->index || !frame->width || frame->width > 64)
		return frame->offset;
	/* Sign-extended, as linux/perf_event.h has it. */
	return frame->offset + (uint64_t)((int64_t)(frame->raw << unused) >> unused);
}

#endif
