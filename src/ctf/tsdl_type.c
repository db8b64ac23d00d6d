// SPDX-License-Identifier: MIT
/*
 * The types of CTF 1.8's metadata language. Types nest, so these functions call each other; the
 * depth is bounded by META_DEPTH_MAX, whatever the text.
 *
 * A type that is declared does not change any more: a variant that gets its tag later is a copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tsdl_parse.h"

/* Items met one after the other, made an array at the end. */
struct member_node {
	struct meta_member member;
	struct member_node *next;
};

struct range_node {
	struct meta_range range;
	struct range_node *next;
};

static struct meta_type *type_new(struct tsdl *p, enum meta_kind kind)
{
	struct meta_type *type = arena_alloc(&p->meta->arena, sizeof(*type));

	if (type) {
		type->kind = kind;
		type->align_bits = 1;
		type->base = 10;
	}
	return type;
}

static int named_add(struct tsdl *p, char space, const char *name, const struct meta_type *type)
{
	if (p->nr_named == p->capacity) {
		size_t capacity = p->capacity ? 2 * p->capacity : 64;
		struct tsdl_named *named = reallocarray(p->named, capacity, sizeof(*named));

		if (!named)
			return -ENOMEM;
		p->named = named;
		p->capacity = capacity;
	}
	p->named[p->nr_named++] = (struct tsdl_named){name, space, type};
	return 0;
}

/* Innermost first. */
static const struct meta_type *named_find(const struct tsdl *p, char space, const char *name,
					  size_t len)
{
	for (size_t i = p->nr_named; i-- > 0;) {
		const struct tsdl_named *n = &p->named[i];

		if (n->space == space && strncmp(n->name, name, len) == 0 && !n->name[len])
			return n->type;
	}
	return NULL;
}

/* ---- enumerations */

static int take_range(struct tsdl *p, uint64_t *next, struct meta_range *ret)
{
	const char *label;
	bool negative;
	int r = tsdl_take_text(p, &label);

	if (r < 0)
		return r;
	ret->label = label;
	ret->first = ret->last = *next;
	if (tsdl_is(p, '=')) {
		r = tsdl_next(&p->lex);
		if (r == 0)
			r = tsdl_take_number(p, &ret->first, &negative);
		ret->last = ret->first;
		if (r == 0 && p->lex.now.word == TSDL_DOTS) {
			r = tsdl_next(&p->lex);
			if (r == 0)
				r = tsdl_take_number(p, &ret->last, &negative);
		}
	}
	*next = ret->last + 1;
	return r;
}

static int take_ranges(struct tsdl *p, struct meta_type *type)
{
	struct range_node *first = NULL, **tail = &first;
	struct meta_range *range;
	uint64_t next = 0;
	unsigned nr = 0;
	int r = tsdl_expect(p, '{');

	while (r == 0 && !tsdl_is(p, '}')) {
		struct range_node *node = arena_alloc(&p->meta->arena, sizeof(*node));

		if (!node)
			return -ENOMEM;
		*tail = node;
		tail = &node->next;
		nr++;
		r = take_range(p, &next, &node->range);
		if (r == 0 && !tsdl_is(p, '}'))
			r = tsdl_expect(p, ',');
	}
	if (r == 0)
		r = tsdl_next(&p->lex);
	if (r < 0)
		return r;
	range = arena_array(&p->meta->arena, nr ?: 1, sizeof(*range));
	if (!range)
		return -ENOMEM;
	type->range = range;
	type->nr_ranges = nr;
	for (; first; first = first->next)
		*range++ = first->range;
	return 0;
}

