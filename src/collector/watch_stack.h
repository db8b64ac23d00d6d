/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_WATCH_STACK_H
#define TOCSIN_COLLECTOR_WATCH_STACK_H

/* The user stacks of a watch: walked as they come, found again by the events that name them. */

#include "../abi/watch.h"
#include "../base/err.h"
#include "../bpf/watch.h"
#include "../unwind/named.h"

struct stacks;

struct stacks_options {
	struct watch_kernel *kernel; /* lent */
	uint64_t session;            /* as configured there */
	const char *cache_dir;       /* for unwinding tables, lent for the call; NULL: none */
};

/** stacks_open() - Return: 0, to be given to stacks_close(), or -ENOMEM. */
int stacks_open(const struct stacks_options *opts, struct stacks **ret);

/** stacks_close() - accepts NULL. Return: NULL. */
struct stacks *stacks_close(struct stacks *s);

/** stacks_prepare() - read a process's mappings and tables before they are needed. It may be gone:
 * its stacks then say so. */
void stacks_prepare(struct stacks *s, uint32_t tgid);

/** stacks_forget() - its mappings are no longer what they were: it executed, or it has gone. */
void stacks_forget(struct stacks *s, uint32_t tgid);

/** stacks_take() - walk what waits. Return: 0, or -errno. */
int stacks_take(struct stacks *s);

/**
 * stacks_deadline() - the named stack at a section's deadline.
 * @event: of a section that fired, or, later, of its end; those that fired are remembered
 *
 * Looks at what waits first, so that a stack that was sent before the event is found.
 *
 * Return: to be freed with free(), or NULL: no memory. Names are lent until stacks_close().
 */
struct named_stack *stacks_deadline(struct stacks *s, const struct watch_event_section *event);

/** stacks_spell() - the same of a spell of that section; NULL also where none was asked for. */
struct named_stack *stacks_spell(struct stacks *s, const struct watch_event_section *event,
				 const struct watch_spell *spell);

#endif
