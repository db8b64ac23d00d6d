// SPDX-License-Identifier: MIT
/* How the figures of `tocsin bench percpu` are timed, its rivals' in another process too. */
#include "../base/clock.h"
#include "bench_percpu.h"
#include "bench_stats.h"

double bench_percpu_time(void (*loop)(unsigned turns))
{
	double slice[SLICES];

	loop(SLICE_TURNS); /* warm */
	for (unsigned i = 0; i < SLICES; i++) {
		uint64_t start = clock_now_ns();

		loop(SLICE_TURNS);
		slice[i] = (double)(clock_now_ns() - start) / SLICE_TURNS;
	}
	return bench_undisturbed(slice, SLICES);
}
