// SPDX-License-Identifier: MIT
/*
 * The metadata of a recorded trace in CTF 1.8's language. What a program calls its events and
 * fields is any bytes: names become identifiers here, labels become quoted ASCII, and no two of one
 * place are the same, since readers refuse that.
 */
#include "metadata_event.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "../base/cleanup.h"
#include "tocsin/types.h"

static const char *const scalar_name[][2] = {
#define X(TYPE, bytes, is_signed, name, hex_name, emit) [TOCSIN_TYPE_##TYPE] = {name, hex_name},
#include "types.def"
#undef X
	[TOCSIN_TYPE_F32] = {"f32", "f32"},
	[TOCSIN_TYPE_F64] = {"f64", "f64"},
	[TOCSIN_TYPE_BOOL] = {"enum : u8 { \"false\" = 0, \"true\" = 1 }",
			      "enum : u8 { \"false\" = 0, \"true\" = 1 }"},
};

static void put_types(FILE *f)
{
#define X(TYPE, bytes, is_signed, name, hex_name, emit)                                            \
	if ((emit)&1)                                                                              \
		(void)fprintf(                                                                     \
			f,                                                                         \
			"typealias integer { size = %d; align = %d; signed = %s; base = 10; } := " \
			"%s;\n",                                                                   \
			(bytes)*8, (bytes)*8, (is_signed) ? "true" : "false", name);               \
	if ((emit)&2)                                                                              \
		(void)fprintf(                                                                     \
			f,                                                                         \
			"typealias integer { size = %d; align = %d; signed = %s; base = 16; } := " \
			"%s;\n",                                                                   \
			(bytes)*8, (bytes)*8, (is_signed) ? "true" : "false", hex_name);
#include "types.def"
#undef X
	(void)fputs(
		"typealias floating_point { exp_dig = 8; mant_dig = 24; align = 32; } := f32;\n"
		"typealias floating_point { exp_dig = 11; mant_dig = 53; align = 64; } := f64;\n"
		"typealias integer { size = 8; align = 8; signed = false; encoding = UTF8; } := text8;\n\n",
		f);
}

static bool names_have(const struct ctf_names *names, const char *name)
{
	for (unsigned i = 0; i < names->nr; i++)
		if (!strcmp(names->name[i], name))
			return true;
	return false;
}

const char *ctf_names_add(struct ctf_names *names, const char *text)
{
	char *name = names->name[names->nr];
	size_t len = 1;

	name[0] = '_';
	for (; *text && len < CTF_NAME_MAX; text++) {
		char c = *text;
		bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			    (c >= 'A' && c <= 'Z') || c == '_';

		name[len++] = (char)(good ? c : '_');
	}
	name[len] = 0;
	for (unsigned n = 2; names_have(names, name); n++)
		(void)snprintf(name + len, sizeof(names->name[0]) - len, "_%u", n);
	if (names->nr < sizeof(names->name) / sizeof(names->name[0]) - 1)
		names->nr++;
	return name;
}

static bool label_is_before(const struct control_class *class, const struct control_field *field,
			    unsigned i)
{
	const char *text = ctf_described_text(class, ctf_described_label(class, field, i)->text);

	for (unsigned k = 0; k < i; k++) {
		const struct control_label *other = ctf_described_label(class, field, k);

		if (!strcmp(ctf_described_text(class, other->text), text))
			return true;
	}
	return false;
}

void ctf_label_name(const struct control_class *class, const struct control_field *field,
		    unsigned i, char *buf, size_t len)
{
	const char *text = ctf_described_text(class, ctf_described_label(class, field, i)->text);

	if (label_is_before(class, field, i))
		(void)snprintf(buf, len, "%s (%u)", text, i);
	else
		(void)snprintf(buf, len, "%s", text);
}

static void put_value(FILE *f, int64_t value, bool is_signed)
{
	if (is_signed)
		(void)fprintf(f, "%lld", (long long)value);
	else
		(void)fprintf(f, "%llu", (unsigned long long)value);
}

static bool is_signed_type(unsigned type)
{
	return type >= TOCSIN_TYPE_S8 && type <= TOCSIN_TYPE_S64;
}

bool ctf_label_fits(const struct control_label *label, unsigned type)
{
	unsigned bits = ctf_scalar_bytes(type) * 8;

	if (is_signed_type(type)) {
		int64_t most = (int64_t)(UINT64_MAX >> (65 - bits));

		return label->first <= label->last && label->last <= most &&
		       label->first >= -most - 1;
	}
	return (uint64_t)label->first <= (uint64_t)label->last &&
	       (uint64_t)label->last <= (bits == 64 ? UINT64_MAX : (1ull << bits) - 1);
}

static void put_enum(FILE *f, const struct control_class *class, const struct control_field *field)
{
	bool is_signed = is_signed_type(field->type), any = false;

	(void)fprintf(f, "enum : %s {", scalar_name[field->type][0]);
	for (unsigned i = 0; i < field->nr_labels; i++) {
		const struct control_label *label = ctf_described_label(class, field, i);
		char name[CTF_NAME_MAX + 16];

		if (!ctf_label_fits(label, field->type))
			continue;
		ctf_label_name(class, field, i, name, sizeof(name));
		(void)fputs(any ? ", " : " ", f);
		any = true;
		ctf_put_quoted(f, name);
		(void)fputs(" = ", f);
		put_value(f, label->first, is_signed);
		if (label->last != label->first) {
			(void)fputs(" ... ", f);
			put_value(f, label->last, is_signed);
		}
	}
	(void)fputs(" }", f);
}

