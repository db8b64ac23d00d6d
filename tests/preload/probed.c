// SPDX-License-Identifier: MIT
/* A probe on the sites of the malloc tracer that allocates: it must not call itself, and what it
 * allocates is not told. */
#include <stdio.h>
#include <stdlib.h>

#include <tocsin/tocsin.h>

#define TURNS 100

static unsigned nr_calls, depth, deepest;

static void on_malloc(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	nr_calls++;
	if (++depth > deepest)
		deepest = depth;
	for (int i = 0; i < 3; i++) {
		void *volatile p = malloc(33333);

		free(p);
	}
	depth--;
}

int main(void)
{
	int id = tocsin_probe_register("malloc:malloc", on_malloc, NULL, 0);

	if (id < 0)
		return 1;
	for (int i = 0; i < TURNS; i++) {
		void *volatile p = malloc(44444);

		free(p);
	}
	if (tocsin_probe_unregister(id))
		return 1;
	printf("calls %u %d\ndeepest %u 1\n", nr_calls, TURNS, deepest);
	return 0;
}
