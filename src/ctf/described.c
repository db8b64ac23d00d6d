// SPDX-License-Identifier: MIT
/* Descriptions of events out of a control page: checked once, then walked without a further
 * thought. */
#include "described.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tocsin/types.h"

static const uint8_t scalar_bytes[] = {
#define X(TYPE, bytes, is_signed, name, hex_name, emit) [TOCSIN_TYPE_##TYPE] = (bytes),
#include "types.def"
#undef X
	[TOCSIN_TYPE_F32] = 4,
	[TOCSIN_TYPE_F64] = 8,
	[TOCSIN_TYPE_BOOL] = 1,
};

static const struct ctf_context contexts[CONTEXT_NR] = {
#define X(NAME, name, type, count, text) [CONTEXT_##NAME] = {#name, type, count},
#include "../abi/context.def"
#undef X
};

const struct ctf_context *ctf_context(unsigned i)
{
	return &contexts[i];
}

unsigned ctf_scalar_bytes(unsigned type)
{
	return type < sizeof(scalar_bytes) ? scalar_bytes[type] : 0;
}

const struct control_field *ctf_described_field(const struct control_class *class, unsigned i)
{
	return (const struct control_field *)(const void *)(class + 1) + i;
}

static const struct control_label *labels(const struct control_class *class)
{
	return (const struct control_label *)(const void *)ctf_described_field(class,
									       class->nr_fields);
}

const struct control_label *ctf_described_label(const struct control_class *class,
						const struct control_field *field, unsigned i)
{
	return labels(class) + field->first_label + i;
}

const char *ctf_described_text(const struct control_class *class, uint32_t at)
{
	return (const char *)class + at;
}

void ctf_described_name(const struct control_class *class, char *name, size_t size)
{
	(void)snprintf(name, size, "%s:%s", ctf_described_text(class, class->provider),
		       ctf_described_text(class, class->name));
}

static bool is_integer(unsigned type)
{
	return type >= TOCSIN_TYPE_U8 && type <= TOCSIN_TYPE_S64;
}

static bool is_text(const struct control_class *class, uint32_t at)
{
	size_t room;

	if (at < sizeof(*class) || at >= class->bytes)
		return false;
	room = class->bytes - at;
	return memchr(ctf_described_text(class, at), 0, room < CTF_NAME_MAX ? room : CTF_NAME_MAX);
}

static const char *field_fault(const struct control_class *class, const struct control_field *f)
{
	if (!is_text(class, f->name))
		return "the name of a field lies outside";
	if (f->flags & TOCSIN_FIELD_ENUM) {
		if (!is_integer(f->type))
			return "labels for a field that is no integer";
		if (f->nr_labels > CTF_LABELS_MAX)
			return "too many labels";
		if ((uint32_t)f->first_label + f->nr_labels > class->nr_labels)
			return "the labels of a field lie outside";
	}
	switch (f->type) {
	case TOCSIN_TYPE_ARRAY:
		if (!f->count || f->count > CTF_ELEMS_MAX)
			return "an array without a sensible length";
		return ctf_scalar_bytes(f->elem) ? NULL : "an array of elements of no known type";
	case TOCSIN_TYPE_SEQUENCE:
		return ctf_scalar_bytes(f->elem) ? NULL : "a sequence of elements of no known type";
	case TOCSIN_TYPE_TEXT:
		return f->count && f->count <= CTF_ELEMS_MAX ? NULL : "a text without a length";
	case TOCSIN_TYPE_STRING:
	case TOCSIN_TYPE_BLOB: return NULL;
	default: return ctf_scalar_bytes(f->type) ? NULL : "a field of no known type";
	}
}

static const char *fault(const struct control_class *class, size_t len)
{
	size_t least;

	if (len < sizeof(*class) || class->bytes < sizeof(*class) || class->bytes > len ||
	    class->bytes % 8)
		return "its length is wrong";
	if (class->nr_fields > TOCSIN_FIELDS_MAX)
		return "too many fields";
	least = sizeof(*class) + class->nr_fields * sizeof(struct control_field);
	if (class->nr_labels > (class->bytes - sizeof(*class)) / sizeof(struct control_label))
		return "the labels lie outside";
	least += class->nr_labels * sizeof(struct control_label);
	if (least > class->bytes)
		return "the fields lie outside";
	if (class->id >= CONTROL_CLASSES)
		return "its number is out of range";
	if (!is_text(class, class->provider) || !is_text(class, class->name))
		return "its name lies outside";
	for (unsigned i = 0; i < class->nr_fields; i++) {
		const char *why = field_fault(class, ctf_described_field(class, i));

		if (why)
			return why;
	}
	for (uint32_t i = 0; i < class->nr_labels; i++)
		if (!is_text(class, labels(class)[i].text))
			return "a label lies outside";
	return NULL;
}

int ctf_described_check(const struct control_class *class, size_t len, const char **ret_why)
{
	const char *why = fault(class, len);

	if (!why)
		return 0;
	*ret_why = why;
	return -EBADMSG;
}

/* --- the walk over a payload --- */

struct walk {
	const uint8_t *payload;
	size_t at, len;
	bool outside;
};

static void walk_over(struct walk *w, uint64_t bytes, size_t align)
{
	size_t start = (w->at + align - 1) & ~(align - 1);

	if (start > w->len || bytes > w->len - start)
		w->outside = true;
	else
		w->at = start + bytes;
}

static uint32_t walk_count(struct walk *w)
{
	uint32_t count;

	walk_over(w, sizeof(count), sizeof(count));
	if (w->outside)
		return 0;
	memcpy(&count, w->payload + w->at - sizeof(count), sizeof(count));
	return count;
}

static void walk_string(struct walk *w)
{
	const uint8_t *end = memchr(w->payload + w->at, 0, w->len - w->at);

	if (end)
		w->at = (size_t)(end - w->payload) + 1;
	else
		w->outside = true;
}

static void walk_field(struct walk *w, unsigned type, unsigned elem, uint32_t count)
{
	unsigned bytes = ctf_scalar_bytes(type);

	switch (type) {
	case TOCSIN_TYPE_STRING: walk_string(w); break;
	case TOCSIN_TYPE_TEXT: walk_over(w, count, 1); break;
	case TOCSIN_TYPE_ARRAY:
		bytes = ctf_scalar_bytes(elem);
		walk_over(w, (uint64_t)count * bytes, bytes);
		break;
	case TOCSIN_TYPE_BLOB: walk_over(w, walk_count(w), 1); break;
	case TOCSIN_TYPE_SEQUENCE:
		bytes = ctf_scalar_bytes(elem);
		walk_over(w, (uint64_t)walk_count(w) * bytes, bytes);
		break;
	default: walk_over(w, bytes, bytes); break;
	}
}

int ctf_described_payload(const struct control_class *class, uint32_t mask, const uint8_t *payload,
			  size_t len, size_t *ret_end)
{
	struct walk w = {.payload = payload, .len = len};

	for (unsigned i = 0; i < CONTEXT_NR && !w.outside; i++)
		if (mask >> i & 1)
			walk_field(&w, contexts[i].type, 0, contexts[i].count);
	if (mask)
		walk_over(&w, 0, 8); /* contexts are padded */
	for (unsigned i = 0; i < class->nr_fields && !w.outside; i++) {
		const struct control_field *f = ctf_described_field(class, i);

		walk_field(&w, f->type, f->elem, f->count);
	}
	if (w.outside)
		return -EBADMSG;
	*ret_end = w.at;
	return 0;
}
