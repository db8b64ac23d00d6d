// SPDX-License-Identifier: MIT
/*
 * Conditions, as a list in postfix order: a comparison pushes a truth, `&&` and `||` take two, `!`
 * turns one round. The parser keeps operators that wait for their right side on a list of its own
 * (the shunting yard), so that nothing depends on how deep brackets nest; both lists are bounded.
 */
#include "where.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/parse.h"

#define TERMS_MAX      256
#define NAME_MAX_BYTES 128
#define TEXT_MAX_BYTES 512

enum term_kind { TERM_TEST, TERM_AND, TERM_OR, TERM_NOT, TERM_OPEN };

enum test {
	TEST_IS, /* the event has that field */
	TEST_EQ,
	TEST_NE,
	TEST_LT,
	TEST_LE,
	TEST_GT,
	TEST_GE,
	TEST_LIKE,
	TEST_UNLIKE,
	TEST_BITS,
};

struct term {
	enum term_kind kind;
	enum test test;
	bool is_text;
	bool is_negative; /* the number is below zero */
	bool is_real;
	uint64_t number; /* its size without the sign */
	double real;
	char *field;
	char *text;
};

struct where {
	struct term term[TERMS_MAX];
	unsigned nr;
};

struct parser {
	const char *start, *at;
	struct where *w;
	enum term_kind waiting[TERMS_MAX];
	unsigned nr_waiting;
	struct tocsin_err *err;
};

static int fail(const struct parser *p, const char *what)
{
	return tocsin_err_fail(-EINVAL, p->err, "condition, column %zu: %s",
			       (size_t)(p->at - p->start) + 1, what);
}

static void blanks(struct parser *p)
{
	while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')
		p->at++;
}

static bool is_name(char c, bool is_first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!is_first && ((c >= '0' && c <= '9') || c == '.'));
}

static int term_add(struct parser *p, const struct term *t)
{
	if (p->w->nr == TERMS_MAX)
		return fail(p, "too long");
	p->w->term[p->w->nr++] = *t;
	return 0;
}

static int take_name(struct parser *p, char **ret_name)
{
	const char *start = p->at;

	if (*p->at == '$')
		p->at++;
	if (!is_name(*p->at, true))
		return fail(p, "expected a field");
	while (is_name(*p->at, false))
		p->at++;
	if (p->at - start > NAME_MAX_BYTES)
		return fail(p, "name too long");
	*ret_name = strndup(start, (size_t)(p->at - start));
	return *ret_name ? 0 : -ENOMEM;
}

static int take_text(struct parser *p, char **ret_text)
{
	char text[TEXT_MAX_BYTES + 1], quote = *p->at;
	size_t len = 0;

	for (p->at++; *p->at && *p->at != quote; p->at++) {
		if (*p->at == '\\' && p->at[1])
			p->at++;
		if (len == TEXT_MAX_BYTES)
			return fail(p, "text too long");
		text[len++] = *p->at;
	}
	if (*p->at != quote)
		return fail(p, "text without an end");
	p->at++;
	*ret_text = strndup(text, len);
	return *ret_text ? 0 : -ENOMEM;
}

static int take_number(struct parser *p, struct term *t)
{
	char word[48];
	size_t len;
	char *end;

	t->is_negative = *p->at == '-';
	if (*p->at == '-' || *p->at == '+')
		p->at++;
	len = strspn(p->at, "0123456789abcdefxABCDEFX.");
	if (*p->at < '0' || *p->at > '9')
		return fail(p, "expected a number or a text in quotes");
	if (len >= sizeof(word))
		return fail(p, "number too large");
	(void)snprintf(word, sizeof(word), "%.*s", (int)len, p->at);
	if (strchr(word, '.')) {
		t->real = strtod(word, &end);
		t->is_real = true;
		if (*end)
			return fail(p, "malformed number");
	} else if (tocsin_parse_u64(word, &t->number) < 0) {
		return fail(p, "malformed number, or one over 64 bits");
	}
	if (!t->is_real)
		t->real = (double)t->number;
	if (t->is_negative)
		t->real = -t->real;
	p->at += len;
	return is_name(*p->at, false) ? fail(p, "malformed number") : 0;
}

