// SPDX-License-Identifier: MIT
/*
 * From types to steps.
 *
 * Lengths and tags are values read before: `name` or `a.b` looks for a member beside the type and
 * then further out, `stream.event.context.a` from a scope down. Each member that was compiled is
 * remembered with its step and its parent, so a reference is a walk over that list, once; the step
 * found gets a slot, in which the decoder leaves the value for the one that needs it. Slots of
 * heads outlive the event, those within an event are used again by the next one.
 *
 * Types nest no deeper than META_DEPTH_MAX, so the functions that follow them may call each other;
 * names may stand for types that hold each other many times over, so the steps are counted.
 */
#include "read_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "read_plan_ops.h"

#define NO_ENTRY UINT32_MAX

/* A member that was compiled. */
struct entry {
	const char *raw;
	const char *name;
	const struct meta_type *type;
	struct plan *plan; /* and the step that reads it */
	uint32_t op;
	uint32_t parent; /* NO_ENTRY: a scope, whose raw is its path */
	bool is_shared;  /* of a head */
};

struct builder {
	const struct meta *meta;
	struct entry *entry;
	size_t nr_entries, capacity;
	uint32_t nr_shared, nr_local, most_local;
	uint32_t nr_ops;
	uint32_t parent; /* entry that is being filled */
	unsigned depth;
	struct plan *plan;
	size_t ops_capacity, options_capacity;
	enum plan_scope scope;
	bool is_shared;
	const char *clock;         /* of the stream, once a time was met */
	const struct plan *header; /* of the stream's events; NULL: before that */
	bool is_header_used;       /* an event refers to its header */
	struct tocsin_err *err;
};

static int type_add(struct builder *b, const struct meta_member *member,
		    const struct meta_type *type, const char *name);

/* ---- lists that grow */

static int op_add(struct builder *b, enum plan_code code, const struct meta_type *type,
		  const char *name, struct plan_op **ret_op)
{
	struct plan *plan = b->plan;

	if (++b->nr_ops > PLAN_OPS_MAX || plan->nr_ops >= PLAN_EVENT_OPS_MAX)
		return tocsin_err_fail(-ENOTSUP, b->err, "the metadata describes too much");
	if (plan->nr_ops == b->ops_capacity) {
		size_t capacity = b->ops_capacity ? 2 * b->ops_capacity : 16;
		struct plan_op *op = reallocarray(plan->op, capacity, sizeof(*op));

		if (!op)
			return -ENOMEM;
		plan->op = op;
		b->ops_capacity = capacity;
	}
	*ret_op = &plan->op[plan->nr_ops++];
	**ret_op = (struct plan_op){
		.code = (uint8_t)code,
		.scope = (uint8_t)b->scope,
		.type = type,
		.name = name,
		.name_len = (uint16_t)(name ? strnlen(name, UINT16_MAX) : 0),
		.align_bits = type ? type->align_bits : 1,
		.slot = PLAN_NO_SLOT,
		.from = PLAN_NO_SLOT,
	};
	return 0;
}

static int option_add(struct builder *b, const struct meta_range *range, bool is_signed,
		      uint32_t jump)
{
	struct plan *plan = b->plan;

	if (++b->nr_ops > PLAN_OPS_MAX)
		return tocsin_err_fail(-ENOTSUP, b->err, "the metadata describes too much");
	if (plan->nr_options == b->options_capacity) {
		size_t capacity = b->options_capacity ? 2 * b->options_capacity : 8;
		struct plan_option *option = reallocarray(plan->option, capacity, sizeof(*option));

		if (!option)
			return -ENOMEM;
		plan->option = option;
		b->options_capacity = capacity;
	}
	plan->option[plan->nr_options++] =
		(struct plan_option){range->first, range->last, is_signed, jump};
	return 0;
}

