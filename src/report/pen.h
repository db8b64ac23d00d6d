/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_PEN_H
#define TOCSIN_REPORT_PEN_H

/* Numbers and words into a text, fast: what a line of a trace is made of. printf() would take most
 * of the time of printing one. */

#include <stdint.h>
#include <string.h>

#include "out.h"

#define PEN_NUMBER_MAX 64 /* bytes of any 64-bit number to any base */

/* Room for @len bytes. Return: where they go, or NULL: no memory, out_write() will say so. */
static inline char *pen_room(struct out *o, size_t len)
{
	return __builtin_expect(o->capacity - o->len >= len, 1) ? o->buf + o->len
								: out_room(o, len);
}

static inline void pen_char(struct out *o, char c)
{
	char *p = pen_room(o, 1);

	if (p) {
		*p = c;
		o->len++;
	}
}

static inline void pen_bytes(struct out *o, const char *bytes, size_t len)
{
	char *p = pen_room(o, len);

	if (p) {
		memcpy(p, bytes, len);
		o->len += len;
	}
}

static inline void pen_text(struct out *o, const char *text)
{
	pen_bytes(o, text, strlen(text));
}

/** pen_clean() - foreign text: at once if there is nothing in it to take care of, else by
 * out_add_clean(). */
static inline void pen_clean(struct out *o, const char *text)
{
	size_t len = 0;

	while ((unsigned char)(text[len] - 0x20) < 0x5f)
		len++;
	if (text[len])
		out_add_clean(o, text);
	else
		pen_bytes(o, text, len);
}

static inline void pen_pair(char *p, unsigned value)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";

	memcpy(p, pairs + 2 * (size_t)value, 2);
}

/** pen_fraction() - '.' and a number below 10^9 in nine digits. */
static inline void pen_fraction(struct out *o, uint32_t ns)
{
	char *p = pen_room(o, 10);
	uint32_t high = ns / 10000, low = ns % 10000;

	if (!p)
		return;
	p[0] = '.';
	p[1] = (char)('0' + high / 10000);
	pen_pair(p + 2, high / 100 % 100);
	pen_pair(p + 4, high % 100);
	pen_pair(p + 6, low / 100);
	pen_pair(p + 8, low % 100);
	o->len += 10;
}

static inline void pen_u64(struct out *o, uint64_t value)
{
	char text[20], *end = text + sizeof(text), *p = end;
	char *to;

	if (value < 10) {
		pen_char(o, (char)('0' + value));
		return;
	}
	for (; value >= 100; value /= 100)
		pen_pair(p -= 2, (unsigned)(value % 100));
	if (value >= 10)
		pen_pair(p -= 2, (unsigned)value);
	else
		*--p = (char)('0' + value);
	to = pen_room(o, sizeof(text));
	if (!to)
		return;
	for (const char *from = p; from < end;)
		*to++ = *from++;
	o->len += (size_t)(end - p);
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
	char text[PEN_NUMBER_MAX], *p = text + sizeof(text);

	do
		*--p = "0123456789abcdef"[value & ((1u << bits) - 1)];
	while (value >>= bits);
	pen_bytes(o, p, (size_t)(text + sizeof(text) - p));
}

#endif
