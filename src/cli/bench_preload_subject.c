// SPDX-License-Identifier: MIT
/*
 * tocsin-bench-preload: a program that knows nothing of tracing and measures what it calls. `tocsin
 * bench preload` runs it as it is, and with libraries of ours before its own ("traced"), when it
 * begins a session for itself.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_session.h"
#include "bench_stats.h"

#define SLICES 61
#define TURNS  10000u

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void pairs(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++) {
		void *p = malloc(64);

		__asm__ __volatile__("" : "+r"(p) : : "memory");
		free(p);
	}
}

int main(int argc, char **argv)
{
	bool is_traced = argc > 1 && !strcmp(argv[1], "traced");
	static double ns[SLICES];

	if (is_traced) {
		struct control_page *page = bench_session_begin();

		if (!page)
			return 1;
		bench_session_enable(page, NULL);
	}
	for (unsigned s = 0; s < SLICES; s++) {
		uint64_t start = now_ns();

		pairs(TURNS);
		ns[s] = (double)(now_ns() - start) / TURNS;
	}
	printf("malloc_pair_ns %.4f\n", bench_undisturbed(ns, SLICES));
	return 0;
}
