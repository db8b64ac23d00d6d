/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_EXPORT_STACKS_H
#define TOCSIN_EXPORT_STACKS_H

/* Time by stack: every different one once, in a hash table. */

#include <stddef.h>
#include <stdint.h>

#define STACKS_MAX (1u << 20) /* different ones; what comes after goes to `other` */

struct stack_sum {
	char *text; /* owned: frames joined by ';', the outermost first */
	uint64_t ns;
	uint64_t nr;
};

struct stacks {
	struct stack_sum *item; /* owned */
	size_t nr, capacity;
	uint32_t *slot; /* owned: 1 + index, 0: free; twice as many as there is room for items */
	size_t nr_slots;
	uint64_t other_ns; /* found no place */
};

/** stacks_add() - put time to a stack; @text is copied. Return: 0, -ENOMEM. */
int stacks_add(struct stacks *s, const char *text, size_t len, uint64_t ns);

/** stacks_sort() - in the order of their texts; nothing can be added after that. */
void stacks_sort(struct stacks *s);

void stacks_done(struct stacks *s);

#endif
