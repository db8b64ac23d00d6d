// SPDX-License-Identifier: MIT
/*
 * Columns from types. A field within a structure is called `outer.inner`; a name that is taken gets
 * _2, _3, ... as fields in a trace do. A context that says whose event it is (pid, vpid, ...) fills
 * a base column and has none of its own under the base's name; so does a field, where neither a
 * packet nor a context says it: such an event is about the one that it names.
 */
#include "shape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/cleanup.h"

#define NAME_MAX_LEN 1024

static const struct shape_fixed base_columns[BASE_NR] = {
	[BASE_TIME] = {"time_ns", "INTEGER"}, [BASE_PID] = {"pid", "INTEGER"},
	[BASE_TID] = {"tid", "INTEGER"},      [BASE_COMM] = {"comm", "TEXT"},
	[BASE_CPU] = {"cpu", "INTEGER"},
};

/* The names by which trace_who() finds a base column, beside its own. */
static const char *const base_other[BASE_NR] = {
	[BASE_PID] = "vpid", [BASE_TID] = "vtid", [BASE_COMM] = "procname", [BASE_CPU] = "cpu_id"};

/* Return: the number of the column, or -ENOMEM, -E2BIG. */
static int shape_add(struct shape *s, const char *name, const char *type)
{
	struct shape_column *column;

	if (s->nr >= SHAPE_COLUMNS_MAX)
		return -E2BIG;
	column = reallocarray(s->column, s->nr + 1, sizeof(*column));
	if (!column)
		return -ENOMEM;
	s->column = column;
	column[s->nr].type = type;
	column[s->nr].name = strdup(name);
	if (!column[s->nr].name)
		return -ENOMEM;
	return (int)s->nr++;
}

int shape_add_fixed(struct shape *s, const struct shape_fixed *columns, unsigned nr)
{
	int r = 0;

	for (unsigned i = 0; i < nr && r >= 0; i++)
		r = shape_add(s, columns[i].name, columns[i].type);
	return r < 0 ? r : 0;
}

int shape_init(struct shape *s)
{
	*s = (struct shape){0};
	return shape_add_fixed(s, base_columns, BASE_NR);
}

void shape_done(struct shape *s)
{
	for (unsigned i = 0; i < s->nr; i++)
		free(s->column[i].name);
	free(s->column);
	*s = (struct shape){0};
}

/* SQL does not tell upper from lower case in names. */
static int column_find(const struct shape *s, const char *name)
{
	for (unsigned i = 0; i < s->nr; i++)
		if (strcasecmp(s->column[i].name, name) == 0)
			return (int)i;
	return -1;
}

static const char *type_of(const struct meta_type *type)
{
	switch (type->kind) {
	case META_INT: return "INTEGER";
	case META_FLOAT: return "REAL";
	case META_STRING:
	case META_ARRAY:
	case META_SEQUENCE:
	case META_BLOB:
	case META_VARIANT: return "TEXT";
	case META_ENUM: /* a label, or a number that has none */
	case META_STRUCT:
	default: return "";
	}
}

/* A walk over the leaves of a class, the same for all that follow. */
struct walk {
	const struct shape *shape;
	struct shape *growing;     /* NULL: only map */
	struct shape_map *map;     /* NULL: only grow */
	const bool *used;          /* base columns that contexts or packets fill */
	bool is_payload;           /* else a context */
	unsigned char *taken;      /* columns that leaves of this class have */
	char prefix[NAME_MAX_LEN]; /* of structures around, each with a dot */
};

