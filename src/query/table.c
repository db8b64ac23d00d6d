// SPDX-License-Identifier: MIT
/*
 * SQLite's virtual tables over traces: https://www.sqlite.org/vtab.html has the contract that each
 * function here fills.
 *
 * A scan steps through the traces in the order of time, so `ORDER BY time_ns` costs nothing. What
 * the WHERE clause says of time becomes the range that the trace reader skips packets by; what it
 * says of name, pid and tid is looked at before a row is given out. SQLite checks each of these
 * again: a scan may give too much but never too little. An event is decoded only when a column is
 * asked for that needs it.
 */
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/cleanup.h"
#include "../base/err.h"
#include "cell.h"
#include "known.h"
#include "shape.h"

/* Columns behind the base ones. */
enum { EVENTS_NAME = BASE_NR, EVENTS_STREAM, EVENTS_TRACE, EVENTS_CONTEXTS, EVENTS_FIELDS };
enum { GAPS_WHAT = 1, GAPS_EVENTS, GAPS_PACKETS, GAPS_BEGIN, GAPS_END, GAPS_STREAM, GAPS_TEXT };

/* What a scan was told to look for, and in which order the values come. */
enum {
	WANT_FROM = 1 << 0,
	WANT_TO = 1 << 1,
	WANT_AT = 1 << 2,
	WANT_PID = 1 << 3,
	WANT_TID = 1 << 4,
	WANT_NAME = 1 << 5,
	WANT_NR = 6,
};

struct definition {
	struct table_traces *traces; /* counted */
	enum table_kind kind;
	char *event; /* owned */
};

struct table {
	sqlite3_vtab base;               /* first: it is what SQLite knows */
	const struct definition *define; /* lent from the module */
	struct shape shape;
};

struct cursor {
	sqlite3_vtab_cursor base; /* first */
	struct trace *trace;
	const struct trace_event *event;
	struct trace_packets packets;
	struct trace_who who;
	struct shape_map *maps;        /* of the classes met */
	const struct ctf_value **cell; /* owned: a value for each column */
	bool has_who, has_cells, is_over;
	sqlite3_int64 row;
	/* the wish */
	bool wants_pid, wants_tid;
	int64_t pid, tid;
	char *name; /* owned; NULL: any */
	struct cell_text text;
};

/* ---- the traces */

struct table_traces *table_traces_new(const char *const *paths, size_t nr)
{
	struct table_traces *traces = calloc(1, sizeof(*traces));

	if (!traces)
		return NULL;
	traces->nr_refs = 1;
	traces->path = calloc(nr ?: 1, sizeof(*traces->path));
	for (size_t i = 0; traces->path && i < nr; i++) {
		traces->path[i] = strdup(paths[i]);
		if (!traces->path[i])
			break;
		traces->nr++;
	}
	if (traces->nr == nr)
		return traces;
	table_traces_unref(traces);
	return NULL;
}

void table_traces_unref(struct table_traces *traces)
{
	if (!traces || --traces->nr_refs)
		return;
	for (size_t i = 0; i < traces->nr; i++)
		free(traces->path[i]);
	free(traces->path);
	free(traces);
}

static int traces_open(const struct table_traces *traces, const struct trace_options *options,
		       sqlite3_vtab *vtab, char **ret_wrong, struct trace **ret_trace)
{
	struct tocsin_err err = {0};
	char **wrong = vtab ? &vtab->zErrMsg : ret_wrong;
	char text[512];
	int r = trace_open((const char *const *)traces->path, traces->nr, options, &err, ret_trace);

	if (r == 0)
		return SQLITE_OK;
	sqlite3_free(*wrong);
	*wrong = sqlite3_mprintf("%s", tocsin_err_text(&err, text, sizeof(text)));
	return r == -ENOMEM ? SQLITE_NOMEM : SQLITE_ERROR;
}

/* ---- a table */

static const struct trace_options whole = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};

struct growing {
	struct shape *shape;
	const char *event;
};

static int class_offer(const struct plan_event *class, const struct plan_stream *stream,
		       void *context)
{
	struct growing *g = context;

	return strcasecmp(class->meta->name, g->event) == 0
		       ? shape_add_class(g->shape, class, stream)
		       : 0;
}

