/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_PEN_H
#define TOCSIN_REPORT_PEN_H

/* Numbers and words into a text, fast: what a line of a trace is made of. printf() would take most
 * of the time of printing one. */

#include <stdint.h>
#include <string.h>

#include "out.h"

#define PEN_NUMBER_MAX 24 /* bytes of any 64-bit number to any base but 2 */

static inline void pen_char(struct out *o, char c)
{
	char *p = out_room(o, 1);

	if (p) {
		*p = c;
		o->len++;
	}
}

static inline void pen_bytes(struct out *o, const char *bytes, size_t len)
{
	char *p = out_room(o, len);

	if (p && len) {
		memcpy(p, bytes, len);
		o->len += len;
	}
}

static inline void pen_text(struct out *o, const char *text)
{
	pen_bytes(o, text, strlen(text));
}

/** pen_digits() - @value in exactly @width digits, with zeros in front. Return: behind them. */
static inline char *pen_digits(char *p, uint64_t value, unsigned width)
{
	for (unsigned i = width; i-- > 0; value /= 10)
		p[i] = (char)('0' + value % 10);
	return p + width;
}

static inline void pen_u64(struct out *o, uint64_t value)
{
	char text[PEN_NUMBER_MAX], *p = text + sizeof(text);

	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	pen_bytes(o, p, (size_t)(text + sizeof(text) - p));
}

static inline void pen_i64(struct out *o, int64_t value)
{
	if (value < 0)
		pen_char(o, '-');
	pen_u64(o, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/** pen_power() - to base 2, 8 or 16. @bits: of one digit. */
static inline void pen_power(struct out *o, uint64_t value, unsigned bits)
{
	char text[64], *p = text + sizeof(text);

	do
		*--p = "0123456789abcdef"[value & ((1u << bits) - 1)];
	while (value >>= bits);
	pen_bytes(o, p, (size_t)(text + sizeof(text) - p));
}

#endif
