// SPDX-License-Identifier: MIT
/*
 * Evaluating filters. The program comes from a page that anybody with access to the process may
 * write to at any moment, so it is copied test by test into locals, every number is checked before
 * it is used, and a test only goes forward: whatever the bytes are, this ends, and reads inside the
 * area and the payload.
 */
#include <string.h>

#include "../abi/filter.h"
#include "../abi/glob.h"
#include "tracee.h"

/* "$tid" and so on: contexts, whether the session records them or not. */
static void load_context(const char *name, struct tocsin_value *v)
{
	static const char *const names[CONTEXT_NR] = {
#define X(NAME, name, type, count, text) #name,
#include "../abi/context.def"
#undef X
	};

	for (unsigned i = 0; i < CONTEXT_NR; i++) {
		struct context_value c;

		if (strcmp(name, names[i]) != 0)
			continue;
		context_get((enum control_context)i, &c);
		v->kind = c.text ? TOCSIN_VALUE_TEXT : TOCSIN_VALUE_UNSIGNED;
		v->u = c.number;
		v->at = c.text;
		v->nr = c.text ? strnlen(c.text, 16) : 0;
		return;
	}
}

static void find_value(const struct fields *in, const char *name, struct tocsin_value *v)
{
	*v = (struct tocsin_value){.kind = TOCSIN_VALUE_NONE};
	if (name[0] == '$') {
		load_context(name + 1, v);
		return;
	}
	for (unsigned i = 0; i < in->cls->nr_fields && i < TOCSIN_FIELDS_MAX; i++) {
		if (in->at[i] != UINT16_MAX && !strcmp(name, in->cls->fields[i].name)) {
			fields_load(in, i, v);
			return;
		}
	}
}

/* -1, 0, 1, or 2: not comparable (a NaN). Numbers are compared as numbers, whatever their types. */
static int compare(const struct tocsin_value *v, uint8_t literal, uint64_t bits)
{
	double lit;

	if (v->kind == TOCSIN_VALUE_FLOAT || literal == FILTER_LIT_F64) {
		double d = v->kind == TOCSIN_VALUE_FLOAT    ? v->f
			   : v->kind == TOCSIN_VALUE_SIGNED ? (double)v->s
							    : (double)v->u;

		if (literal == FILTER_LIT_F64)
			memcpy(&lit, &bits, sizeof(lit));
		else
			lit = literal == FILTER_LIT_S64 ? (double)(int64_t)bits : (double)bits;
		return d < lit ? -1 : d > lit ? 1 : d >= lit ? 0 : 2;
	}
	if (v->kind == TOCSIN_VALUE_SIGNED && v->s < 0) {
		if (literal == FILTER_LIT_S64 && (int64_t)bits < 0)
			return v->s < (int64_t)bits ? -1 : v->s > (int64_t)bits;
		return -1;
	}
	if (literal == FILTER_LIT_S64 && (int64_t)bits < 0)
		return 1;
	return v->u < bits ? -1 : v->u > bits;
}

struct program {
	const uint8_t *at;
	struct filter_program head;
	size_t names_at;
};

static bool text_literal(const struct program *p, uint64_t value, const char **ret_text,
			 size_t *ret_len)
{
	uint64_t offset = value >> 32, len = (uint32_t)value;

	if (offset > p->head.bytes || len > p->head.bytes - offset)
		return false;
	*ret_text = (const char *)p->at + offset;
	*ret_len = (size_t)len;
	return true;
}

