/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_EXEC_H
#define TOCSIN_REPORT_EXEC_H

/* `--exec CMD`: a shell command a violation, its fields in the environment. */

#include <sys/types.h>

#include "fields.h"

#define EXEC_RUNNING_MAX 32

struct exec_limits {
	double rate_per_s; /* commands started a second in the long run; 0: the defaults below for
			      all three */
	unsigned burst;    /* and so many at once after a quiet time */
	unsigned max_running; /* up to EXEC_RUNNING_MAX */
};

#define EXEC_RATE_PER_S  1.0
#define EXEC_BURST       5
#define EXEC_MAX_RUNNING 8

struct exec_stats {
	uint64_t started;
	uint64_t suppressed;  /* by the rate, or because max_running were running */
	uint64_t not_started; /* no memory, no process */
	uint64_t failed;      /* ended with a status other than 0, or by a signal */
	uint64_t killed;      /* of these, by exec_sink_close() */
	int last_failure;     /* -errno of the latest that was not started, 0: none */
};

struct exec_sink;

/**
 * exec_sink_open() - prepare to run a command.
 * @command:  for /bin/sh -c, lent for the call
 * @limits:   zeroed: the defaults
 * @ret_sink: the sink, to be given to exec_sink_close()
 *
 * Return: 0, or -EINVAL limits out of range, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
int exec_sink_open(const char *command, struct exec_limits limits, struct exec_sink **ret_sink);

/**
 * exec_sink_violation() - run the command for a violation, unless the limits forbid it; does not
 * wait for it.
 * @sink:   the sink
 * @v:      the violation, lent
 * @now_ns: CLOCK_MONOTONIC
 *
 * Return: 1 started, 0 suppressed and counted, or -errno not started and counted.
 * Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
int exec_sink_violation(struct exec_sink *sink, const struct violation *v, uint64_t now_ns);

/**
 * exec_sink_reap() - take note of the commands that have ended; never waits. Call it now and then:
 * until then they are zombies, and count as running.
 *
 * Return: how many are still running.
 * Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
unsigned exec_sink_reap(struct exec_sink *sink);

/** exec_sink_get_stats() - counters so far. */
struct exec_stats exec_sink_get_stats(const struct exec_sink *sink);

/**
 * exec_sink_close() - wait for the commands that run, end those that take longer, and free the
 * sink.
 * @sink:      may be NULL
 * @grace_ns:  how long they may take; what runs then gets SIGTERM with all it has started, and
 * SIGKILL a second later
 * @ret_stats: the counters at the end; may be NULL
 *
 * Return: NULL.
 */
struct exec_sink *exec_sink_close(struct exec_sink *sink, uint64_t grace_ns,
				  struct exec_stats *ret_stats);

#endif
