// SPDX-License-Identifier: MIT
/*
 * CTF 2's metadata: JSON texts ("fragments"), each behind a record separator.
 *
 * What is not read, and refused by name: fields of variable length (LEB128), optional fields, and
 * integers in the other bit order. A field-class alias is parsed anew wherever it is used, as what
 * a role means depends on the place; types nest no deeper than META_DEPTH_MAX.
 */
#include "read_meta.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MARK 0x1e

struct alias {
	const char *name;
	const json_t *class;
	struct alias *next;
};

struct reader {
	struct meta *meta;
	const char *file;
	struct tocsin_diag *diag;
	size_t at;   /* byte of the fragment that is read */
	json_t *all; /* array of all fragments: keeps them alive */
	struct alias *alias;
	const char *clock; /* of the stream class that is read */
	bool is_packet;    /* a packet's context is read: its time is the beginning */
	unsigned depth;
};

static int class_read(struct reader *p, const json_t *json, const struct meta_type **ret_type,
		      enum meta_role *ret_role);

static int fail(struct reader *p, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct reader *p, int r, const char *fmt, ...)
{
	struct tocsin_where where = {.file = p->file};
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tocsin_diag_set(p->diag, &where, "fragment at byte %zu: %s", p->at, text);
	return r;
}

/* ---- pieces */

static const char *text_of(struct reader *p, const json_t *json, const char *key)
{
	const json_t *value = json_object_get(json, key);

	return json_is_string(value) ? arena_text(&p->meta->arena, json_string_value(value),
						  json_string_length(value))
				     : NULL;
}

static bool is_text(const json_t *json, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(json, key));

	return value && strcmp(value, text) == 0;
}

/* A number that is not negative, @standard when it is not there. */
static int number_read(struct reader *p, const json_t *json, const char *key, uint64_t standard,
		       uint64_t *ret_value)
{
	const json_t *value = json_object_get(json, key);

	*ret_value = standard;
	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return fail(p, -EBADMSG, "'%s' is no number", key);
	*ret_value = (uint64_t)json_integer_value(value);
	return 0;
}

static int align_read(struct reader *p, const json_t *json, const char *key, uint64_t standard,
		      uint32_t *ret_bits)
{
	uint64_t bits;
	int r = number_read(p, json, key, standard, &bits);

	if (r < 0)
		return r;
	if (!bits || bits > 1u << 20 || bits & (bits - 1))
		return fail(p, -EBADMSG, "'%s' is no power of two", key);
	*ret_bits = (uint32_t)bits;
	return 0;
}

static void uuid_read(const json_t *json, uint8_t uuid[static 16], bool *has_uuid)
{
	if (json_array_size(json) != 16)
		return;
	for (size_t i = 0; i < 16; i++)
		uuid[i] = (uint8_t)json_integer_value(json_array_get(json, i));
	*has_uuid = true;
}

/* Where a length or a selector is: `stream.packet.context.a.b`, or `a.b` beside the field. */
static int location_read(struct reader *p, const json_t *json, const char **ret_path)
{
	static const struct {
		const char *origin, *path;
	} origins[] = {
		{"packet-header", "trace.packet.header"},
		{"packet-context", "stream.packet.context"},
		{"event-record-header", "stream.event.header"},
		{"event-record-common-context", "stream.event.context"},
		{"event-record-specific-context", "event.context"},
		{"event-record-payload", "event.fields"},
	};
	const json_t *steps = json_is_array(json) ? json : json_object_get(json, "path");
	const char *origin = json_string_value(json_object_get(json, "origin"));
	char path[512] = "";
	size_t len = 0;

	for (size_t i = 0; origin && i < sizeof(origins) / sizeof(origins[0]); i++)
		if (strcmp(origin, origins[i].origin) == 0)
			len = (size_t)snprintf(path, sizeof(path), "%s", origins[i].path);
	if (origin && !len)
		return fail(p, -EBADMSG, "unknown origin '%.40s'", origin);
	for (size_t i = 0; i < json_array_size(steps); i++) {
		const char *step = json_string_value(json_array_get(steps, i));
		int more;

		if (!step) /* null: one level up, where it is looked for anyway */
			continue;
		more = snprintf(path + len, sizeof(path) - len, "%s%s", len ? "." : "", step);
		if (more < 0 || (size_t)more >= sizeof(path) - len)
			return fail(p, -EBADMSG, "location too long");
		len += (size_t)more;
	}
	*ret_path = arena_text(&p->meta->arena, path, len);
	return *ret_path ? 0 : -ENOMEM;
}