static bool take_word(struct parser *p, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(p->at, word, len) != 0 || is_name(p->at[len], false))
		return false;
	p->at += len;
	return true;
}

/* What a field is compared with. */
static int take_value(struct parser *p, struct term *t)
{
	t->is_text = *p->at == '"' || *p->at == '\'';
	if (t->is_text)
		return t->test == TEST_BITS ? fail(p, "expected a number") : take_text(p, &t->text);
	if (t->test == TEST_LIKE || t->test == TEST_UNLIKE)
		return fail(p, "expected a pattern in quotes");
	if (take_word(p, "true")) {
		t->number = 1;
		t->real = 1;
		return 0;
	}
	return take_word(p, "false") ? 0 : take_number(p, t);
}

static enum test take_operator(struct parser *p)
{
	static const struct {
		char text[3];
		enum test test;
	} operators[] = {{"==", TEST_EQ}, {"!=", TEST_NE},     {"<=", TEST_LE},
			 {">=", TEST_GE}, {"!~", TEST_UNLIKE}, {"<", TEST_LT},
			 {">", TEST_GT},  {"~", TEST_LIKE},    {"&", TEST_BITS}};

	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		size_t len = strlen(operators[i].text);

		if (strncmp(p->at, operators[i].text, len) == 0 && strncmp(p->at, "&&", 2) != 0) {
			p->at += len;
			return operators[i].test;
		}
	}
	return TEST_IS;
}

static int take_test(struct parser *p)
{
	struct term t = {.kind = TERM_TEST};
	int r = take_name(p, &t.field);

	if (r < 0)
		return r;
	blanks(p);
	t.test = take_operator(p);
	blanks(p);
	if (t.test != TEST_IS)
		r = take_value(p, &t);
	if (r == 0)
		r = term_add(p, &t);
	if (r < 0) {
		free(t.field);
		free(t.text);
	}
	return r;
}

/* Operators that bind at least as strongly as @kind have both sides now. */
static int settle(struct parser *p, enum term_kind kind)
{
	int r = 0;

	while (r == 0 && p->nr_waiting) {
		enum term_kind top = p->waiting[p->nr_waiting - 1];
		struct term t = {.kind = top};

		if (top == TERM_OPEN || (kind == TERM_AND && top == TERM_OR))
			break;
		p->nr_waiting--;
		r = term_add(p, &t);
	}
	return r;
}

static int wait_for(struct parser *p, enum term_kind kind)
{
	if (p->nr_waiting == TERMS_MAX)
		return fail(p, "too deep");
	p->waiting[p->nr_waiting++] = kind;
	return 0;
}

/* `!`s and opening brackets, and the comparison behind them. */
static int take_operand(struct parser *p)
{
	int r = 0;

	for (blanks(p); r == 0 && (*p->at == '(' || *p->at == '!'); blanks(p))
		r = wait_for(p, *p->at++ == '(' ? TERM_OPEN : TERM_NOT);
	return r < 0 ? r : take_test(p);
}

static int take_closing(struct parser *p)
{
	int r = 0;

	for (blanks(p); r == 0 && *p->at == ')'; blanks(p)) {
		r = settle(p, TERM_OR);
		if (r == 0 && !p->nr_waiting)
			return fail(p, "')' without '('");
		if (r == 0)
			p->nr_waiting--;
		p->at++;
	}
	return r;
}

static int parse(struct parser *p)
{
	int r = take_operand(p);

	for (;;) {
		enum term_kind kind;

		if (r == 0)
			r = take_closing(p);
		if (r < 0 || !*p->at)
			break;
		if (strncmp(p->at, "&&", 2) == 0)
			kind = TERM_AND;
		else if (strncmp(p->at, "||", 2) == 0)
			kind = TERM_OR;
		else
			return fail(p, "expected && or ||");
		p->at += 2;
		r = settle(p, kind);
		if (r == 0)
			r = wait_for(p, kind);
		if (r == 0)
			r = take_operand(p);
	}
	if (r == 0)
		r = settle(p, TERM_OR);
	return r == 0 && p->nr_waiting ? fail(p, "'(' without ')'") : r;
}

