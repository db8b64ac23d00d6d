// SPDX-License-Identifier: MIT
/*
 * C++ names as people write them: `ns::cls::method`, with or without arguments.
 *
 * The symbol is made readable by the C++ library's own demangler and compared with what was asked
 * for, blanks aside: whole; without its argument list; and for templates also without the return
 * type that their names carry in front, and without the template's own arguments.
 *
 * Substitutions make a mangled name a program that builds its text: 210 bytes can grow to 35 MB,
 * and 260 to 1 GB in 11 s. Names come from hostile files, so expands_sanely() bounds the result
 * before the demangler sees it. A reference S<n>_ can be no larger than all that stood before the
 * first reference to n or higher. So only a reference higher than all before can double the total,
 * and any reference to a template argument, and an expanded pack multiplies. Names that could pass
 * a few megabytes are not made readable; they can still be given as they stand in the symbol table.
 */
#include <ctype.h>
#include <string.h>

#include "../base/cleanup.h"
#include "elf_internal.h"

#define MANGLED_MAX  4096     /* bytes */
#define EXPANDED_MAX 4194304u /* bytes */
#define PACK_FACTOR  16

char *__cxa_demangle(const char *mangled, char *buf, size_t *len, int *status);

static int base36(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'Z')
		return c - 'A' + 10;
	return -1;
}

/* Counts also what merely looks like a reference inside an identifier: too careful is harmless. */
static bool expands_sanely(const char *mangled)
{
	size_t len = strnlen(mangled, MANGLED_MAX);
	uint64_t total = len;
	int64_t highest = -1;

	if (len == MANGLED_MAX)
		return false;
	for (const char *p = mangled; *p; p++) {
		if (*p == 'S' || *p == 'T') {
			const char *q = p + 1;
			int64_t number = 0;

			while (base36(*q) >= 0 && number < 100000)
				number = number * 36 + base36(*q++) + 1;
			if (*q != '_' || (*p == 'S' && number <= highest))
				continue;
			if (*p == 'S')
				highest = number;
			total *= 2;
		} else if ((*p == 'D' || *p == 's') && p[1] == 'p') {
			total *= PACK_FACTOR;
		}
		if (total > EXPANDED_MAX)
			return false;
	}
	return true;
}

static char *demangle(const char *mangled)
{
	int status;

	if (mangled[0] != '_' || mangled[1] != 'Z' || !expands_sanely(mangled))
		return NULL;
	return __cxa_demangle(mangled, NULL, NULL, &status);
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$';
}

/* Are the first @len bytes of @text the same as all of @wanted, blanks that separate no words
 * aside? */
static bool same_text(const char *text, size_t len, const char *wanted)
{
	const char *end = text + len;
	char before = 0;

	while (true) {
		bool blank_a = false, blank_b = false;

		for (; text < end && *text == ' '; text++)
			blank_a = true;
		for (; *wanted == ' '; wanted++)
			blank_b = true;
		if (text == end || !*wanted)
			return text == end && !*wanted;
		if (*text != *wanted)
			return false;
		if (blank_a != blank_b && is_word(before) && is_word(*text))
			return false;
		before = *text;
		text++;
		wanted++;
	}
}

/* Length of a readable name without its argument list and what follows that; @len when it has none.
 */
static size_t without_arguments(const char *text, size_t len)
{
	size_t at = len;
	int depth = 0;

	/* Back over " const", " &&" to the closing parenthesis. */
	while (at > 0 && text[at - 1] != ')' &&
	       (islower((unsigned char)text[at - 1]) || strchr(" &", text[at - 1])))
		at--;
	if (!at || text[at - 1] != ')')
		return len;
	while (at > 0) {
		at--;
		if (text[at] == ')')
			depth++;
		else if (text[at] == '(' && --depth == 0)
			return at ? at : len;
	}
	return len;
}

/* Where the name of a template's instance begins: behind its return type, the last blank outside
 * all brackets. */
static size_t without_return_type(const char *text, size_t len)
{
	size_t begin = 0;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (strncmp(text + i, "operator", 8) == 0 && (i == 0 || !is_word(text[i - 1])))
			break; /* what follows may have brackets and blanks of its own */
		if (strchr("(<{[", text[i]))
			depth++;
		else if (strchr(")>}]", text[i]))
			depth--;
		else if (text[i] == ' ' && depth == 0)
			begin = i + 1;
	}
	return begin;
}

/* Length of a name without the arguments of the template at its end. */
static size_t without_template(const char *text, size_t len)
{
	size_t at = len;
	int depth = 0;

	if (!len || text[len - 1] != '>')
		return len;
	while (at > 0) {
		at--;
		if (text[at] == '>')
			depth++;
		else if (text[at] == '<' && --depth == 0)
			break;
	}
	/* operator<, operator->, operator>> end so too. */
	return at > 0 && is_word(text[at - 1]) &&
			       !(at >= 8 && strncmp(text + at - 8, "operator", 8) == 0)
		       ? at
		       : len;
}

/* The identifier that any symbol with this name must contain; an empty one is contained in all. */
static void required_word(const char *wanted, char *buf, size_t len)
{
	const char *end = wanted + strcspn(wanted, "(<["), *begin;

	while (end > wanted && !is_word(end[-1]))
		end--;
	for (begin = end; begin > wanted && is_word(begin[-1]); begin--)
		;
	if (strstr(wanted, "operator") || (size_t)(end - begin) >= len)
		end = begin;
	memcpy(buf, begin, (size_t)(end - begin));
	buf[end - begin] = '\0';
}

bool demangle_matches(const char *mangled, const char *wanted)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = NULL;
	size_t len, name, begin;
	char word[128];

	required_word(wanted, word, sizeof(word));
	if (!strstr(mangled, word))
		return false;
	text = demangle(mangled);
	if (!text)
		return false;
	len = strlen(text);
	name = without_arguments(text, len);
	begin = without_return_type(text, name);
	return same_text(text, len, wanted) || same_text(text, name, wanted) ||
	       same_text(text + begin, without_template(text + begin, name - begin), wanted) ||
	       same_text(text + begin, name - begin, wanted) ||
	       same_text(text + begin, len - begin, wanted);
}

const char *demangle_name(const char *mangled, char *buf, size_t len)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = demangle(mangled);
	size_t name, begin;

	if (!text)
		return NULL;
	name = without_arguments(text, strlen(text));
	begin = without_return_type(text, name);
	(void)snprintf(buf, len, "%.*s", (int)(name - begin), text + begin); /* a long one is cut */
	return buf;
}

const char *demangle_text(const char *mangled, char *buf, size_t len)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = demangle(mangled);

	(void)snprintf(buf, len, "%s", text ? text : mangled); /* a long one is cut */
	return buf;
}
