/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_EVENT_RING_H
#define TOCSIN_CLI_BENCH_EVENT_RING_H

/* What a record costs in the ring alone, without site, filter and contexts. */

#include <stdbool.h>

#include "../base/err.h"

enum bench_event_ring_size {
	BENCH_EVENT_RING_8,
	BENCH_EVENT_RING_16,
	BENCH_EVENT_RING_64,
	BENCH_EVENT_RING_1K,
	BENCH_EVENT_RING_NR,
};

struct bench_event_ring {
	double empty_loop_ns;
	double clock_ns;                      /* the bare counter, in the same slices */
	double event_ns[BENCH_EVENT_RING_NR]; /* payloads of 8, 16, 64 and 1,024 bytes */
	double event_over_clock;              /* of 16 bytes: median of the ratios of pairs */
	double side_16_ns;                    /* by the side ring */
	double two_thread_scaling; /* events/s of two threads on two CPUs over those of one; 0: one
				      CPU */
	bool has_rseq;
};

/**
 * bench_event_ring() - measure; the caller is pinned to a CPU. About half a second.
 * @ret_figures: undisturbed times in ns, each of slices that take turns with the others'
 *
 * Initialises the ring of this process: nothing else in it may write records.
 *
 * Return: 0, -EBUSY it has been initialised for others, -ENOMEM and what ring_make() returns.
 * Thread-safe: no. Signal-safe: no.
 */
int bench_event_ring(struct bench_event_ring *ret_figures, struct tocsin_err *err);

#endif
