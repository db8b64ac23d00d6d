/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_DECIDE_H
#define TOCSIN_ANALYSIS_DECIDE_H

/* The decision table: from the evidence of one spell to why the thread was off the CPU. */

#include "finding.h"

enum syscall_class {
	CALL_NONE,
	CALL_FUTEX,
	CALL_FUTEX_NEW,
	CALL_SLEEP,
	CALL_CHILD,
	CALL_CLONE,
	CALL_CLONE3,
	CALL_SIGNAL,
	CALL_FILE_LOCK,
	CALL_FCNTL,
	CALL_POLL,
	CALL_SELECT,
	CALL_EPOLL,
	CALL_IPC,
	CALL_COMPLETION,
	CALL_DESCRIPTOR,
	CALL_SYNC,
};

/* A line of syscall_classes.def. */
struct syscall_rule {
	const char *name;
	enum syscall_class class;
	const char *subject;
};

/** syscall_rule_get() - what the table says of the system call it sleeps in, or NULL. */
const struct syscall_rule *syscall_rule_get(const struct evidence *e);

/** decide_call() - why it sleeps by its system call. Return: whether the call tells. */
bool decide_call(const struct evidence *e, const struct syscall_rule *rule, struct finding *f);

/** decide_blocked() - why a thread was blocked or stopped. Always fills @ret. */
void decide_blocked(const struct evidence *e, struct finding *ret);

/**
 * decide_waiting() - why a thread that could run had no CPU. Always fills @ret.
 * @waited_ns: how long, without what its cgroup's quota cost
 */
void decide_waiting(const struct evidence *e, uint64_t waited_ns, struct finding *ret);

/**
 * decide_throttled() - whose quota was used up. Always fills @ret.
 * @path: of the cgroup, or NULL: the record's last component
 */
void decide_throttled(const struct evidence *e, const char *path, struct finding *ret);

#endif
