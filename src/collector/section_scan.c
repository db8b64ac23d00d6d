// SPDX-License-Identifier: MIT
/* Spans of a line, quotes in them, and the diagnostics that point at them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/parse.h"
#include "section_scan.h"

int scan_fault(const struct scan *sc, struct span where, const char *fmt, ...)
{
	const struct tocsin_where in_line = {
		.file = sc->file,
		.line = sc->line_nr,
		.source = sc->line,
		.column = (size_t)(where.at - sc->line) + 1,
		.len = where.len,
	};
	va_list ap;

	va_start(ap, fmt);
	tocsin_diag_setv(sc->diag, &in_line, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int scan_nomem(const struct scan *sc)
{
	const struct tocsin_where line = {
		.file = sc->file, .line = sc->line_nr, .source = sc->line};

	tocsin_diag_set(sc->diag, &line, "out of memory");
	return -ENOMEM;
}

struct span span_of(const char *text)
{
	return (struct span){.at = text, .len = strlen(text)};
}

struct span span_from(struct span s, size_t first)
{
	return (struct span){.at = s.at + first, .len = s.len - first};
}

struct span span_to(struct span s, size_t end)
{
	return (struct span){.at = s.at, .len = end};
}

struct span span_end(struct span s)
{
	return span_from(s, s.len);
}

struct span span_trim(struct span s)
{
	while (s.len && is_blank(s.at[0]))
		s = span_from(s, 1);
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

bool span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

bool span_begins(struct span s, const char *text)
{
	size_t len = strlen(text);

	return s.len >= len && memcmp(s.at, text, len) == 0;
}

bool span_only(struct span s, const char *others)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_letter(s.at[i]) && !is_digit(s.at[i]) && !strchr(others, s.at[i]))
			return false;
	return s.len;
}

size_t span_next(struct span s, size_t i)
{
	if (s.at[i] != '"' || (i && !is_blank(s.at[i - 1]) && s.at[i - 1] != ':'))
		return i + 1;
	for (i++; i < s.len; i++) {
		if (s.at[i] == '"')
			return i + 1;
		if (s.at[i] == '\\' && i + 1 < s.len && (s.at[i + 1] == '"' || s.at[i + 1] == '\\'))
			i++;
	}
	return SPAN_NONE;
}

size_t span_last(struct span s, char c)
{
	size_t last = SPAN_NONE;

	for (size_t i = 0; i < s.len; i = span_next(s, i))
		if (s.at[i] == c)
			last = i;
	return last;
}

size_t span_first(struct span s, char c)
{
	for (size_t i = 0; i < s.len; i = span_next(s, i))
		if (s.at[i] == c)
			return i;
	return SPAN_NONE;
}

size_t span_word(struct span s, size_t i, const char *word)
{
	size_t len = strlen(word);

	for (; i < s.len; i = span_next(s, i))
		if (span_begins(span_from(s, i), word) && (!i || is_blank(s.at[i - 1])) &&
		    (i + len == s.len || is_blank(s.at[i + len])))
			return i;
	return SPAN_NONE;
}

char *span_dup(struct span s)
{
	char *copy = malloc(s.len + 1);
	size_t len = 0;

	if (!copy)
		return NULL;
	if (s.len < 2 || s.at[0] != '"') {
		memcpy(copy, s.at, s.len);
		copy[s.len] = '\0';
		return copy;
	}
	for (size_t i = 1; i + 1 < s.len; i++) {
		if (s.at[i] == '\\' && (s.at[i + 1] == '"' || s.at[i + 1] == '\\'))
			i++;
		copy[len++] = s.at[i];
	}
	copy[len] = '\0';
	return copy;
}

void span_copy(struct span s, char *buf, size_t len)
{
	size_t n = s.len < len ? s.len : len - 1;

	memcpy(buf, s.at, n);
	buf[n] = '\0';
}

int offset_parse(const struct scan *sc, struct span s, uint64_t *ret_offset)
{
	uint64_t offset = 0;
	char buf[40];
	int r;

	span_copy(s, buf, sizeof(buf));
	if (!s.len)
		return scan_fault(sc, s, "no offset behind ':'");
	if (s.at[0] == '-')
		return scan_fault(sc, s, "offset '" SPAN_FMT "' is negative", SPAN_ARG(s));
	r = s.len < sizeof(buf) ? tocsin_parse_u64(buf, &offset) : -EINVAL;
	if (r == -EINVAL) {
		r = scan_fault(sc, s, "offset '" SPAN_FMT "' is not a number", SPAN_ARG(s));
		tocsin_diag_hint(sc->diag, "offsets are decimal or begin with 0x");
		return r;
	}
	if (r < 0 || offset > INT64_MAX)
		return scan_fault(sc, s, "offset '" SPAN_FMT "' is too large", SPAN_ARG(s));
	if (s.len > 1 && s.at[0] == '0' && is_digit(s.at[1])) {
		r = scan_fault(sc, s, "offset '" SPAN_FMT "' begins with a zero", SPAN_ARG(s));
		tocsin_diag_hint(sc->diag,
				 "some take that for octal: offsets are decimal or begin with 0x");
		return r;
	}
	*ret_offset = offset;
	return 0;
}

int path_check(const struct scan *sc, struct span s)
{
	int r;

	if (!s.len || span_is(s, "\"\""))
		return scan_fault(sc, s, "no path before ':'");
	if (s.at[s.len - 1] == '/' || (s.len > 2 && s.at[0] == '"' && s.at[s.len - 2] == '/'))
		return scan_fault(sc, s, "'" SPAN_FMT "' names a directory, not a file",
				  SPAN_ARG(s));
	if (s.at[0] != '"' && (memchr(s.at, ' ', s.len) || memchr(s.at, '\t', s.len))) {
		r = scan_fault(sc, s, "blank in path '" SPAN_FMT "'", SPAN_ARG(s));
		tocsin_diag_hint(sc->diag, "put the path in double quotes");
		return r;
	}
	return 0;
}
