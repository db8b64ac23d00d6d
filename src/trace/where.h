/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACE_WHERE_H
#define TOCSIN_TRACE_WHERE_H

/*
 * Conditions on the fields of an event, in the language of `tocsin record --where`:
 *
 *   fd > 10 && (peer ~ "10.*" || status & 0x10) && !($comm == "worker")
 *
 * == != < <= > >= with a number or a text in quotes, & with bits, ~ and !~ with a pattern, a name
 * alone: the event has that field. A field is named as it is printed, one within a structure as
 * `a.b`; `$NAME` is a context, a plain name is one too where the payload has none. Enumerations
 * compare with their labels and with their numbers. A comparison with a field that an event does
 * not have does not hold.
 */

#include "../base/err.h"
#include "../ctf/read_plan.h"

struct where;

/* One step of a condition in postfix order, for those who evaluate it by themselves. */
enum where_op {
	WHERE_IS, /* tests: push a truth */
	WHERE_EQ,
	WHERE_NE,
	WHERE_LT,
	WHERE_LE,
	WHERE_GT,
	WHERE_GE,
	WHERE_BITS,
	WHERE_TEXT, /* a test of a text, or with a fraction: by where_holds() only */
	WHERE_AND,
	WHERE_OR,
	WHERE_NOT,
};

struct where_step {
	enum where_op op;
	const char *field; /* of a test; lent */
	int64_t value;
};

/**
 * where_parse() - read a condition.
 * @ret_where: to be given to where_free()
 *
 * Return: 0, or -EINVAL (@err says what and at which column), -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
int where_parse(const char *text, struct where **ret_where, struct tocsin_err *err);

/** where_holds() - is it true of an event with these values? Thread-safe: yes. Signal-safe: yes. */
bool where_holds(const struct where *w, const struct ctf_values *values);

/**
 * where_unknown() - a field that no event of this class can have, for saying so.
 * @is_known: asked for each field
 *
 * Return: its name, or NULL.
 */
const char *where_unknown(const struct where *w, bool (*is_known)(const char *field, void *context),
			  void *context);

/** where_step() - the @i-th step, from 0. Return: is there one? Thread-safe: yes. */
bool where_step(const struct where *w, unsigned i, struct where_step *ret);

/** where_value() - a field as conditions name it. Return: the value, or NULL there is none. */
const struct ctf_value *where_value(const struct ctf_values *values, const char *path);

/** where_free() - @w may be NULL. Return: NULL. */
struct where *where_free(struct where *w);

#endif
