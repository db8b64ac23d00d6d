// SPDX-License-Identifier: MIT
/* What a database gets to know of traces: a table for each name of event, and the views over them.
 */
#include "query.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/cleanup.h"
#include "../trace/trace.h"
#include "known.h"

struct view {
	const char *name, *select;
};

static const struct view views[] = {
#define VIEW(name, select) {#name, select},
#include "views.def"
#undef VIEW
};

#define NR_VIEWS (sizeof(views) / sizeof(views[0]))

/* The names of events, each once, sorted. */
struct names {
	char **item; /* owned, as is the list */
	size_t nr, capacity;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->nr; i++)
		free(names->item[i]);
	free(names->item);
}

static int name_add(struct names *names, const char *name)
{
	if (names->nr == names->capacity) {
		size_t capacity = names->capacity ? 2 * names->capacity : 64;
		char **item = reallocarray(names->item, capacity, sizeof(*item));

		if (!item)
			return -ENOMEM;
		names->item = item;
		names->capacity = capacity;
	}
	names->item[names->nr] = strdup(name);
	if (!names->item[names->nr])
		return -ENOMEM;
	names->nr++;
	return 0;
}

static int class_name_add(const struct plan_event *class, const struct plan_stream *stream,
			  void *context)
{
	(void)stream;
	return name_add(context, class->meta->name);
}