static void where_freep(struct where **w)
{
	(void)where_free(*w); /* always NULL */
}

int where_parse(const char *text, struct where **ret_where, struct tocsin_err *err)
{
	struct where *w TOCSIN_CLEANUP(where_freep) = calloc(1, sizeof(*w));
	struct parser p = {.start = text, .at = text, .w = w, .err = err};
	int r = w ? parse(&p) : -ENOMEM;

	if (r == 0)
		*ret_where = tocsin_take_ptr(&w);
	return r;
}

struct where *where_free(struct where *w)
{
	for (unsigned i = 0; w && i < w->nr; i++) {
		free(w->term[i].field);
		free(w->term[i].text);
	}
	free(w);
	return NULL;
}

/* ---- asking */

/* A path among the values from @v up to @end, on one level. */
static const struct ctf_value *value_below(const struct ctf_value *v, const struct ctf_value *end,
					   const char *path)
{
	while (v < end) {
		size_t len = v->name_len;

		if (v->name && strncmp(path, v->name, len) == 0 && !path[len])
			return v;
		if (v->name && strncmp(path, v->name, len) == 0 && path[len] == '.') {
			end = v + 1 + v->nr_below;
			path += len + 1;
			v++;
			continue;
		}
		/* An option of a variant stands for the variant. */
		if (!v->name || v->type->kind != META_VARIANT || !v->nr_below ||
		    strncmp(path, v[1].name ? v[1].name : "", v[1].name_len) != 0)
			v += 1 + v->nr_below;
		else
			v++;
	}
	return NULL;
}

/* `ctx` of a recorded payload, or NULL. */
static const struct ctf_value *payload_context(const struct ctf_value *scope)
{
	const struct ctf_value *first = scope + 1;

	return scope->scope == SCOPE_PAYLOAD && scope->nr_below && first->name &&
			       first->type->kind == META_STRUCT && strcmp(first->name, "ctx") == 0
		       ? first
		       : NULL;
}

/* A field of the payload before one of a context; `$NAME` is a context. */
const struct ctf_value *where_value(const struct ctf_values *values, const char *path)
{
	const struct ctf_value *end = values->item + values->nr, *found = NULL;
	bool is_context = *path == '$';

	path += is_context;
	for (const struct ctf_value *v = values->item; v < end; v += 1 + v->nr_below) {
		const struct ctf_value *ctx = payload_context(v), *here = NULL;

		if (v->scope != SCOPE_PAYLOAD || !is_context)
			here = value_below(v + 1, v + 1 + v->nr_below, path);
		if (!here && ctx)
			here = value_below(ctx + 1, ctx + 1 + ctx->nr_below, path);
		if (here && (!found || v->scope == SCOPE_PAYLOAD))
			found = here;
	}
	return found;
}

static bool is_order(enum test test, int order)
{
	switch (test) {
	case TEST_EQ: return order == 0;
	case TEST_NE: return order != 0;
	case TEST_LT: return order < 0;
	case TEST_LE: return order <= 0;
	case TEST_GT: return order > 0;
	case TEST_GE: return order >= 0;
	case TEST_IS:
	case TEST_LIKE:
	case TEST_UNLIKE:
	case TEST_BITS: break;
	}
	return false;
}

static bool test_text(const struct term *t, const char *text, size_t len)
{
	char copy[4096];
	size_t wanted = strlen(t->text);
	int order;

	if (t->test == TEST_LIKE || t->test == TEST_UNLIKE) {
		/* Patterns see the beginning of what is longer. */
		len = len < sizeof(copy) ? len : sizeof(copy) - 1;
		memcpy(copy, text, len);
		copy[len] = '\0';
		return (fnmatch(t->text, copy, 0) == 0) == (t->test == TEST_LIKE);
	}
	order = memcmp(text, t->text, len < wanted ? len : wanted);
	if (!order)
		order = len < wanted ? -1 : len > wanted;
	return is_order(t->test, order);
}

