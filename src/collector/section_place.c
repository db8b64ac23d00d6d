// SPDX-License-Identifier: MIT
/*
 * Places: the START and STOP of a section, read and written.
 *
 * A place is a kind and up to three parts parted by ':'. What makes it more than a split is that
 * paths may hold ':' and C++ symbols hold `::`, and `[abi:cxx11]`. So USDT and tracepoints are read
 * from the right, where the parts are plain names; a symbol is what follows the last run of an odd
 * number of ':' that is not in brackets (of `:::` the first one parts, the others belong to the
 * symbol). Whatever that cannot say is said with quotes. place_text() (section_write.c) quotes all
 * that is not plain, so it need not know these rules, and what it writes is read back as the same
 * place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/parse.h"
#include "section_scan.h"

static const char *const kind_names[] = {
	[PLACE_NONE] = "none",     [PLACE_USDT] = "usdt",       [PLACE_FUNC] = "func",
	[PLACE_OFFSET] = "offset", [PLACE_SYSCALL] = "syscall", [PLACE_TRACEPOINT] = "tracepoint",
};

#define KINDS_NR (sizeof(kind_names) / sizeof(kind_names[0]))

const char *place_kind_name(enum place_kind kind)
{
	return (size_t)kind < KINDS_NR ? kind_names[kind] : "none";
}

enum place_kind place_kind_of(struct span word)
{
	for (size_t kind = 0; kind < KINDS_NR; kind++)
		if (kind != PLACE_NONE && kind != PLACE_OFFSET && span_is(word, kind_names[kind]))
			return (enum place_kind)kind;
	return PLACE_NONE;
}

void place_done(struct place *p)
{
	free(p->path);
	free(p->group);
	free(p->name);
	*p = (struct place){0};
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool place_equal(const struct place *a, const struct place *b)
{
	return a->kind == b->kind && a->offset == b->offset && text_equal(a->path, b->path) &&
	       text_equal(a->group, b->group) && text_equal(a->name, b->name);
}

/* The parts of a place before they are copied; a part that was not written has no bytes and at
 * NULL. */
struct parts {
	enum place_kind kind;
	struct span path, group, name;
	uint64_t offset;
};

static int part_copy(const struct scan *sc, struct span part, const char *inherited,
		     char **ret_text)
{
	char *copy;

	if (part.at)
		copy = span_dup(part);
	else if (inherited)
		copy = strdup(inherited);
	else
		return 0;
	if (!copy)
		return scan_nomem(sc);
	*ret_text = copy;
	return 0;
}

static int place_make(const struct scan *sc, const struct parts *parts, const struct place *inherit,
		      struct place *ret_place)
{
	static const struct place nothing;
	struct place p = {.kind = parts->kind, .offset = parts->offset};
	int r;

	if (!inherit || inherit->kind != parts->kind)
		inherit = &nothing;
	r = part_copy(sc, parts->path, inherit->path, &p.path);
	if (r == 0)
		r = part_copy(sc, parts->group, inherit->group, &p.group);
	if (r == 0)
		r = part_copy(sc, parts->name, NULL, &p.name);
	if (r < 0) {
		place_done(&p);
		return r;
	}
	*ret_place = p;
	return 0;
}

/* A quoted part at the start of @s, up to its closing quote; SPAN_NONE: there is none. */
static size_t quoted_len(struct span s)
{
	return s.len && s.at[0] == '"' ? span_next(s, 0) : SPAN_NONE;
}

/* The plain names of probes, system calls and tracepoints. */
static int name_check(const struct scan *sc, struct span s, const char *what, const char *others)
{
	int r;

	if (span_only(s, others))
		return 0;
	if (!s.len)
		return scan_fault(sc, s, "the %s is missing", what);
	r = scan_fault(sc, s, "'" SPAN_FMT "' is not the name of a %s", SPAN_ARG(s), what);
	if (memmem(s.at, s.len, "..", 2))
		tocsin_diag_hint(sc->diag, "'..' between start and stop has a blank on both sides");
	return r;
}

