// SPDX-License-Identifier: MIT
/*
 * Late for reasons that only a stack tells: the same function sleeps, computes, or sleeps in a
 * callback out of the C library; and says after each which of its functions were on the stack.
 *
 *   stacks N    N times each, on a thread and on the first thread
 *   stacks reuse N  N times, each on a new thread with the same number
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

/* One call of work() on a thread of its own. */
static void *once(void *arg)
{
	int how = *(int *)arg;

	work(how);
	(void)printf("{\"s\": \"work\", \"tid\": %d, \"chain\": [%s, \"once\"]}\n", thread_id(),
		     chain[how]);
	return NULL;
}

/* Threads that follow each other with the same number, where the kernel lets it be chosen. */
static int reuse(int n)
{
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	int last = getpid() +
		   (getpid() > 16000 ? -5000 : 5000); /* far away, below the smallest pid_max */

	for (int i = 0; i < n; i++) {
		int how = i % 3;
		pthread_t thread;

		if (fd < 0 || dprintf(fd, "%d", last) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
		    pthread_create(&thread, NULL, once, &how))
			return 1;
		(void)pthread_join(thread, NULL);
	}
	return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	int n = argc == 2 && strcmp(argv[1], "hang") ? (int)target_u64(argv[1]) : 5;
	pthread_t thread;

	target_ready();
	if (argc > 1 && !strcmp(argv[1], "hang")) {
		for (;;)
			work(0);
	}
	if (argc > 2 && !strcmp(argv[1], "reuse"))
		return reuse((int)target_u64(argv[2]));
	if (pthread_create(&thread, NULL, worker, &n))
		return 1;
	(void)pthread_join(thread, NULL);
	all(n, "\"main\"");
	return 0;
}
