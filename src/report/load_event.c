// SPDX-License-Identifier: MIT
/*
 * Values to structs, by the names of the fields: a trace of another version may have others, in
 * another order. Nothing of a trace is trusted: numbers are cut to the size of their field, lists
 * and texts to what the model can hold.
 */
#include <errno.h>
#include <string.h>

#include "load_event.h"

#define LIST_MAX 256 /* elements of one list that are kept */

int load_class_find(const char *name)
{
	for (int i = 0; i < TRACE_CLASS_NR; i++)
		if (strcmp(trace_classes[i].name, name) == 0)
			return i;
	return -1;
}

static unsigned number_bytes(enum ctf_kind kind)
{
	switch (kind) {
#define X(NAME, ctype, tsdl, bytes, is_signed, base) \
	case CTF_##NAME:                             \
		return bytes;
#include "../ctf/kinds.def"
#undef X
	case CTF_ENUM:
	case CTF_STR:
	case CTF_STRS:
	case CTF_X64S:
	default: return 0;
	}
}

/* The place of a label in our table; behind its end when we do not know it. */
static uint8_t label_find(const struct ctf_labels *labels, const struct ctf_value *v)
{
	const char *label = v->type->kind == META_ENUM ? meta_label(v->type, v->u) : NULL;

	for (unsigned i = 0; label && i < labels->nr; i++)
		if (labels->label[i] && strcmp(labels->label[i], label) == 0)
			return (uint8_t)i;
	return (uint8_t)labels->nr;
}

/* "-" stands for no text (docs/formats/ctf.md). */
static int text_keep(struct arena *arena, const struct ctf_value *v, const char **ret)
{
	size_t len = v->is_text ? v->len : 0;

	if (len == 1 && v->text[0] == '-')
		len = 0;
	*ret = arena_text(arena, len ? v->text : "", len < LOAD_TEXT_MAX ? len : LOAD_TEXT_MAX);
	return *ret ? 0 : -ENOMEM;
}

static bool is_list(const struct ctf_value *v)
{
	return !v->is_text && (v->type->kind == META_SEQUENCE || v->type->kind == META_ARRAY);
}

static uint32_t list_len(const struct ctf_value *v)
{
	return !is_list(v) ? 0 : v->len < LIST_MAX ? (uint32_t)v->len : LIST_MAX;
}

static int texts_keep(struct arena *arena, const struct ctf_value *v, struct ctf_strs *ret)
{
	const struct ctf_value *item = v + 1;
	uint32_t nr = list_len(v);
	const char **text = nr ? arena_array(arena, nr, sizeof(*text)) : NULL;
	int r = nr && !text ? -ENOMEM : 0;

	for (uint32_t i = 0; i < nr && r == 0; i++, item += 1 + item->nr_below)
		r = text_keep(arena, item, &text[i]);
	*ret = (struct ctf_strs){text, nr};
	return r;
}

static int numbers_keep(struct arena *arena, const struct ctf_value *v, struct ctf_u64s *ret)
{
	const struct ctf_value *item = v + 1;
	uint32_t nr = list_len(v);
	uint64_t *number = nr ? arena_array(arena, nr, sizeof(*number)) : NULL;

	for (uint32_t i = 0; number && i < nr; i++, item += 1 + item->nr_below)
		number[i] = item->is_text ? 0 : item->u;
	*ret = (struct ctf_u64s){number, nr};
	return nr && !number ? -ENOMEM : 0;
}

static bool is_number(const struct ctf_value *v)
{
	return !v->is_text && (v->type->kind == META_INT || v->type->kind == META_ENUM);
}

static int field_read(const struct ctf_field *field, const struct ctf_value *v, struct arena *arena,
		      uint8_t *at)
{
	switch (field->kind) {
	case CTF_ENUM: *at = label_find(field->labels, v); return 0;
	case CTF_STR: return text_keep(arena, v, (const char **)(void *)at);
	case CTF_STRS: return texts_keep(arena, v, (struct ctf_strs *)(void *)at);
	case CTF_X64S: return numbers_keep(arena, v, (struct ctf_u64s *)(void *)at);
#define X(NAME, ctype, tsdl, bytes, is_signed, base) case CTF_##NAME:
#include "../ctf/kinds.def"
#undef X
	default:
		if (is_number(v))
			memcpy(at, &v->u, number_bytes(field->kind)); /* little endian */
		return 0;
	}
}

/* Texts that an event has not are empty ones. */
static void texts_clear(const struct ctf_event_class *class, uint8_t *event)
{
	static const char *const empty = "";

	for (unsigned i = 0; i < class->nr_fields; i++)
		if (class->field[i].kind == CTF_STR)
			memcpy(event + class->field[i].offset, &empty, sizeof(empty));
}

int load_event_read(enum trace_class class_nr, const struct ctf_values *values, struct arena *arena,
		    union trace_any *ret_event)
{
	const struct ctf_event_class *class = &trace_classes[class_nr];
	const struct ctf_value *end = values->item + values->nr, *v = values->item;
	uint8_t *event = (uint8_t *)ret_event;
	unsigned next = 0; /* fields come in the order of the table, mostly */
	int r = 0;

	memset(ret_event, 0, sizeof(*ret_event));
	texts_clear(class, event);
	while (v < end && v->scope != SCOPE_PAYLOAD)
		v += 1 + v->nr_below;
	if (v >= end)
		return 0;
	end = v + 1 + v->nr_below;
	for (v++; v < end && r == 0; v += 1 + v->nr_below) {
		for (unsigned tried = 0; v->name && tried < class->nr_fields; tried++) {
			const struct ctf_field *f = &class->field[next];

			next = next + 1 < class->nr_fields ? next + 1 : 0;
			if (strcmp(f->name, v->name) == 0) {
				r = field_read(f, v, arena, event + f->offset);
				break;
			}
		}
	}
	return r;
}