static bool holds(const struct program *p, const struct filter_test *t,
		  const struct tocsin_value *v)
{
	const char *text;
	size_t len;
	int c;

	if (v->kind == TOCSIN_VALUE_NONE || v->kind == TOCSIN_VALUE_ELEMENTS)
		return false; /* arrays have no value to compare */
	if (t->op == FILTER_HAS)
		return true;
	if (v->kind == TOCSIN_VALUE_TEXT || t->literal == FILTER_LIT_TEXT) {
		if (v->kind != TOCSIN_VALUE_TEXT || t->literal != FILTER_LIT_TEXT ||
		    !text_literal(p, t->value, &text, &len))
			return false;
		if (t->op == FILTER_GLOB || t->op == FILTER_NOT_GLOB)
			return glob_match(text, len, v->at, v->nr) == (t->op == FILTER_GLOB);
		if (t->op != FILTER_EQ && t->op != FILTER_NE)
			return false;
		return (len == v->nr && !memcmp(text, v->at, len)) == (t->op == FILTER_EQ);
	}
	if (t->op == FILTER_MASK)
		return v->kind != TOCSIN_VALUE_FLOAT && (v->u & t->value) != 0;
	c = compare(v, t->literal, t->value);
	switch (t->op) {
	case FILTER_EQ: return c == 0;
	case FILTER_LT: return c == -1;
	case FILTER_LE: return c == -1 || c == 0;
	case FILTER_NE: return c != 0;
	case FILTER_GT: return c == 1;
	case FILTER_GE: return c == 1 || c == 0;
	default: return false;
	}
}

/* Names, once a record and name: a copy that ends, of bytes that may change meanwhile. */
static bool name_get(const struct program *p, unsigned n, char *buf, size_t len)
{
	uint32_t offset;
	size_t nr;

	if (n >= p->head.nr_names)
		return false;
	memcpy(&offset, p->at + p->names_at + n * sizeof(offset), sizeof(offset));
	if (offset >= p->head.bytes)
		return false;
	nr = p->head.bytes - offset;
	memcpy(buf, p->at + offset, nr < len ? nr : len);
	buf[len - 1] = 0;
	if (nr < len)
		buf[nr] = 0;
	return true;
}

static bool program_get(const uint8_t *area, unsigned nr, struct program *ret)
{
	struct filter_ref ref;
	size_t least;

	if (nr == 0 || nr > CONTROL_FILTERS)
		return false;
	memcpy(&ref, area + nr * sizeof(ref), sizeof(ref));
	if (ref.offset < FILTER_FIRST_AT || ref.offset > CONTROL_FILTER_BYTES ||
	    ref.bytes > CONTROL_FILTER_BYTES - ref.offset || ref.bytes < sizeof(ret->head))
		return false;
	ret->at = area + ref.offset;
	memcpy(&ret->head, ret->at, sizeof(ret->head));
	ret->names_at = sizeof(ret->head) + ret->head.nr_tests * sizeof(struct filter_test);
	least = ret->names_at + ret->head.nr_names * sizeof(uint32_t);
	return ret->head.bytes == ref.bytes && least <= ref.bytes && ret->head.nr_tests &&
	       ret->head.nr_tests <= FILTER_TESTS_MAX && ret->head.nr_names <= FILTER_NAMES_MAX;
}

bool filter_passes(const uint8_t *area, unsigned nr, const struct tocsin_class *cls,
		   const unsigned char *payload, size_t bytes)
{
	struct fields in = {.cls = cls, .payload = payload, .bytes = bytes};
	struct program p;
	unsigned n = 0;

	if (!program_get(area, nr, &p))
		return true;
	fields_walk(&in);
	for (;;) {
		struct filter_test t;
		struct tocsin_value v = {.kind = TOCSIN_VALUE_NONE};
		char name[FILTER_NAME_LEN];
		unsigned next;

		memcpy(&t, p.at + sizeof(p.head) + n * sizeof(t), sizeof(t));
		if (!name_get(&p, t.name, name, sizeof(name)))
			return true;
		find_value(&in, name, &v);
		next = holds(&p, &t, &v) ? t.yes : t.no;
		if (next == FILTER_REJECT)
			return false;
		if (next <= n || next >= p.head.nr_tests)
			return true; /* accepted, or malformed */
		n = next;
	}
}