/* `enum [NAME] [: TYPE] [{...}]`, behind the word. */
static int take_enum(struct tsdl *p, const struct meta_type **ret_type)
{
	const struct meta_type *container = NULL;
	struct tsdl_token at = p->lex.now;
	const char *name = NULL;
	struct meta_type *type;
	int r = 0;

	if (at.word == TSDL_NAME)
		r = tsdl_take_name(p, &name);
	if (r == 0 && tsdl_is(p, ':')) {
		r = tsdl_next(&p->lex);
		if (r == 0)
			r = tsdl_type(p, &container);
	}
	if (r < 0)
		return r;
	if (!tsdl_is(p, '{')) {
		*ret_type = name ? named_find(p, 'e', name, strlen(name)) : NULL;
		return *ret_type ? 0 : tsdl_fail_at(&p->lex, &at, -EBADMSG, "unknown enumeration");
	}
	if (!container)
		container = named_find(p, 't', "int", 3);
	if (!container || (container->kind != META_INT && container->kind != META_ENUM))
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "enumeration of what is no integer");
	type = type_new(p, META_ENUM);
	if (!type)
		return -ENOMEM;
	*type = *container;
	type->kind = META_ENUM;
	type->is_text = false;
	r = take_ranges(p, type);
	if (r == 0 && name)
		r = named_add(p, 'e', name, type);
	*ret_type = type;
	return r;
}

/* ---- structures and variants */

/* `[N]` and `[NAME]` behind a field's name; the first one is the outermost. */
static int take_suffixes(struct tsdl *p, const struct meta_type *inner,
			 const struct meta_type **ret_type)
{
	struct meta_type *made[META_DEPTH_MAX];
	unsigned nr = 0;
	int r = 0;

	while (r == 0 && tsdl_is(p, '[')) {
		struct meta_type *type = type_new(p, META_ARRAY);
		bool negative = false;

		if (!type)
			return -ENOMEM;
		if (nr + p->depth >= META_DEPTH_MAX)
			return tsdl_fail(p, -ENOTSUP, "types nested over %d deep", META_DEPTH_MAX);
		made[nr++] = type;
		r = tsdl_next(&p->lex);
		if (r == 0 && p->lex.now.word == TSDL_NUMBER) {
			r = tsdl_take_number(p, &type->length, &negative);
		} else if (r == 0) {
			type->kind = META_SEQUENCE;
			r = tsdl_take_path(p, &type->ref);
		}
		if (r == 0)
			r = tsdl_expect(p, ']');
	}
	while (nr-- > 0) {
		made[nr]->element = inner;
		made[nr]->align_bits = inner->align_bits;
		inner = made[nr];
	}
	*ret_type = inner;
	return r;
}

static const char *name_for_people(const char *raw)
{
	return raw[0] == '_' && raw[1] ? raw + 1 : raw;
}

/* `TYPE NAME [SUFFIX]... {, NAME ...};` */
static int take_field(struct tsdl *p, struct member_node ***tail, unsigned *nr)
{
	const struct meta_type *type;
	int r = tsdl_type(p, &type);

	while (r == 0) {
		struct member_node *node = arena_alloc(&p->meta->arena, sizeof(*node));

		if (!node)
			return -ENOMEM;
		r = tsdl_take_name(p, &node->member.raw);
		if (r == 0)
			r = take_suffixes(p, type, &node->member.type);
		if (r < 0)
			break;
		node->member.name = name_for_people(node->member.raw);
		**tail = node;
		*tail = &node->next;
		(*nr)++;
		if (!tsdl_is(p, ','))
			return tsdl_expect(p, ';');
		r = tsdl_next(&p->lex);
	}
	return r;
}

static int take_members(struct tsdl *p, struct meta_type *type)
{
	struct member_node *first = NULL, **tail = &first;
	size_t nr_named = p->nr_named;
	struct meta_member *member;
	unsigned nr = 0;
	int r = tsdl_expect(p, '{');

	while (r == 0 && !tsdl_is(p, '}')) {
		if (tsdl_is_name(p, "typealias") || tsdl_is_name(p, "typedef"))
			r = tsdl_declaration(p);
		else
			r = take_field(p, &tail, &nr);
	}
	p->nr_named = nr_named;
	if (r == 0)
		r = tsdl_next(&p->lex);
	if (r < 0)
		return r;
	member = arena_array(&p->meta->arena, nr ?: 1, sizeof(*member));
	if (!member)
		return -ENOMEM;
	type->member = member;
	type->nr_members = nr;
	for (; first; first = first->next) {
		*member++ = first->member;
		if (type->kind == META_STRUCT && first->member.type->align_bits > type->align_bits)
			type->align_bits = first->member.type->align_bits;
	}
	return 0;
}

