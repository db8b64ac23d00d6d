/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_AUTOMATA_MODEL_H
#define TOCSIN_AUTOMATA_MODEL_H

/*
 * A model: what a DOT or LTL text says, checked, with its flat table. docs/formats/model.md has the
 * languages.
 *
 *	text -> dot.c, label.c -> struct model -> check.c -> build.c -> struct automaton_table
 *	text -> ltl.c -> formula.c (tableau) ---------------------------^
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/automaton.h"
#include "../base/err.h"

#define MODEL_TEXT_MAX  (256 * 1024) /* bytes of a text */
#define MODEL_NAME_MAX  64           /* with the terminator */
#define MODEL_VARS      32
#define MODEL_EXPRS     2048
#define MODEL_POINTS    768 /* of one event: what it is made of, separated by blanks */
#define MODEL_ABOUT_MAX 256

/* Bytes of the text. */
struct model_span {
	uint32_t at, len;
};

enum model_scope {
	MODEL_NO_SCOPE,
	MODEL_GLOBAL,
	MODEL_CPU,
	MODEL_TASK,
	MODEL_PROCESS,
	MODEL_OBJECT
};

struct model_state {
	char name[MODEL_NAME_MAX];
	struct model_span where;
	bool is_final;
	int invariant; /* expression; -1: none */
};

struct model_event {
	char name[MODEL_NAME_MAX];
	struct model_span where;
	char points[MODEL_POINTS]; /* "group:name[,key=FIELD][,when=...] ..."; "": not said */
	bool is_used;
	uint8_t flags; /* AUTOMATON_START... */
};

enum model_var_kind { MODEL_CLOCK, MODEL_STORED, MODEL_INPUT, MODEL_PARAM };

struct model_var {
	char name[MODEL_NAME_MAX];
	struct model_span where; /* first seen */
	enum model_var_kind kind;
	uint8_t code; /* as in the table */
	bool is_reset, is_set, is_left, is_timed, is_call, has_value;
	int64_t unit_ns; /* of a number without a unit; 0: none is known */
	int64_t value;   /* of a parameter */
};

/* A term in an expression: variables, and a number. */
struct model_sum {
	int plus[2], minus[2]; /* variables; -1: none */
	int64_t value;
	bool has_unit, is_bare; /* the number has one; there is a number without */
};

enum model_op { MODEL_TEST, MODEL_AND, MODEL_OR, MODEL_NOT };

/* A node; operands come before it. */
struct model_expr {
	enum model_op op;
	int a, b;                       /* operands */
	enum automaton_compare compare; /* of a test: sum COMPARE 0 */
	struct model_sum sum;
	struct model_span where;
};

struct model_act {
	int var;
	bool is_reset;
	struct model_sum sum; /* what it is set to */
	struct model_span where;
};

struct model_edge {
	int from, to, event;
	int guard; /* expression; -1: none */
	int first_act, nr_acts;
	struct model_span where; /* its part of the label */
};

struct model {
	char name[MODEL_NAME_MAX];
	char file[256];
	char *text; /* owned, terminated */
	size_t len;
	enum automaton_kind kind;
	enum model_scope scope;
	char about[MODEL_ABOUT_MAX];
	char note[MODEL_ABOUT_MAX]; /* in what it differs from the kernel's; "": in nothing */
	int initial;
	int nr_states, nr_events, nr_vars, nr_exprs, nr_acts, nr_edges;
	int first_act, nr_first; /* at the start */
	struct model_state state[AUTOMATON_STATES];
	struct model_event event[AUTOMATON_EVENTS]; /* of a formula: its atoms */
	struct model_var var[MODEL_VARS];
	struct model_expr expr[MODEL_EXPRS];
	struct model_act act[AUTOMATON_ACTS];
	struct model_edge edge[AUTOMATON_EDGES];
	struct automaton_table table;
};

/* Hears of faults, in the order in which they are found. */
struct model_sink {
	void (*say)(void *context, const struct tocsin_diag *diag);
	void *context;
};

struct model_options {
	uint64_t jiffy_ns; /* what a number with unit j counts; not 0 */
};

/**
 * model_read() - compile a text.
 * @file: its name; one that ends in ".ltl" is a formula, others are graphs; lent
 * @text: copied, may hold anything
 * @sink: hears errors and warnings, lent
 * @ret:  to be given to model_free(); only when there was no error
 *
 * Return: 0, -EINVAL an error was said, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no.
 */
int model_read(const char *file, const char *text, size_t len, const struct model_options *options,
	       const struct model_sink *sink, struct model **ret);

/** model_free() - @m may be NULL. Return: NULL. */
struct model *model_free(struct model *m);

#define MODEL_COMPILED_MAX                \
	(sizeof(struct automaton_table) + \
	 (size_t)MODEL_NAME_MAX * (AUTOMATON_EVENTS + AUTOMATON_STATES + AUTOMATON_INPUTS))

/** model_compiled() - the bytes that libtocsin loads. Return: how many. */
size_t model_compiled(const struct model *m, char ret[MODEL_COMPILED_MAX]);

/** model_scope_name() - a constant; "" of MODEL_NO_SCOPE. */
const char *model_scope_name(enum model_scope scope);

/** model_compare_text() - "<" and so on, a constant. */
const char *model_compare_text(enum automaton_compare compare);

#endif
