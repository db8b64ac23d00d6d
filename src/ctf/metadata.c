// SPDX-License-Identifier: MIT
/* The metadata of a trace: the tables of class.h, written down in CTF 1.8's language (TSDL). Names
 * of fields get a leading underscore, which readers take away again: so a field may be called as a
 * word of the language is ("string", "event"). */
#include "metadata.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"

/* Only plain ASCII stands in the metadata; the rest is data and has no place in names. */
void ctf_put_quoted(FILE *f, const char *text)
{
	(void)fputc('"', f); /* a failure shows in ferror() at the end, here and below */
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			(void)fprintf(f, "\\%c", c);
		else
			(void)fputc(c >= 0x20 && c < 0x7f ? c : '?', f);
	}
	(void)fputc('"', f);
}

int ctf_text_take(FILE *f, char **text, const size_t *len, char **ret_text, size_t *ret_len)
{
	int failed = ferror(f);

	/* Closing sets text and len, so it stands before their use whatever happened. */
	if (fclose(f) || failed)
		return -ENOMEM;
	*ret_text = tocsin_take_ptr(text);
	*ret_len = *len;
	return 0;
}

static void put_uuid(FILE *f, const uint8_t uuid[static 16])
{
	for (unsigned i = 0; i < 16; i++)
		(void)fprintf(f, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      uuid[i]);
}

/* Time is counted from the boot, which this identifies: traces of one boot have one clock. */
static void put_boot_id(FILE *f)
{
	FILE *boot TOCSIN_CLEANUP(tocsin_fclosep) = fopen("/proc/sys/kernel/random/boot_id", "re");
	char id[37];

	if (!boot || !fgets(id, sizeof(id), boot) || strspn(id, "0123456789abcdef-") != 36)
		return; /* the clock's identity is optional */
	(void)fprintf(f, "\tuuid = \"%s\";\n", id);
}

