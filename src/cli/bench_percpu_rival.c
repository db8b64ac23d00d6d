// SPDX-License-Identifier: MIT
/* Runs tocsin-bench-rivals and reads the number that it prints. */
#include "bench_percpu_rival.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "bench_percpu.h"
#include "bench_program.h"
#include "bench_worker.h"

#define PROGRAM "tocsin-bench-rivals"

/* In the child. */
static void program_become(const char *path, const struct bench_rival *rival, int out_fd)
{
	char *argv[] = {strdup(PROGRAM), strdup(rival->what),
			rival->part ? strdup(rival->part) : NULL, NULL};
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (rival->preload && *rival->preload ? setenv("LD_PRELOAD", rival->preload, 1)
					      : unsetenv("LD_PRELOAD"))
		_exit(3);
	/* What the loader says of a library that is not there is said by our note. */
	if (null_fd < 0 || dup2(null_fd, STDERR_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0)
		_exit(3);
	(void)execv(path, argv);
	_exit(3);
}

static double number_read(int fd)
{
	char text[64] = {0}, *end;
	size_t len = 0;
	double ns;
	ssize_t n;

	while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	ns = strtod(text, &end);
	return end != text && *end == '\n' && ns >= 0 ? ns : BENCH_NOT_HERE;
}

static double program_run(const struct bench_run *run, const struct bench_rival *rival)
{
	char path[PATH_MAX];
	double ns;
	int fds[2];
	pid_t pid;

	if (bench_program_find(PROGRAM, path, sizeof(path)) < 0 || pipe2(fds, O_CLOEXEC))
		return BENCH_NOT_HERE;
	pid = bench_fork(run->cpu);
	if (pid == 0)
		program_become(path, rival, fds[1]);
	(void)close(fds[1]); /* the child's end */
	ns = pid > 0 ? number_read(fds[0]) : BENCH_NOT_HERE;
	(void)close(fds[0]); /* read only */
	bench_reap(pid);
	return ns;
}

double bench_rival(struct bench_run *run, const struct bench_rival *rival)
{
	double ns = program_run(run, rival);
	char note[BENCH_NOTE_LEN];

	if (ns >= 0 || !rival->package)
		return ns;
	(void)snprintf(note, sizeof(note), "not measured: %s (Debian: %s)",
		       rival->preload ? rival->preload : "liburcu", rival->package);
	for (unsigned i = 0; i < run->nr_notes; i++)
		if (strcmp(run->note[i], note) == 0)
			return ns;
	bench_note(run, "%s", note);
	return ns;
}
