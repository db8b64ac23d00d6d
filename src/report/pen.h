/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_PEN_H
#define TOCSIN_REPORT_PEN_H

/* Numbers and words into a text, fast: what a line of a trace is made of. printf() would take most
 * of the time of printing one. */

#include <stdint.h>
#include <string.h>

#include "out.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pen_eight() makes bytes of a word");

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

/** pen_eight() - a number below 10^8 in eight digits, as the bytes of a little endian word. All
 * digits at once: halves of four digits, then pairs, then digits, each with one multiplication
 * instead of a division for each (1/100 is 10486 / 2^20, 1/10 is 103 / 2^10, exact for these). */
static inline uint64_t pen_eight(uint32_t value)
{
	uint64_t x = value / 10000 | (uint64_t)(value % 10000) << 32, high;

	high = (x * 10486) >> 20 & UINT64_C(0x0000007f0000007f);
	x = high | (x - 100 * high) << 16;
	high = (x * 103) >> 10 & UINT64_C(0x000f000f000f000f);
	x = high | (x - 10 * high) << 8;
	return x + UINT64_C(0x3030303030303030);
}

/** pen_to_fraction() - '.' and a number below 10^9 in nine digits to @p. Return: behind them. */
static inline char *pen_to_fraction(char *p, uint32_t ns)
{
	uint64_t digits = pen_eight(ns % 100000000);

	p[0] = '.';
	p[1] = (char)('0' + ns / 100000000);
	memcpy(p + 2, &digits, sizeof(digits));
	return p + 10;
}

static inline void pen_fraction(struct out *o, uint32_t ns)
{
	char *p = pen_room(o, 10);

	if (p)
		o->len = (size_t)(pen_to_fraction(p, ns) - o->buf);
}

/* Decimal digits of a number, 1 to 20: a logarithm of its bits, one too many below a power of 10.
 */
static inline unsigned pen_digits(uint64_t value)
{
	static const uint64_t power[] = {0,
					 10,
					 100,
					 1000,
					 10000,
					 100000,
					 1000000,
					 10000000,
					 100000000,
					 1000000000,
					 10000000000,
					 100000000000,
					 1000000000000,
					 10000000000000,
					 100000000000000,
					 1000000000000000,
					 10000000000000000,
					 100000000000000000,
					 1000000000000000000,
					 10000000000000000000u};
	unsigned guess = (64 - (unsigned)__builtin_clzll(value | 1)) * 1233 >> 12;

	return guess + (value >= power[guess]);
}

/** pen_to_u64() - a number to @p, where 20 bytes are free. Return: behind it. */
static inline char *pen_to_u64(char *p, uint64_t value)
{
	char *end = value ? p + pen_digits(value) : p + 1, *at = end;

	for (; value >= 100; value /= 100)
		pen_pair(at -= 2, (unsigned)(value % 100));
	if (value >= 10)
		pen_pair(at - 2, (unsigned)value);
	else
		at[-1] = (char)('0' + value);
	return end;
}

static inline char *pen_to_i64(char *p, int64_t value)
{
	if (value < 0)
		*p++ = '-';
	return pen_to_u64(p, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static inline void pen_u64(struct out *o, uint64_t value)
{
	char *p = pen_room(o, 20);

	if (p)
		o->len = (size_t)(pen_to_u64(p, value) - o->buf);
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