static void put_types(FILE *f)
{
#define X(NAME, ctype, tsdl, bytes, is_signed, base)                                             \
	(void)fprintf(                                                                           \
		f,                                                                               \
		"typealias integer { size = %d; align = %d; signed = %s; base = %d; } := %s;\n", \
		(bytes)*8, (bytes)*8, (is_signed) ? "true" : "false", base, #tsdl);
#include "kinds.def"
#undef X
}

void ctf_put_clock(FILE *f, const struct ctf_clock *clock)
{
	(void)fprintf(f, "clock {\n\tname = %s;\n", clock->name);
	if (!clock->suffix[0])
		put_boot_id(f); /* the other clocks are of one recording only */
	(void)fprintf(f,
		      "\tdescription = \"%s\";\n"
		      "\tfreq = %llu;\n"
		      "\toffset_s = %lld;\n"
		      "\toffset = %llu;\n"
		      "\tabsolute = TRUE;\n"
		      "};\n\n",
		      clock->description, (unsigned long long)clock->freq_hz,
		      (long long)clock->offset_s, (unsigned long long)clock->offset);
	/* Time in the extended header stands behind a 32-bit id, so it is aligned to 32 only. */
	for (unsigned i = 0; i < 3; i++)
		(void)fprintf(
			f,
			"typealias integer { size = %d; align = %d; signed = false; map = clock.%s.value; } := t%s%s;\n",
			i ? 64 : 32, i == 1 ? 64 : 32, clock->name,
			i == 0   ? "32"
			: i == 1 ? "64"
				 : "64at32",
			clock->suffix);
	(void)fprintf(f,
		      "\nstruct event_header%s {\n"
		      "\tenum : u16 { compact = 0 ... 65534, extended = 65535 } id;\n"
		      "\tvariant <id> {\n"
		      "\t\tstruct { t32%s timestamp; } compact;\n"
		      "\t\tstruct { u32 id; t64at32%s timestamp; } extended;\n"
		      "\t} v;\n} align(64);\n\n",
		      clock->suffix, clock->suffix, clock->suffix);
}

struct ctf_clock ctf_clock_monotonic(int64_t realtime_offset_ns)
{
	struct ctf_clock clock = {
		.name = "monotonic",
		.description = "CLOCK_MONOTONIC",
		.suffix = "",
		.freq_hz = 1000000000,
		.offset_s = realtime_offset_ns / 1000000000,
	};
	int64_t ns = realtime_offset_ns % 1000000000;

	if (ns < 0) {
		ns += 1000000000;
		clock.offset_s--;
	}
	clock.offset = (uint64_t)ns;
	return clock;
}

static void put_field(FILE *f, const struct ctf_field *field)
{
	(void)fputs("\t\t", f);
	switch (field->kind) {
#define X(NAME, ctype, tsdl, bytes, is_signed, base)               \
	case CTF_##NAME:                                           \
		(void)fprintf(f, "%s _%s;\n", #tsdl, field->name); \
		break;
#include "kinds.def"
#undef X
	case CTF_ENUM:
		(void)fputs("enum : u8 { ", f);
		for (unsigned i = 0; i < field->labels->nr; i++) {
			ctf_put_quoted(f, field->labels->label[i]);
			(void)fprintf(f, " = %u%s", i, i + 1 < field->labels->nr ? ", " : "");
		}
		(void)fprintf(f, " } _%s;\n", field->name);
		break;
	case CTF_STR: (void)fprintf(f, "string _%s;\n", field->name); break;
	case CTF_STRS:
		(void)fprintf(f, "u32 __%s_length;\n\t\tstring _%s[ __%s_length ];\n", field->name,
			      field->name, field->name);
		break;
	case CTF_X64S:
		(void)fprintf(f, "u32 __%s_length;\n\t\tx64 _%s[ __%s_length ];\n", field->name,
			      field->name, field->name);
		break;
	}
}

void ctf_put_stream(FILE *f, unsigned id, const struct ctf_clock *clock, const char *more)
{
	(void)fprintf(f,
		      "stream {\n\tid = %u;\n\tevent.header := struct event_header%s;\n"
		      "\tpacket.context := struct {\n"
		      "\t\tt64%s timestamp_begin;\n\t\tt64%s timestamp_end;\n"
		      "\t\tu64 content_size;\n\t\tu64 packet_size;\n\t\tu64 events_discarded;\n%s"
		      "\t};\n};\n\n",
		      id, clock->suffix, clock->suffix, clock->suffix, more);
}

static void put_stream(FILE *f, const struct ctf_stream_class *stream, unsigned id,
		       const struct ctf_clock *clock)
{
	ctf_put_stream(f, id, clock, stream->per_cpu ? "\t\tu32 cpu_id;\n" : "");
	for (unsigned i = 0; i < stream->nr_events; i++) {
		const struct ctf_event_class *event = &stream->event[i];

		(void)fputs("event {\n\tname = ", f);
		ctf_put_quoted(f, event->name);
		(void)fprintf(f, ";\n\tid = %u;\n\tstream_id = %u;\n\tfields := struct {\n",
			      event->id, id);
		for (unsigned k = 0; k < event->nr_fields; k++)
			put_field(f, &event->field[k]);
		(void)fputs("\t};\n};\n\n", f);
	}
}

void ctf_put_trace(FILE *f, const struct ctf_trace_class *trace, const uint8_t uuid[static 16])
{
	struct ctf_clock clock = ctf_clock_monotonic(trace->realtime_offset_ns);

	(void)fputs("/* CTF 1.8 */\n\n", f);
	put_types(f);
	(void)fputs("\ntrace {\n\tmajor = 1;\n\tminor = 8;\n\tuuid = \"", f);
	put_uuid(f, uuid);
	(void)fputs(
		"\";\n\tbyte_order = le;\n"
		"\tpacket.header := struct {\n\t\tu32 magic;\n\t\tu8 uuid[16];\n\t\tu32 stream_id;\n\t};\n};\n\n",
		f);
	(void)fputs("env {\n", f);
	for (unsigned i = 0; i < trace->nr_env; i++) {
		(void)fprintf(f, "\t%s = ", trace->env[i].name);
		ctf_put_quoted(f, trace->env[i].value);
		(void)fputs(";\n", f);
	}
	(void)fputs("};\n\n", f);
	ctf_put_clock(f, &clock);
	for (unsigned i = 0; i < trace->nr_streams; i++)
		put_stream(f, &trace->stream[i], i, &clock);
}

int ctf_metadata_text(const struct ctf_trace_class *trace, const uint8_t uuid[static 16],
		      char **ret_text, size_t *ret_len)
{
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	ctf_put_trace(f, trace, uuid);
	return ctf_text_take(f, &text, &len, ret_text, ret_len);
}