static struct meta_type *type_new(struct reader *p, enum meta_kind kind)
{
	struct meta_type *type = arena_alloc(&p->meta->arena, sizeof(*type));

	if (type) {
		type->kind = kind;
		type->align_bits = 1;
		type->base = 10;
	}
	return type;
}

/* ---- numbers */

static enum meta_role role_of(struct reader *p, const json_t *json, bool *is_time)
{
	static const struct {
		const char *name;
		enum meta_role role;
	} roles[] = {
		{"packet-magic-number", ROLE_MAGIC},
		{"data-stream-class-id", ROLE_STREAM_ID},
		{"packet-total-length", ROLE_PACKET_BITS},
		{"packet-content-length", ROLE_CONTENT_BITS},
		{"packet-end-default-clock-timestamp", ROLE_END},
		{"discarded-event-record-counter-snapshot", ROLE_DISCARDED},
		{"packet-sequence-number", ROLE_SEQUENCE},
		{"event-record-class-id", ROLE_EVENT_ID},
	};
	const json_t *list = json_object_get(json, "roles");
	enum meta_role role = ROLE_NONE;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name && strcmp(name, "default-clock-timestamp") == 0) {
			*is_time = true;
			if (p->is_packet)
				role = ROLE_BEGIN;
		}
		for (size_t k = 0; name && k < sizeof(roles) / sizeof(roles[0]); k++)
			if (strcmp(name, roles[k].name) == 0)
				role = roles[k].role;
	}
	return role;
}

/* [[first, last], ...] behind @range. */
static int ranges_read(struct reader *p, const json_t *json, const char *label,
		       struct meta_range *range)
{
	for (size_t i = 0; i < json_array_size(json); i++) {
		const json_t *pair = json_array_get(json, i), *first = json_array_get(pair, 0),
			     *last = json_array_get(pair, 1);

		if (!json_is_integer(first) || !json_is_integer(last))
			return fail(p, -EBADMSG, "a range that is no pair of numbers");
		range[i] = (struct meta_range){label, (uint64_t)json_integer_value(first),
					       (uint64_t)json_integer_value(last)};
	}
	return 0;
}

static int mappings_read(struct reader *p, const json_t *json, struct meta_type *type)
{
	json_t *map = json_object_get(json, "mappings");
	struct meta_range *range;
	const char *label;
	json_t *ranges;
	size_t nr = 0;
	int r = 0;

	if (!json_object_size(map))
		return 0;
	json_object_foreach(map, label, ranges) nr += json_array_size(ranges);
	range = arena_array(&p->meta->arena, nr ?: 1, sizeof(*range));
	if (!range)
		return -ENOMEM;
	type->kind = META_ENUM;
	type->range = range;
	type->nr_ranges = (unsigned)nr;
	json_object_foreach(map, label, ranges)
	{
		const char *copy = arena_text(&p->meta->arena, label, strlen(label));

		r = copy ? ranges_read(p, ranges, copy, range) : -ENOMEM;
		if (r < 0)
			return r;
		range += json_array_size(ranges);
	}
	return 0;
}