static int order_of(const struct term *t, const struct ctf_value *v)
{
	bool is_below = v->type->is_signed && v->i < 0;
	uint64_t size = is_below ? 0 - v->u : v->u;
	double real;

	if (v->type->kind == META_FLOAT || t->is_real) {
		real = v->type->kind == META_FLOAT ? v->f : is_below ? -(double)size : (double)size;
		return real < t->real ? -1 : real > t->real;
	}
	if (is_below != (t->is_negative && t->number))
		return is_below ? -1 : 1;
	if (size == t->number)
		return 0;
	return (size < t->number) != is_below ? -1 : 1;
}

static bool test_holds(const struct term *t, const struct ctf_values *values)
{
	const struct ctf_value *v = where_value(values, t->field);
	const char *label;

	if (!v)
		return false;
	if (t->test == TEST_IS)
		return true;
	if (t->test == TEST_BITS)
		return (v->type->kind == META_INT || v->type->kind == META_ENUM) &&
		       (v->u & (t->is_negative ? 0 - t->number : t->number));
	if (t->is_text) {
		if (v->is_text)
			return test_text(t, v->text, v->len);
		label = v->type->kind == META_ENUM ? meta_label(v->type, v->u) : NULL;
		return label && test_text(t, label, strlen(label));
	}
	return !v->is_text && v->type->kind <= META_ENUM && is_order(t->test, order_of(t, v));
}

bool where_holds(const struct where *w, const struct ctf_values *values)
{
	bool truth[TERMS_MAX + 1];
	unsigned nr = 0;

	for (unsigned i = 0; i < w->nr; i++) {
		const struct term *t = &w->term[i];

		if (t->kind == TERM_TEST) {
			truth[nr++] = test_holds(t, values);
		} else if (t->kind == TERM_NOT) {
			truth[nr - 1] = !truth[nr - 1];
		} else {
			nr--;
			truth[nr - 1] = t->kind == TERM_AND ? truth[nr - 1] && truth[nr]
							    : truth[nr - 1] || truth[nr];
		}
	}
	return truth[0];
}

const char *where_unknown(const struct where *w, bool (*is_known)(const char *field, void *context),
			  void *context)
{
	for (unsigned i = 0; i < w->nr; i++)
		if (w->term[i].kind == TERM_TEST && !is_known(w->term[i].field, context))
			return w->term[i].field;
	return NULL;
}

bool where_step(const struct where *w, unsigned i, struct where_step *ret)
{
	static const enum where_op ops[] = {
		[TEST_IS] = WHERE_IS,     [TEST_EQ] = WHERE_EQ,     [TEST_NE] = WHERE_NE,
		[TEST_LT] = WHERE_LT,     [TEST_LE] = WHERE_LE,     [TEST_GT] = WHERE_GT,
		[TEST_GE] = WHERE_GE,     [TEST_LIKE] = WHERE_TEXT, [TEST_UNLIKE] = WHERE_TEXT,
		[TEST_BITS] = WHERE_BITS,
	};
	const struct term *t = &w->term[i < w->nr ? i : 0];

	if (i >= w->nr)
		return false;
	*ret = (struct where_step){.field = t->field};
	switch (t->kind) {
	case TERM_AND: ret->op = WHERE_AND; break;
	case TERM_OR: ret->op = WHERE_OR; break;
	case TERM_NOT: ret->op = WHERE_NOT; break;
	case TERM_OPEN: /* none is left behind when it was read */
	case TERM_TEST:
		ret->op = ops[t->test];
		if (t->is_text || t->is_real || t->number > INT64_MAX)
			ret->op = WHERE_TEXT;
		ret->value = t->is_negative ? -(int64_t)t->number : (int64_t)t->number;
		break;
	}
	return true;
}
