// SPDX-License-Identifier: MIT
/* Bindings: read, and made into rules. */
#include "bind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/parse.h"

static const char *const built_in[] = {"thread", "process", "cpu", "prio", "rt", "user"};

/* ---- reading */

struct text {
	const char *at;
	size_t len;
};

static struct text text_until(struct text *rest, char c)
{
	const char *end = memchr(rest->at, c, rest->len);
	struct text part = {rest->at, end ? (size_t)(end - rest->at) : rest->len};

	rest->at += part.len + (end != NULL);
	rest->len -= part.len + (end != NULL);
	return part;
}

static bool text_is(struct text t, const char *word)
{
	return strlen(word) == t.len && memcmp(t.at, word, t.len) == 0;
}

static int text_copy(struct text t, char *buf, size_t len, const char *what, struct tocsin_err *err)
{
	if (!t.len || t.len >= len)
		return tocsin_err_fail(-EINVAL, err, "%s %s", what, t.len ? "too long" : "missing");
	memcpy(buf, t.at, t.len);
	buf[t.len] = '\0';
	return 0;
}

static int input_find(const struct model *m, struct text name)
{
	for (int i = 0; i < m->nr_vars; i++)
		if (m->var[i].kind == MODEL_INPUT && text_is(name, m->var[i].name))
			return m->var[i].code & 0x0f;
	return -1;
}

static int input_add(struct bind *b, int input, struct text field, struct tocsin_err *err)
{
	struct bind_input *in = &b->input[b->nr_inputs];

	if (b->nr_inputs == MONITOR_INPUTS)
		return tocsin_err_fail(-EINVAL, err, "more than %d inputs", MONITOR_INPUTS);
	in->input = (uint8_t)input;
	b->nr_inputs++;
	return text_copy(field, in->field, sizeof(in->field), "field", err);
}

/* One of what follows the point. */
static int attribute(const struct model *m, struct bind *b, struct text part,
		     struct tocsin_err *err)
{
	struct text value = part, name = text_until(&value, '=');
	int input;

	if (text_is(part, "set") || text_is(part, "clear")) {
		if (m->kind != AUTOMATON_FORMULA)
			return tocsin_err_fail(-EINVAL, err, "'set' and 'clear' are of formulas");
		b->how = text_is(part, "set") ? MONITOR_SET : MONITOR_CLEAR;
		return 0;
	}
	if (text_is(name, "key"))
		return text_copy(value, b->key, sizeof(b->key), "field behind 'key='", err);
	input = input_find(m, name);
	if (input < 0)
		return tocsin_err_fail(
			-EINVAL, err,
			"'%.*s': expected key=FIELD, set, clear, when=CONDITION, or an input of the model",
			(int)part.len, part.at);
	return input_add(b, input, value, err);
}

/* POINT and what follows it. */
static int bind_read(const struct model *m, int event, struct text rest, struct bind *b,
		     struct tocsin_err *err)
{
	struct text point = text_until(&rest, ',');
	TOCSIN_CLEANUP(tocsin_free_charp) char *when = NULL;
	int r;

	*b = (struct bind){.event = event,
			   .how = m->kind == AUTOMATON_GRAPH ? MONITOR_STEP : MONITOR_PULSE};
	r = text_copy(point, b->point, sizeof(b->point), "point", err);
	while (r == 0 && rest.len && strncmp(rest.at, "when=", rest.len < 5 ? rest.len : 5) != 0)
		r = attribute(m, b, text_until(&rest, ','), err);
	if (r < 0 || !rest.len)
		return r;
	when = strndup(rest.at + 5, rest.len - 5);
	return when ? where_parse(when, &b->when, err) : -ENOMEM;
}

