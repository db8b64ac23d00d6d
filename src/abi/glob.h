/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_GLOB_H
#define TOCSIN_ABI_GLOB_H

/* Patterns of names: a traced process and its collector must agree on what they match. */

#include <stdbool.h>
#include <stddef.h>

/**
 * glob_match() - does a text match a pattern as a whole?
 * @pattern: * any bytes, ? one byte, \ before a byte that stands for itself; @pattern_len bytes
 *
 * Takes at most text_len * pattern_len steps. Signal-safe: yes.
 */
static inline bool glob_match(const char *pattern, size_t pattern_len, const char *text,
			      size_t text_len)
{
	size_t p = 0, t = 0, star = 0, star_text = 0;
	bool has_star = false;

	/* Only the last star needs to be tried again: what an earlier one could take, it can. */
	while (t < text_len) {
		bool is_escape = p + 1 < pattern_len && pattern[p] == '\\';

		if (p < pattern_len && pattern[p] == '*') {
			has_star = true;
			star = ++p;
			star_text = t;
		} else if (p < pattern_len &&
			   (is_escape ? pattern[p + 1] == text[t]
				      : pattern[p] == '?' || pattern[p] == text[t])) {
			p += is_escape ? 2 : 1;
			t++;
		} else if (has_star) {
			p = star;
			t = ++star_text;
		} else {
			return false;
		}
	}
	while (p < pattern_len && pattern[p] == '*')
		p++;
	return p == pattern_len;
}

#endif