/* [PATH:]provider:name, and behind a start provider:name or name. */
static int usdt_parse(const struct scan *sc, struct span s, bool is_inheriting, struct parts *parts)
{
	size_t at = span_last(s, ':'), quoted = quoted_len(s);
	struct span left;
	int r;

	parts->name = at == SPAN_NONE ? s : span_from(s, at + 1);
	if (at == SPAN_NONE && !is_inheriting) {
		r = scan_fault(sc, s, "no provider before '" SPAN_FMT "'", SPAN_ARG(s));
		tocsin_diag_hint(sc->diag, "expected usdt:[PATH:]provider:name");
		return r;
	}
	r = name_check(sc, parts->name, "USDT probe", "_$-");
	if (r < 0 || at == SPAN_NONE)
		return r;
	left = span_to(s, at);
	at = span_last(left, ':');
	parts->group = at == SPAN_NONE ? left : span_from(left, at + 1);
	r = name_check(sc, parts->group, "USDT provider", "_$-");
	if (r < 0 || at == SPAN_NONE)
		return r;
	parts->path = span_to(left, at);
	if (quoted != SPAN_NONE && quoted != at)
		return scan_fault(sc, span_from(parts->path, quoted),
				  "text behind the closing quote");
	return path_check(sc, parts->path);
}

static int tracepoint_parse(const struct scan *sc, struct span s, bool is_inheriting,
			    struct parts *parts)
{
	size_t at = span_last(s, ':');
	int r;

	parts->name = at == SPAN_NONE ? s : span_from(s, at + 1);
	if (at == SPAN_NONE && !is_inheriting) {
		r = scan_fault(sc, s, "no category before '" SPAN_FMT "'", SPAN_ARG(s));
		tocsin_diag_hint(sc->diag, "expected tracepoint:category:name");
		return r;
	}
	r = name_check(sc, parts->name, "tracepoint", "_-");
	if (r < 0 || at == SPAN_NONE)
		return r;
	parts->group = span_to(s, at);
	return name_check(sc, parts->group, "tracepoint category", "_-");
}

static int syscall_parse(const struct scan *sc, struct span s, struct parts *parts)
{
	int r = name_check(sc, s, "system call", "_");

	if (r < 0)
		return r;
	parts->name = s;
	return 0;
}

/* PATH:OFFSET, and behind a start OFFSET. */
static int place_offset_parse(const struct scan *sc, struct span s, struct parts *parts)
{
	size_t at = span_last(s, ':'), quoted = quoted_len(s);
	int r;

	r = offset_parse(sc, at == SPAN_NONE ? s : span_from(s, at + 1), &parts->offset);
	if (r < 0 || at == SPAN_NONE)
		return r;
	parts->path = span_to(s, at);
	if (quoted != SPAN_NONE && quoted != at)
		return scan_fault(sc, span_from(parts->path, quoted),
				  "text behind the closing quote");
	return path_check(sc, parts->path);
}

/* Is the ':' at @i within [...], as in f[abi:cxx11]()? */
static bool is_in_brackets(struct span s, size_t i)
{
	while (i-- > 0) {
		if (s.at[i] == '[')
			return true;
		if (s.at[i] == ']')
			return false;
	}
	return false;
}

/* Where PATH ends in PATH:symbol, or SPAN_NONE. */
static size_t func_split(struct span s)
{
	size_t found = SPAN_NONE, run;

	for (size_t i = 0; i < s.len; i = span_next(s, i)) {
		if (s.at[i] != ':' || (i && s.at[i - 1] == ':'))
			continue;
		for (run = 1; i + run < s.len && s.at[i + run] == ':';)
			run++;
		if (run % 2 && !is_in_brackets(s, i))
			found = i;
	}
	return found;
}

/* Are all brackets of this kind closed? Not for < and >, which are operators and arrows too. */
static bool is_balanced(struct span s, char open, char close)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == open)
			depth++;
		else if (s.at[i] == close && depth-- == 0)
			return false;
	}
	return depth == 0;
}