static int fixed_read(struct reader *p, const json_t *json, enum meta_kind kind,
		      const struct meta_type **ret_type, enum meta_role *ret_role)
{
	static const struct meta_range truth[] = {{"false", 0, 0}, {"true", 1, UINT64_MAX}};
	struct meta_type *type = type_new(p, kind);
	const char *name = json_string_value(json_object_get(json, "type"));
	bool is_time = false, is_big = is_text(json, "byte-order", "big-endian");
	uint64_t bits, base;
	int r;

	if (!type)
		return -ENOMEM;
	r = number_read(p, json, "length", 0, &bits);
	if (r == 0)
		r = number_read(p, json, "preferred-display-base", 10, &base);
	if (r == 0)
		r = align_read(p, json, "alignment", 1, &type->align_bits);
	if (r < 0)
		return r;
	if (!bits || bits > 64 || (kind == META_FLOAT && bits != 32 && bits != 64))
		return fail(p, -ENOTSUP, "a number of %llu bits", (unsigned long long)bits);
	if (is_text(json, "bit-order", is_big ? "first-to-last" : "last-to-first"))
		return fail(p, -ENOTSUP, "a number whose bits are in the other order");
	type->size_bits = (uint32_t)bits;
	type->order = is_big ? META_BIG : META_LITTLE;
	type->base = base == 2 || base == 8 || base == 16 ? (unsigned)base : 10;
	type->is_signed = strcmp(name, "fixed-length-signed-integer") == 0;
	if (strcmp(name, "fixed-length-boolean") == 0) {
		type->kind = META_ENUM;
		type->range = truth;
		type->nr_ranges = 2;
	} else if (strncmp(name, "fixed-length-bit", 16) == 0) {
		type->base = 16;
	}
	*ret_role = role_of(p, json, &is_time);
	if (is_time)
		type->clock = p->clock;
	*ret_type = type;
	return kind == META_INT && type->kind == META_INT ? mappings_read(p, json, type) : 0;
}

/* ---- what holds others */

static int member_read(struct reader *p, const json_t *json, const char *what,
		       struct meta_member *member)
{
	member->raw = text_of(p, json, "name");
	if (!member->raw)
		return fail(p, -EBADMSG, "%s without a name", what);
	member->name = member->raw;
	return class_read(p, json_object_get(json, "field-class"), &member->type, &member->role);
}

static int struct_read(struct reader *p, const json_t *json, const struct meta_type **ret_type)
{
	const json_t *list = json_object_get(json, "member-classes");
	struct meta_type *type = type_new(p, META_STRUCT);
	size_t nr = json_array_size(list);
	struct meta_member *member = arena_array(&p->meta->arena, nr ?: 1, sizeof(*member));
	int r = type && member ? 0 : -ENOMEM;

	if (r == 0)
		r = align_read(p, json, "minimum-alignment", 1, &type->align_bits);
	for (size_t i = 0; i < nr && r == 0; i++) {
		r = member_read(p, json_array_get(list, i), "member", &member[i]);
		if (r == 0 && member[i].type->align_bits > type->align_bits)
			type->align_bits = member[i].type->align_bits;
	}
	if (r < 0)
		return r;
	type->member = member;
	type->nr_members = (unsigned)nr;
	*ret_type = type;
	return 0;
}

static int variant_read(struct reader *p, const json_t *json, const struct meta_type **ret_type)
{
	const json_t *list = json_object_get(json, "options");
	struct meta_type *type = type_new(p, META_VARIANT);
	size_t nr = json_array_size(list);
	struct meta_member *member = arena_array(&p->meta->arena, nr ?: 1, sizeof(*member));
	int r = type && member ? 0 : -ENOMEM;

	if (r == 0)
		r = location_read(p, json_object_get(json, "selector-field-location"), &type->ref);
	for (size_t i = 0; i < nr && r == 0; i++) {
		const json_t *option = json_array_get(list, i),
			     *ranges = json_object_get(option, "selector-field-ranges");
		size_t nr_ranges = json_array_size(ranges);
		struct meta_range *range =
			arena_array(&p->meta->arena, nr_ranges ?: 1, sizeof(*range));

		if (!range)
			return -ENOMEM;
		if (!nr_ranges)
			return fail(p, -EBADMSG, "an option that nothing selects");
		r = ranges_read(p, ranges, "", range);
		member[i].selector = range;
		member[i].nr_selectors = (unsigned)nr_ranges;
		if (r == 0)
			r = member_read(p, option, "option", &member[i]);
	}
	if (r < 0)
		return r;
	type->member = member;
	type->nr_members = (unsigned)nr;
	*ret_type = type;
	return 0;
}