static int list_add(struct bind_list *list, const struct bind *b)
{
	struct bind *more = reallocarray(list->item, list->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	list->item = more;
	more[list->nr++] = *b;
	return 0;
}

void bind_list_done(struct bind_list *list)
{
	for (size_t i = 0; i < list->nr; i++)
		(void)where_free(list->item[i].when); /* always NULL */
	free(list->item);
	*list = (struct bind_list){0};
}

static int bind_add(const struct model *m, int event, struct text rest, struct bind_list *list,
		    struct tocsin_err *err)
{
	struct bind b;
	int r = bind_read(m, event, rest, &b, err);

	if (r == 0)
		r = list_add(list, &b);
	if (r < 0)
		(void)where_free(b.when); /* always NULL */
	return r;
}

/* `[MODEL.]NAME=`: is it of this model? The rest is behind the '='. */
static bool name_take(const struct model *m, const char *text, struct text *ret_name,
		      struct text *ret_rest)
{
	size_t len = strlen(m->name);

	if (strncmp(text, m->name, len) == 0 && text[len] == '.')
		text += len + 1;
	*ret_rest = (struct text){text, strlen(text)};
	*ret_name = text_until(ret_rest, '=');
	return ret_name->len && ret_name->at[ret_name->len] == '=';
}

static int event_find(const struct model *m, struct text name)
{
	for (int i = 0; i < m->nr_events; i++)
		if (text_is(name, m->event[i].name))
			return i;
	return -1;
}

static int extra_add(const struct model *m, const char *text, bool *used, bool *bound,
		     struct bind_list *list, struct tocsin_err *err)
{
	struct text name, rest;
	int event, r;

	if (!name_take(m, text, &name, &rest))
		return tocsin_err_fail(-EINVAL, err,
				       "'%.100s': expected EVENT=POINT, as in 'take=server:lock'",
				       text);
	event = event_find(m, name);
	if (event < 0)
		return 0;
	*used = true;
	bound[event] = true;
	r = bind_add(m, event, rest, list, err);
	return r < 0 ? tocsin_err_fail(r, err, "cannot bind '%.100s'", text) : 0;
}

int bind_model(const struct model *m, const char *const *extra, size_t nr, bool *used,
	       struct bind_list *ret, struct tocsin_err *err)
{
	struct bind_list list TOCSIN_CLEANUP(bind_list_done) = {0};
	bool bound[AUTOMATON_EVENTS] = {false};
	int r = 0;

	for (size_t i = 0; i < nr && r == 0; i++)
		r = extra_add(m, extra[i], &used[i], bound, &list, err);
	for (int e = 0; e < m->nr_events && r == 0; e++) {
		struct text rest = {m->event[e].points, strlen(m->event[e].points)};

		while (!bound[e] && rest.len && r == 0) {
			r = bind_add(m, e, text_until(&rest, ' '), &list, err);
			if (r < 0)
				(void)tocsin_err_fail(r, err, "event '%s' of the model '%s'",
						      m->event[e].name, m->name);
		}
	}
	if (r == 0) {
		*ret = list;
		list = (struct bind_list){0};
	}
	return r;
}

int bind_params(struct model *m, const char *const *text, size_t nr, bool *used,
		struct tocsin_err *err)
{
	for (size_t i = 0; i < nr; i++) {
		struct text name, rest;
		uint64_t value;

		if (!name_take(m, text[i], &name, &rest))
			return tocsin_err_fail(
				-EINVAL, err, "'%.100s': expected NAME=VALUE, as in 'HELD_NS=10ms'",
				text[i]);
		for (int v = 0; v < m->nr_vars; v++) {
			if (m->var[v].kind != MODEL_PARAM || !text_is(name, m->var[v].name))
				continue;
			if (tocsin_parse_duration(rest.at, &value) < 0 &&
			    tocsin_parse_u64(rest.at, &value) < 0)
				return tocsin_err_fail(-EINVAL, err,
						       "'%.100s': neither a number nor a duration",
						       text[i]);
			if (value > INT64_MAX / 4)
				return tocsin_err_fail(-ERANGE, err, "'%.100s': too large",
						       text[i]);
			m->var[v].value = (int64_t)value;
			m->var[v].has_value = true;
			m->table.param[m->var[v].code & 0x0f] = (int64_t)value;
			used[i] = true;
		}
	}
	return 0;
}

/* ---- making rules */

static int term_make(const struct where_step *s, const struct bind_values *values,
		     struct monitor_term *ret)
{
	static const enum monitor_op ops[] = {
		[WHERE_IS] = MONITOR_TRUE, [WHERE_EQ] = MONITOR_EQ,     [WHERE_NE] = MONITOR_NE,
		[WHERE_LT] = MONITOR_LT,   [WHERE_LE] = MONITOR_LE,     [WHERE_GT] = MONITOR_GT,
		[WHERE_GE] = MONITOR_GE,   [WHERE_BITS] = MONITOR_BITS, [WHERE_TEXT] = MONITOR_TRUE,
		[WHERE_AND] = MONITOR_AND, [WHERE_OR] = MONITOR_OR,     [WHERE_NOT] = MONITOR_NOT,
	};
	unsigned field = 0;
	int r = 0;

	if (s->op == WHERE_TEXT)
		return -ENOTSUP;
	if (s->field)
		r = values->value(values->context, s->field, &field);
	*ret = (struct monitor_term){
		.op = (uint8_t)ops[s->op], .field = (uint8_t)field, .value = s->value};
	return r;
}

static int condition_make(const struct bind *b, const struct bind_values *values,
			  struct monitor_rule *rule, struct tocsin_err *err)
{
	struct where_step s;

	for (unsigned i = 0; where_step(b->when, i, &s); i++) {
		int r = i < MONITOR_TERMS ? term_make(&s, values, &rule->term[i]) : -E2BIG;

		if (r == -ENOTSUP)
			return tocsin_err_fail(r, err,
					       "the condition on '%s' is not one of whole numbers",
					       s.field ?: "");
		if (r == -E2BIG)
			return tocsin_err_fail(r, err, "a condition has more than %d parts",
					       MONITOR_TERMS);
		if (r < 0)
			return tocsin_err_fail(r, err, "'%s' has no field '%s'", b->point, s.field);
		rule->nr_terms++;
	}
	return 0;
}

/* Inputs that nobody bound: built-in values, and fields of the same name. */
static int inputs_guess(const struct model *m, struct bind *b)
{
	for (int i = 0; i < m->nr_vars; i++) {
		const struct model_var *v = &m->var[i];
		bool has = v->kind != MODEL_INPUT;

		for (unsigned k = 0; k < b->nr_inputs; k++)
			has |= b->input[k].input == (v->code & 0x0f);
		if (!has && b->nr_inputs < MONITOR_INPUTS)
			(void)input_add(b, v->code & 0x0f, (struct text){v->name, strlen(v->name)},
					NULL); /* no longer than a field may be */
	}
	return 0;
}

static bool is_built_in(const char *field)
{
	for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++)
		if (strcmp(built_in[i], field) == 0)
			return true;
	return false;
}