static bool has_labels(const struct control_class *class, const struct control_field *field)
{
	if (!(field->flags & TOCSIN_FIELD_ENUM))
		return false;
	for (unsigned i = 0; i < field->nr_labels; i++)
		if (ctf_label_fits(ctf_described_label(class, field, i), field->type))
			return true;
	return false; /* an enumeration without labels is none */
}

static void put_field(FILE *f, const struct control_class *class, const struct control_field *field,
		      struct ctf_names *names)
{
	const char *text = ctf_described_text(class, field->name);
	bool hex = field->flags & TOCSIN_FIELD_HEX;
	char length[CTF_NAME_MAX + 16];

	(void)fputs("\t\t", f);
	switch (field->type) {
	case TOCSIN_TYPE_STRING:
		(void)fprintf(f, "string %s;\n", ctf_names_add(names, text));
		break;
	case TOCSIN_TYPE_TEXT:
		(void)fprintf(f, "text8 %s[%u];\n", ctf_names_add(names, text), field->count);
		break;
	case TOCSIN_TYPE_ARRAY:
		(void)fprintf(f, "%s %s[%u];\n", scalar_name[field->elem][hex],
			      ctf_names_add(names, text), field->count);
		break;
	case TOCSIN_TYPE_SEQUENCE:
	case TOCSIN_TYPE_BLOB:
		(void)snprintf(length, sizeof(length), "_%s_length", text);
		(void)snprintf(length, sizeof(length), "%s", ctf_names_add(names, length));
		(void)fprintf(f, "u32 %s;\n\t\t%s %s[ %s ];\n", length,
			      field->type == TOCSIN_TYPE_BLOB ? scalar_name[TOCSIN_TYPE_U8][1]
							      : scalar_name[field->elem][hex],
			      ctf_names_add(names, text), length);
		break;
	default:
		if (has_labels(class, field))
			put_enum(f, class, field);
		else
			(void)fputs(scalar_name[field->type][hex], f);
		(void)fprintf(f, " %s;\n", ctf_names_add(names, text));
		break;
	}
}

static void put_contexts(FILE *f, uint32_t mask)
{
	(void)fputs("\tcontext := struct {\n", f);
	for (unsigned i = 0; i < CONTEXT_NR; i++) {
		const struct ctf_context *c = ctf_context(i);

		if (!(mask >> i & 1))
			continue;
		if (c->type == TOCSIN_TYPE_TEXT)
			(void)fprintf(f, "\t\ttext8 _%s[%u];\n", c->name, c->count);
		else
			(void)fprintf(f, "\t\t%s _%s;\n", scalar_name[c->type][0], c->name);
	}
	(void)fputs("\t} align(64);\n", f);
}

static void put_event(FILE *f, const struct ctf_recorded_event *event, uint32_t stream_id)
{
	const struct control_class *class = event->class;
	char name[2 * CTF_NAME_MAX];
	struct ctf_names names;

	names.nr = 0;
	ctf_described_name(class, name, sizeof(name));
	(void)fputs("event {\n\tname = ", f);
	ctf_put_quoted(f, name);
	(void)fprintf(f, ";\n\tid = %u;\n\tstream_id = %u;\n\tloglevel = %u;\n", event->id,
		      stream_id, class->level);
	if (class->line && class->file >= sizeof(*class) && class->file < class->bytes) {
		size_t room = class->bytes - class->file;

		(void)snprintf(name, sizeof(name), "%.*s:%u",
			       (int)(room < CTF_NAME_MAX ? room : CTF_NAME_MAX),
			       ctf_described_text(class, class->file), class->line);
		(void)fputs("\tmodel.emf.uri = ", f);
		ctf_put_quoted(f, name);
		(void)fputs(";\n", f);
	}
	if (event->contexts)
		put_contexts(f, event->contexts);
	(void)fputs("\tfields := struct {\n", f);
	for (unsigned i = 0; i < class->nr_fields; i++)
		put_field(f, class, ctf_described_field(class, i), &names);
	(void)fputs("\t} align(64);\n};\n\n", f);
}

int ctf_recorded_metadata(const struct ctf_recorded *rec, char **ret_text, size_t *ret_len)
{
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	struct ctf_clock monotonic = ctf_clock_monotonic(rec->trace->realtime_offset_ns);
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	ctf_put_trace(f, rec->trace, rec->uuid);
	put_types(f);
	for (unsigned i = 0; i < rec->nr_clocks; i++)
		ctf_put_clock(f, &rec->clock[i]);
	for (size_t i = 0; i < rec->nr_streams; i++) {
		const struct ctf_recorded_stream *s = &rec->stream[i];

		ctf_put_stream(f, s->id,
			       s->clock == CTF_CLOCK_MONOTONIC ? &monotonic : &rec->clock[s->clock],
			       "\t\tu32 ring;\n\t\tu32 pid;\n");
		for (size_t k = 0; k < s->nr_events; k++)
			put_event(f, &s->event[k], s->id);
	}
	return ctf_text_take(f, &text, &len, ret_text, ret_len);
}
