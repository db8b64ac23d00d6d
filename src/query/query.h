/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_QUERY_QUERY_H
#define TOCSIN_QUERY_QUERY_H

/*
 * Traces as a database, without an import: what SQLite knows of traces.
 *
 * A table for each name of event, `events` for all of them, `gaps` for what is missing; and views
 * that say what people ask for: views.def has them, docs/formats/query.md describes them.
 */

#include "../base/err.h"
#include "table.h"

/**
 * query_attach() - make the tables and views of traces known to a database.
 * @db:    open; nothing is written into it but temporary views
 * @paths: directories, each a trace or with traces somewhere below; lent
 * @nr:    how many, at least 1
 * @err:   what is wrong, on failure
 * @ret_traces: what the tables are about; the caller's reference, for table_traces_unref()
 *
 * Tables of traces that were attached before are taken over by these.
 *
 * Return: 0, or -ENOENT no trace there, -EBADMSG or -ENOTSUP metadata that cannot be read, -EINVAL
 * SQLite refuses, -errno, -ENOMEM. Thread-safe: as the database. Signal-safe: no. Since: 0.1.
 */
int query_attach(sqlite3 *db, const char *const *paths, size_t nr, struct tocsin_err *err,
		 struct table_traces **ret_traces);

/** One column of a table or a view, for listing them. */
typedef int query_column_fn(const char *table, const char *column, const char *type, void *context);

/**
 * query_each_column() - call a function for every column of every table and view, table by table.
 *
 * Return: the first that is not 0, or 0, or -EINVAL SQLite failed (sqlite3_errmsg() says why),
 * -errno the traces cannot be read.
 */
int query_each_column(sqlite3 *db, const struct table_traces *traces, query_column_fn *fn,
		      void *context);

#endif