static int entry_add(struct builder *b, const char *raw, const char *name,
		     const struct meta_type *type, uint32_t *ret_entry)
{
	if (b->nr_entries == b->capacity) {
		size_t capacity = b->capacity ? 2 * b->capacity : 64;
		struct entry *entry = reallocarray(b->entry, capacity, sizeof(*entry));

		if (!entry)
			return -ENOMEM;
		b->entry = entry;
		b->capacity = capacity;
	}
	b->entry[b->nr_entries] = (struct entry){.raw = raw,
						 .name = name,
						 .type = type,
						 .plan = b->plan,
						 .op = b->plan->nr_ops,
						 .parent = b->parent,
						 .is_shared = b->is_shared};
	*ret_entry = (uint32_t)b->nr_entries++; /* may be b->parent itself */
	return 0;
}

/* ---- references */

static bool entry_is(const struct entry *e, const char *name, size_t len)
{
	return (strncmp(e->raw, name, len) == 0 && !e->raw[len]) ||
	       (strncmp(e->name, name, len) == 0 && !e->name[len]);
}

/* The latest member of @parent with the path's first name, and so on. */
static struct entry *entry_below(const struct builder *b, uint32_t parent, const char *path)
{
	for (;;) {
		const char *dot = strchrnul(path, '.');
		size_t i = b->nr_entries;

		while (i-- > 0)
			if (b->entry[i].parent == parent &&
			    entry_is(&b->entry[i], path, (size_t)(dot - path)))
				break;
		if (i == SIZE_MAX)
			return NULL;
		if (!*dot)
			return &b->entry[i];
		parent = (uint32_t)i;
		path = dot + 1;
	}
}

static struct entry *entry_find(const struct builder *b, const char *path)
{
	struct entry *found = NULL;

	/* An absolute one: its beginning is a scope's. */
	for (size_t i = b->nr_entries; i-- > 0;) {
		const struct entry *e = &b->entry[i];
		size_t len = strlen(e->raw);

		if (e->parent == NO_ENTRY && strncmp(path, e->raw, len) == 0 && path[len] == '.')
			return entry_below(b, (uint32_t)i, path + len + 1);
	}
	for (uint32_t at = b->parent; at != NO_ENTRY && !found; at = b->entry[at].parent)
		found = entry_below(b, at, path);
	for (size_t i = b->nr_entries; i-- > 0 && !found;)
		if (b->entry[i].parent == NO_ENTRY)
			found = entry_below(b, (uint32_t)i, path);
	return found;
}

/* The slot of the integer that @path names; its type tells what its values are called. */
static int slot_of(struct builder *b, const char *path, uint32_t *ret_slot,
		   const struct meta_type **ret_type)
{
	struct entry *e = path ? entry_find(b, path) : NULL;
	struct plan_op *op;

	if (!e)
		return tocsin_err_fail(-EBADMSG, b->err,
				       "no field '%.80s' before the one whose "
				       "length or kind it tells",
				       path ? path : "");
	op = &e->plan->op[e->op];
	b->is_header_used |= e->plan == b->header;
	if (op->code != PLAN_INT && op->code != PLAN_BITS)
		return tocsin_err_fail(-EBADMSG, b->err,
				       "field '%.80s', which tells a length or kind, is no integer",
				       path);
	if (op->slot == PLAN_NO_SLOT) {
		if (e->is_shared ? b->nr_shared == PLAN_SHARED : b->nr_local == PLAN_LOCAL_MAX)
			return tocsin_err_fail(-ENOTSUP, b->err,
					       "too many lengths and kinds in one event");
		op->slot = e->is_shared ? b->nr_shared++ : PLAN_SHARED + b->nr_local++;
		if (b->nr_local > b->most_local)
			b->most_local = b->nr_local;
	}
	*ret_slot = op->slot;
	*ret_type = e->type;
	return 0;
}

/* ---- types */

static bool is_big(const struct builder *b, const struct meta_type *type)
{
	return (type->order == META_NATIVE ? b->meta->order : type->order) == META_BIG;
}

