/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_WATCH_LINKED_H
#define TOCSIN_COLLECTOR_WATCH_LINKED_H

/*
 * Sections that programs define themselves (include/tocsin/section.h): found in the control pages
 * of the watched processes, named to the kernel half, which reads them from the threads' slots
 * (bpf/watch_linked.h).
 *
 * Their names come as the processes come and describe them, so this is asked again and again;
 * between the description of a section and the look that finds it, what ran over its budget is
 * counted as unnamed.
 */

#include "../bpf/watch.h"
#include "process.h"

struct linked;

/* Gives the index of the section of this name, made at its first mention. Return: 0, -ENOSPC,
 * -ENOMEM. */
typedef int (*linked_name_fn)(void *arg, const char *name, uint32_t *ret_index,
			      struct tocsin_err *err);

struct linked_options {
	struct watch_kernel *kernel; /* lent for the life */
	const char *const *glob;     /* which names, * and ?; lent for the life */
	size_t nr_globs;
	linked_name_fn name;
	void *arg;
};

/** linked_open() - nothing is looked at yet. Return: 0, -ENOMEM. */
int linked_open(const struct linked_options *opts, struct linked **ret);

struct linked *linked_close(struct linked *l);

/**
 * linked_look() - read what these processes say of themselves, and tell the kernel half what is
 * new.
 * @pids: lent for the call; those that are not linked are passed over
 * @err:  on failure
 *
 * A page of another version, or one that may not be read, is passed over and counted.
 *
 * Return: 0, or -ENOSPC no room for another section, -E2BIG the kernel half's tables are full,
 * -errno. Thread-safe: per object. Signal-safe: no.
 */
int linked_look(struct linked *l, const struct pid_set *pids, struct tocsin_err *err);

/** linked_forget() - the process has executed another program, which may be linked or not. */
void linked_forget(struct linked *l, pid_t pid);

/** linked_nr_processes() - processes that use sections; those that have gone are counted. */
unsigned linked_nr_processes(const struct linked *l);

/** linked_nr_refused() - processes that were passed over, or of whose sections some were. */
unsigned linked_nr_refused(const struct linked *l);

/** linked_refusal() - why the first page was passed over; "" none was. Lent until the next look. */
const char *linked_refusal(const struct linked *l);

#endif
