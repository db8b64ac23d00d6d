// SPDX-License-Identifier: MIT
/*
 * From text to a table of tests, in one pass and without recursion.
 *
 * Two stacks, of operators and of operands, by precedence. An operand is a run of tests whose ends
 * are still open: two chains, of those that go out when it holds and when it does not. `a && b`
 * sends the former of a to the first test of b and joins the rest; `!a` changes the two chains
 * over. Since a stands before b in the table, every jump goes forward, which is what the evaluator
 * relies on.
 */
#include "filter.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../abi/control.h"
#include "../abi/filter.h"
#include "../base/parse.h"

#define DEPTH_MAX 64
#define TEXTS_MAX 4096
#define CHAIN_END 0xffffu
#define PLACES    (2 * FILTER_TESTS_MAX) /* an open end: test * 2 + (does it hold?) */

struct operand {
	unsigned first;    /* its first test */
	unsigned chain[2]; /* open ends when it does not hold, when it does */
};

struct compiler {
	const char *text;
	const char *name;
	const char *at;
	struct tocsin_diag *diag;
	struct filter_test test[FILTER_TESTS_MAX];
	unsigned nr_tests;
	uint16_t next[PLACES]; /* of the chain that an open end is in */
	struct operand operand[DEPTH_MAX];
	unsigned nr_operands;
	struct {
		char op; /* '!' '&' '|' '(' */
		const char *at;
	} op[DEPTH_MAX];
	unsigned nr_ops;
	char names[FILTER_NAMES_MAX][FILTER_NAME_LEN];
	unsigned nr_names;
	char texts[TEXTS_MAX];
	size_t texts_used;
};

static int fail(const struct compiler *c, const char *at, size_t len, const char *text)
{
	struct tocsin_where where = {.file = c->name,
				     .line = 1,
				     .source = c->text,
				     .column = (size_t)(at - c->text) + 1,
				     .len = len};

	tocsin_diag_set(c->diag, &where, "%s", text);
	return -EINVAL;
}

static void skip_blanks(struct compiler *c)
{
	while (*c->at == ' ' || *c->at == '\t' || *c->at == '\n')
		c->at++;
}

static bool is_name(char b, bool is_first)
{
	return isalpha((unsigned char)b) || b == '_' ||
	       (is_first ? b == '$' : isdigit((unsigned char)b));
}

/* ---- chains ---- */

static unsigned chain_join(struct compiler *c, unsigned a, unsigned b)
{
	unsigned end = a;

	if (a == CHAIN_END)
		return b;
	while (c->next[end] != CHAIN_END)
		end = c->next[end];
	c->next[end] = (uint16_t)b;
	return a;
}

static void chain_resolve(struct compiler *c, unsigned chain, unsigned target)
{
	for (; chain != CHAIN_END; chain = c->next[chain]) {
		struct filter_test *t = &c->test[chain / 2];

		if (chain % 2)
			t->yes = (uint16_t)target;
		else
			t->no = (uint16_t)target;
	}
}

/* Apply the topmost operator to the topmost operands. */
static void reduce(struct compiler *c)
{
	char op = c->op[--c->nr_ops].op;
	struct operand *b = &c->operand[c->nr_operands - 1];
	struct operand *a = b - 1;

	if (op == '!') {
		unsigned holds = b->chain[1];

		b->chain[1] = b->chain[0];
		b->chain[0] = holds;
		return;
	}
	c->nr_operands--;
	/* `&&` goes on to b when a holds, `||` when it does not. */
	chain_resolve(c, a->chain[op == '&'], b->first);
	a->chain[op != '&'] = chain_join(c, a->chain[op != '&'], b->chain[op != '&']);
	a->chain[op == '&'] = b->chain[op == '&'];
}

static int precedence(char op)
{
	switch (op) {
	case '!': return 3;
	case '&': return 2;
	case '|': return 1;
	default: return 0; /* an open parenthesis stays */
	}
}

static int push(struct compiler *c, char op, const char *at, size_t len)
{
	/* `!` waits for what follows it. */
	while (op != '!' && op != '(' && c->nr_ops &&
	       precedence(c->op[c->nr_ops - 1].op) >= precedence(op))
		reduce(c);
	if (c->nr_ops >= DEPTH_MAX)
		return fail(c, at, len, "too deeply nested");
	c->op[c->nr_ops].op = op;
	c->op[c->nr_ops++].at = at;
	return 0;
}

