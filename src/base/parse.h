/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_PARSE_H
#define TOCSIN_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * tocsin_parse_u64() - a whole decimal or 0x number; no sign, no blanks, nothing behind it.
 *
 * Return: 0, or -EINVAL not a number, -ERANGE does not fit.
 */
int tocsin_parse_u64(const char *text, uint64_t *ret_value);

/**
 * tocsin_parse_duration() - a number (fraction allowed) with a unit of ns, us, ms, s, m, h, into nanoseconds.
 *
 * The unit is required: `10ms`, `1.5s`, `250us`. "µs" is read too.
 *
 * Return: 0, or -EINVAL malformed or unit missing, -ERANGE over 2^63 - 1 ns.
 */
int tocsin_parse_duration(const char *text, uint64_t *ret_ns);

/**
 * tocsin_parse_size() - a number of bytes with an optional K, M or G (powers of 1024).
 *
 * Return: 0, or -EINVAL, -ERANGE.
 */
int tocsin_parse_size(const char *text, uint64_t *ret_bytes);

/**
 * tocsin_format_duration() - three significant digits with a unit: `840 ns`, `8.10 ms`, `1.25 s`, `62.0 s`.
 * @ns:  duration
 * @buf: at least 16 bytes
 *
 * Return: @buf.
 */
const char *tocsin_format_duration(uint64_t ns, char *buf, size_t len);

/**
 * tocsin_edit_distance() - Damerau-Levenshtein distance (adjacent transpositions), cut off at @limit.
 *
 * Return: the distance, or @limit + 1 when it is greater.
 */
unsigned tocsin_edit_distance(const char *a, const char *b, unsigned limit);

/* Collects the names nearest to a wanted one while a caller enumerates candidates. */
struct tocsin_nearest {
	const char *wanted; /* lent */
	unsigned nr;
	struct {
		char name[128];
		unsigned distance;
	} best[3];
};

void tocsin_nearest_init(struct tocsin_nearest *n, const char *wanted);
void tocsin_nearest_offer(struct tocsin_nearest *n, const char *candidate);

/**
 * tocsin_nearest_text() - `'a', 'b' or 'c'`, or "" when nothing was near.
 *
 * Return: @buf.
 */
const char *tocsin_nearest_text(const struct tocsin_nearest *n, char *buf, size_t len);

#endif
