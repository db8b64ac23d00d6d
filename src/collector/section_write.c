// SPDX-License-Identifier: MIT
/* Sections back into the language, and names for those that were given none. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/parse.h"
#include "../base/text.h"
#include "section_scan.h"

static void quoted_add(struct tocsin_text *t, const char *s)
{
	size_t plain;

	tocsin_text_add_bytes(t, "\"", 1);
	for (; *s; s += plain + (s[plain] != '\0')) {
		plain = strcspn(s, "\"\\");
		tocsin_text_add_bytes(t, s, plain);
		if (s[plain])
			tocsin_text_add(t, "\\%c", s[plain]);
	}
	tocsin_text_add_bytes(t, "\"", 1);
}

static void path_add(struct tocsin_text *t, const char *path, const char *others)
{
	if (span_only(span_of(path), others))
		tocsin_text_add(t, "%s", path);
	else
		quoted_add(t, path);
}

/* Plain are C names, versions, and C++ names without parameters: nothing that a reader could take
 * for anything else. */
static void symbol_add(struct tocsin_text *t, const char *symbol)
{
	size_t len = strlen(symbol);
	bool is_plain = span_only(span_of(symbol), "_.@$:<>~*&,") && !is_digit(symbol[0]) &&
			!strstr(symbol, "operator");

	for (size_t i = 0, run; i < len && is_plain; i += run ? run : 1) {
		run = strspn(symbol + i, ":");
		is_plain = run % 2 == 0;
	}
	if (is_plain)
		tocsin_text_add(t, "%s", symbol);
	else
		quoted_add(t, symbol);
}

#define PATH_PLAIN "/_.+@%=,~-"

static void place_add(struct tocsin_text *t, const struct place *p)
{
	if (p->kind == PLACE_NONE)
		return;
	if (p->kind == PLACE_OFFSET) {
		/* A path without a '/' at its start could be taken for a kind, a name, or a
		 * removal. */
		if (p->path[0] == '/')
			path_add(t, p->path, PATH_PLAIN ":");
		else
			quoted_add(t, p->path);
		tocsin_text_add(t, ":0x%" PRIx64, p->offset);
		return;
	}
	tocsin_text_add(t, "%s:", place_kind_name(p->kind));
	if (p->path) {
		path_add(t, p->path, PATH_PLAIN);
		tocsin_text_add(t, ":");
	}
	if (p->group)
		tocsin_text_add(t, "%s:", p->group);
	if (p->kind == PLACE_FUNC)
		symbol_add(t, p->name);
	else
		tocsin_text_add(t, "%s", p->name);
}

const char *place_text(const struct place *p, char *buf, size_t len)
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, len);
	place_add(&t, p);
	return buf;
}

const char *section_normal(const struct section *s, char *buf, size_t len)
{
	struct tocsin_text t;
	char duration[32];

	tocsin_text_init(&t, buf, len);
	if (s->is_tlob) {
		tocsin_text_add(&t, "p %s:0x%" PRIx64 " 0x%" PRIx64 " threshold=%" PRIu64,
				s->start.path, s->start.offset, s->stop.offset, s->budget_ns);
		return buf;
	}
	tocsin_text_add(&t, "%s: ", s->name);
	place_add(&t, &s->start);
	if (s->stop.kind != PLACE_NONE) {
		tocsin_text_add(&t, " .. ");
		place_add(&t, &s->stop);
	}
	if (s->start_key >= 0)
		tocsin_text_add(&t, " by arg%d", s->start_key);
	if (s->start_key >= 0 && s->stop_key != s->start_key)
		tocsin_text_add(&t, "/arg%d", s->stop_key);
	tocsin_text_add(&t, " < %s",
			tocsin_print_duration(s->budget_ns, duration, sizeof(duration)));
	return buf;
}

/* A name being made: bytes that names may not hold become '_', `::` and what is left out become
 * '.'. */
struct naming {
	char buf[SECTION_NAME_MAX + 1];
	size_t len;
	size_t max;
};

static void naming_add(struct naming *n, char c)
{
	if (!is_letter(c) && !is_digit(c) && !strchr("_.-", c))
		c = '_';
	if (c == '.' && (!n->len || n->buf[n->len - 1] == '.'))
		return; /* nothing to part from */
	if (!n->len && !is_letter(c) && c != '_')
		naming_add(n, '_');
	if (n->len < n->max)
		n->buf[n->len++] = c;
}

