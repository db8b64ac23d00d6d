/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_WALK_H
#define TOCSIN_UNWIND_WALK_H

/*
 * From registers and a stack to return addresses, by tables. Every frame is checked: its end lies
 * above the one before, inside the stack that was given, and its return address is in executable
 * code that the space knows. What cannot be checked is not guessed: the walk ends there, with the
 * reason.
 *
 * The walk allocates nothing, takes no lock, makes no system call of its own, and reads only the
 * stack that it is given (and what its caller's `read` reads): safe in a signal handler as long as
 * the space stays as it is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/stack.h"
#include "table.h"

struct unwind_module;

/* A stretch of executable code in a process. */
struct unwind_map {
	uint64_t start;
	uint64_t end;
	uint64_t bias;                    /* address - bias: as linked */
	const struct unwind_table *table; /* NULL: it has none */
	struct unwind_module *module;     /* NULL: of no file that was found */
};

#define UNWIND_CACHE_SLOTS 1024

/* Rules by address: most frames of a service are the same few. Valid as long as the space is. */
struct unwind_cache {
	struct {
		uint64_t pc;
		struct unwind_rule rule;
		uint32_t pad;
	} slot[UNWIND_CACHE_SLOTS];
	uint64_t hits;
	uint64_t misses;
};

/* The code of one process. */
struct unwind_space {
	const struct unwind_map *map; /* by rising address, not overlapping */
	size_t nr_maps;
	uint64_t code_mask;         /* of a signed return address, the bits that are the address */
	struct unwind_cache *cache; /* NULL: none; of one thread at a time */
};

struct unwind_regs {
	uint64_t pc;
	uint64_t sp;
	uint64_t fp;
	uint64_t lr; /* aarch64 */
};

struct unwind_frame {
	uint64_t pc;
	bool is_exact; /* an instruction; else a return address: what called stands before it */
};

/* The memory that may be read. */
struct unwind_stack {
	uint64_t base; /* address of the first byte */
	const uint8_t *bytes;
	size_t len;
	/* What lies elsewhere: the stack that a signal interrupted; NULL: nothing may be read.
	 * Return: 0, or a negative errno. */
	int (*read)(void *arg, uint64_t address, uint64_t *ret_word);
	void *arg;
};

/** unwind_map_at() - the mapping that covers an address. Return: NULL when none does. */
const struct unwind_map *unwind_map_at(const struct unwind_space *space, uint64_t address);

/**
 * unwind_walk() - the return addresses of a stack.
 * @regs:  of the innermost frame, at the instruction @regs->pc
 * @frame: @max places; the first is @regs->pc, those behind it are return addresses, but what a
 *         signal interrupted is exact again
 * @ret_why: STACK_COMPLETE when the outermost frame was reached, else why the walk ended
 *
 * Return: number of frames, at least 1. Thread-safe: yes, with a cache each. Signal-safe: yes,
 * where @stack->read is.
 */
size_t unwind_walk(const struct unwind_space *space, const struct unwind_regs *regs,
		   const struct unwind_stack *stack, struct unwind_frame *frame, size_t max,
		   enum stack_reason *ret_why);

#endif
