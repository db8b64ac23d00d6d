// SPDX-License-Identifier: MIT
/* Statistics that many threads add to without an atomic instruction, and whose sum is exact. */
#include <pthread.h>
#include <stdio.h>
#include <tocsin/percpu.h>

enum { THREADS = 4, TURNS = 100000 };
enum { REQUESTS, BYTES, COUNTERS };

static struct tocsin_counter *stats;

static void *serve(void *arg)
{
	for (int i = 0; i < TURNS; i++) {
		tocsin_counter_add(stats, REQUESTS, 1);
		tocsin_counter_add(stats, BYTES, 100);
	}
	return arg;
}

int main(void)
{
	pthread_t threads[THREADS];
	uint64_t requests, bytes;

	if (tocsin_counter_new(COUNTERS, &stats) != 0)
		return 1;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, serve, NULL) != 0)
			return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	requests = tocsin_counter_sum(stats, REQUESTS);
	bytes = tocsin_counter_sum(stats, BYTES);
	printf("%llu requests, %llu bytes\n", (unsigned long long)requests,
	       (unsigned long long)bytes);
	stats = tocsin_counter_free(stats);
	return requests == THREADS * TURNS && bytes == 100 * requests ? 0 : 1;
}