static int shape_make(struct shape *s, const struct definition *define, const struct trace *t)
{
	static const struct shape_fixed events[] = {{"name", "TEXT"},
						    {"stream", "TEXT"},
						    {"trace", "TEXT"},
						    {"contexts", "TEXT"},
						    {"fields", "TEXT"}};
	static const struct shape_fixed gaps[] = {
		{"time_ns", "INTEGER"}, {"what", "TEXT"},        {"events", "INTEGER"},
		{"packets", "INTEGER"}, {"begin_ns", "INTEGER"}, {"end_ns", "INTEGER"},
		{"stream", "TEXT"},     {"text", "TEXT"},
	};
	struct growing g = {s, define->event};
	int r;

	if (define->kind == TABLE_GAPS) {
		*s = (struct shape){0};
		return shape_add_fixed(s, gaps, sizeof(gaps) / sizeof(gaps[0]));
	}
	r = shape_init(s);
	if (r == 0 && define->kind == TABLE_EVENTS)
		r = shape_add_fixed(s, events, sizeof(events) / sizeof(events[0]));
	if (r == 0 && define->kind == TABLE_CLASS)
		r = trace_each_class(t, class_offer, &g);
	return r == 0 && define->kind == TABLE_CLASS
		       ? shape_add_known(s, known_columns(define->event))
		       : r;
}

/* Return: the CREATE TABLE that SQLite wants to hear, to be freed with sqlite3_free(), or NULL. */
static char *shape_declare(const struct shape *s)
{
	sqlite3_str *text = sqlite3_str_new(NULL);

	sqlite3_str_appendall(text, "CREATE TABLE x(");
	for (unsigned i = 0; i < s->nr; i++)
		sqlite3_str_appendf(text, "%s\"%w\" %s", i ? ", " : "", s->column[i].name,
				    s->column[i].type);
	sqlite3_str_appendall(text, ")");
	return sqlite3_str_finish(text);
}

static int table_disconnect(sqlite3_vtab *vtab)
{
	struct table *table = (struct table *)vtab;

	shape_done(&table->shape);
	free(table);
	return SQLITE_OK;
}

static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
			 sqlite3_vtab **ret_vtab, char **ret_wrong)
{
	const struct definition *define = aux;
	struct table *table = calloc(1, sizeof(*table));
	struct trace *t = NULL;
	char *declare = NULL;
	int r;

	(void)argc;
	(void)argv;
	if (!table)
		return SQLITE_NOMEM;
	table->define = define;
	r = traces_open(define->traces, &whole, NULL, ret_wrong, &t);
	if (r == SQLITE_OK) {
		int made = shape_make(&table->shape, define, t);

		if (made == -E2BIG)
			*ret_wrong = sqlite3_mprintf("'%s' has more than %d fields", define->event,
						     SHAPE_COLUMNS_MAX);
		declare = made == 0 ? shape_declare(&table->shape) : NULL;
		r = made == -E2BIG ? SQLITE_ERROR
		    : declare      ? sqlite3_declare_vtab(db, declare)
				   : SQLITE_NOMEM;
	}
	sqlite3_free(declare);
	(void)trace_close(t); /* always NULL */
	if (r != SQLITE_OK) {
		(void)table_disconnect(&table->base); /* always OK */
		return r;
	}
	(void)sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY); /* OK for a table being made */
	*ret_vtab = &table->base;
	return SQLITE_OK;
}

/* ---- planning */

static int want_of(const struct table *table, int column, int op)
{
	bool is_gaps = table->define->kind == TABLE_GAPS;

	if (column == BASE_TIME) {
		switch (op) {
		case SQLITE_INDEX_CONSTRAINT_EQ: return WANT_AT;
		case SQLITE_INDEX_CONSTRAINT_GT:
		case SQLITE_INDEX_CONSTRAINT_GE: return WANT_FROM;
		case SQLITE_INDEX_CONSTRAINT_LT:
		case SQLITE_INDEX_CONSTRAINT_LE: return WANT_TO;
		default: return 0;
		}
	}
	if (is_gaps || op != SQLITE_INDEX_CONSTRAINT_EQ)
		return 0;
	if (column == BASE_PID)
		return WANT_PID;
	if (column == BASE_TID)
		return WANT_TID;
	return table->define->kind == TABLE_EVENTS && column == EVENTS_NAME ? WANT_NAME : 0;
}

