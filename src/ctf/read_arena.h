/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_ARENA_H
#define TOCSIN_CTF_READ_ARENA_H

/* Memory of things that live and die together: what a metadata text was made into. */

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunk; /* newest first */
	size_t used_bytes;         /* given out */
	size_t limit_bytes;        /* no more than this is given out; 0: no limit */
};

/**
 * arena_alloc() - zeroed memory, aligned for anything, that lives until arena_done().
 *
 * Return: the memory, or NULL: none left, or the limit is reached.
 * Thread-safe: per object. Signal-safe: no.
 */
void *arena_alloc(struct arena *a, size_t bytes);

/** arena_array() - @nr zeroed items of @bytes each; NULL also when the product overflows. */
void *arena_array(struct arena *a, size_t nr, size_t bytes);

/** arena_text() - a terminated copy of @len bytes. Return: the copy, or NULL. */
char *arena_text(struct arena *a, const char *text, size_t len);

/** arena_done() - free everything and zero the arena, but for its limit. @a may be NULL. */
void arena_done(struct arena *a);

#endif
