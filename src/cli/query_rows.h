/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_QUERY_ROWS_H
#define TOCSIN_CLI_QUERY_ROWS_H

/* The rows that a statement gives, for people and for programs. */

#include <sqlite3.h>

#include "../report/out.h"

enum rows_form { ROWS_TABLE, ROWS_CSV, ROWS_JSON };

/**
 * rows_print() - run a prepared statement and print its rows.
 * @stmt:  not yet stepped; a statement that gives no columns is only run
 * @fd:    where to
 *
 * A table is as wide as its first 500 rows; later cells that are wider push their line apart.
 * Memory does not grow with the rows.
 *
 * Return: 0, 1 the statement failed (sqlite3_errmsg() says why), or -errno of the write (-EPIPE:
 * the reader has gone), -ENOMEM.
 */
int rows_print(sqlite3_stmt *stmt, enum rows_form form, int fd);

#endif