static bool is_character(const struct meta_type *type)
{
	return type->kind == META_INT && type->is_text && type->size_bits == 8 &&
	       type->align_bits <= 8;
}

static int int_add(struct builder *b, const struct meta_type *type, const char *name)
{
	unsigned bits = type->size_bits;
	struct plan_op *op;
	int r;

	if (is_big(b, type) || type->align_bits % 8 ||
	    (bits != 8 && bits != 16 && bits != 32 && bits != 64))
		r = op_add(b, PLAN_BITS, type, name, &op);
	else
		r = op_add(b, PLAN_INT, type, name, &op);
	if (r < 0)
		return r;
	op->bits = (uint8_t)bits;
	op->is_signed = type->is_signed;
	op->is_big = is_big(b, type);
	if (bits % 8 || type->align_bits % 8)
		b->plan->is_bytes = false;
	if (!type->clock)
		return 0;
	if (!meta_clock_find(b->meta, type->clock))
		return tocsin_err_fail(-EBADMSG, b->err, "no clock '%.80s'", type->clock);
	if (!b->clock)
		b->clock = type->clock;
	if (strcmp(b->clock, type->clock) != 0)
		return tocsin_err_fail(-ENOTSUP, b->err,
				       "one stream with the clocks '%.80s' and '%.80s'", b->clock,
				       type->clock);
	op->is_time = true;
	return 0;
}

static int float_add(struct builder *b, const struct meta_type *type, const char *name)
{
	struct plan_op *op;
	int r = op_add(b, PLAN_FLOAT, type, name, &op);

	if (r < 0)
		return r;
	op->bits = (uint8_t)type->size_bits;
	op->is_big = is_big(b, type);
	if (type->align_bits % 8)
		b->plan->is_bytes = false;
	return 0;
}

static int member_add(struct builder *b, const struct meta_member *member)
{
	uint32_t parent = b->parent;
	int r = entry_add(b, member->raw, member->name, member->type, &b->parent);

	if (r == 0)
		r = type_add(b, member, member->type, member->name);
	b->parent = parent;
	return r;
}

static int struct_add(struct builder *b, const struct meta_type *type, const char *name)
{
	struct plan_op *op;
	int r = op_add(b, PLAN_OPEN, type, name, &op);

	for (unsigned i = 0; i < type->nr_members && r == 0; i++)
		r = member_add(b, &type->member[i]);
	return r < 0 ? r : op_add(b, PLAN_CLOSE, NULL, NULL, &op);
}

/* The ranges of the tag that lead to option @idx. */
static int ranges_add(struct builder *b, const struct meta_member *option,
		      const struct meta_type *tag, uint32_t jump)
{
	const struct meta_range *range = option->nr_selectors ? option->selector : tag->range;
	unsigned nr = option->nr_selectors ?: tag->nr_ranges;
	int r = 0;

	for (unsigned i = 0; i < nr && r == 0; i++) {
		if (!option->nr_selectors && strcmp(range[i].label, option->raw) != 0 &&
		    strcmp(range[i].label, option->name) != 0)
			continue;
		r = option_add(b, &range[i], tag->is_signed, jump);
	}
	return r;
}

static int variant_add(struct builder *b, const struct meta_type *type, const char *name)
{
	uint32_t at = b->plan->nr_ops, first = b->plan->nr_options, slot = PLAN_NO_SLOT;
	uint32_t *ends TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	const struct meta_type *tag = NULL;
	struct plan_op *op;
	int r = slot_of(b, type->ref, &slot, &tag);

	if (r == 0)
		r = op_add(b, PLAN_VARIANT, type, name, &op);
	if (r < 0)
		return r;
	op->from = slot;
	op->align_bits = 1;
	ends = calloc(type->nr_members ?: 1, sizeof(*ends));
	if (!ends)
		return -ENOMEM;
	for (unsigned i = 0; i < type->nr_members && r == 0; i++) {
		r = ranges_add(b, &type->member[i], tag, b->plan->nr_ops);
		if (r == 0)
			r = member_add(b, &type->member[i]);
		ends[i] = b->plan->nr_ops;
		if (r == 0)
			r = op_add(b, PLAN_JUMP, NULL, NULL, &op);
	}
	for (unsigned i = 0; i < type->nr_members && r == 0; i++)
		b->plan->op[ends[i]].jump = b->plan->nr_ops;
	b->plan->op[at].option = first;
	b->plan->op[at].nr_options = b->plan->nr_options - first;
	b->plan->is_bytes = false; /* has no short list; the long one does not care */
	return r < 0 ? r : op_add(b, PLAN_CLOSE, NULL, NULL, &op);
}