/* Bytes: of a text, or of what is none. */
static const struct meta_type *byte_new(struct reader *p, bool is_text)
{
	struct meta_type *type = type_new(p, META_INT);

	if (type) {
		type->align_bits = type->size_bits = 8;
		type->base = is_text ? 10 : 16;
		type->is_text = is_text;
		type->order = META_LITTLE;
	}
	return type;
}

/* An array of @element, or of the class that is named. */
static int array_read(struct reader *p, const json_t *json, const struct meta_type *element,
		      const struct meta_type **ret_type)
{
	const json_t *location = json_object_get(json, "length-field-location");
	struct meta_type *type = type_new(p, location ? META_SEQUENCE : META_ARRAY);
	enum meta_role ignored;
	uint32_t align = 1;
	int r = type ? 0 : -ENOMEM;

	if (r == 0 && location)
		r = location_read(p, location, &type->ref);
	else if (r == 0 && !json_object_get(json, "length"))
		r = fail(p, -EBADMSG, "an array without a length");
	else if (r == 0)
		r = number_read(p, json, "length", 0, &type->length);
	if (r == 0 && !element)
		r = class_read(p, json_object_get(json, "element-field-class"), &element, &ignored);
	if (r == 0)
		r = align_read(p, json, "minimum-alignment", 1, &align);
	if (r < 0)
		return r;
	type->element = element;
	type->align_bits = align > element->align_bits ? align : element->align_bits;
	*ret_type = type;
	return 0;
}

static int bytes_read(struct reader *p, const json_t *json, bool is_text,
		      const struct meta_type **ret_type)
{
	const struct meta_type *byte = byte_new(p, is_text);

	return byte ? array_read(p, json, byte, ret_type) : -ENOMEM;
}

static int string_read(struct reader *p, const json_t *json, const struct meta_type **ret_type)
{
	struct meta_type *type = type_new(p, META_STRING);
	const char *encoding = json_string_value(json_object_get(json, "encoding"));

	if (!type)
		return -ENOMEM;
	if (encoding && strcmp(encoding, "utf-8") != 0)
		return fail(p, -ENOTSUP, "text in '%.20s'", encoding);
	type->align_bits = 8;
	type->is_text = true;
	*ret_type = type;
	return 0;
}

static int typed_read(struct reader *p, const json_t *json, const char *name,
		      const struct meta_type **ret_type, enum meta_role *ret_role)
{
	if (strcmp(name, "fixed-length-floating-point-number") == 0)
		return fixed_read(p, json, META_FLOAT, ret_type, ret_role);
	if (strncmp(name, "fixed-length-", 13) == 0)
		return fixed_read(p, json, META_INT, ret_type, ret_role);
	if (strcmp(name, "null-terminated-string") == 0)
		return string_read(p, json, ret_type);
	if (strcmp(name, "static-length-string") == 0 || strcmp(name, "dynamic-length-string") == 0)
		return bytes_read(p, json, true, ret_type);
	if (strcmp(name, "static-length-blob") == 0 || strcmp(name, "dynamic-length-blob") == 0)
		return bytes_read(p, json, false, ret_type);
	if (strcmp(name, "structure") == 0)
		return struct_read(p, json, ret_type);
	if (strcmp(name, "static-length-array") == 0 || strcmp(name, "dynamic-length-array") == 0)
		return array_read(p, json, NULL, ret_type);
	if (strcmp(name, "variant") == 0)
		return variant_read(p, json, ret_type);
	return fail(p, -ENOTSUP, "a field of class '%.60s'", name);
}

