// SPDX-License-Identifier: MIT
/* Runs programs for the bench and reads what they print. */
#include "bench_program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int bench_program_find(const char *name, char *path, size_t size)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len > 0) {
		self[len] = '\0';
		slash = strrchr(self, '/');
		if (slash) {
			*slash = '\0';
			if ((size_t)snprintf(path, size, "%s/%s", self, name) < size &&
			    access(path, X_OK) == 0)
				return 0;
		}
	}
	if ((size_t)snprintf(path, size, "%s/%s", TOCSIN_LIBEXECDIR, name) < size &&
	    access(path, X_OK) == 0)
		return 0;
	return -ENOENT;
}

/* In the child. */
static _Noreturn void become(const char *const argv[], int cpu, int out_fd)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char *copy[32];
	size_t nr = 0;

	if (cpu >= 0) {
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET((size_t)cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) < 0)
			_exit(127);
	}
	while (argv[nr] && nr < 31) {
		copy[nr] = strdup(argv[nr]); /* exec wants what it may write to */
		nr++;
	}
	copy[nr] = NULL;
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDERR_FILENO) < 0 ||
	    dup2(out_fd >= 0 ? out_fd : null_fd, STDOUT_FILENO) < 0)
		_exit(127);
	(void)execvp(copy[0], copy);
	_exit(127);
}

static void read_all(int fd, char *text, size_t size)
{
	char rest[512];
	size_t len = 0;
	ssize_t n;

	do {
		n = len + 1 < size ? read(fd, text + len, size - 1 - len)
				   : read(fd, rest, sizeof(rest));
		if (n > 0 && len + 1 < size)
			len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	text[len] = '\0';
}

int bench_program_run(const char *const argv[], int cpu, char *text, size_t size)
{
	int fds[2] = {-1, -1}, status;
	pid_t pid;

	if (text && pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0)
		become(argv, cpu, fds[1]);
	if (text) {
		(void)close(fds[1]); /* the child's end */
		if (pid > 0)
			read_all(fds[0], text, size);
		(void)close(fds[0]); /* only read */
	}
	if (pid < 0)
		return -EAGAIN;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

double bench_program_value(const char *text, const char *name)
{
	size_t len = strlen(name);
	double value;

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len) && line[len] == ' ' &&
		    sscanf(line + len, "%lf", &value) == 1)
			return value;
	}
	return -1;
}
