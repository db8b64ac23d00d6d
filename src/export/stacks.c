// SPDX-License-Identifier: MIT
/* Open addressing with a step of one; the hash is FNV-1a
 * (http://www.isthe.com/chongo/tech/comp/fnv/). */
#include "stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash(const char *text, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3;
	return h;
}

/* The slot of a text, or the free one where it belongs. */
static uint32_t *slot_find(struct stacks *s, const char *text, size_t len)
{
	size_t at = hash(text, len) & (s->nr_slots - 1);

	for (;; at = (at + 1) & (s->nr_slots - 1)) {
		const struct stack_sum *item = s->slot[at] ? &s->item[s->slot[at] - 1] : NULL;

		if (!item || (strncmp(item->text, text, len) == 0 && !item->text[len]))
			return &s->slot[at];
	}
}

static int stacks_grow(struct stacks *s)
{
	size_t capacity = s->capacity ? 2 * s->capacity : 256;
	struct stack_sum *item = reallocarray(s->item, capacity, sizeof(*item));
	uint32_t *slot = item ? calloc(2 * capacity, sizeof(*slot)) : NULL;

	s->item = item ?: s->item;
	if (!slot)
		return -ENOMEM;
	free(s->slot);
	s->slot = slot;
	s->nr_slots = 2 * capacity;
	s->capacity = capacity;
	for (size_t i = 0; i < s->nr; i++)
		*slot_find(s, item[i].text, strlen(item[i].text)) = (uint32_t)i + 1;
	return 0;
}

int stacks_add(struct stacks *s, const char *text, size_t len, uint64_t ns)
{
	struct stack_sum *item;
	uint32_t *slot;

	if (s->nr == s->capacity && s->nr < STACKS_MAX && stacks_grow(s) < 0)
		return -ENOMEM;
	slot = slot_find(s, text, len);
	if (!*slot) {
		if (s->nr == STACKS_MAX) {
			s->other_ns += ns;
			return 0;
		}
		item = &s->item[s->nr];
		*item = (struct stack_sum){.text = strndup(text, len)};
		if (!item->text)
			return -ENOMEM;
		*slot = (uint32_t)++s->nr;
	}
	item = &s->item[*slot - 1];
	item->ns += ns;
	item->nr++;
	return 0;
}

static int sum_compare(const void *a, const void *b)
{
	return strcmp(((const struct stack_sum *)a)->text, ((const struct stack_sum *)b)->text);
}

void stacks_sort(struct stacks *s)
{
	if (s->nr)
		qsort(s->item, s->nr, sizeof(*s->item), sum_compare);
	free(s->slot);
	s->slot = NULL;
}

void stacks_done(struct stacks *s)
{
	for (size_t i = 0; i < s->nr; i++)
		free(s->item[i].text);
	free(s->item);
	free(s->slot);
	*s = (struct stacks){0};
}