/* `struct [NAME] [{...}] [align(N)]`, behind the word. */
static int take_struct(struct tsdl *p, const struct meta_type **ret_type)
{
	struct tsdl_token at = p->lex.now;
	const char *name = NULL;
	struct meta_type *type;
	uint32_t align = 1;
	int r = 0;

	if (at.word == TSDL_NAME)
		r = tsdl_take_name(p, &name);
	if (r < 0)
		return r;
	if (!tsdl_is(p, '{')) {
		*ret_type = name ? named_find(p, 's', name, strlen(name)) : NULL;
		return *ret_type ? 0 : tsdl_fail_at(&p->lex, &at, -EBADMSG, "unknown structure");
	}
	type = type_new(p, META_STRUCT);
	if (!type)
		return -ENOMEM;
	r = take_members(p, type);
	if (r == 0 && tsdl_is_name(p, "align")) {
		r = tsdl_next(&p->lex);
		if (r == 0)
			r = tsdl_expect(p, '(');
		if (r == 0)
			r = tsdl_align(p, &align);
		if (r == 0)
			r = tsdl_expect(p, ')');
		if (align > type->align_bits)
			type->align_bits = align;
	}
	if (r == 0 && name)
		r = named_add(p, 's', name, type);
	*ret_type = type;
	return r;
}

/* `variant [NAME] [<TAG>] [{...}]`, behind the word. */
static int take_variant(struct tsdl *p, const struct meta_type **ret_type)
{
	const char *name = NULL, *ref = NULL;
	struct tsdl_token at = p->lex.now;
	const struct meta_type *known;
	struct meta_type *type;
	int r = 0;

	if (at.word == TSDL_NAME)
		r = tsdl_take_name(p, &name);
	if (r == 0 && tsdl_is(p, '<')) {
		r = tsdl_next(&p->lex);
		if (r == 0)
			r = tsdl_take_path(p, &ref);
		if (r == 0)
			r = tsdl_expect(p, '>');
	}
	if (r < 0)
		return r;
	type = type_new(p, META_VARIANT);
	if (!type)
		return -ENOMEM;
	if (tsdl_is(p, '{')) {
		r = take_members(p, type);
	} else {
		known = name ? named_find(p, 'v', name, strlen(name)) : NULL;
		if (!known)
			return tsdl_fail_at(&p->lex, &at, -EBADMSG, "unknown variant");
		*type = *known;
		name = NULL;
	}
	if (ref)
		type->ref = ref;
	if (r == 0 && name)
		r = named_add(p, 'v', name, type);
	*ret_type = type;
	return r;
}

/* ---- types by name */

