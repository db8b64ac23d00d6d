/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_AUTOMATA_PARSE_H
#define TOCSIN_AUTOMATA_PARSE_H

/* What the readers of both languages share. Private to automata/. */

#include "model.h"

struct parse {
	struct model *m;
	const struct model_sink *sink;
	uint64_t jiffy_ns;
	unsigned nr_errors;
	struct tocsin_diag diag; /* storage of the last */
};

#define MODEL_SAID_MAX 64 /* errors of one text; those beyond are not said */

/** parse_error(), parse_warn() - say that this part of the text is wrong. Return: -EINVAL, 0. */
int parse_error(struct parse *p, struct model_span where, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int parse_warn(struct parse *p, struct model_span where, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Spans of the text. */
static inline char parse_at(const struct parse *p, size_t i)
{
	return i < p->m->len ? p->m->text[i] : '\0';
}

static inline bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static inline bool is_number_char(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_name_char(char c)
{
	return is_name_start(c) || is_number_char(c);
}

static inline bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/** parse_name() - copy a name. Return: 0, or -EINVAL it is too long, which was said. */
int parse_name(struct parse *p, struct model_span where, char name[MODEL_NAME_MAX]);
bool span_equals(const struct parse *p, struct model_span where, const char *text);
struct model_span span_trimmed(const struct parse *p, struct model_span where);

/** parse_event() - the event of that name, made when it is new. Return: its index, or -EINVAL. */
int parse_event(struct parse *p, struct model_span where);

/** parse_var() - the variable of that name, made when it is new. Return: its index, or -EINVAL. */
int parse_var(struct parse *p, struct model_span where);

/**
 * parse_setting() - what a model says about itself: `scope`, `event`, `start`, `start_run`,
 * `param`, `about`, `note`.
 *
 * Return: 0, or -EINVAL.
 */
int parse_setting(struct parse *p, struct model_span key, struct model_span value);

/**
 * parse_number() - digits and an optional unit, in ns when it has one.
 * @at: where the digits begin; moved behind the unit
 *
 * Return: 0, or -EINVAL it does not fit, or has a unit that is none.
 */
int parse_number(struct parse *p, size_t *at, size_t end, int64_t *ret_value, bool *ret_has_unit);

/** dot_read() - the text into states, edges and their labels. Return: 0, or -EINVAL. */
int dot_read(struct parse *p);

/** label_state(), label_edge() - what stands in a label. Return: 0, or -EINVAL. */
int label_state(struct parse *p, int state, struct model_span label);
int label_edge(struct parse *p, int from, int to, struct model_span label);
int label_initial(struct parse *p, struct model_span label); /* of the arrow from nowhere */

/** guard_read() - an expression. @ret: its root. Return: 0, or -EINVAL. */
int guard_read(struct parse *p, struct model_span where, int *ret);

/** sum_read() - variables and a number with + and -. Return: 0, or -EINVAL. */
int sum_read(struct parse *p, size_t *at, size_t end, struct model_sum *ret);

/** vars_settle() - what kind each variable is, numbers without a unit, codes. Return: 0, -EINVAL.
 */
int vars_settle(struct parse *p);

/** graph_check() - is it sane? Return: 0, or -EINVAL. */
int graph_check(struct parse *p);

/** graph_build() - the table. Return: 0, or -EINVAL a capacity was exceeded. */
int graph_build(struct parse *p);

/** ltl_read() - a formula's text, and its table. Return: 0, -EINVAL, -ENOMEM. */
int ltl_read(struct parse *p);

#endif
