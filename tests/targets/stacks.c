// SPDX-License-Identifier: MIT
/*
 * Late for reasons that only a stack tells: the same function sleeps, computes, or sleeps in a
 * callback out of the C library; and says after each which of its functions were on the stack.
 *
 *   stacks N    N times each, on a thread and on the first thread
 *   stacks hang sleeps in a section until it is killed
 */
#include "target.h"

static volatile unsigned long sink;

TARGET_NOINLINE static void nap(void)
{
	const struct timespec ms = {0, 6000000};

	(void)nanosleep(&ms, NULL);
	sink++; /* no tail call */
}

TARGET_NOINLINE static void burn(void)
{
	uint64_t end = now_ns() + 6 * NS_PER_MS;

	while (now_ns() < end)
		for (int i = 0; i < 1000; i++)
			sink += (unsigned long)i;
}

TARGET_NOINLINE static int by_value(const void *a, const void *b)
{
	nap();
	return *(const int *)a - *(const int *)b;
}

TARGET_NOINLINE void work(int how);
TARGET_NOINLINE void work(int how)
{
	int list[] = {2, 1};

	TARGET_FRAME();
	if (how == 0)
		nap();
	else if (how == 1)
		burn();
	else
		qsort(list, 2, sizeof(list[0]), by_value);
	sink += (unsigned long)list[0];
}

static const char *const chain[] = {"\"nap\", \"work\"", "\"burn\", \"work\"",
				    "\"nap\", \"by_value\", \"work\""};

TARGET_NOINLINE static void all(int n, const char *caller)
{
	for (int i = 0; i < n; i++)
		for (int how = 0; how < 3; how++) {
			work(how);
			(void)printf(
				"{\"s\": \"work\", \"tid\": %d, \"chain\": [%s, \"all\", %s]}\n",
				thread_id(), chain[how], caller);
		}
	(void)fflush(stdout);
}

static void *worker(void *arg)
{
	all(*(int *)arg, "\"worker\"");
	sink++;
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? (int)strtoul(argv[1], NULL, 10) : 5;
	pthread_t thread;

	target_ready();
	if (argc > 1 && !strcmp(argv[1], "hang")) {
		for (;;)
			work(0);
	}
	if (pthread_create(&thread, NULL, worker, &n))
		return 1;
	(void)pthread_join(thread, NULL);
	all(n, "\"main\"");
	return 0;
}