/* C's own words make names of several words; any other name is one word. */
static bool is_c_word(const struct tsdl *p)
{
	static const char *const words[] = {"const", "unsigned", "signed",    "short",  "long",
					    "int",   "char",     "float",     "double", "void",
					    "_Bool", "_Complex", "_Imaginary"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (tsdl_is_name(p, words[i]))
			return true;
	return false;
}

/* "unsigned long": the words joined by blanks, without `const`. */
static int take_type_name(struct tsdl *p, const char **ret_name)
{
	char text[256];
	size_t len = 0;
	int r = 0;

	if (!is_c_word(p))
		return tsdl_take_name(p, ret_name);
	while (r == 0 && is_c_word(p)) {
		size_t more = p->lex.now.len;

		if (!tsdl_is_name(p, "const")) {
			if (len + more + 2 > sizeof(text))
				return tsdl_fail(p, -EBADMSG, "name of a type too long");
			if (len)
				text[len++] = ' ';
			memcpy(text + len, p->lex.now.text, more);
			len += more;
		}
		r = tsdl_next(&p->lex);
	}
	if (r < 0)
		return r;
	if (!len) /* `const NAME` */
		return tsdl_take_name(p, ret_name);
	*ret_name = arena_text(&p->meta->arena, text, len);
	return *ret_name ? 0 : -ENOMEM;
}

static int take_named(struct tsdl *p, const struct meta_type **ret_type)
{
	struct tsdl_token at = p->lex.now;
	const char *name;
	int r = take_type_name(p, &name);

	if (r < 0)
		return r;
	*ret_type = named_find(p, 't', name, strlen(name));
	if (*ret_type)
		return 0;
	return tsdl_fail_at(&p->lex, &at, -EBADMSG, "unknown type '%.60s'", name);
}

static int take_plain(struct tsdl *p, enum meta_kind kind, const struct meta_type **ret_type)
{
	struct meta_type *type = type_new(p, kind);
	int r = 0;

	if (!type)
		return -ENOMEM;
	if (kind == META_STRING) {
		type->align_bits = 8;
		type->is_text = true;
	}
	if (kind != META_STRING || tsdl_is(p, '{'))
		r = tsdl_attributes(p, type);
	*ret_type = type;
	return r;
}

bool tsdl_is_type(const struct tsdl *p)
{
	static const char *const words[] = {"typealias", "typedef", "struct", "variant",
					    "enum",      "integer", "string", "floating_point"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (tsdl_is_name(p, words[i]))
			return true;
	return is_c_word(p);
}

static int type_by_word(struct tsdl *p, const struct meta_type **ret_type)
{
	static const char *const words[] = {"integer", "floating_point", "string",
					    "enum",    "struct",         "variant"};
	unsigned word = 0, nr = sizeof(words) / sizeof(words[0]);
	int r;

	while (word < nr && !tsdl_is_name(p, words[word]))
		word++;
	if (word == nr)
		return take_named(p, ret_type);
	r = tsdl_next(&p->lex);
	if (r < 0)
		return r;
	switch (word) {
	case 0: return take_plain(p, META_INT, ret_type);
	case 1: return take_plain(p, META_FLOAT, ret_type);
	case 2: return take_plain(p, META_STRING, ret_type);
	case 3: return take_enum(p, ret_type);
	case 4: return take_struct(p, ret_type);
	default: return take_variant(p, ret_type);
	}
}

int tsdl_type(struct tsdl *p, const struct meta_type **ret_type)
{
	int r;

	if (p->depth >= META_DEPTH_MAX)
		return tsdl_fail(p, -ENOTSUP, "types nested over %d deep", META_DEPTH_MAX);
	p->depth++;
	r = type_by_word(p, ret_type);
	p->depth--;
	return r;
}

/* `typealias TYPE [suffixes] := NAME`, `typedef TYPE NAME [suffixes]` */
static int take_alias(struct tsdl *p, bool is_typedef)
{
	const struct meta_type *type;
	const char *name;
	int r = tsdl_next(&p->lex);

	if (r == 0)
		r = tsdl_type(p, &type);
	if (r < 0)
		return r;
	if (is_typedef) {
		r = tsdl_take_name(p, &name);
		if (r == 0)
			r = take_suffixes(p, type, &type);
	} else {
		r = take_suffixes(p, type, &type);
		if (r == 0 && p->lex.now.word != TSDL_ASSIGN_TYPE)
			return tsdl_fail(p, -EBADMSG, "expected ':='");
		if (r == 0)
			r = tsdl_next(&p->lex);
		if (r == 0)
			r = take_type_name(p, &name);
	}
	return r < 0 ? r : named_add(p, 't', name, type);
}

int tsdl_declaration(struct tsdl *p)
{
	const struct meta_type *type;
	int r;

	if (tsdl_is_name(p, "typealias"))
		r = take_alias(p, false);
	else if (tsdl_is_name(p, "typedef"))
		r = take_alias(p, true);
	else
		r = tsdl_type(p, &type);
	return r < 0 ? r : tsdl_expect(p, ';');
}