/* ---- tests ---- */

static int read_name(struct compiler *c, uint8_t *ret_place)
{
	const char *start = c->at;
	size_t len = 1;
	unsigned i;

	while (is_name(start[len], false))
		len++;
	if (len >= FILTER_NAME_LEN)
		return fail(c, start, len, "this name is too long for a field");
	for (i = 0; i < c->nr_names; i++) {
		if (strlen(c->names[i]) == len && !memcmp(c->names[i], start, len))
			break;
	}
	if (i == FILTER_NAMES_MAX)
		return fail(c, start, len, "more than 16 different fields");
	if (i == c->nr_names) {
		memcpy(c->names[i], start, len);
		c->names[i][len] = 0;
		c->nr_names++;
	}
	c->at += len;
	*ret_place = (uint8_t)i;
	return 0;
}

/* Longest first. */
static const struct {
	char text[3];
	uint8_t op;
} ops[] = {
	{"==", FILTER_EQ},       {"!=", FILTER_NE}, {"<=", FILTER_LE}, {">=", FILTER_GE},
	{"!~", FILTER_NOT_GLOB}, {"<", FILTER_LT},  {">", FILTER_GT},  {"~", FILTER_GLOB},
};

/* Return: the operation, its length in @ret_len; 0: there is none. */
static uint8_t read_op(const struct compiler *c, size_t *ret_len)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		*ret_len = strlen(ops[i].text);
		if (!strncmp(c->at, ops[i].text, *ret_len))
			return ops[i].op;
	}
	*ret_len = 1;
	return c->at[0] == '&' && c->at[1] != '&' ? FILTER_MASK : 0;
}

/* For patterns \ stays: the evaluator knows it. */
static int read_text(struct compiler *c, struct filter_test *t)
{
	const char *start = c->at, quote = *c->at++;
	size_t from = c->texts_used;
	bool is_pattern = t->op == FILTER_GLOB || t->op == FILTER_NOT_GLOB;

	while (*c->at != quote) {
		if (*c->at == '\\' && c->at[1]) {
			if (is_pattern && c->texts_used < TEXTS_MAX)
				c->texts[c->texts_used++] = '\\';
			c->at++;
		}
		if (!*c->at)
			return fail(c, start, 1, "this text has no end");
		if (c->texts_used >= TEXTS_MAX)
			return fail(c, start, 1, "too much text");
		c->texts[c->texts_used++] = *c->at++;
	}
	c->at++;
	t->literal = FILTER_LIT_TEXT;
	t->value =
		(uint64_t)from << 32 | (c->texts_used - from); /* from the texts' start, for now */
	return 0;
}

static int read_fraction(struct compiler *c, const char *start, size_t len, struct filter_test *t)
{
	char buf[64];
	double d;
	char *end;
	locale_t plain;

	if (len >= sizeof(buf))
		return fail(c, start, len, "this number is too long");
	memcpy(buf, start, len);
	buf[len] = 0;
	plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a point is a point */
	d = plain ? strtod_l(buf, &end, plain) : strtod(buf, &end);
	if (plain)
		freelocale(plain);
	if (*end || !isfinite(d))
		return fail(c, start, len, "this is no number");
	t->literal = FILTER_LIT_F64;
	memcpy(&t->value, &d, sizeof(d));
	return 0;
}

