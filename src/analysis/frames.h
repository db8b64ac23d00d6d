/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_FRAMES_H
#define TOCSIN_ANALYSIS_FRAMES_H

/* What kernel stacks say: that of a sleeper about why it sleeps, that of its waker about what ended
 * the sleep. The rules are the tables sleep_frames.def and wake_frames.def. */

#include <stdbool.h>
#include <stddef.h>

enum sleep_class {
	SLEEP_NONE,
	SLEEP_FROZEN,
	SLEEP_STOPPED,
	SLEEP_TRACED,
	SLEEP_RECLAIM,
	SLEEP_KERNEL_LOCK,
	SLEEP_USERFAULT,
	SLEEP_FAULT,
	SLEEP_FAULT_ENTRY,
	SLEEP_DISK,
	SLEEP_REMOTE,
	SLEEP_IPC, /* from here .. */
	SLEEP_NETWORK,
	SLEEP_SIGNAL,
	SLEEP_SLEEP,
	SLEEP_CHILD,
	SLEEP_FILE_LOCK, /* .. to here: what a system call waits for by its nature */
	SLEEP_LEAVING,
	SLEEP_PLAIN,
	SLEEP_NR,
};

struct sleep_view {
	unsigned nr;                 /* frames that were looked at */
	const char *frame[SLEEP_NR]; /* the innermost function of each class, or NULL; lent */
	enum sleep_class wait;       /* innermost of SLEEP_IPC .. SLEEP_FILE_LOCK, or SLEEP_NONE */
	const char *wait_subject;    /* of it, lent for ever */
	const char *top;             /* innermost function that says something, or NULL; lent */
};

enum wake_class {
	WAKE_NONE,
	WAKE_INTERRUPT,
	WAKE_TIMER_INTERRUPT,
	WAKE_POLLED,
	WAKE_TASK,
	WAKE_RECEIVE, /* WAKE_NETWORK, in an interrupt */
	WAKE_TIMEOUT, /* from here on: mechanisms */
	WAKE_IPC,
	WAKE_NETWORK,
	WAKE_SIGNAL,
	WAKE_DISK,
	WAKE_KERNEL_LOCK,
	WAKE_EXIT,
};

struct wake_view {
	bool is_interrupt;         /* the task is a bystander */
	bool is_timer;             /* a timer's interrupt */
	bool is_polled;            /* through poll or epoll */
	enum wake_class mechanism; /* WAKE_NONE: the stack does not say */
	const char *subject;       /* of the mechanism, lent for ever; "" */
	const char *frame;         /* the function that names it, lent; NULL */
};

/**
 * frame_matches() - does a kernel function's name fit a rule's pattern?
 * @name:    as the symbol table has it
 * @pattern: matches itself and itself with a compiler's suffix (.isra.0); with a star at the end
 *           whatever begins so
 *
 * Thread-safe: yes. Signal-safe: yes.
 */
bool frame_matches(const char *name, const char *pattern);

/** sleep_view_make() - look at a sleeper's stack, innermost first; unknown frames are NULL. */
void sleep_view_make(struct sleep_view *view, const char *const *frame, unsigned nr);

/** wake_view_make() - look at a waker's stack, innermost first; unknown frames are NULL. */
void wake_view_make(struct wake_view *view, const char *const *frame, unsigned nr);

#endif