static const char *key_of(const struct model *m, const struct bind *b)
{
	if (b->key[0])
		return b->key;
	switch (m->scope) {
	case MODEL_CPU: return "cpu";
	case MODEL_TASK: return "thread";
	case MODEL_PROCESS: return "process";
	case MODEL_OBJECT: return "arg0";
	case MODEL_GLOBAL:
	case MODEL_NO_SCOPE: break;
	}
	return NULL;
}

int bind_rule(const struct model *m, const struct bind *b, const struct bind_values *values,
	      struct monitor_rule *ret, struct tocsin_err *err)
{
	struct monitor_rule rule = {
		.event = (uint8_t)b->event, .how = (uint8_t)b->how, .scope = (uint8_t)m->scope};
	const char *key = key_of(m, b);
	struct bind with = *b;
	unsigned field = 0;
	int r = 0;

	if (b->when)
		r = condition_make(b, values, &rule, err);
	if (r < 0)
		return r;
	if (key && values->value(values->context, key, &field) < 0)
		return tocsin_err_fail(-ENOENT, err,
				       "'%s' has no value '%s' to tell instances of '%s' apart by",
				       b->point, key, m->name);
	rule.key = (uint8_t)field;
	(void)inputs_guess(m, &with);
	for (unsigned i = 0; i < with.nr_inputs; i++) {
		r = values->value(values->context, with.input[i].field, &field);
		if (r == -ENOENT && i >= b->nr_inputs && !is_built_in(with.input[i].field))
			continue; /* another event has it; here it is 0 */
		if (r < 0)
			return tocsin_err_fail(r, err, "'%s' has no value '%s'", b->point,
					       with.input[i].field);
		rule.input[rule.nr_inputs] = with.input[i].input;
		rule.from[rule.nr_inputs++] = (uint8_t)field;
	}
	*ret = rule;
	return 0;
}