static int table_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
	const struct table *table = (const struct table *)vtab;
	int place[WANT_NR], next = 1;
	double rows = 1e7;

	memset(place, -1, sizeof(place));
	for (int i = 0; i < info->nConstraint; i++) {
		int want = info->aConstraint[i].usable
				   ? want_of(table, info->aConstraint[i].iColumn,
					     info->aConstraint[i].op)
				   : 0;

		if (!want || (info->idxNum & want))
			continue;
		info->idxNum |= want;
		place[__builtin_ctz((unsigned)want)] = i;
	}
	for (unsigned i = 0; i < WANT_NR; i++) {
		if (place[i] < 0)
			continue;
		info->aConstraintUsage[place[i]].argvIndex = next++;
		rows /= i < 3 ? 10 : 2; /* a range of time is read alone, the rest is passed over */
	}
	info->estimatedRows = (sqlite3_int64)rows;
	info->estimatedCost = rows;
	info->orderByConsumed = info->nOrderBy == 1 && info->aOrderBy[0].iColumn == BASE_TIME &&
				!info->aOrderBy[0].desc;
	return SQLITE_OK;
}

/* ---- scanning */

static int cursor_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **ret_cursor)
{
	const struct table *table = (const struct table *)vtab;
	struct cursor *c = calloc(1, sizeof(*c));

	if (c)
		c->cell = calloc(table->shape.nr, sizeof(*c->cell));
	if (!c || !c->cell) {
		free(c);
		return SQLITE_NOMEM;
	}
	*ret_cursor = &c->base;
	return SQLITE_OK;
}

static void scan_end(struct cursor *c)
{
	c->trace = trace_close(c->trace);
	c->maps = shape_map_free(c->maps);
	trace_packets_done(&c->packets);
	free(c->name);
	c->name = NULL;
	c->is_over = true;
}

static int cursor_close(sqlite3_vtab_cursor *cursor)
{
	struct cursor *c = (struct cursor *)cursor;

	scan_end(c);
	cell_text_done(&c->text);
	free(c->cell);
	free(c);
	return SQLITE_OK;
}

static int scan_fail(struct cursor *c, int r)
{
	char why[64];

	if (r == -ENOMEM)
		return SQLITE_NOMEM;
	sqlite3_free(c->base.pVtab->zErrMsg);
	c->base.pVtab->zErrMsg = sqlite3_mprintf("cannot read the trace: %s",
						 tocsin_errno_text(r, why, sizeof(why)));
	return SQLITE_ERROR;
}

static void stats_note(struct cursor *c, int state)
{
	struct table_stats *stats = &((struct table *)c->base.pVtab)->define->traces->stats;
	struct trace_stats now = trace_get_stats(c->trace);

	if (now.lost > stats->lost)
		stats->lost = now.lost;
	if (now.cut > stats->cut)
		stats->cut = now.cut;
	if (now.bad > stats->bad)
		stats->bad = now.bad;
	if (state != TRACE_LOSS && !stats->first[0])
		(void)snprintf(stats->first, sizeof(stats->first), "%s", c->event->wrong);
}

/* Is the item at hand a row, as far as can be told cheaply? Return: 1, 0, or -errno. */
static int is_row(struct cursor *c)
{
	const struct definition *define = ((struct table *)c->base.pVtab)->define;
	int r;

	if (c->event->state != TRACE_EVENT)
		return define->kind == TABLE_GAPS;
	if (define->kind == TABLE_GAPS ||
	    (define->kind == TABLE_CLASS && strcasecmp(c->event->name, define->event) != 0) ||
	    (c->name && strcmp(c->event->name, c->name) != 0))
		return 0;
	if (!c->wants_pid && !c->wants_tid)
		return 1;
	r = trace_who(&c->packets, c->trace, c->event, &c->who);
	if (r < 0)
		return r;
	c->has_who = true;
	return (!c->wants_pid || c->who.pid == c->pid) && (!c->wants_tid || c->who.tid == c->tid);
}

static int cursor_next(sqlite3_vtab_cursor *cursor)
{
	struct cursor *c = (struct cursor *)cursor;
	int state, r;

	do {
		c->has_who = c->has_cells = false;
		state = trace_next(c->trace, &c->event);
		if (state < 0)
			return scan_fail(c, state);
		if (state == TRACE_END) {
			scan_end(c);
			return SQLITE_OK;
		}
		if (state != TRACE_EVENT)
			stats_note(c, state);
		r = is_row(c);
		if (r < 0)
			return scan_fail(c, r);
	} while (!r);
	c->row++;
	return SQLITE_OK;
}