static int class_read(struct reader *p, const json_t *json, const struct meta_type **ret_type,
		      enum meta_role *ret_role)
{
	const struct alias *alias = p->alias;
	const char *name;
	int r;

	*ret_role = ROLE_NONE;
	if (json_is_string(json)) {
		while (alias && strcmp(alias->name, json_string_value(json)) != 0)
			alias = alias->next;
		if (!alias)
			return fail(p, -EBADMSG, "no field class '%.60s'", json_string_value(json));
		json = alias->class;
	}
	name = json_string_value(json_object_get(json, "type"));
	if (!name && !json_is_string(json))
		return fail(p, -EBADMSG, "a field without a class");
	if (p->depth >= META_DEPTH_MAX)
		return fail(p, -ENOTSUP, "types nested over %d deep", META_DEPTH_MAX);
	p->depth++;
	r = name ? typed_read(p, json, name, ret_type, ret_role)
		 : class_read(p, json, ret_type, ret_role);
	p->depth--;
	return r;
}

static int scope_read(struct reader *p, const json_t *json, const char *key,
		      const struct meta_type **ret_type)
{
	const json_t *class = json_object_get(json, key);
	enum meta_role ignored;
	int r = class ? class_read(p, class, ret_type, &ignored) : 0;

	if (r == 0 && class && (*ret_type)->kind != META_STRUCT)
		return fail(p, -EBADMSG, "'%s' is no structure", key);
	return r;
}

/* ---- fragments */

static int preamble_read(struct reader *p, const json_t *json)
{
	if (json_integer_value(json_object_get(json, "version")) != 2)
		return fail(p, -ENOTSUP, "not version 2 of CTF");
	uuid_read(json_object_get(json, "uuid"), p->meta->uuid, &p->meta->has_uuid);
	return 0;
}

static int alias_read(struct reader *p, const json_t *json)
{
	struct alias *alias = arena_alloc(&p->meta->arena, sizeof(*alias));

	if (!alias)
		return -ENOMEM;
	alias->name = text_of(p, json, "name");
	alias->class = json_object_get(json, "field-class");
	if (!alias->name || !alias->class)
		return fail(p, -EBADMSG, "an alias without a name or class");
	alias->next = p->alias;
	p->alias = alias;
	return 0;
}

static int trace_read(struct reader *p, const json_t *json)
{
	json_t *env = json_object_get(json, "environment"), *value;
	struct meta_env **tail = &p->meta->env;
	const char *name;

	json_object_foreach(env, name, value)
	{
		struct meta_env *e = arena_alloc(&p->meta->arena, sizeof(*e));

		if (!e)
			return -ENOMEM;
		e->name = arena_text(&p->meta->arena, name, strlen(name));
		e->text = text_of(p, env, name);
		e->number = json_integer_value(value);
		if (!e->name)
			return -ENOMEM;
		*tail = e;
		tail = &e->next;
	}
	return scope_read(p, json, "packet-header-field-class", &p->meta->packet_header);
}

static int clock_read(struct reader *p, const json_t *json)
{
	struct meta_clock *clock = arena_alloc(&p->meta->arena, sizeof(*clock)),
			  **tail = &p->meta->clock;
	const json_t *offset = json_object_get(json, "offset-from-origin");
	int r;

	if (!clock)
		return -ENOMEM;
	clock->name = text_of(p, json, "id") ?: text_of(p, json, "name");
	if (!clock->name || meta_clock_find(p->meta, clock->name))
		return fail(p, -EBADMSG, "clock without a name of its own");
	clock->description = text_of(p, json, "description");
	r = number_read(p, json, "frequency", 1000000000, &clock->frequency_hz);
	if (r == 0 && !clock->frequency_hz)
		return fail(p, -EBADMSG, "clock without a frequency");
	if (r == 0)
		r = number_read(p, offset, "cycles", 0, &clock->offset_ticks);
	clock->offset_s = json_integer_value(json_object_get(offset, "seconds"));
	while (*tail)
		tail = &(*tail)->next;
	*tail = clock;
	return r;
}