static int map_push(struct shape_map *map, int column)
{
	int *more = reallocarray(map->column, map->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	map->column = more;
	more[map->nr++] = column;
	return 0;
}

/* Does this leaf fill a base column instead of one of its own? */
static bool is_base(const struct walk *w, const char *name)
{
	for (unsigned i = BASE_PID; i < BASE_NR; i++)
		if (strcmp(name, base_columns[i].name) == 0)
			return !w->is_payload || !w->used[i];
	return strcmp(name, "cpu_id") == 0 && !w->is_payload;
}

static int leaf_take(struct walk *w, const char *member, const struct meta_type *type)
{
	char name[NAME_MAX_LEN + 16];
	int column;

	if (is_base(w, member))
		return w->map ? map_push(w->map, -1) : 0;
	(void)snprintf(name, NAME_MAX_LEN, "%s%s", w->prefix, member);
	for (unsigned n = 2;; n++) {
		column = column_find(w->shape, name);
		if (column < 0 || (column >= BASE_NR && !w->taken[column]))
			break;
		(void)snprintf(name, sizeof(name), "%.*s%s_%u", NAME_MAX_LEN - 64, w->prefix,
			       member, n);
	}
	if (column < 0 && w->growing)
		column = shape_add(w->growing, name, type_of(type));
	if (column < 0)
		return w->growing ? column : w->map ? map_push(w->map, -1) : 0;
	w->taken[column] = 1;
	return w->map ? map_push(w->map, column) : 0;
}

/* `_NAME_length` before the sequence NAME, which shows its own length. */
static bool is_length(const struct meta_type *type, unsigned i)
{
	const struct meta_member *m = &type->member[i], *next = m + 1;
	size_t len = strlen(m->name);

	return i + 1 < type->nr_members && next->type->kind == META_SEQUENCE && m->name[0] == '_' &&
	       len == strlen(next->name) + 8 && strncmp(m->name + 1, next->name, len - 8) == 0 &&
	       strcmp(m->name + len - 7, "_length") == 0;
}

static int type_walk(struct walk *w, const struct meta_type *type, unsigned depth)
{
	size_t len = strlen(w->prefix);
	int r = 0;

	if (!type || depth > META_DEPTH_MAX)
		return 0;
	for (unsigned i = 0; i < type->nr_members && r >= 0; i++) {
		const struct meta_member *m = &type->member[i];

		if (is_length(type, i)) {
			r = w->map ? map_push(w->map, -1) : 0;
			continue;
		}
		if (m->type->kind != META_STRUCT) {
			r = leaf_take(w, m->name, m->type);
			continue;
		}
		if (strcmp(m->name, "ctx") != 0 || !w->is_payload || depth)
			(void)snprintf(w->prefix + len, sizeof(w->prefix) - len, "%s.", m->name);
		r = type_walk(w, m->type, depth + 1);
		w->prefix[len] = '\0';
	}
	return r < 0 ? r : 0;
}

static void base_mark(bool used[BASE_NR], const struct meta_type *type)
{
	for (unsigned k = 0; type && k < type->nr_members; k++) {
		const char *name = type->member[k].name;

		for (unsigned i = BASE_PID; i < BASE_NR; i++)
			if (strcmp(name, base_columns[i].name) == 0 ||
			    strcmp(name, base_other[i]) == 0)
				used[i] = true;
		if (strcmp(name, "ctx") == 0 && type->member[k].type->kind == META_STRUCT)
			base_mark(used, type->member[k].type); /* no deeper: none in it */
	}
}

static const struct meta_member *ctx_of(const struct meta_type *payload)
{
	return payload && payload->nr_members && strcmp(payload->member[0].name, "ctx") == 0 &&
			       payload->member[0].type->kind == META_STRUCT
		       ? &payload->member[0]
		       : NULL;
}

static int class_walk(struct walk *w, const struct plan_event *class,
		      const struct meta_type *stream_context,
		      const struct meta_type *packet_context)
{
	const struct meta_type *payload = class->meta->payload;
	unsigned char taken[SHAPE_COLUMNS_MAX] = {0};
	bool used[BASE_NR] = {false};
	const struct meta_member *ctx = ctx_of(payload);
	int r;

	base_mark(used, stream_context);
	base_mark(used, class->meta->context);
	base_mark(used, packet_context);
	if (ctx)
		base_mark(used, ctx->type);
	w->used = used;
	w->taken = taken;
	r = type_walk(w, stream_context, 0);
	if (r == 0)
		r = type_walk(w, class->meta->context, 0);
	w->is_payload = true;
	return r < 0 ? r : type_walk(w, payload, 0);
}

int shape_add_class(struct shape *s, const struct plan_event *class,
		    const struct plan_stream *stream)
{
	struct walk w = {.shape = s, .growing = s};

	return class_walk(&w, class, stream->meta->event_context, stream->meta->packet_context);
}

int shape_add_known(struct shape *s, const char *const *names)
{
	int r = 0;

	for (; *names && r >= 0; names++)
		if (column_find(s, *names) < 0)
			r = shape_add(s, *names, "");
	return r < 0 ? r : 0;
}

int shape_map_make(const struct shape *s, const struct plan_event *class,
		   const struct plan_stream *stream, struct shape_map **ret_map)
{
	struct shape_map *map = calloc(1, sizeof(*map));
	struct walk w = {.shape = s, .map = map};
	int r = map ? class_walk(&w, class, stream->meta->event_context,
				 stream->meta->packet_context)
		    : -ENOMEM;

	if (r < 0) {
		(void)shape_map_free(map); /* always NULL */
		return r;
	}
	map->class = class;
	*ret_map = map;
	return 0;
}

struct shape_map *shape_map_free(struct shape_map *map)
{
	while (map) {
		struct shape_map *next = map->next;

		free(map->column);
		free(map);
		map = next;
	}
	return NULL;
}

void shape_fill(const struct shape_map *map, const struct ctf_values *values,
		const struct ctf_value **cell)
{
	const struct ctf_value *end = values->item + values->nr;
	unsigned leaf = 0;

	for (const struct ctf_value *v = values->item; v < end && leaf < map->nr;) {
		if (v->type->kind == META_STRUCT && !v->is_text) {
			v++; /* the scope, or a structure: its members come next */
			continue;
		}
		if (map->column[leaf] >= 0)
			cell[map->column[leaf]] = v;
		leaf++;
		v += 1 + v->nr_below;
	}
}