/* name, name@VERSION, name@@VERSION */
static int version_check(const struct scan *sc, struct span s)
{
	const char *at = memchr(s.at, '@', s.len);
	struct span version;

	if (!at)
		return 0;
	version = span_from(s, (size_t)(at - s.at) + 1);
	if (at == s.at || span_is(s, "\"@"))
		return scan_fault(sc, s, "no symbol before '@'");
	if (version.len && version.at[0] == '@')
		version = span_from(version, 1);
	if (version.len && s.at[0] == '"')
		version.len--;
	if (!version.len || memchr(version.at, '@', version.len))
		return scan_fault(sc, (struct span){at, (size_t)(s.at + s.len - at)},
				  "no single version behind '@'");
	return 0;
}

/* A symbol without quotes: catch what is more likely a slip than a name. */
static int bare_symbol_check(const struct scan *sc, struct span s)
{
	static const char sense[] = "<([{"; /* C++ names with blanks have one of these */
	bool has_blank = memchr(s.at, ' ', s.len) || memchr(s.at, '\t', s.len);
	bool has_sense = memmem(s.at, s.len, "operator ", 9);
	int r;

	for (size_t i = 0; i < s.len && !has_sense; i++)
		has_sense = strchr(sense, s.at[i]);
	if (is_digit(s.at[0]) || s.at[0] == '/') {
		r = scan_fault(sc, s, "'" SPAN_FMT "' is not a symbol", SPAN_ARG(s));
		tocsin_diag_hint(sc->diag,
				 "expected func:[PATH:]symbol, or without 'func:' PATH:OFFSET");
		return r;
	}
	if (has_blank && !has_sense) {
		r = scan_fault(sc, s, "blank in symbol '" SPAN_FMT "'", SPAN_ARG(s));
		tocsin_diag_hint(
			sc->diag,
			"'..' parts start and stop; a symbol with blanks is put in double quotes");
		return r;
	}
	if (s.len >= 8 && memcmp(s.at + s.len - 8, "operator", 8) == 0 &&
	    (s.len == 8 || s.at[s.len - 9] == ':')) {
		r = scan_fault(sc, s, "'" SPAN_FMT "' lacks its operator", SPAN_ARG(s));
		tocsin_diag_hint(sc->diag, "the last '<' begins the budget: operator< < 10ms");
		return r;
	}
	if (!is_balanced(s, '(', ')') || !is_balanced(s, '[', ']') || !is_balanced(s, '{', '}'))
		return scan_fault(sc, s, "unbalanced brackets in symbol '" SPAN_FMT "'",
				  SPAN_ARG(s));
	return 0;
}

/* [PATH:]symbol */
static int func_parse(const struct scan *sc, struct span s, struct parts *parts)
{
	size_t at = func_split(s), quoted;
	int r;

	if (at != SPAN_NONE) {
		parts->path = span_to(s, at);
		r = path_check(sc, parts->path);
		if (r < 0)
			return r;
		quoted = quoted_len(parts->path);
		if (quoted != SPAN_NONE && quoted != at)
			return scan_fault(sc, span_from(parts->path, quoted),
					  "text behind the closing quote");
		s = span_from(s, at + 1);
	}
	parts->name = s;
	quoted = quoted_len(s);
	if (!s.len || span_is(s, "\"\""))
		return scan_fault(sc, s, "the symbol is missing");
	if (quoted != SPAN_NONE && quoted != s.len)
		return scan_fault(sc, span_from(s, quoted), "text behind the closing quote");
	r = version_check(sc, s);
	if (r < 0 || quoted != SPAN_NONE)
		return r;
	return bare_symbol_check(sc, s);
}