static int name_compare(const void *a, const void *b)
{
	return strcasecmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts, and drops what is there already. */
static void names_sort(struct names *names)
{
	size_t nr = 0;

	if (names->nr)
		qsort(names->item, names->nr, sizeof(*names->item), name_compare);
	for (size_t i = 0; i < names->nr; i++) {
		if (nr && strcasecmp(names->item[nr - 1], names->item[i]) == 0)
			free(names->item[i]);
		else
			names->item[nr++] = names->item[i];
	}
	names->nr = nr;
}

/* ---- names that are ours */

static bool is_taken(const char *name)
{
	for (size_t i = 0; i < NR_VIEWS; i++)
		if (strcasecmp(name, views[i].name) == 0)
			return true;
	return strcasecmp(name, "events") == 0 || strcasecmp(name, "gaps") == 0 ||
	       strcasecmp(name, "environment") == 0 || strncasecmp(name, "sqlite_", 7) == 0;
}

/* The table of an event; free() it. Return: NULL: no memory. */
static char *table_of(const char *event)
{
	char *table;

	return asprintf(&table, "%s%s", is_taken(event) ? "event:" : "", event) < 0 ? NULL : table;
}

static int class_add(sqlite3 *db, struct table_traces *traces, const char *event)
{
	char *table TOCSIN_CLEANUP(tocsin_free_charp) = table_of(event);

	return table ? table_add(db, traces, TABLE_CLASS, table, event) : SQLITE_NOMEM;
}

static int tables_add(sqlite3 *db, struct table_traces *traces, const struct names *names)
{
	int r = table_add(db, traces, TABLE_EVENTS, "events", NULL);

	if (r == SQLITE_OK)
		r = table_add(db, traces, TABLE_GAPS, "gaps", NULL);
	for (size_t i = 0; i < names->nr && r == SQLITE_OK; i++)
		r = class_add(db, traces, names->item[i]);
	return r;
}

static int run(sqlite3 *db, const char *fmt, ...)
{
	va_list ap;
	char *sql;
	int r;

	va_start(ap, fmt);
	sql = sqlite3_vmprintf(fmt, ap);
	va_end(ap);
	r = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
	sqlite3_free(sql);
	return r;
}

static int views_add(sqlite3 *db)
{
	int r = SQLITE_OK;

	for (size_t i = 0; i < NR_VIEWS && r == SQLITE_OK; i++) {
		r = run(db, "DROP VIEW IF EXISTS temp.\"%w\"", views[i].name);
		if (r == SQLITE_OK)
			r = run(db, "CREATE TEMP VIEW \"%w\" AS %s", views[i].name,
				views[i].select);
	}
	return r;
}

/* ---- where the traces were made */

static int environment_add(sqlite3 *db, const struct trace *t)
{
	int r = run(db, "DROP TABLE IF EXISTS temp.environment");

	if (r == SQLITE_OK)
		r = run(db, "CREATE TEMP TABLE environment(trace TEXT, name TEXT, value)");
	for (unsigned i = 0; i < trace_get_stats(t).streams; i++) {
		const char *dir = trace_dir(t, i);

		if (i && strcmp(dir, trace_dir(t, i - 1)) == 0)
			continue; /* streams of a trace stand together */
		for (const struct meta_env *e = trace_meta(t, i)->env; e && r == SQLITE_OK;
		     e = e->next) {
			if (e->text)
				r = run(db, "INSERT INTO temp.environment VALUES(%Q, %Q, %Q)", dir,
					e->name, e->text);
			else
				r = run(db, "INSERT INTO temp.environment VALUES(%Q, %Q, %lld)",
					dir, e->name, (long long)e->number);
		}
	}
	return r;
}

/* ---- */

static void traces_unrefp(struct table_traces **traces)
{
	table_traces_unref(*traces);
}

static void trace_closep(struct trace **t)
{
	(void)trace_close(*t); /* always NULL */
}

static int fail(sqlite3 *db, int r, struct tocsin_err *err)
{
	if (r == SQLITE_NOMEM)
		return tocsin_err_fail(-ENOMEM, err, "cannot read traces: out of memory");
	return tocsin_err_fail(-EINVAL, err, "cannot make a database of the traces: %s",
			       sqlite3_errmsg(db));
}

int query_attach(sqlite3 *db, const char *const *paths, size_t nr, struct tocsin_err *err,
		 struct table_traces **ret_traces)
{
	static const struct trace_options whole = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
	struct table_traces *traces TOCSIN_CLEANUP(traces_unrefp) = table_traces_new(paths, nr);
	struct trace *t TOCSIN_CLEANUP(trace_closep) = NULL;
	TOCSIN_CLEANUP(names_done) struct names names = {0};
	int r = traces ? trace_open(paths, nr, &whole, err, &t) : -ENOMEM;

	if (r == 0)
		r = trace_each_class(t, class_name_add, &names);
	for (size_t i = 0; i < known_nr() && r == 0; i++)
		r = name_add(&names, known_name(i));
	if (r == -ENOMEM)
		return fail(db, SQLITE_NOMEM, err);
	if (r < 0)
		return r;
	names_sort(&names);
	r = tables_add(db, traces, &names);
	if (r == SQLITE_OK)
		r = environment_add(db, t);
	if (r == SQLITE_OK)
		r = views_add(db);
	if (r != SQLITE_OK)
		return fail(db, r, err);
	*ret_traces = tocsin_take_ptr(&traces);
	return 0;
}

/* ---- what there is */

static int columns_tell(sqlite3 *db, const char *table, query_column_fn *fn, void *context)
{
	sqlite3_stmt *stmt = NULL;
	int r = sqlite3_prepare_v2(db, "SELECT name, type FROM pragma_table_info(?1)", -1, &stmt,
				   NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
	if (r != SQLITE_OK) {
		(void)sqlite3_finalize(stmt); /* says again what r says */
		return -EINVAL;
	}
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		int told = fn(table, (const char *)sqlite3_column_text(stmt, 0),
			      (const char *)sqlite3_column_text(stmt, 1), context);

		if (told) {
			(void)sqlite3_finalize(stmt); /* the caller has had enough */
			return told;
		}
	}
	(void)sqlite3_finalize(stmt); /* says again what r says */
	return r == SQLITE_DONE ? 0 : -EINVAL;
}

static int views_tell(sqlite3 *db, query_column_fn *fn, void *context)
{
	int r = columns_tell(db, "events", fn, context);

	if (r == 0)
		r = columns_tell(db, "gaps", fn, context);
	if (r == 0)
		r = columns_tell(db, "environment", fn, context);
	for (size_t i = 0; i < NR_VIEWS && r == 0; i++)
		r = columns_tell(db, views[i].name, fn, context);
	return r;
}

int query_each_column(sqlite3 *db, const struct table_traces *traces, query_column_fn *fn,
		      void *context)
{
	static const struct trace_options whole = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
	struct trace *t TOCSIN_CLEANUP(trace_closep) = NULL;
	TOCSIN_CLEANUP(names_done) struct names names = {0};
	struct tocsin_err err = {0};
	int r = views_tell(db, fn, context);

	if (r == 0)
		r = trace_open((const char *const *)traces->path, traces->nr, &whole, &err, &t);
	if (r == 0)
		r = trace_each_class(t, class_name_add, &names);
	names_sort(&names);
	for (size_t i = 0; i < names.nr && r == 0; i++) {
		char *table TOCSIN_CLEANUP(tocsin_free_charp) = table_of(names.item[i]);

		r = table ? columns_tell(db, table, fn, context) : -ENOMEM;
	}
	return r;
}
