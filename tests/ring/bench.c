// SPDX-License-Identifier: MIT
/* What a record costs in the ring alone: `meson test --benchmark ring_bench`. */
#include <sched.h>
#include <stdio.h>

#include "cli/bench_event_ring.h"

int main(void)
{
	struct tocsin_err err = {0};
	struct bench_event_ring f;
	char text[512];
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* else it moves, which shows */
	if (bench_event_ring(&f, &err) < 0) {
		(void)fprintf(stderr, "%s\n", tocsin_err_text(&err, text, sizeof(text)));
		return 1;
	}
	printf("empty loop %.2f ns, bare clock %.2f\n", f.empty_loop_ns, f.clock_ns);
	printf("event of 8 bytes %.2f, 16 %.2f, 64 %.2f, 1,024 %.2f\n", f.event_ns[0],
	       f.event_ns[1], f.event_ns[2], f.event_ns[3]);
	printf("event of 16 over the clock %.3f (undisturbed) %.3f (median of pairs)\n",
	       f.event_ns[1] / f.clock_ns, f.event_over_clock);
	printf("side ring, 16 bytes %.2f\n", f.side_16_ns);
	printf("two threads over one %.2f\n", f.two_thread_scaling);
	return 0;
}
