/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_QUERY_CELL_H
#define TOCSIN_QUERY_CELL_H

/* A value of a trace as one of SQLite's. */

#include "sqlite.h"

#include "../ctf/read_plan.h"
#include "../report/out.h"

/* Room for a text that has to be made. Zeroed: empty. */
struct cell_text {
	struct out out;
};

void cell_text_done(struct cell_text *text);

/**
 * cell_result() - give a value to SQLite as the result of a column.
 *
 * Numbers are INTEGER or REAL; an unsigned one over 2^63 - 1, which SQLite cannot hold, is its
 * digits as TEXT. Enumerations are their labels, or numbers where they have none. Texts are TEXT,
 * bytes that are no UTF-8 replaced by U+FFFD. Arrays, sequences and variants are JSON. A float that
 * is not a number is NULL.
 *
 * Thread-safe: per object. Signal-safe: no.
 */
void cell_result(sqlite3_context *ctx, struct cell_text *text, const struct ctf_value *v);

/** cell_result_text() - give bytes, as TEXT. */
void cell_result_text(sqlite3_context *ctx, struct cell_text *text, const char *bytes, size_t len);

/** cell_result_json() - give an event's fields, or its contexts, as a JSON object. */
void cell_result_json(sqlite3_context *ctx, struct cell_text *text, const struct ctf_values *values,
		      bool is_fields);

#endif