/* What a value of the steps @from up to the last one takes at least. Options of a variant count
 * nothing. */
static uint64_t min_bits(const struct plan *plan, uint32_t from)
{
	uint64_t bits = 0;

	for (uint32_t i = from; i < plan->nr_ops && bits < UINT32_MAX; i++) {
		const struct plan_op *op = &plan->op[i];

		if (op->code == PLAN_INT || op->code == PLAN_BITS || op->code == PLAN_FLOAT)
			bits += op->bits;
		else if (op->code == PLAN_STRING)
			bits += 8;
		else if (op->code == PLAN_TEXT && op->from == PLAN_NO_SLOT)
			bits += op->count;
		else if (op->code == PLAN_VARIANT)
			break;
		else if (op->code == PLAN_LOOP) {
			bits += op->from == PLAN_NO_SLOT && op->count ? op->element_min_bits : 0;
			i = op->jump - 1;
		}
	}
	return bits;
}

/* An element of always the same length in bytes, one behind the other without a gap. */
static uint64_t stride_of(const struct plan *plan, uint32_t from)
{
	const struct plan_op *op = &plan->op[from];

	if (plan->nr_ops - from != 1 || op->is_time || op->bits % 8 || op->align_bits % 8)
		return 0;
	if (op->code != PLAN_INT && op->code != PLAN_BITS && op->code != PLAN_FLOAT)
		return 0;
	return op->bits % op->align_bits ? 0 : op->bits / 8;
}

static int array_add(struct builder *b, const struct meta_member *member,
		     const struct meta_type *type, const char *name)
{
	uint32_t at = b->plan->nr_ops, slot = PLAN_NO_SLOT;
	const struct meta_type *tag;
	struct plan_op *op;
	bool is_text = type->kind != META_BLOB && is_character(type->element);
	int r = type->ref ? slot_of(b, type->ref, &slot, &tag) : 0;

	if (r == 0)
		r = op_add(b, is_text ? PLAN_TEXT : PLAN_LOOP, type, name, &op);
	if (r < 0)
		return r;
	op->from = slot;
	op->count = type->length;
	op->is_uuid = b->scope == SCOPE_PACKET_HEADER && member &&
		      strcmp(member->name, "uuid") == 0 && type->length == 16;
	op->stride_bytes = 1;
	if (is_text) {
		op->align_bits = type->element->align_bits;
		if (op->align_bits % 8)
			op->align_bits = 8;
		return 0;
	}
	r = type_add(b, NULL, type->element, NULL);
	if (r < 0)
		return r;
	op = &b->plan->op[at];
	op->element_min_bits = min_bits(b->plan, at + 1);
	op->stride_bytes = stride_of(b->plan, at + 1);
	if (!op->element_min_bits)
		return tocsin_err_fail(-ENOTSUP, b->err,
				       "field '%.80s': an array of elements that may be empty",
				       name ? name : "");
	op->jump = b->plan->nr_ops + 1;
	r = op_add(b, PLAN_REPEAT, NULL, NULL, &op);
	if (r == 0)
		op->jump = at + 1;
	return r;
}

