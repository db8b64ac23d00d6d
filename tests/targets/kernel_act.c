// SPDX-License-Identifier: MIT
/*
 * Does known things to the kernel and says which: for tests of kernel events.
 *
 *	kernel_act calls N		N lseek(-1, i, SEEK_SET), i from 0 on
 *	kernel_act order N		the same, each between two events act:before and act:after
 *	kernel_act fork N K		N children in turn, each with K such calls, which end with
 *					status i % 100
 *	kernel_act write N FILE		N writes of 8192 bytes to FILE, past the page cache
 *	kernel_act wait FILE N		waits for FILE, then as calls
 *	kernel_act heirs FILE N K US	waits for FILE, then N children in turn, each with K events
 *					act:heir, which live US microseconds from then on
 *
 * The last line says what was done. Built twice: with libtocsin, and without (order needs it).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef KERNEL_ACT_PLAIN
#	include "tocsin/event.h"
#	define EVENT(name, i) tocsin_event("act", name, TF_U64("n", i))
#else
#	define EVENT(name, i) (void)(i)
#endif

#define BLOCK 8192

static void call(uint64_t i)
{
	(void)syscall(SYS_lseek, -1, i, SEEK_SET); /* fails, as it is meant to */
}

static void calls(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		call(i);
	(void)printf("{\"calls\": %" PRIu64 ", \"pid\": %d}\n", n, (int)getpid());
}

static void order(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		EVENT("before", i);
		call(i);
		EVENT("after", i);
	}
	(void)printf("{\"calls\": %" PRIu64 ", \"pid\": %d}\n", n, (int)getpid());
}

static int forks(uint64_t n, uint64_t k)
{
	for (uint64_t i = 0; i < n; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			for (uint64_t c = 0; c < k; c++)
				call(c);
			_exit((int)(i % 100));
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		(void)printf("{\"child\": %d, \"status\": %d}\n", (int)pid, status);
	}
	(void)printf("{\"children\": %" PRIu64 ", \"pid\": %d}\n", n, (int)getpid());
	return 0;
}

static int writes(uint64_t n, const char *path)
{
	void *block = NULL;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, 0600);

	if (fd < 0 || posix_memalign(&block, 4096, BLOCK))
		return 77;
	memset(block, 'x', BLOCK);
	if (posix_fallocate(fd, 0, (off_t)(n * BLOCK)) || fsync(fd))
		return 1;
	for (uint64_t i = 0; i < n; i++)
		if (pwrite(fd, block, BLOCK, (off_t)(i * BLOCK)) != BLOCK)
			return 1;
	(void)printf("{\"writes\": %" PRIu64 ", \"bytes\": %d}\n", n, BLOCK);
	free(block);
	return close(fd) ? 1 : 0;
}

static void file_wait(const char *path)
{
	struct timespec t = {.tv_nsec = 1000000};

	while (access(path, F_OK))
		(void)nanosleep(&t, NULL);
}

static int heirs(char **arg)
{
	uint64_t n = strtoull(arg[1], NULL, 10), k = strtoull(arg[2], NULL, 10);

	EVENT("parent", 0);
	file_wait(arg[0]);
	EVENT("parent", 1); /* its ring is there before the children are */
	(void)usleep(200000);
	for (uint64_t i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (uint64_t e = 0; e < k; e++)
				EVENT("heir", i);
			(void)usleep((useconds_t)strtoull(arg[3], NULL, 10));
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	(void)printf("{\"heirs\": %" PRIu64 "}\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;

	if (!strcmp(mode, "calls"))
		calls(n);
	else if (!strcmp(mode, "order"))
		order(n);
	else if (!strcmp(mode, "fork") && argc > 3)
		return forks(n, strtoull(argv[3], NULL, 10));
	else if (!strcmp(mode, "write") && argc > 3)
		return writes(n, argv[3]);
	else if (!strcmp(mode, "wait") && argc > 3) {
		file_wait(argv[2]);
		calls(strtoull(argv[3], NULL, 10));
	} else if (!strcmp(mode, "heirs") && argc > 5) {
		return heirs(argv + 2);
	} else
		return 2;
	return 0;
}
