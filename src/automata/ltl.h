/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_AUTOMATA_LTL_H
#define TOCSIN_AUTOMATA_LTL_H

/* A formula between its text and its table. Private to ltl*.c. */

#include "parse.h"

#define LTL_NODES 512

enum ltl_op {
	LTL_ATOM, /* a: event, or in a text: assignment or event, by its name */
	LTL_TRUE,
	LTL_FALSE,
	LTL_NOT,
	LTL_AND,
	LTL_OR,
	LTL_IMPLY,
	LTL_SAME,
	LTL_PREVIOUS,
	LTL_ONCE,
	LTL_HISTORICALLY,
	LTL_SINCE,
	LTL_NEXT, /* from here on: of the future */
	LTL_ALWAYS,
	LTL_EVENTUALLY,
	LTL_UNTIL,
	LTL_OPEN, /* '(' on the stack */
};

struct ltl_node {
	enum ltl_op op;
	int a, b;         /* operands, which come before it; -1: none */
	int64_t bound_ns; /* of EVENTUALLY and UNTIL; -1: none */
	struct model_span where;
};

struct ltl_list {
	struct ltl_node node[LTL_NODES];
	int nr;
};

/**
 * ltl_formula_read() - an expression into nodes, operands first; its root is the last.
 * @is_flat: as rvgen reads it, where every operator takes all that is to its right
 *
 * Return: the root, or -EINVAL.
 */
int ltl_formula_read(struct parse *p, struct model_span where, bool is_flat, struct ltl_list *list);

/** ltl_build() - the table of the formula whose root is @root. Return: 0, or -EINVAL. */
int ltl_build(struct parse *p, struct ltl_list *list, int root);

/* The automaton's formula, in negation normal form over bits. */
enum outer_op {
	OUTER_BIT,
	OUTER_NOT_BIT,
	OUTER_AND,
	OUTER_OR,
	OUTER_NEXT,
	OUTER_ALWAYS,
	OUTER_UNTIL,
	OUTER_RELEASE
};

#define OUTERS 64

struct outer {
	struct {
		enum outer_op op;
		int a, b; /* operands, or a bit */
	} node[OUTERS];
	int nr;
};

/** tableau_build() - the sets of the table that follow a formula. Return: 0, -EINVAL. */
int tableau_build(struct parse *p, const struct outer *f, int root, struct model_span where);

#endif
