/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_OUT_H
#define TOCSIN_REPORT_OUT_H

/* Text on its way to a descriptor: built in memory, written at once. */

#include <stdbool.h>
#include <stddef.h>

#include "../base/err.h"

struct out {
	int fd;
	char *buf; /* owned */
	size_t len;
	size_t capacity;
	int failed; /* -errno: the text is not whole, out_write() says so */
};

#define OUT_KEPT \
	(-2) /* no descriptor: out_write() leaves the text in @buf, for whoever sets @len to 0 */

/** out_init() - an empty text for @fd, which stays the caller's, or OUT_KEPT. */
void out_init(struct out *o, int fd);
void out_done(struct out *o);

/** out_add() - append as printf() does. Thread-safe: per object. Signal-safe: no. */
void out_add(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** out_add_bytes() - append bytes as they are. */
void out_add_bytes(struct out *o, const char *bytes, size_t len);

/** out_room() - room for @more bytes behind the text; who writes there adds to @o->len. Return:
 * NULL: no memory. */
char *out_room(struct out *o, size_t more);

/** out_add_clean() - append foreign text: what may act on a terminal, or is no UTF-8, becomes '?'.
 */
void out_add_clean(struct out *o, const char *text);

/**
 * out_write() - write the text, with one call if the kernel takes it whole, and start an empty one.
 *
 * A descriptor that does not block is waited for. The caller must ignore SIGPIPE.
 *
 * Return: 0, or -errno (-EPIPE: the reader has gone), -ENOMEM; the text is dropped then.
 * Thread-safe: per object. Signal-safe: no.
 */
int out_write(struct out *o);

/* How people read it. */
struct out_style {
	bool is_terminal;
	bool has_colour;
	unsigned columns; /* 0: no limit */
	unsigned lines;   /* 0: no limit */
};

/**
 * out_style_get() - what the descriptor is: colour only on a terminal, and not if NO_COLOR is set
 * or TERM is "dumb".
 *
 * Thread-safe: yes. Signal-safe: no.
 */
struct out_style out_style_get(int fd);

/**
 * out_wrap() - break the text's last line at blanks, so that it fits.
 * @o:       text whose last line has no newline yet
 * @start:   offset of that line
 * @columns: width; 0 or less than twice @indent: leave it as it is
 * @indent:  blanks before each further line
 *
 * Colour sequences take no columns. A word that is too long stands alone, longer than the line.
 */
void out_wrap(struct out *o, size_t start, unsigned columns, unsigned indent);

/** out_columns() - columns that the text's last line takes, from offset @start on. */
unsigned out_columns(const struct out *o, size_t start);

/** out_clip() - cut the text's last line to @columns; 0: leave it. Colour sequences take no
 * columns. */
void out_clip(struct out *o, size_t start, unsigned columns);

#endif