/* A value that a wish compares with; false: no number, so SQLite itself has to see. */
static bool number_of(sqlite3_value *value, int64_t *ret)
{
	if (sqlite3_value_type(value) != SQLITE_INTEGER)
		return false;
	*ret = sqlite3_value_int64(value);
	return true;
}

static int wish_take(struct cursor *c, int want, sqlite3_value *value, struct trace_options *o)
{
	int64_t number;

	if (want == WANT_NAME) {
		const char *text = (const char *)sqlite3_value_text(value);

		if (sqlite3_value_type(value) != SQLITE_TEXT)
			return SQLITE_OK;
		c->name = text ? strdup(text) : NULL;
		return c->name ? SQLITE_OK : SQLITE_NOMEM;
	}
	if (!number_of(value, &number))
		return SQLITE_OK;
	if (want == WANT_PID) {
		c->wants_pid = true;
		c->pid = number;
	} else if (want == WANT_TID) {
		c->wants_tid = true;
		c->tid = number;
	}
	if (want & (WANT_FROM | WANT_AT) && number > o->from_ns)
		o->from_ns = number;
	if (want & (WANT_TO | WANT_AT) && number < o->to_ns)
		o->to_ns = number;
	return SQLITE_OK;
}

static int cursor_filter(sqlite3_vtab_cursor *cursor, int wants, const char *unused, int argc,
			 sqlite3_value **argv)
{
	struct cursor *c = (struct cursor *)cursor;
	const struct table *table = (const struct table *)cursor->pVtab;
	struct trace_options o = whole;
	int r = SQLITE_OK, next = 0;

	(void)unused;
	scan_end(c);
	c->wants_pid = c->wants_tid = c->is_over = false;
	c->row = 0;
	for (unsigned i = 0; i < WANT_NR && next < argc && r == SQLITE_OK; i++)
		if (wants & 1 << i)
			r = wish_take(c, 1 << i, argv[next++], &o);
	if (r == SQLITE_OK && o.from_ns > o.to_ns) {
		c->is_over = true;
		return SQLITE_OK;
	}
	if (r == SQLITE_OK)
		r = traces_open(table->define->traces, &o, cursor->pVtab, NULL, &c->trace);
	return r == SQLITE_OK ? cursor_next(cursor) : r;
}

static int cursor_eof(sqlite3_vtab_cursor *cursor)
{
	return ((struct cursor *)cursor)->is_over;
}

static int cursor_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *ret_row)
{
	*ret_row = ((struct cursor *)cursor)->row;
	return SQLITE_OK;
}

/* ---- columns */

struct finding {
	const struct plan_event *class;
	const struct plan_stream *stream;
};

static int class_find(const struct plan_event *class, const struct plan_stream *stream,
		      void *context)
{
	struct finding *f = context;

	if (class != f->class)
		return 0;
	f->stream = stream;
	return 1;
}

/* The map of the event's class, made at the first one. */
static int map_get(struct cursor *c, const struct shape_map **ret_map)
{
	const struct table *table = (const struct table *)c->base.pVtab;
	struct finding f = {.class = c->event->class};
	struct shape_map *map = c->maps;
	int r;

	while (map && map->class != f.class)
		map = map->next;
	if (!map) {
		(void)trace_each_class(c->trace, class_find, &f); /* it is one of them */
		if (!f.stream)
			return -EBADMSG;
		r = shape_map_make(&table->shape, f.class, f.stream, &map);
		if (r < 0)
			return r;
		map->next = c->maps;
		c->maps = map;
	}
	*ret_map = map;
	return 0;
}

static int cells_read(struct cursor *c)
{
	const struct table *table = (const struct table *)c->base.pVtab;
	const struct ctf_values *values;
	const struct shape_map *map;
	int r;

	if (c->has_cells)
		return 0;
	memset(c->cell, 0, table->shape.nr * sizeof(*c->cell));
	r = map_get(c, &map);
	if (r == 0)
		r = trace_values(c->trace, &values);
	if (r < 0)
		return r;
	shape_fill(map, values, c->cell);
	c->has_cells = true;
	return 0;
}

static void id_result(sqlite3_context *ctx, int64_t id)
{
	if (id >= 0)
		sqlite3_result_int64(ctx, id);
}

