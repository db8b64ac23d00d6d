// SPDX-License-Identifier: MIT
/* Rows as an aligned table, as CSV (RFC 4180) or as JSON, an object a line. */
#include "query_rows.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../report/pen.h"
#include "../report/print.h"

#define FIRST_ROWS     500
#define TOGETHER_BYTES ((size_t)64 * 1024) /* written at a time */

/* ---- a table */

struct cell {
	char *text; /* owned, clean */
	unsigned width;
	bool is_number;
};

/* The first rows, kept until the widths of the columns are known. */
struct table {
	struct cell *cell; /* owned: nr_columns a row, the first row is the head */
	size_t nr_rows;
	unsigned *width; /* owned: of each column */
	int nr_columns;
};

static void table_done(struct table *t)
{
	for (size_t i = 0; i < t->nr_rows * (size_t)t->nr_columns; i++)
		free(t->cell[i].text);
	free(t->cell);
	free(t->width);
}

static int cell_make(struct cell *cell, const char *text, bool is_number)
{
	struct out clean;

	out_init(&clean, OUT_KEPT);
	out_add_clean(&clean, text);
	cell->width = out_columns(&clean, 0);
	cell->is_number = is_number;
	pen_char(&clean, '\0');
	if (clean.failed || !clean.buf) {
		out_done(&clean);
		return -ENOMEM;
	}
	cell->text = clean.buf; /* taken */
	return 0;
}

static void cell_put(struct out *o, const struct cell *cell, unsigned width, bool is_last)
{
	unsigned pad = cell->width < width ? width - cell->width : 0;

	if (cell->is_number)
		out_add(o, "%*s", (int)pad, "");
	pen_text(o, cell->text);
	if (!cell->is_number && !is_last)
		out_add(o, "%*s", (int)pad, "");
	pen_text(o, is_last ? "\n" : "  ");
}