static int read_number(struct compiler *c, struct filter_test *t)
{
	const char *start = c->at;
	bool is_negative = *start == '-', is_fraction = false;
	char buf[64];
	uint64_t value = 0;
	size_t len = is_negative || *start == '+' ? 1 : 0, from = len;
	bool is_hex = start[len] == '0' && (start[len + 1] == 'x' || start[len + 1] == 'X');

	while (isalnum((unsigned char)start[len]) || start[len] == '.' ||
	       (!is_hex && len && (start[len - 1] == 'e' || start[len - 1] == 'E') &&
		(start[len] == '-' || start[len] == '+'))) {
		is_fraction |= !is_hex && !isdigit((unsigned char)start[len]);
		len++;
	}
	c->at += len;
	if (is_fraction)
		return read_fraction(c, start, len, t);
	if (len - from >= sizeof(buf))
		return fail(c, start, len, "this number is too long");
	memcpy(buf, start + from, len - from);
	buf[len - from] = 0;
	switch (tocsin_parse_u64(buf, &value)) {
	case 0: break;
	case -ERANGE: return fail(c, start, len, "this number does not fit 64 bits");
	default: return fail(c, start, len ? len : 1, "this is no number");
	}
	t->literal = FILTER_LIT_U64;
	t->value = value;
	if (is_negative) {
		if (value > (uint64_t)INT64_MAX + 1)
			return fail(c, start, len, "this number does not fit 64 bits");
		t->literal = FILTER_LIT_S64;
		t->value = -value;
	}
	return 0;
}

static int read_literal(struct compiler *c, struct filter_test *t)
{
	const char *start = c->at;
	size_t len = 0;
	int r;

	while (is_name(start[len], false))
		len++;
	if ((len == 4 && !memcmp(start, "true", 4)) || (len == 5 && !memcmp(start, "false", 5))) {
		t->literal = FILTER_LIT_U64;
		t->value = len == 4;
		c->at += len;
		r = 0;
	} else if (*start == '"' || *start == '\'') {
		r = read_text(c, t);
	} else if (isdigit((unsigned char)*start) || *start == '-' || *start == '+' ||
		   *start == '.') {
		r = read_number(c, t);
	} else {
		r = fail(c, start, len ? len : 1, "expected a number or a text in quotes");
		if (len)
			tocsin_diag_hint(c->diag, "put texts in quotes: \"%.*s\"", (int)len, start);
	}
	return r;
}

static int check_types(const struct compiler *c, const struct filter_test *t, const char *at,
		       size_t len)
{
	bool is_text = t->literal == FILTER_LIT_TEXT;

	switch (t->op) {
	case FILTER_EQ:
	case FILTER_NE: return 0;
	case FILTER_GLOB:
	case FILTER_NOT_GLOB:
		return is_text ? 0 : fail(c, at, len, "a pattern is a text in quotes");
	case FILTER_MASK:
		return is_text || t->literal == FILTER_LIT_F64
			       ? fail(c, at, len, "bits are a whole number")
			       : 0;
	default: return is_text ? fail(c, at, len, "texts have no order: use == or ~") : 0;
	}
}

static int read_test(struct compiler *c)
{
	struct filter_test *t = &c->test[c->nr_tests];
	unsigned place = c->nr_tests * 2;
	const char *at;
	size_t len;
	int r;

	if (!is_name(*c->at, true))
		return fail(c, c->at, 1,
			    *c->at ? "expected the name of a field"
				   : "something is missing at the end");
	if (c->nr_tests == FILTER_TESTS_MAX)
		return fail(c, c->at, 1, "more than 64 tests");
	memset(t, 0, sizeof(*t));
	r = read_name(c, &t->name);
	if (r)
		return r;
	skip_blanks(c);
	t->op = read_op(c, &len);
	if (t->op) {
		c->at += len;
		skip_blanks(c);
		at = c->at;
		r = read_literal(c, t);
		if (!r)
			r = check_types(c, t, at, (size_t)(c->at - at));
		if (r)
			return r;
	} else {
		t->op = FILTER_HAS;
		t->literal = FILTER_LIT_U64;
	}
	c->next[place] = c->next[place + 1] = (uint16_t)CHAIN_END;
	c->operand[c->nr_operands++] = (struct operand){c->nr_tests++, {place, place + 1}};
	return 0;
}

/* ---- the whole ---- */

/* After an operand: an operator, a closing parenthesis, or the end. */
static int read_after(struct compiler *c, bool *ret_wants_operand)
{
	const char *at = c->at;

	*ret_wants_operand = true;
	if ((at[0] == '&' && at[1] == '&') || (at[0] == '|' && at[1] == '|')) {
		c->at += 2;
		return push(c, at[0], at, 2);
	}
	*ret_wants_operand = false;
	if (*at != ')')
		return fail(c, at, 1, "expected && or ||");
	while (c->nr_ops && c->op[c->nr_ops - 1].op != '(')
		reduce(c);
	if (!c->nr_ops)
		return fail(c, at, 1, "this parenthesis was not opened");
	c->nr_ops--;
	c->at++;
	return 0;
}

