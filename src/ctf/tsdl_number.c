// SPDX-License-Identifier: MIT
/* What stands in the braces of an integer, a floating-point number or a string. */
#include <errno.h>
#include <string.h>

#include "tsdl_parse.h"

static int take_bool(struct tsdl *p, bool *ret_value)
{
	bool negative;
	uint64_t number;

	if (p->lex.now.word == TSDL_NUMBER) {
		int r = tsdl_take_number(p, &number, &negative);

		if (r == 0)
			*ret_value = number != 0;
		return r;
	}
	if (tsdl_is_name(p, "true") || tsdl_is_name(p, "TRUE"))
		*ret_value = true;
	else if (tsdl_is_name(p, "false") || tsdl_is_name(p, "FALSE"))
		*ret_value = false;
	else
		return tsdl_fail(p, -EBADMSG, "expected true or false");
	return tsdl_next(&p->lex);
}

static int take_bits(struct tsdl *p, uint64_t min, uint64_t max, uint32_t *ret_bits)
{
	struct tsdl_token at = p->lex.now;
	uint64_t value;
	bool negative;
	int r = tsdl_take_number(p, &value, &negative);

	if (r < 0)
		return r;
	if (negative || value < min || value > max)
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "expected %llu to %llu",
				    (unsigned long long)min, (unsigned long long)max);
	*ret_bits = (uint32_t)value;
	return 0;
}

int tsdl_align(struct tsdl *p, uint32_t *ret_bits)
{
	struct tsdl_token at = p->lex.now;
	uint32_t bits;
	int r = take_bits(p, 1, 1u << 20, &bits);

	if (r < 0)
		return r;
	if (bits & (bits - 1))
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "alignment that is no power of two");
	*ret_bits = bits;
	return 0;
}

static int take_order(struct tsdl *p, enum meta_order *ret_order)
{
	if (tsdl_is_name(p, "le"))
		*ret_order = META_LITTLE;
	else if (tsdl_is_name(p, "be") || tsdl_is_name(p, "network"))
		*ret_order = META_BIG;
	else if (tsdl_is_name(p, "native"))
		*ret_order = META_NATIVE;
	else
		return tsdl_fail(p, -EBADMSG, "expected le, be, network or native");
	return tsdl_next(&p->lex);
}

static int take_base(struct tsdl *p, unsigned *ret_base)
{
	static const struct {
		const char *name;
		unsigned base;
	} bases[] = {{"decimal", 10},     {"dec", 10}, {"d", 10}, {"i", 10},     {"u", 10},
		     {"hexadecimal", 16}, {"hex", 16}, {"x", 16}, {"X", 16},     {"p", 16},
		     {"octal", 8},        {"oct", 8},  {"o", 8},  {"binary", 2}, {"b", 2}};
	uint64_t number = 0;
	bool negative = false;

	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		if (tsdl_is_name(p, bases[i].name)) {
			*ret_base = bases[i].base;
			return tsdl_next(&p->lex);
		}
	}
	if (p->lex.now.word == TSDL_NUMBER) {
		int r = tsdl_take_number(p, &number, &negative);

		if (r < 0)
			return r;
	}
	if (number != 2 && number != 8 && number != 10 && number != 16)
		return tsdl_fail(p, -EBADMSG, "expected a base: 2, 8, 10 or 16");
	*ret_base = (unsigned)number;
	return 0;
}

static int take_encoding(struct tsdl *p, bool *ret_is_text)
{
	if (tsdl_is_name(p, "none"))
		*ret_is_text = false;
	else if (tsdl_is_name(p, "UTF8") || tsdl_is_name(p, "utf8") || tsdl_is_name(p, "ASCII") ||
		 tsdl_is_name(p, "ascii"))
		*ret_is_text = true;
	else
		return tsdl_fail(p, -EBADMSG, "expected none, UTF8 or ASCII");
	return tsdl_next(&p->lex);
}

/* `map = clock.NAME.value` */
static int take_clock(struct tsdl *p, const char **ret_name)
{
	struct tsdl_token at = p->lex.now;
	const char *path, *dot;
	int r = tsdl_take_path(p, &path);

	if (r < 0)
		return r;
	dot = strncmp(path, "clock.", 6) == 0 ? strchr(path + 6, '.') : NULL;
	if (!dot || strcmp(dot, ".value") != 0)
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "expected clock.NAME.value");
	*ret_name = arena_text(&p->meta->arena, path + 6, (size_t)(dot - path) - 6);
	return *ret_name ? 0 : -ENOMEM;
}

/* One `KEY = VALUE` of an integer, float or string; unknown keys are stepped over. */
static int take_attribute(struct tsdl *p, struct meta_type *type, const char *key,
			  bool *ret_has_align, uint32_t *mantissa)
{
	const char *ignored;
	uint64_t number;
	bool negative;

	if (strcmp(key, "size") == 0)
		return take_bits(p, 1, 64, &type->size_bits);
	if (strcmp(key, "exp_dig") == 0)
		return take_bits(p, 1, 64, &type->size_bits);
	if (strcmp(key, "mant_dig") == 0)
		return take_bits(p, 1, 128, mantissa);
	if (strcmp(key, "align") == 0) {
		*ret_has_align = true;
		return tsdl_align(p, &type->align_bits);
	}
	if (strcmp(key, "signed") == 0)
		return take_bool(p, &type->is_signed);
	if (strcmp(key, "byte_order") == 0)
		return take_order(p, &type->order);
	if (strcmp(key, "base") == 0)
		return take_base(p, &type->base);
	if (strcmp(key, "encoding") == 0)
		return take_encoding(p, &type->is_text);
	if (strcmp(key, "map") == 0)
		return take_clock(p, &type->clock);
	if (p->lex.now.word == TSDL_NUMBER || tsdl_is(p, '-'))
		return tsdl_take_number(p, &number, &negative);
	if (p->lex.now.word == TSDL_STRING)
		return tsdl_take_text(p, &ignored);
	return tsdl_take_path(p, &ignored);
}

int tsdl_attributes(struct tsdl *p, struct meta_type *type)
{
	struct tsdl_token at = p->lex.now;
	bool has_align = false;
	uint32_t mantissa = 0;
	const char *key;
	int r = tsdl_expect(p, '{');

	while (r == 0 && !tsdl_is(p, '}')) {
		r = tsdl_take_name(p, &key);
		if (r == 0)
			r = tsdl_expect(p, '=');
		if (r == 0)
			r = take_attribute(p, type, key, &has_align, &mantissa);
		if (r == 0)
			r = tsdl_expect(p, ';');
	}
	if (r == 0)
		r = tsdl_next(&p->lex);
	if (r < 0)
		return r;
	if (type->kind == META_STRING)
		return 0;
	if (type->kind == META_FLOAT) {
		type->size_bits += mantissa;
		if (type->size_bits != 32 && type->size_bits != 64)
			return tsdl_fail_at(&p->lex, &at, -ENOTSUP,
					    "floating-point number of %u bits: 32 and 64 are read",
					    type->size_bits);
	} else if (!type->size_bits) {
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "integer without a size");
	}
	if (!has_align)
		type->align_bits = type->size_bits % 8 || type->kind == META_FLOAT ? 1 : 8;
	return 0;
}
