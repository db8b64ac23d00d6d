// SPDX-License-Identifier: MIT
/*
 * The metadata of a recorded trace as CTF 2 has it: a JSON text sequence (RFC 7464), one fragment a
 * thing. The streams are the same bytes as those that metadata_event.c describes; what each thing
 * means is said there. Names need no underscore before them here, and may hold anything, but texts
 * of programs are kept to ASCII all the same.
 */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "metadata_event.h"
#include "tocsin/types.h"

static void fragment(FILE *f, const char *type)
{
	(void)fprintf(f, "\x1e{\"type\":\"%s\"", type);
}

static void fragment_end(FILE *f)
{
	(void)fputs("}\n", f);
}

/* A member of a structure up to its field class. */
static void member(FILE *f, const char *name, bool is_first)
{
	(void)fputs(is_first ? "{\"name\":" : ",{\"name\":", f);
	ctf_put_quoted(f, name);
	(void)fputs(",\"field-class\":", f);
}

static void put_integer(FILE *f, unsigned bytes, unsigned align, bool is_signed, bool is_hex,
			const char *roles)
{
	(void)fprintf(f,
		      "{\"type\":\"fixed-length-%s-integer\",\"length\":%u,\"byte-order\":"
		      "\"little-endian\",\"alignment\":%u%s",
		      is_signed ? "signed" : "unsigned", bytes * 8, align * 8,
		      is_hex ? ",\"preferred-display-base\":16" : "");
	if (roles)
		(void)fprintf(f, ",\"roles\":[\"%s\"]", roles);
	(void)fputs("}", f);
}

static void put_role(FILE *f, const char *name, unsigned bytes, const char *role, bool is_first)
{
	member(f, name, is_first);
	put_integer(f, bytes, bytes, false, false, role);
	(void)fputs("}", f);
}

static void put_head(FILE *f, const struct ctf_recorded *rec)
{
	fragment(f, "preamble");
	(void)fputs(",\"version\":2", f);
	fragment_end(f);
	fragment(f, "trace-class");
	(void)fputs(",\"namespace\":\"tocsin\",\"name\":\"record\",\"uid\":\"", f);
	for (unsigned i = 0; i < sizeof(rec->uuid); i++)
		(void)fprintf(f, "%02x", rec->uuid[i]);
	(void)fputs("\",\"environment\":{", f);
	for (unsigned i = 0; i < rec->trace->nr_env; i++) {
		(void)fputs(i ? "," : "", f);
		ctf_put_quoted(f, rec->trace->env[i].name);
		(void)fputs(":", f);
		ctf_put_quoted(f, rec->trace->env[i].value);
	}
	(void)fputs("},\"packet-header-field-class\":{\"type\":\"structure\",\"member-classes\":[",
		    f);
	put_role(f, "magic", 4, "packet-magic-number", true);
	member(f, "uuid", false);
	(void)fputs("{\"type\":\"static-length-blob\",\"length\":16}}", f);
	put_role(f, "stream_id", 4, "data-stream-class-id", false);
	(void)fputs("]}", f);
	fragment_end(f);
}

static void put_clock(FILE *f, const struct ctf_clock *clock)
{
	fragment(f, "clock-class");
	(void)fprintf(f,
		      ",\"id\":\"%s\",\"name\":\"%s\",\"description\":\"%s\",\"frequency\":%llu,"
		      "\"origin\":\"unix-epoch\",\"offset-from-origin\":{\"seconds\":%lld,"
		      "\"cycles\":%llu}",
		      clock->name, clock->name, clock->description,
		      (unsigned long long)clock->freq_hz, (long long)clock->offset_s,
		      (unsigned long long)clock->offset);
	fragment_end(f);
}

/* The header of ctf.md: an identity, and one of two forms. */
static void put_record_header(FILE *f)
{
	(void)fputs(",\"event-record-header-field-class\":{\"type\":\"structure\","
		    "\"minimum-alignment\":64,\"member-classes\":[",
		    f);
	put_role(f, "id", 2, "event-record-class-id", true);
	member(f, "v", false);
	(void)fputs("{\"type\":\"variant\",\"selector-field-location\":{\"origin\":"
		    "\"event-record-header\",\"path\":[\"id\"]},\"options\":["
		    "{\"name\":\"compact\",\"selector-field-ranges\":[[0,65534]],\"field-class\":"
		    "{\"type\":\"structure\",\"member-classes\":[",
		    f);
	put_role(f, "timestamp", 4, "default-clock-timestamp", true);
	(void)fputs("]}},{\"name\":\"extended\",\"selector-field-ranges\":[[65535,65535]],"
		    "\"field-class\":{\"type\":\"structure\",\"member-classes\":[",
		    f);
	put_role(f, "id", 4, "event-record-class-id", true);
	member(f, "timestamp", false);
	put_integer(f, 8, 4, false, false, "default-clock-timestamp");
	(void)fputs("}]}}]}}]}", f);
}

