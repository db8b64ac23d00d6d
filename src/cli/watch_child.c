// SPDX-License-Identifier: MIT
/* A program of our own to watch: forked early, so that probes can be bound to its process, executed
 * when they are. */
#include "watch_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || access(path, X_OK))
		return -EACCES;
	return 0;
}

int child_find(struct child *c, const char *name, struct tocsin_err *err)
{
	const char *dir = getenv("PATH") ?: "/usr/local/bin:/usr/bin:/bin";
	int best = -ENOENT;

	if (strchr(name, '/')) {
		(void)snprintf(c->path, sizeof(c->path), "%s", name);
		best = executable(name);
		return best ? tocsin_err_fail(best, err, "cannot run '%s': %s", name,
					      strerror(-best))
			    : 0;
	}
	while (*dir) {
		size_t len = strcspn(dir, ":");

		(void)snprintf(c->path, sizeof(c->path), "%.*s/%s",
			       (int)(len < PATH_MAX ? len : PATH_MAX), len ? dir : ".", name);
		if (!executable(c->path))
			return 0;
		if (executable(c->path) == -EACCES)
			best = -EACCES;
		dir += len + (dir[len] == ':');
	}
	return tocsin_err_fail(best, err, "cannot run '%s': %s", name,
			       best == -ENOENT ? "no such program in PATH" : strerror(-best));
}

/* The child: nothing but system calls that are safe behind a fork. */
static void __attribute__((noreturn))
child_main(const struct child *c, char **argv, int go_fd, int fail_fd)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t none;
	char byte;
	int failure;

	(void)sigaction(SIGPIPE, &standard, NULL); /* a valid signal: cannot fail */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* valid arguments: cannot fail */
	if (read(go_fd, &byte, 1) != 1)
		_exit(127); /* the watch failed before it was armed */
	execv(c->path, argv);
	failure = errno;
	if (write(fail_fd, &failure, sizeof(failure)) != sizeof(failure))
		_exit(126);
	_exit(failure == ENOENT ? 127 : 126);
}

int child_start(struct child *c, char **argv, struct tocsin_err *err)
{
	int go[2], fail[2], r = cli_pipe_pair(go, fail);

	c->go_fd = c->pid_fd = c->fail_fd = -1;
	if (r)
		return tocsin_err_fail(r, err, "cannot start the command: %s", strerror(-r));
	c->pid = fork();
	if (!c->pid) {
		(void)close(go[1]); /* else it would wait for itself */
		child_main(c, argv, go[0], fail[1]);
	}
	(void)close(go[0]);
	(void)close(fail[1]);
	c->go_fd = go[1];
	c->fail_fd = fail[0];
	if (c->pid < 0) {
		r = -errno;
		child_done(c);
		return tocsin_err_fail(r, err, "cannot start the command: %s", strerror(-r));
	}
	c->pid_fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pid_fd < 0) {
		r = -errno;
		child_done(c);
		return tocsin_err_fail(r, err, "cannot follow the command's process: %s",
				       strerror(-r));
	}
	return 0;
}

int child_go(struct child *c, struct tocsin_err *err)
{
	int failure = 0;
	ssize_t n;

	if (write(c->go_fd, "g", 1) != 1)
		return tocsin_err_fail(-errno, err, "the command's process has gone: %s",
				       strerror(errno));
	(void)close(c->go_fd);
	c->go_fd = -1;
	n = read(c->fail_fd, &failure,
		 sizeof(failure)); /* ends when the execution closes the other side */
	if (n == (ssize_t)sizeof(failure))
		return tocsin_err_fail(-failure, err, "cannot run '%s': %s", c->path,
				       strerror(failure));
	return 0;
}

bool child_reap(struct child *c)
{
	if (!c->ended && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
		c->ended = true;
	return c->ended;
}

int child_status(const struct child *c)
{
	return WIFSIGNALED(c->status) ? 128 + WTERMSIG(c->status) : WEXITSTATUS(c->status);
}

void child_done(struct child *c)
{
	if (c->go_fd >= 0) {
		(void)close(c->go_fd); /* it reads the end of the file and exits */
		if (c->pid > 0)
			(void)waitpid(c->pid, &c->status, 0);
	}
	if (c->fail_fd >= 0)
		(void)close(c->fail_fd);
	if (c->pid_fd >= 0)
		(void)close(c->pid_fd);
	c->go_fd = c->fail_fd = c->pid_fd = -1;
}
