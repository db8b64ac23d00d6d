/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_TSDL_PARSE_H
#define TOCSIN_CTF_TSDL_PARSE_H

/* What the two halves of the parser share: tsdl_parse.c reads blocks, tsdl_type.c types. */

#include "read_meta.h"
#include "tsdl_lex.h"

/* A name that stands for a type, and of which kind. */
struct tsdl_named {
	const char *name;
	char space; /* 't' typealias and typedef, 's' struct, 'v' variant, 'e' enum */
	const struct meta_type *type;
};

struct tsdl {
	struct tsdl_lex lex;
	struct meta *meta; /* lent */
	struct tsdl_named *named;
	size_t nr_named, capacity; /* an inner block's names are cut off at its end */
	unsigned depth;
};

/* Each returns 0, or -EBADMSG, -ENOTSUP, -ENOMEM, with the diagnostic set. */

int tsdl_fail(const struct tsdl *p, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** tsdl_is() - is the word looked at this punctuation mark? */
bool tsdl_is(const struct tsdl *p, char c);

/** tsdl_is_name() - is it this name? */
bool tsdl_is_name(const struct tsdl *p, const char *name);

/** tsdl_expect() - step over a punctuation mark that must be here. */
int tsdl_expect(struct tsdl *p, char c);

/** tsdl_take_name() - a copy of the name looked at, and step on. */
int tsdl_take_name(struct tsdl *p, const char **ret_name);

/** tsdl_take_path() - a name with dots: `clock.monotonic.value`. */
int tsdl_take_path(struct tsdl *p, const char **ret_path);

/** tsdl_take_number() - a number that may have a sign. @ret_negative: @ret_value is its two's
 * complement. */
int tsdl_take_number(struct tsdl *p, uint64_t *ret_value, bool *ret_negative);

/** tsdl_take_text() - a string, or a name as one. */
int tsdl_take_text(struct tsdl *p, const char **ret_text);

/** tsdl_is_type() - does a type or a declaration of one begin here? */
bool tsdl_is_type(const struct tsdl *p);

/**
 * tsdl_type() - read a type.
 * @ret_type: the type; the one of a structure may be empty
 */
int tsdl_type(struct tsdl *p, const struct meta_type **ret_type);

/** tsdl_attributes() - `{ KEY = VALUE; ... }` of a number or string, into @type. */
int tsdl_attributes(struct tsdl *p, struct meta_type *type);

/** tsdl_align() - a power of two. */
int tsdl_align(struct tsdl *p, uint32_t *ret_bits);

/** tsdl_declaration() - `typealias ... := ...;`, `typedef ...;`, `struct NAME {...};` and alike. */
int tsdl_declaration(struct tsdl *p);

#endif
