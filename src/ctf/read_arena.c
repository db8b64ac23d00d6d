// SPDX-License-Identifier: MIT
/* Memory of things that live and die together. */
#include "read_arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 * 1024)

struct arena_chunk {
	struct arena_chunk *next;
	size_t used;
	size_t size;
	alignas(max_align_t) unsigned char bytes[];
};

static struct arena_chunk *chunk_add(struct arena *a, size_t bytes)
{
	size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
	struct arena_chunk *chunk = calloc(1, sizeof(*chunk) + size);

	if (!chunk)
		return NULL;
	chunk->size = size;
	chunk->next = a->chunk;
	a->chunk = chunk;
	return chunk;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	struct arena_chunk *chunk = a->chunk;
	size_t align = alignof(max_align_t);
	void *p;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + align - 1) / align * align;
	if (a->limit_bytes && bytes > a->limit_bytes - a->used_bytes)
		return NULL;
	if (!chunk || chunk->size - chunk->used < bytes)
		chunk = chunk_add(a, bytes);
	if (!chunk)
		return NULL;
	p = chunk->bytes + chunk->used;
	chunk->used += bytes;
	a->used_bytes += bytes;
	return p;
}

void *arena_array(struct arena *a, size_t nr, size_t bytes)
{
	size_t total;

	if (__builtin_mul_overflow(nr, bytes, &total))
		return NULL;
	return arena_alloc(a, total);
}

char *arena_text(struct arena *a, const char *text, size_t len)
{
	char *copy = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

	if (copy && len)
		memcpy(copy, text, len);
	return copy;
}

void arena_done(struct arena *a)
{
	if (!a)
		return;
	while (a->chunk) {
		struct arena_chunk *chunk = a->chunk;

		a->chunk = chunk->next;
		free(chunk);
	}
	a->used_bytes = 0;
}
