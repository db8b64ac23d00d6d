// SPDX-License-Identifier: MIT
/* `tocsin query`: traces as tables, asked in SQL. */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/file.h"
#include "../ctf/read_map.h"
#include "../query/query.h"
#include "cli.h"
#include "query_rows.h"

#define SQL_BYTES_MAX ((size_t)1 << 20)

static struct {
	const char *file, *format;
	bool is_json, is_schema, is_strict;
} wanted;

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Question"},
	{OPT_STRING, 'f', "file", "FILE", "read the SQL from FILE; - is standard input", NULL,
	 &wanted.file, 0, 0, NULL},
	{OPT_FLAG, 0, "schema", NULL, "list the tables of these traces with their columns", NULL,
	 &wanted.is_schema, 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "Output"},
	{OPT_STRING, 0, "format", "FORM", "how rows are written: table, csv or json", NULL,
	 &wanted.format, 0, 0, "table"},
	CLI_SHARED(JSON, &wanted.is_json),
	{OPT_FLAG, 0, "strict", NULL, "exit with 4 if events were lost or a trace is cut", NULL,
	 &wanted.is_strict, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin query late/ 'SELECT * FROM off_cpu'",
	"tocsin query trace --schema",
	"tocsin query trace 'SELECT name, count(*) FROM events GROUP BY name'",
	"tocsin query trace --json 'SELECT max(fd) FROM \"server:accept\"'",
	NULL,
};

const struct opt_command cmd_query_usage = {
	CLI_COMMAND(query),
	.usage = "[OPTIONS] TRACE... 'SQL'",
	.examples = examples,
	.options = options,
};

/* ---- Ctrl-C ends the statement */

static sqlite3 *running;
static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
	(void)number;
	is_interrupted = 1;
	sqlite3_interrupt(running); /* made to be called so */
}

static int signals_catch(sqlite3 *db)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt}, ignore = {.sa_handler = SIG_IGN};

	running = db;
	if (sigaction(SIGINT, &interrupt, NULL) < 0 || sigaction(SIGTERM, &interrupt, NULL) < 0 ||
	    sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	return ctf_map_guard();
}

/* ---- statements */

/* Where SQLite points to, as a place in a text of several lines. */
static int sql_fail(sqlite3 *db, const char *sql, const char *begin, const char *file)
{
	int offset = sqlite3_error_offset(db);
	const char *at = offset < 0 ? begin : begin + offset, *line = at, *end;
	struct tocsin_where where = {.file = file, .line = 1};
	struct tocsin_diag diag;
	char *source TOCSIN_CLEANUP(tocsin_free_charp) = NULL;

	while (line > sql && line[-1] != '\n')
		line--;
	end = line + strcspn(line, "\n");
	source = strndup(line, (size_t)(end - line));
	for (const char *p = sql; p < line; p++)
		where.line += *p == '\n';
	where.source = source;
	where.column = offset < 0 ? 0 : (size_t)(at - line) + 1;
	tocsin_diag_set(&diag, &where, "%s", sqlite3_errmsg(db));
	return cli_diag(sqlite3_errcode(db) == SQLITE_NOMEM ? -ENOMEM : -EINVAL, &diag);
}

static int statement_run(sqlite3 *db, sqlite3_stmt *stmt, enum rows_form form)
{
	char why[64];
	int r = rows_print(stmt, form, STDOUT_FILENO);

	if (r == 0 || r == -EPIPE)
		return CLI_OK;
	if (r < 0)
		cli_error("cannot print the rows: %s", tocsin_errno_text(r, why, sizeof(why)));
	else if (is_interrupted)
		return CLI_FAILED;
	else
		cli_error("%s", sqlite3_errmsg(db));
	return r < 0 ? CLI_FAILED : CLI_USAGE;
}

static int sql_run(sqlite3 *db, const char *sql, const char *file, enum rows_form form)
{
	const char *next = sql, *begin = sql;
	int status = CLI_OK;

	while (status == CLI_OK && *next && !is_interrupted) {
		sqlite3_stmt *stmt = NULL;

		begin = next;
		if (sqlite3_prepare_v2(db, begin, -1, &stmt, &next) != SQLITE_OK)
			return sql_fail(db, sql, begin, file);
		if (stmt)
			status = statement_run(db, stmt, form);
		(void)sqlite3_finalize(stmt); /* says again what the last step said */
	}
	return status;
}

/* ---- tables */

struct listing {
	char last[256];
};