/* A place without a kind that is no PATH:OFFSET either: say what it may have been meant to be. */
static int unknown_fault(const struct scan *sc, struct span s, size_t colon)
{
	struct span word = colon == SPAN_NONE ? s : span_to(s, span_first(s, ':'));
	struct tocsin_nearest nearest;
	char wanted[64], names[128];
	int r;

	if (memchr(word.at, '/', word.len)) {
		struct span tail = colon == SPAN_NONE ? span_end(s) : span_from(s, colon + 1);

		if (colon == SPAN_NONE)
			r = scan_fault(sc, s, "no offset behind '" SPAN_FMT "'", SPAN_ARG(s));
		else
			r = scan_fault(sc, tail, "offset '" SPAN_FMT "' is not a number",
				       SPAN_ARG(tail));
		tocsin_diag_hint(sc->diag, "expected PATH:OFFSET, or func:PATH:symbol");
		return r;
	}
	span_copy(word, wanted, sizeof(wanted));
	tocsin_nearest_init(&nearest, wanted);
	for (size_t kind = 0; kind < KINDS_NR; kind++)
		if (kind != PLACE_NONE && kind != PLACE_OFFSET)
			tocsin_nearest_offer(&nearest, kind_names[kind]);
	(void)tocsin_nearest_text(&nearest, names, sizeof(names));
	if (names[0] && colon != SPAN_NONE) {
		r = scan_fault(sc, word, "unknown kind of place '" SPAN_FMT "'", SPAN_ARG(word));
		tocsin_diag_hint(sc->diag, "nearest is %s", names);
		return r;
	}
	r = scan_fault(sc, s, "'" SPAN_FMT "' is not a place", SPAN_ARG(s));
	tocsin_diag_hint(sc->diag,
			 "expected usdt:[PATH:]provider:name, func:[PATH:]symbol, PATH:OFFSET, "
			 "syscall:name or tracepoint:category:name");
	return r;
}

/* PATH:OFFSET, or at least something that tries to be: a digit or a sign behind the last ':'. */
static bool is_offset_form(struct span s, size_t colon, const struct place *inherit)
{
	struct span tail = colon == SPAN_NONE ? s : span_from(s, colon + 1);

	if (colon == SPAN_NONE && (!inherit || inherit->kind != PLACE_OFFSET))
		return false;
	return tail.len && (is_digit(tail.at[0]) || tail.at[0] == '-');
}

int place_parse(const struct scan *sc, struct span s, const struct place *inherit,
		struct place *ret_place)
{
	size_t colon = span_first(s, ':'), last = span_last(s, ':');
	struct parts parts = {0};
	bool is_inheriting = false;
	struct span rest = s;
	int r = -EINVAL;

	if (colon != SPAN_NONE)
		parts.kind = place_kind_of(span_to(s, colon));
	if (parts.kind != PLACE_NONE) {
		rest = span_from(s, colon + 1);
		if (rest.len && is_blank(rest.at[0])) {
			r = scan_fault(sc, span_to(rest, 1), "blank behind '" SPAN_FMT ":'",
				       SPAN_ARG(span_to(s, colon)));
			tocsin_diag_hint(sc->diag, "a kind of place cannot be a section's name");
			return r;
		}
	} else if (is_offset_form(s, last, inherit)) {
		parts.kind = PLACE_OFFSET;
		is_inheriting = inherit;
	} else if (inherit && inherit->kind != PLACE_OFFSET) {
		parts.kind = inherit->kind;
		is_inheriting = true;
	}

	switch (parts.kind) {
	case PLACE_NONE: r = unknown_fault(sc, s, last); break;
	case PLACE_USDT: r = usdt_parse(sc, rest, is_inheriting, &parts); break;
	case PLACE_FUNC: r = func_parse(sc, rest, &parts); break;
	case PLACE_OFFSET: r = place_offset_parse(sc, rest, &parts); break;
	case PLACE_SYSCALL: r = syscall_parse(sc, rest, &parts); break;
	case PLACE_TRACEPOINT: r = tracepoint_parse(sc, rest, is_inheriting, &parts); break;
	}
	if (r < 0)
		return r;
	return place_make(sc, &parts, is_inheriting ? inherit : NULL, ret_place);
}

int place_read(const char *text, struct place *ret, struct tocsin_diag *diag)
{
	const struct scan sc = {.line = text, .file = "command line", .diag = diag};

	return place_parse(&sc, span_trim(span_of(text)), NULL, ret);
}
