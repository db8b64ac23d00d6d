// SPDX-License-Identifier: MIT
/* Take what each CPU has gathered, from outside: the CPU may be busy, idle or off, nothing moves
 * there. */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <tocsin/percpu.h>

enum { THREADS = 4, TURNS = 50000 };

struct tally {
	uint64_t nr;
};

static struct tocsin_percpu *tallies;

static void *work(void *arg)
{
	for (int i = 0; i < TURNS; i++) {
		struct tocsin_op op = {
			.code = TOCSIN_OP_ADD, .off = offsetof(struct tally, nr), .value = 1};

		if (tocsin_percpu_op(tallies, TOCSIN_CPU_HERE, &op) < 0)
			return NULL;
	}
	return arg;
}

static void collect(void *item, int cpu, void *arg)
{
	struct tally *tally = item;

	(void)cpu;
	*(uint64_t *)arg += tally->nr;
	tally->nr = 0;
}

int main(void)
{
	pthread_t threads[THREADS];
	uint64_t sum = 0;

	if (tocsin_percpu_new(sizeof(struct tally), 0, &tallies) != 0)
		return 1;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			return 1;
	for (int round = 0; round < 100; round++) /* while they work */
		for (int cpu = 0; cpu < (int)tocsin_percpu_nr(tallies); cpu++)
			if (tocsin_do_on_cpu(tallies, cpu, collect, &sum) != 0)
				return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (tocsin_do_on_each(tallies, NULL, 0, collect, &sum) != 0)
		return 1;
	printf("%llu collected of %d\n", (unsigned long long)sum, THREADS * TURNS);
	tallies = tocsin_percpu_free(tallies);
	return sum == THREADS * TURNS ? 0 : 1;
}