static void put_stream(FILE *f, unsigned id, const char *clock, bool is_ring)
{
	fragment(f, "data-stream-class");
	(void)fprintf(f,
		      ",\"id\":%u,\"default-clock-class-id\":\"%s\","
		      "\"packet-context-field-class\":{\"type\":\"structure\",\"member-classes\":[",
		      id, clock);
	put_role(f, "timestamp_begin", 8, "default-clock-timestamp", true);
	put_role(f, "timestamp_end", 8, "packet-end-default-clock-timestamp", false);
	put_role(f, "content_size", 8, "packet-content-length", false);
	put_role(f, "packet_size", 8, "packet-total-length", false);
	put_role(f, "events_discarded", 8, "discarded-event-record-counter-snapshot", false);
	if (is_ring) {
		put_role(f, "ring", 4, NULL, false);
		put_role(f, "pid", 4, NULL, false);
	}
	(void)fputs("]}", f);
	put_record_header(f);
	fragment_end(f);
}

/* --- our own events --- */

static void put_own_field(FILE *f, const struct ctf_field *field, bool is_first)
{
	member(f, field->name, is_first);
	switch (field->kind) {
#define X(NAME, ctype, tsdl, bytes, is_signed, base)                         \
	case CTF_##NAME:                                                     \
		put_integer(f, bytes, bytes, is_signed, (base) == 16, NULL); \
		break;
#include "kinds.def"
#undef X
	case CTF_ENUM: put_integer(f, 1, 1, false, false, NULL); break;
	case CTF_STRS:
	case CTF_X64S: /* no recording's own event has lists */
	case CTF_STR: (void)fputs("{\"type\":\"null-terminated-string\"}", f); break;
	}
	(void)fputs("}", f);
}

static void put_own_stream(FILE *f, const struct ctf_stream_class *stream, unsigned id)
{
	put_stream(f, id, "monotonic", stream->per_cpu);
	for (unsigned i = 0; i < stream->nr_events; i++) {
		const struct ctf_event_class *event = &stream->event[i];

		fragment(f, "event-record-class");
		(void)fprintf(f, ",\"data-stream-class-id\":%u,\"id\":%u,\"name\":", id, event->id);
		ctf_put_quoted(f, event->name);
		(void)fputs(",\"payload-field-class\":{\"type\":\"structure\",\"member-classes\":[",
			    f);
		for (unsigned k = 0; k < event->nr_fields; k++)
			put_own_field(f, &event->field[k], k == 0);
		(void)fputs("]}", f);
		fragment_end(f);
	}
}

/* --- events of programs --- */

static bool is_signed(unsigned type)
{
	return type >= TOCSIN_TYPE_S8 && type <= TOCSIN_TYPE_S64;
}

static void put_scalar(FILE *f, unsigned type, bool is_hex)
{
	unsigned bytes = ctf_scalar_bytes(type);

	if (type == TOCSIN_TYPE_F32 || type == TOCSIN_TYPE_F64)
		(void)fprintf(f,
			      "{\"type\":\"fixed-length-floating-point-number\",\"length\":%u,"
			      "\"byte-order\":\"little-endian\",\"alignment\":%u}",
			      bytes * 8, bytes * 8);
	else if (type == TOCSIN_TYPE_BOOL)
		(void)fputs("{\"type\":\"fixed-length-boolean\",\"length\":8,\"byte-order\":"
			    "\"little-endian\",\"alignment\":8}",
			    f);
	else
		put_integer(f, bytes, bytes, is_signed(type), is_hex || type == TOCSIN_TYPE_POINTER,
			    NULL);
}

static void put_range(FILE *f, const struct control_label *label, unsigned type)
{
	if (is_signed(type))
		(void)fprintf(f, "[%lld,%lld]", (long long)label->first, (long long)label->last);
	else
		(void)fprintf(f, "[%llu,%llu]", (unsigned long long)label->first,
			      (unsigned long long)label->last);
}

static void put_enum(FILE *f, const struct control_class *class, const struct control_field *field)
{
	unsigned bytes = ctf_scalar_bytes(field->type);
	bool any = false;

	(void)fprintf(f,
		      "{\"type\":\"fixed-length-%s-integer\",\"length\":%u,\"byte-order\":"
		      "\"little-endian\",\"alignment\":%u,\"mappings\":{",
		      is_signed(field->type) ? "signed" : "unsigned", bytes * 8, bytes * 8);
	for (unsigned i = 0; i < field->nr_labels; i++) {
		const struct control_label *label = ctf_described_label(class, field, i);
		char name[CTF_NAME_MAX + 16];

		if (!ctf_label_fits(label, field->type))
			continue;
		ctf_label_name(class, field, i, name, sizeof(name));
		(void)fputs(any ? "," : "", f);
		any = true;
		ctf_put_quoted(f, name);
		(void)fputs(":[", f);
		put_range(f, label, field->type);
		(void)fputs("]", f);
	}
	(void)fputs("}}", f);
}

static void put_field(FILE *f, const struct control_class *class, const struct control_field *field,
		      struct ctf_names *names, bool is_first)
{
	const char *text = ctf_described_text(class, field->name);
	bool is_hex = field->flags & TOCSIN_FIELD_HEX;
	char length[CTF_NAME_MAX + 16];

