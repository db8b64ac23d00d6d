/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_STITCH_H
#define TOCSIN_UNWIND_STITCH_H

/*
 * Which stack belongs to which event. A stack is attached only if session, thread, start of the
 * thread and cookie are all the event's, and the event happened between the request and the walk;
 * else there is none, and the reason why. Nothing is inferred from what comes next to what: records
 * may be lost, come late, or be of a thread that has another's number.
 *
 * Why each part: the cookie alone comes again when a CPU's count wraps, and in another session; the
 * thread alone has many stacks; its number is given to a new thread, whose cookies may be equal
 * when the count was preset; the times catch a count that has wrapped within one thread. Time only
 * ever rejects a stack.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "../abi/stack.h"

struct stitch_key {
	uint64_t session;
	uint64_t cookie;
	uint64_t thread_start_ns;
	uint32_t tid;
};

struct stitch;

/**
 * stitch_new() - with no stack yet.
 * @session: whose stacks are taken
 * @max:     stacks kept, a power of two; the oldest gives way
 * @done:    called with each stack that is not kept any more
 *
 * Return: to be given to stitch_free(), or NULL: no memory.
 */
struct stitch *stitch_new(uint64_t session, size_t max, void (*done)(void *stack));

/** stitch_free() - accepts NULL. Return: NULL. */
struct stitch *stitch_free(struct stitch *s);

/**
 * stitch_put() - a stack has come.
 * @stack: given away in any case
 *
 * One of another session, and a second one with the same key and times, is dropped. Constant time.
 */
void stitch_put(struct stitch *s, const struct stitch_key *key, uint64_t asked_ns,
		uint64_t walked_ns, void *stack);

/**
 * stitch_get() - the stack of an event.
 * @key:     the event's; where a reason stands in the cookie's place it is given back
 * @t_ns:    when the event happened, by the clock of the stacks
 * @ret_why: why there is none; written only then
 *
 * Return: the stack, lent until the next stitch_put(), or NULL. Constant time.
 */
void *stitch_get(struct stitch *s, const struct stitch_key *key, uint64_t t_ns,
		 enum stack_reason *ret_why);

/** stitch_lost() - stacks were lost on the way, @nr in all so far: one that is not there may be one
 * of them. */
void stitch_lost(struct stitch *s, uint64_t nr);

/** stitch_end() - no more stacks will come: one that is not there was cancelled. */
void stitch_end(struct stitch *s);

#endif
