// SPDX-License-Identifier: MIT
/* The words of CTF 1.8's metadata language: C's, but for `:=` and `...`. */
#include "tsdl_lex.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SOURCE_MAX 400 /* bytes of an offending line that are shown */

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int tsdl_fail_at(const struct tsdl_lex *lex, const struct tsdl_token *token, int r, const char *fmt,
		 ...)
{
	size_t start = token->pos, end = token->pos;
	unsigned line = 1;
	char source[SOURCE_MAX + 1];
	struct tocsin_where where;
	va_list ap;

	if (!lex->diag)
		return r;
	for (size_t i = 0; i < token->pos; i++)
		line += lex->text[i] == '\n';
	while (start > 0 && lex->text[start - 1] != '\n' && token->pos - start < SOURCE_MAX / 2)
		start--;
	while (end < lex->len && lex->text[end] != '\n' && end - start < SOURCE_MAX)
		end++;
	(void)snprintf(source, sizeof(source), "%.*s", (int)(end - start), lex->text + start);
	where = (struct tocsin_where){lex->file, line, source, token->pos - start + 1,
				      token->width};
	va_start(ap, fmt);
	tocsin_diag_setv(lex->diag, &where, fmt, ap);
	va_end(ap);
	return r;
}

static int fail_here(const struct tsdl_lex *lex, const char *what)
{
	struct tsdl_token here = {.pos = lex->pos, .width = 1};

	return tsdl_fail_at(lex, &here, -EBADMSG, "%s", what);
}

/* Blanks and comments. */
static int skip_blanks(struct tsdl_lex *lex)
{
	while (lex->pos < lex->len) {
		const char *p = lex->text + lex->pos;
		size_t left = lex->len - lex->pos;
		const char *end;

		if (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r' || *p == '\f' ||
		    *p == '\v') {
			lex->pos++;
		} else if (left >= 2 && p[0] == '/' && p[1] == '*') {
			end = memmem(p + 2, left - 2, "*/", 2);
			if (!end)
				return fail_here(lex, "comment without an end");
			lex->pos = (size_t)(end + 2 - lex->text);
		} else if (left >= 2 && p[0] == '/' && p[1] == '/') {
			end = memchr(p, '\n', left);
			lex->pos = end ? (size_t)(end - lex->text) : lex->len;
		} else {
			break;
		}
	}
	return 0;
}

static int digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/* Decimal, 0x, 0b, octal, with C's suffixes. */
static int lex_number(struct tsdl_lex *lex)
{
	unsigned base = 10;
	size_t start = lex->pos;
	uint64_t value = 0;

	if (lex->text[lex->pos] == '0' && lex->pos + 1 < lex->len) {
		char c = lex->text[lex->pos + 1];

		if (c == 'x' || c == 'X')
			base = 16;
		else if (c == 'b' || c == 'B')
			base = 2;
		else if (is_digit(c))
			base = 8;
		if (base == 16 || base == 2)
			lex->pos += 2;
	}
	if (lex->pos >= lex->len || (unsigned)digit_value(lex->text[lex->pos]) >= base)
		return fail_here(lex, "malformed number");
	for (; lex->pos < lex->len && digit_value(lex->text[lex->pos]) < 16; lex->pos++) {
		unsigned digit = (unsigned)digit_value(lex->text[lex->pos]);

		if (digit >= base)
			return fail_here(lex, "malformed number");
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return fail_here(lex, "number over 64 bits");
	}
	while (lex->pos < lex->len && strchr("uUlL", lex->text[lex->pos]) && lex->text[lex->pos])
		lex->pos++;
	if (lex->pos < lex->len && is_name_start(lex->text[lex->pos]))
		return fail_here(lex, "malformed number");
	lex->now.word = TSDL_NUMBER;
	lex->now.number = value;
	lex->now.text = lex->text + start;
	lex->now.len = lex->pos - start;
	return 0;
}

/* One character behind a backslash, in @p .. @end. Return: how many bytes it took. */
static size_t unescape(const char *p, const char *end, char *ret_c)
{
	static const char from[] = "abfnrtv", to[] = "\a\b\f\n\r\t\v";
	const char *known = *p ? strchr(from, *p) : NULL;
	unsigned value = 0;
	size_t nr = 0;

	if (known) {
		*ret_c = to[known - from];
		return 1;
	}
	if (*p == 'x') {
		for (nr = 1; p + nr < end && nr < 3 && digit_value(p[nr]) < 16; nr++)
			value = value * 16 + (unsigned)digit_value(p[nr]);
	} else {
		for (; p + nr < end && nr < 3 && digit_value(p[nr]) < 8; nr++)
			value = value * 8 + (unsigned)digit_value(p[nr]);
	}
	*ret_c = nr ? (char)value : *p;
	return nr ?: 1;
}

static int lex_string(struct tsdl_lex *lex)
{
	const char *start = lex->text + lex->pos + 1, *end = start, *limit = lex->text + lex->len;
	char *out;

	while (end < limit && *end != '"' && *end != '\n')
		end += *end == '\\' && end + 1 < limit ? 2 : 1;
	if (end >= limit || *end != '"')
		return fail_here(lex, "string without an end");
	out = arena_alloc(lex->arena, (size_t)(end - start) + 1);
	if (!out)
		return -ENOMEM;
	lex->now.word = TSDL_STRING;
	lex->now.text = out;
	for (const char *p = start; p < end;) {
		if (*p == '\\')
			p += 1 + unescape(p + 1, end, out++);
		else
			*out++ = *p++;
	}
	lex->now.len = (size_t)(out - lex->now.text);
	lex->pos = (size_t)(end + 1 - lex->text);
	return 0;
}

static int lex_punct(struct tsdl_lex *lex)
{
	const char *p = lex->text + lex->pos;
	size_t left = lex->len - lex->pos;

	if (left >= 2 && p[0] == ':' && p[1] == '=') {
		lex->now.word = TSDL_ASSIGN_TYPE;
		lex->pos += 2;
	} else if (left >= 3 && memcmp(p, "...", 3) == 0) {
		lex->now.word = TSDL_DOTS;
		lex->pos += 3;
	} else if (*p && strchr("{}()[]<>;:,=.*-+", *p)) {
		lex->now.word = TSDL_PUNCT_OF((unsigned char)*p);
		lex->pos++;
	} else {
		return fail_here(lex, "a character that has no meaning here");
	}
	return 0;
}

int tsdl_next(struct tsdl_lex *lex)
{
	int r = skip_blanks(lex);

	if (r < 0)
		return r;
	lex->now = (struct tsdl_token){.word = TSDL_END, .pos = lex->pos};
	if (lex->pos >= lex->len)
		return 0;
	if (is_name_start(lex->text[lex->pos])) {
		size_t start = lex->pos;

		while (lex->pos < lex->len &&
		       (is_name_start(lex->text[lex->pos]) || is_digit(lex->text[lex->pos])))
			lex->pos++;
		lex->now.word = TSDL_NAME;
		lex->now.text = lex->text + start;
		lex->now.len = lex->pos - start;
	} else if (is_digit(lex->text[lex->pos])) {
		r = lex_number(lex);
	} else if (lex->text[lex->pos] == '"') {
		r = lex_string(lex);
	} else {
		r = lex_punct(lex);
	}
	lex->now.width = lex->pos - lex->now.pos;
	return r;
}