static void naming_add_text(struct naming *n, const char *s)
{
	for (; *s; s++)
		naming_add(n, *s);
}

/* Bytes of the operator at the start of @s, which is what follows "operator". */
static size_t operator_len(const char *s)
{
	if (strncmp(s, "()", 2) == 0 || strncmp(s, "[]", 2) == 0)
		return 2;
	return strspn(s, "<>=!+-*/%^&|~,");
}

/* Bytes of a bracketed part at the start of @s, nested ones included; all of @s when it is not
 * closed. */
static size_t bracketed_len(const char *s)
{
	unsigned depth = 0;
	size_t i = 0;

	for (; s[i]; i++) {
		if (strchr("<([{", s[i]))
			depth++;
		else if (strchr(">)]}", s[i]) && --depth == 0)
			return i + 1;
	}
	return i;
}

/* `ns::T<int>::f(int, char const*) const` becomes `ns.T.f`, `memcpy@GLIBC_2.14` becomes `memcpy`.
 */
static void naming_add_symbol(struct naming *n, const char *s)
{
	static const char operator_word[] = "operator";
	const size_t operator_word_len = sizeof(operator_word) - 1;
	bool has_parameters = false;
	size_t first = n->len;

	while (*s && *s != '@') {
		if (strncmp(s, operator_word, operator_word_len) == 0) {
			naming_add_text(n, operator_word);
			s += operator_word_len;
			s += operator_len(s);
			if (s[0] == ' ' && is_letter(s[1])) /* operator new, operator bool */
				naming_add(n, '_');
			s += s[0] == ' '; /* and operator< <int> */
		} else if (strchr("<([{", *s)) {
			has_parameters = *s == '(';
			s += bracketed_len(s);
			continue;
		} else if (*s == ' ') {
			if (has_parameters)
				break;  /* qualifiers of a member function */
			n->len = first; /* it was the type of the result */
			s++;
		} else if (*s == ':') {
			naming_add(n, '.');
			s++;
		} else {
			naming_add(n, *s);
			s++;
		}
		has_parameters = false;
	}
	while (n->len > first && n->buf[n->len - 1] == '.')
		n->len--;
}

/* A short name for one end; @max is where the name has to end. */
static void naming_add_place(struct naming *n, const struct place *p, size_t max)
{
	struct naming part = {.max = max};
	const char *base;
	char offset[24];

	if (p->kind == PLACE_OFFSET) {
		base = strrchr(p->path, '/');
		part.max = max - 12; /* the offset tells more than the end of a long name */
		naming_add_text(&part, base ? base + 1 : p->path);
		part.max = max;
		(void)snprintf(offset, sizeof(offset), ".0x%" PRIx64, p->offset);
		naming_add_text(&part, offset);
	} else if (p->kind == PLACE_FUNC) {
		naming_add_symbol(&part, p->name);
		if (!part.len) /* no C++ name, but what quotes were put round */
			naming_add_text(&part, p->name);
	} else {
		naming_add_text(&part, p->name);
	}
	if (!part.len)
		naming_add_text(&part, "section");
	memcpy(n->buf + n->len, part.buf, part.len);
	n->len += part.len;
}

void section_name_make(const struct section *s, char name[SECTION_NAME_MAX + 1])
{
	struct naming n = {.max = SECTION_NAME_MAX};

	if (s->stop.kind == PLACE_NONE) {
		naming_add_place(&n, &s->start, SECTION_NAME_MAX);
	} else {
		naming_add_place(&n, &s->start, SECTION_NAME_MAX / 2 - 1);
		n.buf[n.len++] = '.';
		n.buf[n.len++] = '.';
		naming_add_place(&n, &s->stop, SECTION_NAME_MAX / 2 - 1);
	}
	if (place_kind_of((struct span){n.buf, n.len}) != PLACE_NONE)
		n.buf[n.len++] = '_'; /* the kinds are no names; they are short */
	n.buf[n.len] = '\0';
	memcpy(name, n.buf, n.len + 1);
}
