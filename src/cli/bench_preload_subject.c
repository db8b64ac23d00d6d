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

/* Built with -finstrument-functions: apart, in bench_preload_function.c. */
void bench_function(void);

static void calls(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		bench_function();
}

static void measure(const char *name, void (*loop)(unsigned turns))
{
	double ns[SLICES];

	for (unsigned s = 0; s < SLICES; s++) {
		uint64_t start = now_ns();

		loop(TURNS);
		ns[s] = (double)(now_ns() - start) / TURNS;
	}
	printf("%s %.4f\n", name, bench_undisturbed(ns, SLICES));
}

int main(int argc, char **argv)
{
	bool is_traced = argc > 1 && !strcmp(argv[1], "traced");

	if (is_traced) {
		struct control_page *page = bench_session_begin();

		if (!page)
			return 1;
		bench_session_enable(page, NULL);
	}
	measure("malloc_pair_ns", pairs);
	measure("function_pair_ns", calls);
	return 0;
}
