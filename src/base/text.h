/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_TEXT_H
#define TOCSIN_BASE_TEXT_H

/* Text built piece by piece in storage of the caller: never past its end, always terminated. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct tocsin_text {
	char *buf;   /* lent */
	size_t len;  /* its size in bytes */
	size_t used; /* bytes of text, without the terminator */
	bool is_cut; /* something did not fit */
};

/** tocsin_text_init() - start with an empty text in @buf of @len bytes. */
void tocsin_text_init(struct tocsin_text *t, char *buf, size_t len);

/** tocsin_text_add() - append as printf() does. Thread-safe: per object. Signal-safe: no. */
void tocsin_text_add(struct tocsin_text *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void tocsin_text_addv(struct tocsin_text *t, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

/** tocsin_text_add_bytes() - append @len bytes as they are. */
void tocsin_text_add_bytes(struct tocsin_text *t, const char *bytes, size_t len);

/**
 * tocsin_text_add_clean() - append foreign text in a form that is safe to show on a terminal.
 *
 * Tabs become one space; control characters, characters that change the direction of writing, and
 * bytes that are not UTF-8 become '?' (see utf8.h). So every character takes one column (wide ones
 * excepted).
 */
void tocsin_text_add_clean(struct tocsin_text *t, const char *bytes, size_t len);

/** tocsin_text_columns() - how many columns tocsin_text_add_clean() needs for these bytes. */
size_t tocsin_text_columns(const char *bytes, size_t len);

#endif
