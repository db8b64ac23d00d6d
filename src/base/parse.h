/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_PARSE_H
#define TOCSIN_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "banned.h"

/**
 * tocsin_parse_u64() - a whole decimal or 0x number; no sign, no blanks, nothing behind it.
 *
 * Return: 0, or -EINVAL not a number, -ERANGE does not fit.
 */
int tocsin_parse_u64(const char *text, uint64_t *ret_value);

/**
 * tocsin_parse_duration() - a number with a unit of ns, us, ms, s, m, h, into nanoseconds.
 *
 * The unit is required, a fraction allowed: `10ms`, `1.5s`, `250us`. "µs" is read too. The value is
 * exact; parts of a nanosecond are cut off.
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
 * tocsin_format_duration() - three significant digits with a unit, for people.
 * @ns:  duration
 * @buf: at least 16 bytes
 *
 * `840 ns`, `8.10 ms`, `1.25 s`, `62.0 s`; minutes (m) begin at 1,000 s and hours (h) at 60 m.
 *
 * Return: @buf.
 */
const char *tocsin_format_duration(uint64_t ns, char *buf, size_t len);

/**
 * tocsin_print_duration() - exactly that duration, as tocsin_parse_duration() reads it.
 * @ns:  duration
 * @buf: at least 32 bytes
 *
 * `10ms`, `1.5s`, `90s`, `1h`: in the largest unit that needs no more than three decimals.
 *
 * Return: @buf.
 */
const char *tocsin_print_duration(uint64_t ns, char *buf, size_t len);

#define TOCSIN_EDIT_LIMIT_MAX 31

/**
 * tocsin_edit_distance() - Damerau-Levenshtein distance (adjacent transpositions), cut off.
 * @limit: at most TOCSIN_EDIT_LIMIT_MAX
 *
 * No part of the text is edited twice (optimal string alignment), so "ca" is 3 from "abc". Time is
 * in proportion to the shorter text and to the limit, whatever the texts.
 *
 * Return: the distance, or @limit + 1 when it is greater.
 */
unsigned tocsin_edit_distance(const char *a, const char *b, unsigned limit);

/* Collects the names nearest to a wanted one while a caller enumerates candidates. Near is up to a
 * quarter of the letters changed, or a wanted name of four letters or more that the candidate
 * begins with. Candidates too long for their place here are not offered, as half a name helps
 * nobody. */
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
 * Those much farther off than the first are left out.
 *
 * Return: @buf.
 */
const char *tocsin_nearest_text(const struct tocsin_nearest *n, char *buf, size_t len);

#endif
