// SPDX-License-Identifier: MIT
#include "print_class.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pen.h"
#include "print.h"

static bool is_named(const struct ctf_value *v, const char *a, const char *b)
{
	return strcmp(v->name, a) == 0 || strcmp(v->name, b) == 0;
}

/* `_NAME_length` before the sequence NAME, which shows it. */
bool print_is_length(const struct ctf_value *v, const struct ctf_value *end)
{
	const struct ctf_value *next = v + 1;

	return v->name_len > 8 && next < end && v->name[0] == '_' &&
	       next->type->kind == META_SEQUENCE && next->name_len + 8u == v->name_len &&
	       memcmp(v->name + 1, next->name, next->name_len) == 0 &&
	       strcmp(v->name + 1 + next->name_len, "_length") == 0;
}

/* Contexts by the names that tracers give them; of several, the first id and the last name. */
static void who_find(struct print_class *c, const struct ctf_value *v, int item)
{
	if (!v->name || !print_is_plain(v))
		return;
	if (v->is_text && is_named(v, "comm", "procname"))
		c->who[WHO_COMM] = item;
	else if (v->type->kind != META_INT)
		return;
	else if (is_named(v, "pid", "vpid") && c->who[WHO_PID] < 0)
		c->who[WHO_PID] = item;
	else if (is_named(v, "tid", "vtid") && c->who[WHO_TID] < 0)
		c->who[WHO_TID] = item;
	else if (is_named(v, "cpu", "cpu_id"))
		c->who[WHO_CPU] = item;
}

static enum print_kind kind_of(const struct ctf_value *v, const struct ctf_value *end)
{
	if (print_is_length(v, end))
		return PRINT_SAID;
	if (v->is_text)
		return PRINT_TEXT;
	if (!print_is_plain(v))
		return PRINT_TREE;
	if (v->type->kind != META_INT || v->type->base != 10)
		return PRINT_PLAIN;
	return v->type->is_signed ? PRINT_SIGNED : PRINT_UNSIGNED;
}

static int item_add(struct print_class *c, enum print_kind kind, const struct ctf_value *v)
{
	struct print_item *item = reallocarray(c->item, (size_t)c->nr_items + 1, sizeof(*c->item));
	size_t word = c->words.len;

	if (!item)
		return -ENOMEM;
	c->item = item;
	if (kind > PRINT_SAID) {
		pen_char(&c->words, ' ');
		/* What is within brackets says its name itself. */
		if (v->name && kind != PRINT_TREE) {
			pen_clean(&c->words, v->name);
			pen_char(&c->words, '=');
		}
	}
	if (c->words.failed)
		return c->words.failed;
	item[c->nr_items++] = (struct print_item){
		.kind = (uint8_t)kind,
		.word = (uint32_t)word,
		.word_len = (uint32_t)(c->words.len - word),
	};
	return 0;
}

/* The values from @v up to @end, which stand beside one another. */
static int level_add(struct print_class *c, const struct ctf_value *v, const struct ctf_value *end,
		     bool is_context)
{
	int r = 0;

	for (; v < end && r == 0; v += 1 + v->nr_below) {
		if (is_context)
			who_find(c, v, (int)c->nr_items);
		r = item_add(c, kind_of(v, end), v);
	}
	return r;
}

/* A scope; the contexts that a recording adds stand first in the payload, as `ctx`. */
static int scope_add(struct print_class *c, const struct ctf_value *scope)
{
	const struct ctf_value *v = scope + 1, *end = v + scope->nr_below;
	bool is_payload = scope->scope == SCOPE_PAYLOAD;
	int r = item_add(c, PRINT_ENTER, scope);

	if (r == 0 && is_payload && v < end && trace_who_is_context(v)) {
		r = item_add(c, PRINT_ENTER, v);
		if (r == 0)
			r = level_add(c, v + 1, v + 1 + v->nr_below, true);
		v += 1 + v->nr_below;
	}
	return r < 0 ? r : level_add(c, v, end, !is_payload);
}

static int class_fill(struct print_class *c, const struct trace_event *e,
		      const struct ctf_values *values)
{
	const struct ctf_value *end = values->item + values->nr;
	int r = 0;

	for (unsigned i = 0; i < WHO_NR; i++)
		c->who[i] = -1;
	pen_char(&c->words, ' ');
	pen_clean(&c->words, e->name);
	c->name_len = c->words.len;
	for (const struct ctf_value *v = values->item; v < end && r == 0; v += 1 + v->nr_below)
		r = scope_add(c, v);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < WHO_NR; i++) {
		if (c->who[i] < 0)
			continue;
		c->item[c->who[i]] = (struct print_item){.kind = PRINT_SAID};
		c->has_who = true;
	}
	c->room = c->words.len + PRINT_WORD_MORE + (size_t)c->nr_items * PEN_NUMBER_MAX;
	return out_room(&c->words, PRINT_WORD_MORE) ? 0 : -ENOMEM;
}

static struct print_class *class_free(struct print_class *c)
{
	if (!c)
		return NULL;
	free(c->item);
	out_done(&c->words);
	free(c);
	return NULL;
}

static struct print_class **slot_of(const struct print_classes *classes,
				    const struct plan_event *class)
{
	size_t at = (size_t)((uintptr_t) class >> 4) * 0x9e3779b1u & (classes->capacity - 1);

	while (classes->slot[at] && classes->slot[at]->class != class)
		at = (at + 1) & (classes->capacity - 1);
	return &classes->slot[at];
}

static int classes_grow(struct print_classes *classes)
{
	struct print_classes more = {.capacity = classes->capacity ? 2 * classes->capacity : 64,
				     .nr = classes->nr};

	more.slot = calloc(more.capacity, sizeof(*more.slot));
	if (!more.slot)
		return -ENOMEM;
	for (size_t i = 0; i < classes->capacity; i++)
		if (classes->slot[i])
			*slot_of(&more, classes->slot[i]->class) = classes->slot[i];
	free(classes->slot);
	*classes = more;
	return 0;
}

int print_class_of(struct print_classes *classes, const struct trace_event *e,
		   const struct ctf_values *values, const struct print_class **ret_class)
{
	struct print_class **slot, *c = classes->last;
	int r = 0;

	if (c && c->class == e->class) {
		*ret_class = c;
		return 0;
	}
	if (2 * classes->nr >= classes->capacity)
		r = classes_grow(classes);
	if (r < 0)
		return r;
	slot = slot_of(classes, e->class);
	if (!*slot) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return -ENOMEM;
		c->class = e->class;
		out_init(&c->words, -1);
		r = class_fill(c, e, values);
		if (r < 0) {
			(void)class_free(c); /* always NULL */
			return r;
		}
		*slot = c;
		classes->nr++;
	}
	*ret_class = classes->last = *slot;
	return 0;
}

void print_classes_done(struct print_classes *classes)
{
	for (size_t i = 0; i < classes->capacity; i++)
		classes->slot[i] = class_free(classes->slot[i]);
	free(classes->slot);
	*classes = (struct print_classes){0};
}