static int parse(struct compiler *c)
{
	bool wants_operand = true;
	int r = 0;

	for (skip_blanks(c); !r && (*c->at || wants_operand); skip_blanks(c)) {
		if (!wants_operand) {
			r = read_after(c, &wants_operand);
		} else if (*c->at == '!' || *c->at == '(') {
			r = push(c, *c->at, c->at, 1);
			c->at++;
		} else if (c->nr_operands == DEPTH_MAX) {
			r = fail(c, c->at, 1, "too deeply nested");
		} else {
			r = read_test(c);
			wants_operand = false;
		}
	}
	while (!r && c->nr_ops) {
		if (c->op[c->nr_ops - 1].op == '(')
			return fail(c, c->op[c->nr_ops - 1].at, 1,
				    "this parenthesis is not closed");
		reduce(c);
	}
	if (!r) {
		chain_resolve(c, c->operand[0].chain[1], FILTER_ACCEPT);
		chain_resolve(c, c->operand[0].chain[0], FILTER_REJECT);
	}
	return r;
}

/* Where the area is free, and which number. */
static void find_room(const uint8_t *area, uint32_t *ret_at, unsigned *ret_nr)
{
	struct filter_ref ref;
	uint32_t at = FILTER_FIRST_AT;
	unsigned nr;

	for (nr = 1; nr <= CONTROL_FILTERS; nr++) {
		memcpy(&ref, area + nr * sizeof(ref), sizeof(ref));
		if (!ref.offset)
			break;
		at = (ref.offset + ref.bytes + 7) & ~7u;
	}
	*ret_at = at;
	*ret_nr = nr;
}

static uint32_t names_bytes(const struct compiler *c)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < c->nr_names; i++)
		bytes += strlen(c->names[i]) + 1;
	return (uint32_t)bytes;
}

static int write_program(struct compiler *c, uint8_t *area, uint16_t *ret_nr)
{
	uint32_t at, o, tests_bytes = c->nr_tests * (uint32_t)sizeof(struct filter_test);
	uint32_t names_at = (uint32_t)sizeof(struct filter_program) + tests_bytes;
	uint32_t strings_at = names_at + c->nr_names * (uint32_t)sizeof(uint32_t);
	uint32_t texts_at = strings_at + names_bytes(c);
	struct filter_program head = {.bytes = texts_at + (uint32_t)c->texts_used,
				      .nr_tests = (uint16_t)c->nr_tests,
				      .nr_names = (uint16_t)c->nr_names};
	struct filter_ref ref;
	unsigned nr;

	find_room(area, &at, &nr);
	if (nr > CONTROL_FILTERS || at > CONTROL_FILTER_BYTES ||
	    head.bytes > CONTROL_FILTER_BYTES - at) {
		(void)fail(c, c->text, 1, "too many filters");
		return -ENOSPC;
	}
	for (unsigned i = 0; i < c->nr_tests; i++) {
		if (c->test[i].literal == FILTER_LIT_TEXT)
			c->test[i].value += (uint64_t)texts_at << 32;
	}
	memcpy(area + at, &head, sizeof(head));
	memcpy(area + at + sizeof(head), c->test, tests_bytes);
	o = strings_at;
	for (unsigned i = 0; i < c->nr_names; i++) {
		size_t len = strlen(c->names[i]) + 1;

		memcpy(area + at + names_at + i * sizeof(o), &o, sizeof(o));
		memcpy(area + at + o, c->names[i], len);
		o += (uint32_t)len;
	}
	memcpy(area + at + texts_at, c->texts, c->texts_used);
	ref = (struct filter_ref){.offset = at, .bytes = head.bytes};
	memcpy(area + nr * sizeof(ref), &ref, sizeof(ref));
	*ret_nr = (uint16_t)nr;
	return 0;
}

int filter_add(void *area, const char *text, const char *name, struct tocsin_diag *diag,
	       uint16_t *ret_nr)
{
	struct compiler c = {.text = text, .name = name, .at = text, .diag = diag};
	int r = parse(&c);

	return r ? r : write_program(&c, area, ret_nr);
}
