// SPDX-License-Identifier: MIT
/*
 * One line of the section language into a section.
 *
 * The line is taken apart from the outside in, so that each step needs to know little of what is
 * left: the comment; what follows the last '<', which is the budget whatever C++ has before it;
 * `NAME:` at the start; `by KEY` at the end; `..`. Blanks part the words, and quotes hide what is
 * in them from every step. Two places remain, for section_place.c. The kernel's own lines begin
 * with `p` and a blank, or with '-', which nothing else does.
 */
#include "section.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/parse.h"
#include "section_scan.h"

/* The parts of a section's line; those that were not written have NULL at. */
struct clauses {
	struct span name, start, stop, key, budget;
};

void section_done(struct section *s)
{
	if (!s)
		return;
	free(s->name);
	free(s->text);
	place_done(&s->start);
	place_done(&s->stop);
	*s = (struct section){0};
}

/* Up to a '#' at the start or behind a blank, without blanks around. */
static struct span body_of(const char *line)
{
	struct span s = span_of(line);

	for (size_t i = 0; i < s.len; i = span_next(s, i))
		if (s.at[i] == '#' && (i == 0 || is_blank(s.at[i - 1])))
			return span_trim(span_to(s, i));
	return span_trim(s);
}

static int body_check(const struct scan *sc, struct span body)
{
	for (size_t i = 0; i < body.len; i++) {
		unsigned char c = (unsigned char)body.at[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return scan_fault(sc, span_to(span_from(body, i), 1),
					  "control character 0x%02x", c);
	}
	return 0;
}

static int quotes_check(const struct scan *sc, struct span body)
{
	for (size_t i = 0, next; i < body.len; i = next) {
		next = span_next(body, i);
		if (next == SPAN_NONE)
			return scan_fault(sc, span_from(body, i), "quote is not closed");
	}
	return 0;
}

static int budget_fault(const struct scan *sc, struct span s)
{
	int r;

	if (!s.len)
		return scan_fault(sc, s, "no budget behind '<'");
	if (s.at[0] == '=')
		r = scan_fault(sc, span_to(s, 1), "a budget is set with '<'");
	else if (span_word(s, 0, "by") != SPAN_NONE)
		return scan_fault(sc, span_from(s, span_word(s, 0, "by")),
				  "'by' stands before '<'");
	else if (s.at[0] == '-')
		r = scan_fault(sc, s, "budget '" SPAN_FMT "' is negative", SPAN_ARG(s));
	else if (memchr(s.at, ' ', s.len) || memchr(s.at, '\t', s.len))
		r = scan_fault(sc, s, "blank in budget '" SPAN_FMT "'", SPAN_ARG(s));
	else if (is_digit(s.at[s.len - 1]) && is_digit(s.at[0]))
		r = scan_fault(sc, s, "budget '" SPAN_FMT "' has no unit", SPAN_ARG(s));
	else
		r = scan_fault(sc, s, "budget '" SPAN_FMT "' is not a duration", SPAN_ARG(s));
	tocsin_diag_hint(sc->diag,
			 "expected a number with ns, us, ms, s, m or h: 250us, 10ms, 1.5s");
	return r;
}

static int budget_parse(const struct scan *sc, struct span s, uint64_t *ret_ns)
{
	char buf[64], min[32], max[32];
	uint64_t ns = 0;
	int r;

	span_copy(s, buf, sizeof(buf));
	r = s.len < sizeof(buf) ? tocsin_parse_duration(buf, &ns) : -EINVAL;
	if (r == -EINVAL)
		return budget_fault(sc, s);
	if (r < 0 || ns < SECTION_BUDGET_MIN_NS || ns > SECTION_BUDGET_MAX_NS) {
		(void)scan_fault(sc, s, "budget '" SPAN_FMT "' is out of range: %s to %s",
				 SPAN_ARG(s),
				 tocsin_print_duration(SECTION_BUDGET_MIN_NS, min, sizeof(min)),
				 tocsin_print_duration(SECTION_BUDGET_MAX_NS, max, sizeof(max)));
		return -ERANGE;
	}
	*ret_ns = ns;
	return 0;
}

/* Is what follows a '<' a try at a budget, and not the rest of a C++ name? */
static bool is_budget_like(struct span body, size_t lt, struct span after)
{
	if (memchr(after.at, '>', after.len))
		return false;
	if (!after.len || is_digit(after.at[0]) || strchr("=.-+", after.at[0]))
		return true;
	return lt && is_blank(body.at[lt - 1]);
}

static int budget_split(const struct scan *sc, struct span *body, struct span *ret_budget)
{
	size_t lt = span_last(*body, '<');
	struct span after;
	int r;

	if (lt != SPAN_NONE) {
		after = span_trim(span_from(*body, lt + 1));
		if (is_budget_like(*body, lt, after)) {
			*ret_budget = after;
			*body = span_trim(span_to(*body, lt));
			return 0;
		}
	}
	r = scan_fault(sc, span_end(*body), "no budget");
	if (memmem(body->at, body->len, " threshold=", 11))
		tocsin_diag_hint(sc->diag, "the kernel's own line begins with 'p '");
	else
		tocsin_diag_hint(sc->diag,
				 "expected START [.. STOP] [by KEY] < BUDGET, such as < 10ms");
	return r;
}

/* [A-Za-z_][A-Za-z0-9_.-]*, and the number that a made name may have: what is printed is read
 * again. */
static bool is_name(struct span s)
{
	const char *number = memchr(s.at, '#', s.len);

	if (number) {
		size_t at = (size_t)(number - s.at);

		for (size_t i = at + 1; i < s.len; i++)
			if (!is_digit(s.at[i]))
				return false;
		if (at + 1 == s.len)
			return false;
		s = span_to(s, at);
	}
	return span_only(s, "_.-") && (is_letter(s.at[0]) || s.at[0] == '_');
}

/* Does a place begin here that cannot be the second part of another? Then `NAME:` needs no blank
 * behind it. */
static bool is_place_start(struct span s)
{
	size_t colon = span_first(s, ':');

	if (s.len && (s.at[0] == '/' || s.at[0] == '"'))
		return true;
	return colon != SPAN_NONE && place_kind_of(span_to(s, colon)) != PLACE_NONE;
}

static int name_split(const struct scan *sc, struct span *body, struct span *ret_name)
{
	size_t colon = span_first(*body, ':');
	struct span name, rest;
	int r;

	if (colon == SPAN_NONE)
		return 0;
	name = span_to(*body, colon);
	rest = span_from(*body, colon + 1);
	if (place_kind_of(name) != PLACE_NONE)
		return 0;
	if (rest.len && !is_blank(rest.at[0])) {
		if (!is_name(name) || !is_place_start(rest))
			return 0;
	} else if (!is_name(name)) {
		r = scan_fault(sc, name, "'" SPAN_FMT "' is not a name", SPAN_ARG(name));
		tocsin_diag_hint(
			sc->diag,
			"names are letters, digits, '_', '.' and '-', and begin with a letter or '_'");
		return r;
	}
	if (name.len > SECTION_NAME_MAX)
		return scan_fault(sc, name, "name is longer than %d bytes", SECTION_NAME_MAX);
	*ret_name = name;
	*body = span_trim(rest);
	return 0;
}

static int stop_split(const struct scan *sc, struct span *body, struct span *ret_stop)
{
	size_t dots = span_word(*body, 0, ".."), more;

	if (dots == SPAN_NONE)
		return 0;
	more = span_word(*body, dots + 2, "..");
	if (more != SPAN_NONE)
		return scan_fault(sc, span_to(span_from(*body, more), 2), "a second '..'");
	*ret_stop = span_trim(span_from(*body, dots + 2));
	if (!ret_stop->len)
		return scan_fault(sc, span_to(span_from(*body, dots), 2), "no stop behind '..'");
	if (!dots)
		return scan_fault(sc, span_to(*body, 2), "no start before '..'");
	*body = span_trim(span_to(*body, dots));
	return 0;
}

static int key_split(const struct scan *sc, struct span *body, struct span *ret_key)
{
	size_t by = span_word(*body, 0, "by"), dots;
	struct span word;

	if (by == SPAN_NONE)
		return 0;
	word = span_to(span_from(*body, by), 2);
	*ret_key = span_trim(span_from(*body, by + 2));
	if (!ret_key->len)
		return scan_fault(sc, word, "no key behind 'by'");
	dots = span_word(*ret_key, 0, "..");
	if (dots != SPAN_NONE)
		return scan_fault(sc, word, "'by' stands behind the stop");
	*body = span_trim(span_to(*body, by));
	if (span_word(*body, 0, "..") == SPAN_NONE) {
		int r = scan_fault(sc, word, "'by' needs a stop");

		tocsin_diag_hint(
			sc->diag,
			"from entry to return a section is of one thread: START .. STOP by KEY < BUDGET");
		return r;
	}
	return 0;
}

static int arg_parse(const struct scan *sc, struct span s, int *ret_arg)
{
	uint64_t nr = 0;
	char buf[8];
	int r;

	if (span_begins(s, "arg") && s.len > 3 && s.len < 3 + sizeof(buf)) {
		span_copy(span_from(s, 3), buf, sizeof(buf));
		r = buf[0] == '0' && buf[1] ? -EINVAL : tocsin_parse_u64(buf, &nr);
		if (r == 0 && nr <= SECTION_KEY_MAX) {
			*ret_arg = (int)nr;
			return 0;
		}
	}
	r = scan_fault(sc, s, "'" SPAN_FMT "' is not an argument", SPAN_ARG(s));
	tocsin_diag_hint(
		sc->diag,
		"keys are arg0 to arg%d; arg1/arg0 is argument 1 of the start and 0 of the stop",
		SECTION_KEY_MAX);
	return r;
}

static int key_parse(const struct scan *sc, struct span s, int *ret_start_key, int *ret_stop_key)
{
	const char *slash = s.at ? memchr(s.at, '/', s.len) : NULL;
	size_t at = slash ? (size_t)(slash - s.at) : s.len;
	int start_key = -1, stop_key;
	int r = 0;

	if (s.at)
		r = arg_parse(sc, span_to(s, at), &start_key);
	stop_key = start_key;
	if (r == 0 && slash)
		r = arg_parse(sc, span_from(s, at + 1), &stop_key);
	if (r < 0)
		return r;
	*ret_start_key = start_key;
	*ret_stop_key = stop_key;
	return 0;
}

static int clauses_split(const struct scan *sc, struct span body, struct clauses *c)
{
	int r;

	r = quotes_check(sc, body);
	if (r == 0)
		r = budget_split(sc, &body, &c->budget);
	if (r == 0)
		r = name_split(sc, &body, &c->name);
	if (r == 0)
		r = key_split(sc, &body, &c->key);
	if (r == 0)
		r = stop_split(sc, &body, &c->stop);
	if (r < 0)
		return r;
	if (!body.len)
		return scan_fault(sc, body, "no start");
	c->start = body;
	return 0;
}

/* What can be wrong with two good places. */
static int places_check(const struct scan *sc, const struct clauses *c, const struct section *s)
{
	int r;

	if (!c->stop.at && s->start.kind != PLACE_FUNC && s->start.kind != PLACE_SYSCALL) {
		r = scan_fault(sc, c->start, "no stop: this place has no end of its own");
		tocsin_diag_hint(
			sc->diag,
			"only functions and system calls have one: START .. STOP < BUDGET");
		return r;
	}
	if (c->stop.at && place_equal(&s->start, &s->stop))
		return scan_fault(sc, c->stop, "start and stop are the same place");
	return 0;
}

static int language_parse(const struct scan *sc, struct span body, struct section *s)
{
	struct clauses c = {0};
	int r;

	r = clauses_split(sc, body, &c);
	if (r == 0)
		r = budget_parse(sc, c.budget, &s->budget_ns);
	if (r == 0)
		r = key_parse(sc, c.key, &s->start_key, &s->stop_key);
	if (r == 0)
		r = place_parse(sc, c.start, NULL, &s->start);
	if (r == 0 && c.stop.at)
		r = place_parse(sc, c.stop, &s->start, &s->stop);
	if (r == 0)
		r = places_check(sc, &c, s);
	if (r == 0 && c.name.at) {
		s->name = span_dup(c.name);
		s->has_own_name = true;
		r = s->name ? 0 : scan_nomem(sc);
	}
	return r;
}

static int line_parse(const struct scan *sc, struct span body, enum section_line *kind,
		      struct section *s)
{
	if (body.at[0] == '-') {
		*kind = SECTION_LINE_REMOVE;
		return tlob_parse_removal(sc, span_from(body, 1), &s->start);
	}
	*kind = SECTION_LINE_ADD;
	if (body.at[0] == 'p' && (body.len == 1 || is_blank(body.at[1])))
		return tlob_parse(sc, span_trim(span_from(body, 1)), s);
	return language_parse(sc, body, s);
}

/* What every section has, however it was written. */
static int section_finish(const struct scan *sc, struct span body, enum section_line kind,
			  struct section *s)
{
	char name[SECTION_NAME_MAX + 1];

	if (kind == SECTION_LINE_ADD && !s->name) {
		section_name_make(s, name);
		s->name = strdup(name);
		if (!s->name)
			return scan_nomem(sc);
	}
	s->text = strndup(body.at, body.len);
	if (!s->text)
		return scan_nomem(sc);
	span_copy(span_of(sc->file), s->file, sizeof(s->file));
	s->line = sc->line_nr;
	return 0;
}

int section_parse(const char *line, const char *file, unsigned line_nr, enum section_line *ret_kind,
		  struct section *ret_section, struct tocsin_diag *diag)
{
	const struct scan sc = {.line = line, .file = file, .line_nr = line_nr, .diag = diag};
	struct section s = {.start_key = -1, .stop_key = -1};
	enum section_line kind = SECTION_LINE_EMPTY;
	struct span body;
	int r;

	if (strnlen(line, SECTION_LINE_MAX + 1) > SECTION_LINE_MAX) {
		const struct tocsin_where where = {.file = file, .line = line_nr};

		tocsin_diag_set(diag, &where, "line is longer than %d bytes", SECTION_LINE_MAX);
		return -EINVAL;
	}
	body = body_of(line);
	r = body_check(&sc, body);
	if (r == 0 && body.len) {
		r = line_parse(&sc, body, &kind, &s);
		if (r == 0)
			r = section_finish(&sc, body, kind, &s);
	}
	if (r < 0) {
		section_done(&s);
		return r;
	}
	*ret_kind = kind;
	*ret_section = s;
	return 0;
}
