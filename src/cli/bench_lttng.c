// SPDX-License-Identifier: MIT
/* tocsin-bench-lttng: what an event with two 64-bit fields costs by LTTng-UST, measured as
 * tocsin-bench-event does. A session that has it enabled must be running. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include <stdio.h>
#include <time.h>

#include "bench_lttng.h"
#include "bench_stats.h"

#define SLICES 61
#define TURNS  10000

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int main(void)
{
	double slice[SLICES];

	if (!lttng_ust_tracepoint_enabled(tocsin_bench, event))
		return 1;
	for (unsigned s = 0; s < SLICES; s++) {
		uint64_t start = now_ns();

		for (unsigned i = 0; i < TURNS; i++)
			lttng_ust_tracepoint(tocsin_bench, event, i, s);
		slice[s] = (double)(now_ns() - start) / TURNS;
	}
	printf("lttng_event16_ns %.4f\n", bench_undisturbed(slice, SLICES));
	return 0;
}
