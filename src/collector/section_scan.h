/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_SECTION_SCAN_H
#define TOCSIN_COLLECTOR_SECTION_SCAN_H

/* Parts of a line and faults in them: what the readers of the section language share. Private to
 * section*.c. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "section.h"

/* Some bytes of the line that is being read. */
struct span {
	const char *at;
	size_t len;
};

struct scan {
	const char *line; /* whole, terminated, lent */
	const char *file; /* lent */
	unsigned line_nr;
	struct tocsin_diag *diag;
};

#define SPAN_NONE SIZE_MAX /* no such place in the span */

/* A span in a sentence: long ones are cut. */
#define SPAN_FMT    "%.*s"
#define SPAN_ARG(s) (int)((s).len < 60 ? (s).len : 60), (s).at

/** scan_fault() - fill the diagnostic: this span is wrong. Return: -EINVAL. */
int scan_fault(const struct scan *sc, struct span where, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** scan_nomem() - fill the diagnostic. Return: -ENOMEM. */
int scan_nomem(const struct scan *sc);

static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

struct span span_of(const char *text);
struct span span_from(struct span s, size_t first); /* bytes @first and on */
struct span span_to(struct span s, size_t end);     /* bytes before @end */
struct span span_end(struct span s);                /* the place behind the last byte */
struct span span_trim(struct span s);
bool span_is(struct span s, const char *text);
bool span_begins(struct span s, const char *text);

/** span_only() - are all bytes letters, digits, or in @others, and is there one? */
bool span_only(struct span s, const char *others);

/**
 * span_next() - the place behind the byte at @i, or behind the quoted part that begins there.
 *
 * A quote opens at the start of the span, behind a blank and behind ':', so that `operator""` has
 * none.
 *
 * Return: a place above @i; beyond the end, SPAN_NONE, when the quote is not closed.
 */
size_t span_next(struct span s, size_t i);

/** span_last() - the last @c outside of quotes, or SPAN_NONE. */
size_t span_last(struct span s, char c);

/** span_first() - the first @c outside of quotes, or SPAN_NONE. */
size_t span_first(struct span s, char c);

/** span_word() - the first word @word outside of quotes, between blanks or ends, at or behind @i,
 * or SPAN_NONE. */
size_t span_word(struct span s, size_t i, const char *word);

/** span_dup() - a copy of a span; of one in quotes, what is between them. Return: heap text, or
 * NULL: no memory. */
char *span_dup(struct span s);

/** span_copy() - into @buf, cut to its size. */
void span_copy(struct span s, char *buf, size_t len);

/**
 * offset_parse() - a file offset: decimal without leading zeros, or 0x; below 2^63.
 *
 * Return: 0, or -EINVAL.
 */
int offset_parse(const struct scan *sc, struct span s, uint64_t *ret_offset);

/** path_check() - a path that may name a file. Return: 0, or -EINVAL. */
int path_check(const struct scan *sc, struct span s);

/**
 * place_parse() - read a START or STOP.
 * @inherit:   the START from which a STOP takes what it leaves out, or NULL
 * @ret_place: to be given to place_done()
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int place_parse(const struct scan *sc, struct span s, const struct place *inherit,
		struct place *ret_place);

bool place_equal(const struct place *a, const struct place *b);

/** place_kind_of() - the kind that this word names, or PLACE_NONE. */
enum place_kind place_kind_of(struct span word);

/** section_name_make() - the name of a section that was given none: short, and valid as a name. */
void section_name_make(const struct section *s, char name[SECTION_NAME_MAX + 1]);

/** tlob_parse(), tlob_parse_removal() - the kernel's own lines, behind their `p` and `-`. */
int tlob_parse(const struct scan *sc, struct span s, struct section *ret_section);
int tlob_parse_removal(const struct scan *sc, struct span s, struct place *ret_place);

#endif