static int column_print(const char *table, const char *column, const char *type, void *context)
{
	struct listing *l = context;
	struct out o;
	int r;

	out_init(&o, STDOUT_FILENO);
	if (strncmp(l->last, table, sizeof(l->last) - 1) != 0) {
		out_add_clean(&o, table);
		out_add(&o, "\n");
		(void)snprintf(l->last, sizeof(l->last), "%s", table);
	}
	out_add(&o, "    ");
	out_add_clean(&o, column);
	out_add(&o, "%s%s\n", type[0] ? " " : "", type);
	r = out_write(&o);
	out_done(&o);
	return r;
}

static int schema_print(sqlite3 *db, const struct table_traces *traces)
{
	struct listing listing = {0};
	int r = query_each_column(db, traces, column_print, &listing);
	char why[64];

	if (r == 0 || r == -EPIPE)
		return CLI_OK;
	cli_error("cannot list the tables: %s",
		  r == -EINVAL ? sqlite3_errmsg(db) : tocsin_errno_text(r, why, sizeof(why)));
	return CLI_FAILED;
}

/* ---- the command line */

/* Return: -1 go on, else the exit status. */
static int form_get(enum rows_form *ret_form)
{
	static const char *const forms[] = {"table", "csv", "json"};

	*ret_form = wanted.is_json ? ROWS_JSON : ROWS_TABLE;
	for (unsigned i = 0; wanted.format && i < 3; i++) {
		if (strcmp(wanted.format, forms[i]) == 0) {
			*ret_form = (enum rows_form)i;
			return -1;
		}
	}
	return wanted.format
		       ? cli_usage(&cmd_query_usage,
				   "--format wants table, csv or json, not '%.40s'", wanted.format)
		       : -1;
}

/* What could not be read of the traces is said once, behind the rows. */
static int stats_status(const struct table_stats *stats)
{
	if (stats->first[0])
		cli_error("%s", stats->first);
	if (stats->lost)
		cli_error("%llu events are missing in the traces: SELECT * FROM gaps",
			  (unsigned long long)stats->lost);
	if (stats->bad)
		return CLI_USAGE;
	return wanted.is_strict && (stats->lost || stats->cut) ? CLI_LOST : CLI_OK;
}

static void db_closep(sqlite3 **db)
{
	(void)sqlite3_close(*db); /* all statements are finalized */
}

static void traces_unrefp(struct table_traces **traces)
{
	table_traces_unref(*traces);
}

static int query_run(const char *const *paths, size_t nr, const char *sql, enum rows_form form)
{
	struct table_traces *traces TOCSIN_CLEANUP(traces_unrefp) = NULL;
	sqlite3 *db TOCSIN_CLEANUP(db_closep) = NULL;
	struct tocsin_err err = {0};
	int r, status;

	if (sqlite3_open(":memory:", &db) != SQLITE_OK) {
		cli_error("cannot start SQLite: %s", db ? sqlite3_errmsg(db) : "out of memory");
		return CLI_FAILED;
	}
	r = query_attach(db, paths, nr, &err, &traces);
	if (r < 0)
		return cli_fail(r == -ENOMEM ? CLI_FAILED : CLI_USAGE, &err);
	if (signals_catch(db) < 0) {
		cli_error("cannot set up signals");
		return CLI_FAILED;
	}
	status = wanted.is_schema ? schema_print(db, traces)
				  : sql_run(db, sql, wanted.file ?: "SQL", form);
	running = NULL;
	return status == CLI_OK ? stats_status(&traces->stats) : status;
}

int cmd_query(int argc, char **argv)
{
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	int operands, after_dashes, status, nr;
	enum rows_form form;
	char why[64];

	status = cli_parse(&cmd_query_usage, argc, argv, &operands, &after_dashes);
	if (status < 0)
		status = form_get(&form);
	if (status >= 0)
		return status;
	nr = argc - operands - (wanted.is_schema || wanted.file ? 0 : 1);
	if (nr < 1)
		return cli_usage(&cmd_query_usage, nr < 0 ? "which trace, and which SQL?"
						   : argc - operands
							   ? "a TRACE and the SQL are wanted"
							   : "which trace?");
	if (wanted.file) {
		int r = file_load(wanted.file, SQL_BYTES_MAX, &text, NULL);

		if (r < 0) {
			cli_error("cannot read '%s': %s", wanted.file,
				  tocsin_errno_text(r, why, sizeof(why)));
			return r == -ENOMEM ? CLI_FAILED : CLI_USAGE;
		}
	}
	return query_run((const char *const *)argv + operands, (size_t)nr, text ?: argv[argc - 1],
			 form);
}
