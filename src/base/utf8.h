/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_UTF8_H
#define TOCSIN_BASE_UTF8_H

/* Text of the traced world: thread and file names are any bytes, and may be made to fool a
 * terminal. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for bytes that are no UTF-8 */

/**
 * utf8_step() - the well-formed UTF-8 sequence at the start of a text.
 * @text:     bytes, lent
 * @len:      how many there are, at least 1
 * @ret_code: its code point
 *
 * Return: its length, 1 to 4, or 0 when there is none: overlong, a surrogate, cut off, above
 * U+10FFFF. Thread-safe: yes. Signal-safe: yes.
 */
static inline unsigned utf8_step(const char *text, size_t len, uint32_t *ret_code)
{
	static const uint32_t min[5] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)text[0];
	unsigned nr;
	uint32_t code;

	if (first < 0x80) {
		*ret_code = first;
		return 1;
	}
	if (first >= 0xf0)
		nr = 4;
	else if (first >= 0xe0)
		nr = 3;
	else
		nr = 2;
	if (first < 0xc2 || first > 0xf4 || nr > len)
		return 0;
	code = first & (0xffu >> (nr + 1));
	for (unsigned i = 1; i < nr; i++) {
		unsigned char next = (unsigned char)text[i];

		if ((next & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (next & 0x3fu);
	}
	if (code < min[nr] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return nr;
}

/**
 * utf8_is_control() - would this code point act on a terminal, or on the order of the text around
 * it?
 *
 * C0, DEL, C1, the line and paragraph separators, and the marks that turn the writing direction.
 *
 * Thread-safe: yes. Signal-safe: yes.
 */
static inline bool utf8_is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x061c || code == 0x200e ||
	       code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

#endif
