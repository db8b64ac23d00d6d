/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_WATCH_CHILD_H
#define TOCSIN_CLI_WATCH_CHILD_H

/* `-- CMD`: a program that is started when the watch is armed. */

#include <stdbool.h>
#include <sys/types.h>

#include "../base/err.h"

struct child {
	pid_t pid;
	int go_fd;       /* closing it lets the child execute the program */
	int pid_fd;      /* readable when the child has ended */
	int fail_fd;     /* gets the errno of a failed execution */
	char path[4096]; /* of the program */
	bool ended;
	int status; /* of wait, once it has ended */
};

/**
 * child_find() - the program of a command, looked up in PATH as execvp() does.
 *
 * Return: 0, or -ENOENT, -EACCES there is one but it cannot be executed.
 */
int child_find(struct child *c, const char *name, struct tocsin_err *err);

/** child_start() - fork; the child waits. Return: 0, or -errno. */
int child_start(struct child *c, char **argv, struct tocsin_err *err);

/** child_go() - let it run. Return: 0, or -errno of the execution. */
int child_go(struct child *c, struct tocsin_err *err);

/** child_reap() - take its status if it has ended; never waits. Return: has it ended? */
bool child_reap(struct child *c);

/** child_status() - its exit status as a shell says it. */
int child_status(const struct child *c);

/** child_done() - a child that never got its go is ended; one that runs goes on without us. */
void child_done(struct child *c);

#endif