static int base_column(struct cursor *c, sqlite3_context *ctx, int column)
{
	int r;

	if (column == BASE_TIME) {
		sqlite3_result_int64(ctx, c->event->t_ns);
		return 0;
	}
	if (!c->has_who) {
		r = trace_who(&c->packets, c->trace, c->event, &c->who);
		if (r < 0)
			return r;
		c->has_who = true;
	}
	switch (column) {
	case BASE_PID: id_result(ctx, c->who.pid); break;
	case BASE_TID: id_result(ctx, c->who.tid); break;
	case BASE_CPU: id_result(ctx, c->who.cpu); break;
	default:
		if (c->who.comm)
			cell_result(ctx, &c->text, c->who.comm);
	}
	return 0;
}

static void text_result(sqlite3_context *ctx, struct cursor *c, const char *text)
{
	cell_result_text(ctx, &c->text, text, strlen(text));
}

static int events_column(struct cursor *c, sqlite3_context *ctx, int column)
{
	const struct ctf_values *values;
	int r = 0;

	switch (column) {
	case EVENTS_NAME: text_result(ctx, c, c->event->name); break;
	case EVENTS_STREAM:
		text_result(ctx, c, trace_stream_name(c->trace, c->event->stream));
		break;
	case EVENTS_TRACE: text_result(ctx, c, trace_dir(c->trace, c->event->stream)); break;
	default:
		r = trace_values(c->trace, &values);
		if (r == 0)
			cell_result_json(ctx, &c->text, values, column == EVENTS_FIELDS);
	}
	return r;
}

static void gaps_column(struct cursor *c, sqlite3_context *ctx, int column)
{
	const struct trace_event *e = c->event;
	bool is_loss = e->state == TRACE_LOSS;

	switch (column) {
	case BASE_TIME: sqlite3_result_int64(ctx, e->t_ns); break;
	case GAPS_WHAT: text_result(ctx, c, e->name); break;
	case GAPS_STREAM:
		/* A file that could not be opened at all has no stream. */
		if (is_loss)
			text_result(ctx, c, trace_stream_name(c->trace, e->stream));
		break;
	case GAPS_TEXT:
		if (!is_loss)
			text_result(ctx, c, e->wrong);
		break;
	case GAPS_EVENTS:
		if (is_loss)
			sqlite3_result_int64(ctx, (sqlite3_int64)e->nr_lost);
		break;
	case GAPS_PACKETS:
		if (is_loss)
			sqlite3_result_int64(ctx, (sqlite3_int64)e->nr_lost_packets);
		break;
	default:
		if (is_loss)
			sqlite3_result_int64(ctx, column == GAPS_BEGIN ? e->lost_begin_ns
								       : e->lost_end_ns);
	}
}

static int cursor_column(sqlite3_vtab_cursor *cursor, sqlite3_context *ctx, int column)
{
	struct cursor *c = (struct cursor *)cursor;
	enum table_kind kind = ((struct table *)cursor->pVtab)->define->kind;
	int r = 0;

	if (kind == TABLE_GAPS) {
		gaps_column(c, ctx, column);
	} else if (column < BASE_NR) {
		r = base_column(c, ctx, column);
	} else if (kind == TABLE_EVENTS) {
		r = events_column(c, ctx, column);
	} else {
		r = cells_read(c);
		if (r == 0 && c->cell[column])
			cell_result(ctx, &c->text, c->cell[column]);
	}
	return r < 0 ? scan_fail(c, r) : SQLITE_OK;
}

/* ---- the module */

static void definition_free(void *aux)
{
	struct definition *define = aux;

	table_traces_unref(define->traces);
	free(define->event);
	free(define);
}

static const sqlite3_module module = {
	.iVersion = 2,
	.xConnect = table_connect, /* no xCreate: the table is there as soon as the module is */
	.xBestIndex = table_best_index,
	.xDisconnect = table_disconnect,
	.xDestroy = table_disconnect,
	.xOpen = cursor_open,
	.xClose = cursor_close,
	.xFilter = cursor_filter,
	.xNext = cursor_next,
	.xEof = cursor_eof,
	.xColumn = cursor_column,
	.xRowid = cursor_rowid,
};

int table_add(sqlite3 *db, struct table_traces *traces, enum table_kind kind, const char *table,
	      const char *event)
{
	struct definition *define = calloc(1, sizeof(*define));

	if (!define)
		return SQLITE_NOMEM;
	define->event = strdup(event ? event : "");
	if (!define->event) {
		free(define);
		return SQLITE_NOMEM;
	}
	define->traces = traces;
	define->kind = kind;
	traces->nr_refs++;
	return sqlite3_create_module_v2(db, table, &module, define, definition_free);
}
