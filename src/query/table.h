/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_QUERY_TABLE_H
#define TOCSIN_QUERY_TABLE_H

/* Traces as tables that SQLite scans: its virtual tables. */

#include "sqlite.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the scans so far met besides events. */
struct table_stats {
	uint64_t lost, cut, bad; /* as in struct trace_stats, the most that one scan met */
	char first[400];         /* the first sentence about a place cut or bad; "": none */
};

/* Traces that tables are about; counted, as SQLite says when a table's module is gone. */
struct table_traces {
	unsigned nr_refs;
	char **path; /* owned, as is the list */
	size_t nr;
	struct table_stats stats;
};

/** table_traces_new() - with one reference. Return: NULL: no memory. */
struct table_traces *table_traces_new(const char *const *paths, size_t nr);
void table_traces_unref(struct table_traces *traces); /* NULL is fine */

enum table_kind {
	TABLE_EVENTS, /* all events: time, name, whose they are, contexts and fields as JSON */
	TABLE_CLASS,  /* the events of one name, a column a field */
	TABLE_GAPS,   /* what the traces say is missing in them */
};

/**
 * table_add() - make a table known to a database.
 * @traces: a reference is taken
 * @kind:   what it shows
 * @table:  its name in SQL
 * @event:  TABLE_CLASS: the name of the events, upper and lower case being the same
 *
 * The traces are opened when the table is used, and again for each scan of it. Nothing is written
 * into the database: the table is an eponymous one, as SQLite calls it.
 *
 * Return: SQLITE_OK or SQLite's error. Thread-safe: as the database. Signal-safe: no.
 */
int table_add(sqlite3 *db, struct table_traces *traces, enum table_kind kind, const char *table,
	      const char *event);

#endif