static bool is_number(sqlite3_stmt *stmt, int column)
{
	int type = sqlite3_column_type(stmt, column);

	return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

/* The cells of a row (@stmt at one), or of the head. Return: 0, or -ENOMEM. */
static int row_make(struct cell *cell, sqlite3_stmt *stmt, bool is_head)
{
	int r = 0;

	for (int i = 0; i < sqlite3_column_count(stmt) && r == 0; i++) {
		const char *text = is_head ? sqlite3_column_name(stmt, i)
					   : (const char *)sqlite3_column_text(stmt, i);

		r = cell_make(&cell[i], text ?: "", !is_head && is_number(stmt, i));
	}
	return r;
}

static int table_add(struct table *t, sqlite3_stmt *stmt, bool is_head)
{
	size_t nr = (size_t)t->nr_columns, at = t->nr_rows * nr;
	struct cell *cell = reallocarray(t->cell, at + nr, sizeof(*cell));
	int r;

	if (!cell)
		return -ENOMEM;
	memset(cell + at, 0, nr * sizeof(*cell));
	t->cell = cell;
	t->nr_rows++;
	r = row_make(cell + at, stmt, is_head);
	for (size_t i = 0; i < nr && r == 0; i++)
		if (cell[at + i].width > t->width[i])
			t->width[i] = cell[at + i].width;
	return r;
}

static void line_put(struct out *o, const struct table *t, const struct cell *row)
{
	for (int i = 0; i < t->nr_columns; i++)
		cell_put(o, &row[i], t->width[i], i == t->nr_columns - 1);
}

/* What was kept: the head, a rule, the rows. The head of numbers stands above their end. */
static void table_put(struct out *o, struct table *t)
{
	for (int i = 0; t->nr_rows > 1 && i < t->nr_columns; i++)
		t->cell[i].is_number = t->cell[t->nr_columns + i].is_number;
	for (size_t row = 0; row < t->nr_rows; row++) {
		line_put(o, t, t->cell + row * (size_t)t->nr_columns);
		for (int i = 0; row == 0 && i < t->nr_columns; i++) {
			for (unsigned k = 0; k < t->width[i]; k++)
				pen_char(o, '-');
			pen_text(o, i == t->nr_columns - 1 ? "\n" : "  ");
		}
	}
}

static void cells_done(struct cell *cell, int nr)
{
	for (int i = 0; cell && i < nr; i++)
		free(cell[i].text);
	free(cell);
}

static int later_row_put(struct out *o, const struct table *t, sqlite3_stmt *stmt)
{
	struct cell *row = calloc((size_t)t->nr_columns, sizeof(*row));
	int r = row ? row_make(row, stmt, false) : -ENOMEM;

	if (r == 0)
		line_put(o, t, row);
	cells_done(row, t->nr_columns);
	return r;
}

/* ---- CSV and JSON */

static void csv_text(struct out *o, const char *text, size_t len)
{
	if (!memchr(text, '"', len) && !memchr(text, ',', len) && !memchr(text, '\n', len) &&
	    !memchr(text, '\r', len)) {
		pen_bytes(o, text, len);
		return;
	}
	pen_char(o, '"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			pen_char(o, '"');
		pen_char(o, text[i]);
	}
	pen_char(o, '"');
}

static void csv_put(struct out *o, sqlite3_stmt *stmt, bool is_head)
{
	int nr = sqlite3_column_count(stmt);

	for (int i = 0; i < nr; i++) {
		const char *text = is_head ? sqlite3_column_name(stmt, i)
					   : (const char *)sqlite3_column_text(stmt, i);

		if (text)
			csv_text(o, text,
				 is_head ? strlen(text) : (size_t)sqlite3_column_bytes(stmt, i));
		pen_text(o, i == nr - 1 ? "\r\n" : ",");
	}
}

static void json_put(struct out *o, sqlite3_stmt *stmt)
{
	pen_char(o, '{');
	for (int i = 0; i < sqlite3_column_count(stmt); i++) {
		print_json_key(o, sqlite3_column_name(stmt, i) ?: "");
		switch (sqlite3_column_type(stmt, i)) {
		case SQLITE_INTEGER: pen_i64(o, sqlite3_column_int64(stmt, i)); break;
		case SQLITE_FLOAT: print_json_float(o, sqlite3_column_double(stmt, i)); break;
		case SQLITE_NULL: pen_text(o, "null"); break;
		default:
			print_json_string(o, (const char *)sqlite3_column_text(stmt, i) ?: "",
					  (size_t)sqlite3_column_bytes(stmt, i));
		}
	}
	pen_text(o, "}\n");
}

/* ---- */

static int row_put(struct out *o, struct table *t, sqlite3_stmt *stmt, enum rows_form form)
{
	int r = 0;

	if (form == ROWS_CSV) {
		csv_put(o, stmt, false);
	} else if (form == ROWS_JSON) {
		json_put(o, stmt);
	} else if (t->nr_rows <= FIRST_ROWS) {
		r = table_add(t, stmt, false);
		if (r == 0 && t->nr_rows > FIRST_ROWS)
			table_put(o, t);
	} else {
		r = later_row_put(o, t, stmt);
	}
	if (r == 0 && o->len >= TOGETHER_BYTES)
		r = out_write(o);
	return r;
}

int rows_print(sqlite3_stmt *stmt, enum rows_form form, int fd)
{
	TOCSIN_CLEANUP(table_done) struct table t = {.nr_columns = sqlite3_column_count(stmt)};
	TOCSIN_CLEANUP(out_done) struct out o;
	int r = 0, step;

	out_init(&o, fd);
	t.width = calloc((size_t)t.nr_columns + 1, sizeof(*t.width));
	if (!t.width)
		return -ENOMEM;
	if (form == ROWS_CSV && t.nr_columns)
		csv_put(&o, stmt, true);
	else if (form == ROWS_TABLE && t.nr_columns)
		r = table_add(&t, stmt, true);
	while (r == 0 && (step = sqlite3_step(stmt)) == SQLITE_ROW)
		r = row_put(&o, &t, stmt, form);
	if (r < 0)
		return r;
	if (t.nr_rows && t.nr_rows <= FIRST_ROWS)
		table_put(&o, &t);
	r = o.len || o.failed ? out_write(&o) : 0;
	return r < 0 ? r : step != SQLITE_DONE;
}