	if (field->type == TOCSIN_TYPE_SEQUENCE || field->type == TOCSIN_TYPE_BLOB) {
		(void)snprintf(length, sizeof(length), "_%s_length", text);
		(void)snprintf(length, sizeof(length), "%s", ctf_names_add(names, length) + 1);
		member(f, length, is_first);
		put_integer(f, 4, 4, false, false, NULL);
		(void)fputs("}", f);
		is_first = false;
	}
	member(f, ctf_names_add(names, text) + 1, is_first);
	switch (field->type) {
	case TOCSIN_TYPE_STRING: (void)fputs("{\"type\":\"null-terminated-string\"}", f); break;
	case TOCSIN_TYPE_TEXT:
		(void)fprintf(f, "{\"type\":\"static-length-string\",\"length\":%u}", field->count);
		break;
	case TOCSIN_TYPE_ARRAY:
		(void)fprintf(f, "{\"type\":\"static-length-array\",\"length\":%u,", field->count);
		(void)fputs("\"element-field-class\":", f);
		put_scalar(f, field->elem, is_hex);
		(void)fputs("}", f);
		break;
	case TOCSIN_TYPE_SEQUENCE:
		(void)fputs("{\"type\":\"dynamic-length-array\",\"length-field-location\":"
			    "{\"origin\":\"event-record-payload\",\"path\":[",
			    f);
		ctf_put_quoted(f, length);
		(void)fputs("]},\"element-field-class\":", f);
		put_scalar(f, field->elem, is_hex);
		(void)fputs("}", f);
		break;
	case TOCSIN_TYPE_BLOB:
		(void)fputs("{\"type\":\"dynamic-length-blob\",\"length-field-location\":"
			    "{\"origin\":\"event-record-payload\",\"path\":[",
			    f);
		ctf_put_quoted(f, length);
		(void)fputs("]}}", f);
		break;
	default:
		if (field->flags & TOCSIN_FIELD_ENUM)
			put_enum(f, class, field);
		else
			put_scalar(f, field->type, is_hex);
		break;
	}
	(void)fputs("}", f);
}

static void put_contexts(FILE *f, uint32_t mask)
{
	bool is_first = true;

	(void)fputs(",\"specific-context-field-class\":{\"type\":\"structure\","
		    "\"minimum-alignment\":64,\"member-classes\":[",
		    f);
	for (unsigned i = 0; i < CONTEXT_NR; i++) {
		const struct ctf_context *c = ctf_context(i);

		if (!(mask >> i & 1))
			continue;
		member(f, c->name, is_first);
		is_first = false;
		if (c->type == TOCSIN_TYPE_TEXT)
			(void)fprintf(f, "{\"type\":\"static-length-string\",\"length\":%u}",
				      c->count);
		else
			put_scalar(f, c->type, false);
		(void)fputs("}", f);
	}
	(void)fputs("]}", f);
}

static void put_event(FILE *f, const struct ctf_recorded_event *event, uint32_t stream_id)
{
	const struct control_class *class = event->class;
	char name[2 * CTF_NAME_MAX];
	struct ctf_names names;

	names.nr = 0;
	ctf_described_name(class, name, sizeof(name));
	fragment(f, "event-record-class");
	(void)fprintf(f, ",\"data-stream-class-id\":%u,\"id\":%u,\"name\":", stream_id, event->id);
	ctf_put_quoted(f, name);
	(void)fprintf(f, ",\"attributes\":{\"tocsin\":{\"level\":%u}}", class->level);
	if (event->contexts)
		put_contexts(f, event->contexts);
	(void)fputs(",\"payload-field-class\":{\"type\":\"structure\",\"minimum-alignment\":64,"
		    "\"member-classes\":[",
		    f);
	for (unsigned i = 0; i < class->nr_fields; i++)
		put_field(f, class, ctf_described_field(class, i), &names, i == 0);
	(void)fputs("]}", f);
	fragment_end(f);
}

int ctf_recorded_metadata_json(const struct ctf_recorded *rec, char **ret_text, size_t *ret_len)
{
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	struct ctf_clock monotonic = ctf_clock_monotonic(rec->trace->realtime_offset_ns);
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	put_head(f, rec);
	put_clock(f, &monotonic);
	for (unsigned i = 0; i < rec->nr_clocks; i++)
		put_clock(f, &rec->clock[i]);
	for (unsigned i = 0; i < rec->trace->nr_streams; i++)
		put_own_stream(f, &rec->trace->stream[i], i);
	for (size_t i = 0; i < rec->nr_streams; i++) {
		const struct ctf_recorded_stream *s = &rec->stream[i];

		put_stream(f, s->id,
			   s->clock == CTF_CLOCK_MONOTONIC ? monotonic.name
							   : rec->clock[s->clock].name,
			   true);
		for (size_t k = 0; k < s->nr_events; k++)
			put_event(f, &s->event[k], s->id);
	}
	return ctf_text_take(f, &text, &len, ret_text, ret_len);
}
