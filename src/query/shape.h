/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_QUERY_SHAPE_H
#define TOCSIN_QUERY_SHAPE_H

/*
 * The columns that a table over a trace has, and which value of an event goes into which.
 *
 * Events of one name may come from several streams and programs, with different fields: the table
 * of that name has the columns of all of them, and those that an event has not are NULL.
 */

#include "../trace/who.h"

#define SHAPE_COLUMNS_MAX 1000 /* of a table: SQLite's own limit is 2000 */

/* Columns that every table of events begins with; the rest are fields. */
enum shape_base {
	BASE_TIME,
	BASE_PID,
	BASE_TID,
	BASE_COMM,
	BASE_CPU,
	BASE_NR,
};

struct shape_column {
	char *name;       /* owned */
	const char *type; /* for the declaration: "INTEGER", "REAL", "TEXT" or "" */
};

/* A column that does not come from a trace. */
struct shape_fixed {
	const char *name, *type;
};

struct shape {
	struct shape_column *column; /* owned */
	unsigned nr;
};

/**
 * shape_init() - the base columns alone. Return: 0, or -ENOMEM (give it to shape_done() all the
 * same).
 */
int shape_init(struct shape *s);

/** shape_add_fixed() - columns of fixed names. Return: 0, or -ENOMEM, -E2BIG. */
int shape_add_fixed(struct shape *s, const struct shape_fixed *columns, unsigned nr);

/**
 * shape_add_class() - the columns of an event class that are not there yet.
 *
 * Return: 0, or -ENOMEM, -E2BIG more than SHAPE_COLUMNS_MAX.
 */
int shape_add_class(struct shape *s, const struct plan_event *class,
		    const struct plan_stream *stream);

/** shape_add_known() - columns, NULL behind the last, that are not there yet. Return: as above. */
int shape_add_known(struct shape *s, const char *const *names);

void shape_done(struct shape *s);

/*
 * Where the values of one event class go: a column for each leaf, in the order in which
 * trace_values() gives them. Structures are taken apart; all else is a leaf, arrays and variants
 * too.
 */
struct shape_map {
	const struct plan_event *class;
	int *column; /* owned; -1: it is a base column */
	unsigned nr;
	struct shape_map *next;
};

/** shape_map_make() - for a class whose columns were added. Return: 0, or -ENOMEM. */
int shape_map_make(const struct shape *s, const struct plan_event *class,
		   const struct plan_stream *stream, struct shape_map **ret_map);

/** shape_map_free() - a list of them; NULL is fine. Return: NULL. */
struct shape_map *shape_map_free(struct shape_map *map);

/** shape_fill() - put the values of an event into @cell, one for each column; NULL: it has none. */
void shape_fill(const struct shape_map *map, const struct ctf_values *values,
		const struct ctf_value **cell);

#endif