static int stream_read(struct reader *p, const json_t *json)
{
	struct meta_stream *s;
	uint64_t id;
	int r = number_read(p, json, "id", 0, &id);

	if (r < 0)
		return r;
	s = meta_stream_get(p->meta, id);
	if (!s)
		return -ENOMEM;
	if (s->has_id)
		return fail(p, -EBADMSG, "stream %llu is described twice", (unsigned long long)id);
	s->has_id = true;
	s->clock = text_of(p, json, "default-clock-class-id")
			   ?: text_of(p, json, "default-clock-class-name");
	if (s->clock && !meta_clock_find(p->meta, s->clock))
		return fail(p, -EBADMSG, "no clock '%.60s'", s->clock);
	p->clock = s->clock;
	p->is_packet = true;
	r = scope_read(p, json, "packet-context-field-class", &s->packet_context);
	p->is_packet = false;
	if (r == 0)
		r = scope_read(p, json, "event-record-header-field-class", &s->event_header);
	if (r == 0)
		r = scope_read(p, json, "event-record-common-context-field-class",
			       &s->event_context);
	return r;
}

static int event_read(struct reader *p, const json_t *json)
{
	struct meta_event *event = arena_alloc(&p->meta->arena, sizeof(*event));
	int r = event ? 0 : -ENOMEM;

	if (r == 0)
		r = number_read(p, json, "id", 0, &event->id);
	if (r == 0)
		r = number_read(p, json, "data-stream-class-id", 0, &event->stream_id);
	if (r < 0)
		return r;
	event->name = text_of(p, json, "name") ?: "";
	p->clock = NULL;
	r = scope_read(p, json, "specific-context-field-class", &event->context);
	if (r == 0)
		r = scope_read(p, json, "payload-field-class", &event->payload);
	return r < 0 ? r : meta_add_event(p->meta, event);
}

static int fragment_read(struct reader *p, const json_t *json)
{
	static const struct {
		const char *type;
		int (*read)(struct reader *p, const json_t *json);
	} fragments[] = {
		{"preamble", preamble_read},        {"field-class-alias", alias_read},
		{"trace-class", trace_read},        {"clock-class", clock_read},
		{"data-stream-class", stream_read}, {"event-record-class", event_read},
	};
	const char *type = json_string_value(json_object_get(json, "type"));

	if (!type)
		return fail(p, -EBADMSG, "no type");
	for (size_t i = 0; i < sizeof(fragments) / sizeof(fragments[0]); i++)
		if (strcmp(type, fragments[i].type) == 0)
			return fragments[i].read(p, json);
	return 0; /* newer writers may have more of them */
}

static bool is_blank(const char *text, size_t len)
{
	while (len && (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')) {
		text++;
		len--;
	}
	return !len;
}

static int fragments_read(struct reader *p, const char *text, size_t len)
{
	json_error_t error;
	int r = 0;

	for (size_t at = 0; at < len && r == 0;) {
		const char *end = memchr(text + at, MARK, len - at);
		size_t bytes = end ? (size_t)(end - text) - at : len - at;
		json_t *json;

		p->at = at;
		if (!is_blank(text + at, bytes)) {
			json = json_loadb(text + at, bytes, 0, &error);
			if (!json)
				return fail(p, -EBADMSG, "byte %d: %s", error.position, error.text);
			if (json_array_append_new(p->all, json) < 0)
				return -ENOMEM;
			r = fragment_read(p, json);
		}
		at += bytes + 1;
	}
	return r;
}

int meta_read_json(struct meta *m, const char *text, size_t len, const char *file,
		   struct tocsin_diag *diag)
{
	struct reader p = {.meta = m, .file = file, .diag = diag, .all = json_array()};
	int r = p.all ? 0 : -ENOMEM;

	m->version = 2;
	m->order = META_LITTLE;
	if (r == 0)
		r = fragments_read(&p, text, len);
	json_decref(p.all);
	return r;
}