static int kind_add(struct builder *b, const struct meta_member *member,
		    const struct meta_type *type, const char *name)
{
	struct plan_op *op;

	switch (type->kind) {
	case META_INT:
	case META_ENUM: return int_add(b, type, name);
	case META_FLOAT: return float_add(b, type, name);
	case META_STRING: return op_add(b, PLAN_STRING, type, name, &op);
	case META_STRUCT: return struct_add(b, type, name);
	case META_VARIANT: return variant_add(b, type, name);
	case META_ARRAY:
	case META_SEQUENCE:
	case META_BLOB: return array_add(b, member, type, name);
	}
	return -EINVAL;
}

static bool is_head(enum plan_scope scope)
{
	return scope == SCOPE_PACKET_HEADER || scope == SCOPE_PACKET_CONTEXT ||
	       scope == SCOPE_EVENT_HEADER;
}

/* What a field of a head is for, by its name in the place where that counts. */
static enum meta_role role_of(const struct builder *b, const struct meta_member *member)
{
	enum meta_role role = member->role;

	if (b->meta->version == 1)
		role = meta_role_by_name(member->name);
	if ((role == ROLE_MAGIC || role == ROLE_STREAM_ID) != (b->scope == SCOPE_PACKET_HEADER) ||
	    (role == ROLE_EVENT_ID) != (b->scope == SCOPE_EVENT_HEADER))
		return ROLE_NONE;
	return role;
}

static int type_add(struct builder *b, const struct meta_member *member,
		    const struct meta_type *type, const char *name)
{
	uint32_t at = b->plan->nr_ops;
	int r;

	if (b->depth >= META_DEPTH_MAX)
		return tocsin_err_fail(-ENOTSUP, b->err, "types nested over %d deep",
				       META_DEPTH_MAX);
	b->depth++;
	r = kind_add(b, member, type, name);
	b->depth--;
	if (r == 0 && member && is_head(b->scope)) {
		struct plan_op *op = &b->plan->op[at];

		if (op->code == PLAN_INT || op->code == PLAN_BITS) {
			op->role = (uint8_t)role_of(b, member);
			/* It says when the packet ends, not what time it is now. */
			if (op->role == ROLE_END)
				op->is_time = false;
		}
	}
	return r;
}

/* ---- scopes */

static void plan_begin(struct builder *b, struct plan *plan)
{
	b->plan = plan;
	b->ops_capacity = b->options_capacity = 0;
	plan->is_bytes = true;
}

static int plan_finish(struct builder *b)
{
	struct plan_op *op;

	return op_add(b, PLAN_END, NULL, NULL, &op);
}

static int scope_add(struct builder *b, enum plan_scope scope, const struct meta_type *type)
{
	static const char *const paths[SCOPE_NR] = {
		[SCOPE_PACKET_HEADER] = "trace.packet.header",
		[SCOPE_PACKET_CONTEXT] = "stream.packet.context",
		[SCOPE_EVENT_HEADER] = "stream.event.header",
		[SCOPE_STREAM_CONTEXT] = "stream.event.context",
		[SCOPE_EVENT_CONTEXT] = "event.context",
		[SCOPE_PAYLOAD] = "event.fields",
	};
	uint32_t at = b->plan->nr_ops;
	int r;

	if (!type)
		return 0;
	b->scope = scope;
	b->is_shared = is_head(scope);
	b->parent = NO_ENTRY;
	r = entry_add(b, paths[scope], "", type, &b->parent);
	if (r == 0)
		r = type_add(b, NULL, type, NULL);
	if (r == 0)
		b->plan->op[at].is_root = true;
	return r;
}

static int scope_plan(struct builder *b, struct plan *plan, enum plan_scope scope,
		      const struct meta_type *type)
{
	int r;

	plan_begin(b, plan);
	r = scope_add(b, scope, type);
	return r < 0 ? r : plan_finish(b);
}

