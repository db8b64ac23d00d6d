// SPDX-License-Identifier: MIT
/*
 * The same tables for any program with SQLite in it, the sqlite3 shell first of all:
 *
 *   .load /usr/lib/tocsin/tocsin_query
 *   SELECT tocsin_open('trace');
 *
 * Built from the sources of this folder with SQLite's functions taken from whoever loads it.
 */
#include "query.h"

SQLITE_EXTENSION_INIT1

/* tocsin_open(PATH, ...): Return: how many traces were opened. */
static void open_traces(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	const char *paths[127]; /* SQLite's limit of arguments */
	struct table_traces *traces;
	struct tocsin_err err = {0};
	char text[1024];
	int r;

	if (argc < 1) {
		sqlite3_result_error(ctx, "tocsin_open() wants the path of a trace", -1);
		return;
	}
	for (int i = 0; i < argc; i++) {
		paths[i] = (const char *)sqlite3_value_text(argv[i]);
		if (!paths[i]) {
			sqlite3_result_error(ctx, "tocsin_open(): a path is NULL", -1);
			return;
		}
	}
	r = query_attach(sqlite3_context_db_handle(ctx), paths, (size_t)argc, &err, &traces);
	if (r < 0) {
		sqlite3_result_error(ctx, tocsin_err_text(&err, text, sizeof(text)), -1);
		return;
	}
	table_traces_unref(traces); /* the tables have their own */
	sqlite3_result_int(ctx, argc);
}

/* SQLite finds it by this name, which it makes of the file's: tocsin_query.so. */
__attribute__((visibility("default"))) int sqlite3_tocsinquery_init(
	sqlite3 *db, char **ret_wrong, const sqlite3_api_routines *api);

int sqlite3_tocsinquery_init(sqlite3 *db, char **ret_wrong, const sqlite3_api_routines *api)
{
	SQLITE_EXTENSION_INIT2(api);
	(void)ret_wrong;
	return sqlite3_create_function_v2(db, "tocsin_open", -1, SQLITE_UTF8 | SQLITE_DIRECTONLY,
					  NULL, open_traces, NULL, NULL, NULL);
}
