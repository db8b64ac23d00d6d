/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_DISCOVER_H
#define TOCSIN_COLLECTOR_DISCOVER_H

/* Which processes can be recorded: those that have a control page of libtocsin. */

#include <sys/types.h>

#include "control_file.h"
#include "process.h"

/* A process that can be recorded. */
struct discovered {
	pid_t pid;            /* as we see it */
	pid_t ns_pid;         /* as it sees itself */
	uint64_t start_ticks; /* field 22 of /proc/PID/stat, as we see it */
	char comm[32];
	struct control_file page;   /* owned */
	struct control_tracee head; /* copied when it was found */
};

/** discover_fn - one page. @found: to be emptied with discovered_take() by who keeps it. Return: 0
 * to go on, else discover ends with it. */
typedef int (*discover_fn)(void *arg, struct discovered *found);

/**
 * discover_process() - find the control pages of a process and tell each.
 * @err: on failure, which process and why
 *
 * A process has one page, or one for each copy of the library in it.
 *
 * Return: how many there were, or -ESRCH no such process, -EACCES no permission (@err says whose it
 * is and what would help), -EPROTO another version of the library, what @fn said, -errno.
 * Thread-safe: yes. Signal-safe: no.
 */
int discover_process(pid_t pid, discover_fn fn, void *arg, struct tocsin_err *err);

/* What discover_all() could not look into. */
struct discover_blind {
	unsigned nr_denied;    /* processes of others */
	unsigned nr_refused;   /* other versions */
	struct tocsin_err why; /* the first of them */
};

/**
 * discover_all() - every process that we may look into.
 * @skip:  pids that are known already and are not looked at, may be NULL
 *
 * Return: how many pages there were, or what @fn said, -errno.
 */
int discover_all(const struct pid_set *skip, discover_fn fn, void *arg,
		 struct discover_blind *ret_blind);

/** discovered_done() - close its page. */
void discovered_done(struct discovered *found);

/** discover_start_ticks() - when a process started. Return: 0: it is gone. */
uint64_t discover_start_ticks(pid_t pid);

#endif
