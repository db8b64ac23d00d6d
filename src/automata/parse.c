// SPDX-License-Identifier: MIT
/* Names, numbers and settings, which both languages have, and the way to the person who wrote them.
 */
#include "parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/parse.h"

static void __attribute__((format(printf, 5, 0)))
say(struct parse *p, struct model_span where, const char *hint, bool is_warning, const char *fmt,
    va_list ap)
{
	const char *text = p->m->text;
	char line[8192];
	size_t start = where.at, end = where.at, len;
	struct tocsin_where place = {.file = p->m->file, .line = 1, .source = line};

	while (start && text[start - 1] != '\n')
		start--;
	while (end < p->m->len && text[end] != '\n')
		end++;
	for (size_t i = 0; i < start; i++)
		place.line += text[i] == '\n';
	len = end - start < sizeof(line) - 1 ? end - start : sizeof(line) - 1;
	memcpy(line, text + start, len);
	line[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (!line[i])
			line[i] = '?';
	place.column = where.at - start + 1;
	place.len = where.len < end - where.at ? where.len : end - where.at;
	tocsin_diag_setv(&p->diag, &place, fmt, ap);
	if (hint)
		tocsin_diag_hint(&p->diag, "%s", hint);
	p->diag.is_warning = is_warning;
	p->sink->say(p->sink->context, &p->diag);
}

int parse_error(struct parse *p, struct model_span where, const char *hint, const char *fmt, ...)
{
	va_list ap;

	if (p->nr_errors++ >= MODEL_SAID_MAX)
		return -EINVAL;
	va_start(ap, fmt);
	say(p, where, hint, false, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int parse_warn(struct parse *p, struct model_span where, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(p, where, hint, true, fmt, ap);
	va_end(ap);
	return 0;
}

int parse_name(struct parse *p, struct model_span where, char name[MODEL_NAME_MAX])
{
	if (where.len >= MODEL_NAME_MAX)
		return parse_error(p, where, NULL, "name is longer than %d bytes",
				   MODEL_NAME_MAX - 1);
	memcpy(name, p->m->text + where.at, where.len);
	name[where.len] = '\0';
	return 0;
}

bool span_equals(const struct parse *p, struct model_span where, const char *text)
{
	return strlen(text) == where.len && memcmp(p->m->text + where.at, text, where.len) == 0;
}

struct model_span span_trimmed(const struct parse *p, struct model_span where)
{
	while (where.len && is_space(p->m->text[where.at])) {
		where.at++;
		where.len--;
	}
	while (where.len && is_space(p->m->text[where.at + where.len - 1]))
		where.len--;
	return where;
}

int parse_event(struct parse *p, struct model_span where)
{
	struct model *m = p->m;
	struct model_event *e;
	char name[MODEL_NAME_MAX];

	if (parse_name(p, where, name) < 0)
		return -EINVAL;
	for (int i = 0; i < m->nr_events; i++)
		if (strcmp(m->event[i].name, name) == 0)
			return i;
	if (m->nr_events == AUTOMATON_EVENTS)
		return parse_error(p, where, NULL, "more than %d events", AUTOMATON_EVENTS);
	e = &m->event[m->nr_events];
	memcpy(e->name, name, sizeof(name));
	e->where = where;
	return m->nr_events++;
}

int parse_var(struct parse *p, struct model_span where)
{
	struct model *m = p->m;
	char name[MODEL_NAME_MAX];

	if (parse_name(p, where, name) < 0)
		return -EINVAL;
	for (int i = 0; i < m->nr_vars; i++)
		if (strcmp(m->var[i].name, name) == 0)
			return i;
	if (m->nr_vars == MODEL_VARS)
		return parse_error(p, where, NULL, "more than %d variables", MODEL_VARS);
	memcpy(m->var[m->nr_vars].name, name, sizeof(name));
	m->var[m->nr_vars].where = where;
	return m->nr_vars++;
}

int parse_number(struct parse *p, size_t *at, size_t end, int64_t *ret_value, bool *ret_has_unit)
{
	const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"j", p->jiffy_ns}};
	size_t first = *at, unit;
	struct model_span whole, word;
	uint64_t value = 0, scale = 0;
	bool fits = true;

	for (; *at < end && is_number_char(parse_at(p, *at)); (*at)++)
		fits = fits && !__builtin_mul_overflow(value, 10u, &value) &&
		       !__builtin_add_overflow(value, (uint64_t)(parse_at(p, *at) - '0'), &value);
	unit = *at;
	while (*at < end && is_name_char(parse_at(p, *at)))
		(*at)++;
	whole = (struct model_span){(uint32_t)first, (uint32_t)(*at - first)};
	word = (struct model_span){(uint32_t)unit, (uint32_t)(*at - unit)};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (span_equals(p, word, units[i].name))
			scale = units[i].ns;
	if (word.len && !scale)
		return parse_error(p, word, "units are ns, us, ms, s and j (jiffies)",
				   "'%.*s' is not a unit", (int)word.len, p->m->text + word.at);
	if (!fits || (scale && __builtin_mul_overflow(value, scale, &value)) ||
	    value > (uint64_t)INT64_MAX / 4)
		return parse_error(p, whole, NULL, "number is too large%s",
				   scale ? " in nanoseconds" : "");
	*ret_value = (int64_t)value;
	*ret_has_unit = scale;
	return 0;
}

/* ---- settings */

static const char *const scopes[] = {"", "global", "cpu", "task", "process", "object"};

const char *model_scope_name(enum model_scope scope)
{
	return scopes[scope];
}

const char *model_compare_text(enum automaton_compare compare)
{
	static const char *const texts[] = {"<", "<=", "==", "!=", ">=", ">"};

	return texts[compare];
}

static int scope_set(struct parse *p, struct model_span value)
{
	for (size_t i = 1; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		if (span_equals(p, value, scopes[i])) {
			p->m->scope = (enum model_scope)i;
			return 0;
		}
	return parse_error(p, value, "scopes are global, cpu, task, process and object",
			   "'%.*s' is not a scope", (int)value.len, p->m->text + value.at);
}

/* The next word of @rest, which loses it. Return: is there one? */
static bool word_take(const struct parse *p, struct model_span *rest, struct model_span *ret)
{
	*rest = span_trimmed(p, *rest);
	*ret = (struct model_span){rest->at, 0};
	while (rest->len && !is_space(p->m->text[rest->at])) {
		rest->at++;
		rest->len--;
		ret->len++;
	}
	return ret->len;
}

/* A name that is good for an event; others could not be on an edge. */
static int event_named(struct parse *p, struct model_span word)
{
	bool good = word.len && is_name_start(p->m->text[word.at]);

	for (uint32_t i = 0; i < word.len; i++)
		good = good && is_name_char(p->m->text[word.at + i]);
	if (!good)
		return parse_error(p, word, NULL, "'%.*s' is not a name", (int)word.len,
				   p->m->text + word.at);
	return parse_event(p, word);
}

/* NAME: GROUP:NAME... */
static int event_set(struct parse *p, struct model_span value)
{
	const char *colon = memchr(p->m->text + value.at, ':', value.len);
	struct model_span name = value, rest, word;
	struct model_event *e;
	size_t used = 0;
	int event;

	if (!colon)
		return parse_error(p, value, "expected NAME: GROUP:TRACEPOINT...",
				   "no ':' behind the event's name");
	name.len = (uint32_t)(colon - (p->m->text + value.at));
	rest = (struct model_span){value.at + name.len + 1, value.len - name.len - 1};
	event = event_named(p, span_trimmed(p, name));
	if (event < 0)
		return event;
	e = &p->m->event[event];
	while (word_take(p, &rest, &word)) {
		if (!memchr(p->m->text + word.at, ':', word.len))
			return parse_error(p, word, "expected GROUP:TRACEPOINT",
					   "'%.*s' is not a tracepoint", (int)word.len,
					   p->m->text + word.at);
		if (used + word.len + 2 > sizeof(e->points))
			return parse_error(p, word, NULL, "more tracepoints than fit");
		if (used)
			e->points[used++] = ' ';
		memcpy(e->points + used, p->m->text + word.at, word.len);
		used += word.len;
		e->points[used] = '\0';
	}
	return 0;
}

static int start_set(struct parse *p, struct model_span value, uint8_t flag)
{
	struct model_span word;

	while (word_take(p, &value, &word)) {
		int event = event_named(p, word);

		if (event < 0)
			return event;
		p->m->event[event].flags |= flag;
	}
	return 0;
}

/* NAME = NUMBER[UNIT] */
static int param_set(struct parse *p, struct model_span value)
{
	size_t at = value.at, end = value.at + value.len;
	struct model_span name = {value.at, 0};
	struct model_var *var;
	bool has_unit;
	int i, r;

	while (at < end && is_name_char(parse_at(p, at)))
		at++;
	name.len = (uint32_t)(at - name.at);
	while (at < end && (is_space(parse_at(p, at)) || parse_at(p, at) == '='))
		at++;
	if (!name.len || at == end || !is_number_char(parse_at(p, at)))
		return parse_error(p, value, "expected NAME = NUMBER", "not a parameter's value");
	i = parse_var(p, name);
	if (i < 0)
		return i;
	var = &p->m->var[i];
	r = parse_number(p, &at, end, &var->value, &has_unit);
	if (r < 0)
		return r;
	if (at != end)
		return parse_error(p, (struct model_span){(uint32_t)at, (uint32_t)(end - at)}, NULL,
				   "unexpected text behind the value");
	var->has_value = true;
	var->kind = MODEL_PARAM;
	var->is_timed = has_unit;
	return 0;
}

static int text_set(struct parse *p, struct model_span value, char text[MODEL_ABOUT_MAX])
{
	if (value.len >= MODEL_ABOUT_MAX)
		return parse_error(p, value, NULL, "text is longer than %d bytes",
				   MODEL_ABOUT_MAX - 1);
	memcpy(text, p->m->text + value.at, value.len);
	text[value.len] = '\0';
	return 0;
}

int parse_setting(struct parse *p, struct model_span key, struct model_span value)
{
	static const char *const keys[] = {"scope", "event", "start", "start_run",
					   "param", "about", "note"};
	char name[MODEL_NAME_MAX], near[200], hint[240];
	struct tocsin_nearest nearest;

	value = span_trimmed(p, value);
	if (span_equals(p, key, "scope"))
		return scope_set(p, value);
	if (span_equals(p, key, "event"))
		return event_set(p, value);
	if (span_equals(p, key, "start"))
		return start_set(p, value, AUTOMATON_START);
	if (span_equals(p, key, "start_run"))
		return start_set(p, value, AUTOMATON_START_RUN);
	if (span_equals(p, key, "param"))
		return param_set(p, value);
	if (span_equals(p, key, "about"))
		return text_set(p, value, p->m->about);
	if (span_equals(p, key, "note"))
		return text_set(p, value, p->m->note);
	if (parse_name(p, key, name) < 0)
		return -EINVAL;
	tocsin_nearest_init(&nearest, name);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		tocsin_nearest_offer(&nearest, keys[i]);
	(void)tocsin_nearest_text(&nearest, near, sizeof(near));
	(void)snprintf(hint, sizeof(hint), "nearest is %s", near);
	return parse_error(p, key, near[0] ? hint : NULL, "unknown setting '%s'", name);
}

/* ---- a whole text */

struct model *model_free(struct model *m)
{
	if (m) {
		free(m->text);
		free(m);
	}
	return NULL;
}

/* wwnr, of "models/wwnr.dot". */
static void name_of_file(struct model *m)
{
	const char *slash = strrchr(m->file, '/');
	const char *name = slash ? slash + 1 : m->file;

	(void)snprintf(m->name, sizeof(m->name), "%.*s", (int)strcspn(name, "."), name);
}

static int graph_read(struct parse *p)
{
	int r = dot_read(p);

	if (r == 0 && !p->nr_errors)
		r = vars_settle(p);
	if (r == 0 && !p->nr_errors)
		r = graph_build(p);
	if (r == 0 && !p->nr_errors)
		r = graph_check(p);
	return r;
}

int model_read(const char *file, const char *text, size_t len, const struct model_options *options,
	       const struct model_sink *sink, struct model **ret)
{
	struct model *m = calloc(1, sizeof(*m));
	struct parse p = {.m = m, .sink = sink, .jiffy_ns = options->jiffy_ns};
	size_t name_len = strlen(file);
	int r;

	if (!m)
		return -ENOMEM;
	m->len = len < MODEL_TEXT_MAX ? len : MODEL_TEXT_MAX;
	m->text = malloc(m->len + 1);
	if (!m->text) {
		(void)model_free(m); /* always NULL */
		return -ENOMEM;
	}
	memcpy(m->text, text, m->len);
	m->text[m->len] = '\0';
	(void)snprintf(m->file, sizeof(m->file), "%s", file);
	name_of_file(m);
	m->initial = -1;
	m->table.magic = AUTOMATON_MAGIC;
	m->table.version = AUTOMATON_VERSION;
	m->table.bytes = sizeof(m->table);
	if (len > MODEL_TEXT_MAX)
		r = parse_error(&p, (struct model_span){0, 0}, NULL, "text is longer than %d bytes",
				MODEL_TEXT_MAX);
	else if (name_len > 4 && strcmp(file + name_len - 4, ".ltl") == 0)
		r = ltl_read(&p);
	else
		r = graph_read(&p);
	if (r == 0 && p.nr_errors)
		r = -EINVAL;
	if (r < 0)
		m = model_free(m);
	else
		*ret = m;
	return r;
}
