// SPDX-License-Identifier: MIT
/*
 * Fields of a record that was just put together, for filters and for callbacks. The payload is
 * walked once by the class's description; where each field begins is kept.
 */
#include <errno.h>
#include <string.h>

#include "tracee.h"

static size_t scalar_bytes(uint8_t type)
{
	switch (type) {
	case TOCSIN_TYPE_U8:
	case TOCSIN_TYPE_S8:
	case TOCSIN_TYPE_BOOL: return 1;
	case TOCSIN_TYPE_U16:
	case TOCSIN_TYPE_S16: return 2;
	case TOCSIN_TYPE_U32:
	case TOCSIN_TYPE_S32:
	case TOCSIN_TYPE_F32: return 4;
	case TOCSIN_TYPE_U64:
	case TOCSIN_TYPE_S64:
	case TOCSIN_TYPE_F64:
	case TOCSIN_TYPE_POINTER: return 8;
	default: return 0;
	}
}

/* Where the field after @f begins, and where @f does. Return: false: not inside the payload. */
static bool step(const struct fields *in, const struct tocsin_field *f, size_t *o, size_t *ret_at)
{
	size_t bytes = scalar_bytes(f->type);
	size_t elem = f->type == TOCSIN_TYPE_BLOB ? 1 : scalar_bytes(f->elem);
	uint32_t nr;

	if (bytes) {
		*ret_at = (*o + bytes - 1) & ~(bytes - 1);
		*o = *ret_at + bytes;
		return *o <= in->bytes;
	}
	switch (f->type) {
	case TOCSIN_TYPE_STRING:
		*ret_at = *o;
		if (*o >= in->bytes)
			return false;
		*o += strnlen((const char *)in->payload + *o, in->bytes - *o) + 1;
		return *o <= in->bytes;
	case TOCSIN_TYPE_TEXT:
		*ret_at = *o;
		*o += f->count;
		return *o <= in->bytes;
	case TOCSIN_TYPE_ARRAY:
		*ret_at = (*o + elem - 1) & ~(elem - 1);
		*o = *ret_at + f->count * elem;
		return *o <= in->bytes;
	case TOCSIN_TYPE_SEQUENCE:
	case TOCSIN_TYPE_BLOB:
		*ret_at = (*o + 3) & ~(size_t)3;
		if (*ret_at + sizeof(nr) > in->bytes)
			return false;
		memcpy(&nr, in->payload + *ret_at, sizeof(nr));
		*o = (*ret_at + sizeof(nr) + elem - 1) & ~(elem - 1);
		*o += nr * elem;
		return *o <= in->bytes;
	default: return false;
	}
}

void fields_walk(struct fields *in)
{
	size_t o = 0, at;
	bool is_inside = true;

	for (unsigned i = 0; i < in->cls->nr_fields && i < TOCSIN_FIELDS_MAX; i++) {
		is_inside = is_inside && step(in, &in->cls->fields[i], &o, &at);
		in->at[i] = is_inside && at < UINT16_MAX ? (uint16_t)at : UINT16_MAX;
	}
}

/* Inside the payload, as fields_walk() has seen. */
static void load_elements(const struct fields *in, unsigned i, struct tocsin_value *v)
{
	const struct tocsin_field *f = &in->cls->fields[i];
	const unsigned char *p = in->payload + in->at[i];
	size_t elem = f->type == TOCSIN_TYPE_BLOB ? 1 : scalar_bytes(f->elem);
	uint32_t nr = f->count;

	v->kind = TOCSIN_VALUE_ELEMENTS;
	v->elem = f->type == TOCSIN_TYPE_BLOB ? TOCSIN_TYPE_U8 : f->elem;
	if (f->type != TOCSIN_TYPE_ARRAY) {
		memcpy(&nr, p, sizeof(nr));
		p = in->payload + ((in->at[i] + sizeof(nr) + elem - 1) & ~(elem - 1));
	}
	v->at = p;
	v->nr = nr;
}

void fields_load(const struct fields *in, unsigned i, struct tocsin_value *v)
{
	const struct tocsin_field *f = &in->cls->fields[i];
	const unsigned char *p = in->payload + in->at[i];
	size_t bytes = scalar_bytes(f->type);
	uint64_t raw = 0;
	float f32;

	if (bytes)
		memcpy(&raw, p, bytes);
	v->kind = TOCSIN_VALUE_UNSIGNED;
	v->u = raw;
	switch (f->type) {
	case TOCSIN_TYPE_S8:
	case TOCSIN_TYPE_S16:
	case TOCSIN_TYPE_S32:
	case TOCSIN_TYPE_S64:
		v->kind = TOCSIN_VALUE_SIGNED;
		v->s = (int64_t)(raw << (64 - 8 * bytes)) >> (64 - 8 * bytes);
		break;
	case TOCSIN_TYPE_F32:
		v->kind = TOCSIN_VALUE_FLOAT;
		memcpy(&f32, p, sizeof(f32));
		v->f = (double)f32;
		break;
	case TOCSIN_TYPE_F64:
		v->kind = TOCSIN_VALUE_FLOAT;
		memcpy(&v->f, p, sizeof(v->f));
		break;
	case TOCSIN_TYPE_STRING:
	case TOCSIN_TYPE_TEXT:
		v->kind = TOCSIN_VALUE_TEXT;
		v->at = p;
		v->nr = strnlen((const char *)p, in->bytes - in->at[i]);
		break;
	case TOCSIN_TYPE_ARRAY:
	case TOCSIN_TYPE_SEQUENCE:
	case TOCSIN_TYPE_BLOB: load_elements(in, i, v); break;
	default:
		if (!bytes)
			v->kind = TOCSIN_VALUE_NONE;
	}
}

static int find_walked(const struct tocsin_record *record, unsigned index,
		       struct tocsin_value *ret_value)
{
	struct fields in = {.cls = record->cls, .payload = record->payload, .bytes = record->bytes};

	if (index >= record->cls->nr_fields || index >= TOCSIN_FIELDS_MAX)
		return -ENOENT;
	fields_walk(&in);
	if (in.at[index] == UINT16_MAX)
		return -EBADMSG;
	*ret_value = (struct tocsin_value){.kind = TOCSIN_VALUE_NONE};
	fields_load(&in, index, ret_value);
	return 0;
}

int tocsin_record_field(const struct tocsin_record *record, unsigned index,
			struct tocsin_value *ret_value)
{
	return find_walked(record, index, ret_value);
}

int tocsin_record_find(const struct tocsin_record *record, const char *name,
		       struct tocsin_value *ret_value)
{
	for (unsigned i = 0; i < record->cls->nr_fields; i++)
		if (!strcmp(record->cls->fields[i].name, name))
			return find_walked(record, i, ret_value);
	return -ENOENT;
}