static int event_make(struct builder *b, struct plan_stream *s, struct plan_event *event)
{
	size_t nr_entries = b->nr_entries;
	int r;

	b->nr_local = 0;
	plan_begin(b, &event->body);
	r = scope_add(b, SCOPE_STREAM_CONTEXT, s->meta->event_context);
	if (r == 0)
		r = scope_add(b, SCOPE_EVENT_CONTEXT, event->meta->context);
	if (r == 0)
		r = scope_add(b, SCOPE_PAYLOAD, event->meta->payload);
	if (r == 0)
		r = plan_finish(b);
	b->nr_entries = nr_entries;
	for (uint32_t i = 0; i < event->body.nr_ops && r == 0; i++) {
		struct plan_op *op = &event->body.op[i];

		op->is_plain = op->slot == PLAN_NO_SLOT && !op->role && !op->is_time;
	}
	if (r == 0)
		r = plan_fill_make(&event->body);
	if (r == 0)
		r = plan_skip_make(&event->body, s->header_kind == PLAN_HEADER_TOCSIN ? 8 : 1);
	if (r < 0)
		tocsin_err_add(b->err, "event '%.80s'", event->meta->name);
	return r;
}

static int stream_make(struct builder *b, struct plan_stream *s)
{
	size_t nr_entries = b->nr_entries;
	const struct meta_event *e = s->meta->event;
	int r;

	b->clock = s->meta->clock;
	b->header = NULL;
	b->is_header_used = false;
	r = scope_plan(b, &s->context, SCOPE_PACKET_CONTEXT, s->meta->packet_context);
	if (r == 0)
		r = scope_plan(b, &s->header, SCOPE_EVENT_HEADER, s->meta->event_header);
	if (r < 0)
		return tocsin_err_fail(r, b->err, "stream %llu", (unsigned long long)s->meta->id);
	s->header_kind = PLAN_HEADER_ANY;
	if (plan_header_is_tocsin(&s->header, s->meta->event_header))
		s->header_kind = PLAN_HEADER_TOCSIN;
	else if (s->header.nr_ops == 1)
		s->header_kind = PLAN_HEADER_NONE;
	s->event = calloc(s->meta->nr_events ?: 1, sizeof(*s->event));
	if (!s->event)
		return -ENOMEM;
	b->header = &s->header;
	for (; e && r == 0; e = e->next) {
		s->event[s->nr_events].meta = e;
		s->event[s->nr_events].name = e->name;
		r = event_make(b, s, &s->event[s->nr_events++]);
	}
	b->nr_entries = nr_entries;
	if (b->is_header_used && s->header_kind == PLAN_HEADER_TOCSIN)
		s->header_kind = PLAN_HEADER_ANY; /* so that its values are kept */
	s->clock = meta_clock_find(b->meta, b->clock);
	return r < 0 ? r : plan_events_sort(s, b->err);
}

static int trace_make(struct builder *b, struct plan_trace *t)
{
	const struct meta_stream *s = b->meta->stream;
	unsigned nr = 0;
	int r = scope_plan(b, &t->packet_header, SCOPE_PACKET_HEADER, b->meta->packet_header);

	if (r < 0)
		return tocsin_err_fail(r, b->err, "header of packets");
	for (const struct meta_stream *i = s; i; i = i->next)
		nr++;
	t->stream = calloc(nr ?: 1, sizeof(*t->stream));
	if (!t->stream)
		return -ENOMEM;
	for (; s && r == 0; s = s->next) {
		t->stream[t->nr_streams].meta = s;
		r = stream_make(b, &t->stream[t->nr_streams++]);
	}
	t->nr_slots = PLAN_SHARED + b->most_local;
	return r;
}

int plan_make(const struct meta *meta, struct plan_trace *ret_plan, struct tocsin_err *err)
{
	struct builder b = {.meta = meta, .err = err, .parent = NO_ENTRY};
	struct plan_trace t = {0};
	int r = trace_make(&b, &t);

	free(b.entry);
	if (r < 0) {
		plan_done(&t);
		return r;
	}
	*ret_plan = t;
	return 0;
}
