// SPDX-License-Identifier: MIT
/*
 * A line an event, for people: when, how long after the line before, who, what, with which values.
 *
 *   14:03:22.123456789 +0.000001234 postgres 4711/4713 server:accept fd=12 peer="10.0.0.1"
 *
 * Who it was is found among the contexts by the names that tracers give them, and is not said
 * twice.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/utf8.h"
#include "pen.h"
#include "print.h"
#include "words.h"

#define SECOND_NS 1000000000
#define TIME_ROOM 128 /* bytes that two times take at most */

static void put_colour(struct print *p, enum colour colour)
{
	if (__builtin_expect(p->style.has_colour, 0))
		word_colour(&p->out, &p->style, colour);
}

/* ---- time */

static void second_set(struct print *p, int64_t second)
{
	time_t at = (time_t)second;
	struct tm tm;

	p->second = second;
	if (p->time == PRINT_TIME_SECONDS || !localtime_r(&at, &tm) ||
	    !strftime(p->clock, sizeof(p->clock),
		      p->time == PRINT_TIME_DATE ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm))
		(void)snprintf(p->clock, sizeof(p->clock), "%lld", (long long)second);
	p->clock_len = strlen(p->clock);
}

/* When, and how long after the line before. */
static char *to_time(struct print *p, char *to, int64_t t_ns)
{
	int64_t second = t_ns / SECOND_NS, rest = t_ns % SECOND_NS;
	bool is_back =
		p->has_last && t_ns < p->last_ns; /* a stream that was late, or a broken one */
	uint64_t ns = p->has_last ? (uint64_t)t_ns - (uint64_t)p->last_ns : 0;

	if (rest < 0) {
		rest += SECOND_NS;
		second--;
	}
	if (second != p->second)
		second_set(p, second);
	memcpy(to, p->clock, sizeof(p->clock));
	to = pen_to_fraction(to + p->clock_len, (uint32_t)rest);
	*to++ = ' ';
	*to++ = is_back ? '-' : '+';
	if (is_back)
		ns = 0 - ns;
	if (__builtin_expect(ns < SECOND_NS, 1)) {
		*to++ = '0';
		return pen_to_fraction(to, (uint32_t)ns);
	}
	return pen_to_fraction(pen_to_u64(to, ns / SECOND_NS), (uint32_t)(ns % SECOND_NS));
}

/* ---- values */

static void put_quoted(struct out *o, const char *text, size_t len)
{
	size_t good = 0, pos = 0;

	pen_char(o, '"');
	while (pos < len) {
		unsigned char c = (unsigned char)text[pos];
		uint32_t code = 0;
		unsigned nr = 1;

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			pos++;
			continue;
		}
		nr = utf8_step(text + pos, len - pos, &code);
		if (nr && !utf8_is_control(code) && code != '"' && code != '\\') {
			pos += nr;
			continue;
		}
		pen_bytes(o, text + good, pos - good);
		if (code == '"' || code == '\\')
			pen_char(o, '\\'), pen_char(o, (char)code);
		else if (code == '\n')
			pen_bytes(o, "\\n", 2);
		else if (code == '\t')
			pen_bytes(o, "\\t", 2);
		else if (nr)
			out_add(o, "\\u%04x", code);
		else
			out_add(o, "\\x%02x", c);
		pos += nr ?: 1;
		good = pos;
	}
	pen_bytes(o, text + good, len - good);
	pen_char(o, '"');
}

static inline void put_integer(struct out *o, const struct ctf_value *v)
{
	const struct meta_type *type = v->type;
	uint64_t bits;

	if (__builtin_expect(type->base == 10, 1)) {
		if (type->is_signed)
			pen_i64(o, v->i);
		else
			pen_u64(o, v->u);
		return;
	}
	bits = type->size_bits < 64 ? v->u & ((UINT64_C(1) << type->size_bits) - 1) : v->u;
	if (type->base == 16) {
		pen_bytes(o, "0x", 2);
		pen_power(o, bits, 4);
	} else if (type->base == 8) {
		pen_char(o, '0');
		pen_power(o, bits, 3);
	} else {
		pen_bytes(o, "0b", 2);
		pen_power(o, bits, 1);
	}
}

static void put_enum(struct out *o, const struct ctf_value *v)
{
	const char *label = meta_label(v->type, v->u);

	if (label)
		pen_clean(o, label);
	else
		put_integer(o, v);
}

static void put_float(struct out *o, double f)
{
	if (isfinite(f))
		out_add(o, "%.*g", f == (double)(float)f ? 9 : 17, f);
	else
		pen_text(o, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
}

static inline void put_plain(struct out *o, const struct ctf_value *v)
{
	if (v->is_text)
		put_quoted(o, v->text, v->len);
	else if (v->type->kind == META_FLOAT)
		put_float(o, v->f);
	else if (v->type->kind == META_ENUM)
		put_enum(o, v);
	else
		put_integer(o, v);
}

static bool is_list(const struct ctf_value *v)
{
	return v->type->kind == META_ARRAY || v->type->kind == META_SEQUENCE ||
	       v->type->kind == META_BLOB;
}

static void put_name(struct out *o, const struct ctf_value *v)
{
	if (!v->name)
		return;
	pen_clean(o, v->name);
	pen_char(o, '=');
}

/*
 * A value and all below it. Depth is bounded by that of types, so the ends of what is open fit a
 * list.
 */
static void put_value(struct out *o, const struct ctf_value *v)
{
	const struct ctf_value *end[3 * META_DEPTH_MAX];
	char bracket[3 * META_DEPTH_MAX];
	unsigned depth = 0;
	const struct ctf_value *last = v + v->nr_below;

	for (; v <= last; v++) {
		if (print_is_length(v, last + 1))
			continue;
		if (depth && o->len && !strchr("{[", o->buf[o->len - 1]))
			pen_char(o, ' ');
		put_name(o, v);
		if (print_is_plain(v)) {
			put_plain(o, v);
		} else if (depth < 3 * META_DEPTH_MAX) {
			pen_char(o, is_list(v) ? '[' : '{');
			bracket[depth] = is_list(v) ? ']' : '}';
			end[depth++] = v + v->nr_below;
		}
		while (depth && v == end[depth - 1])
			pen_char(o, bracket[--depth]);
	}
}

/* ---- a line */

static int64_t id_of(const struct ctf_value *v, int64_t otherwise)
{
	return v ? v->i : otherwise;
}

static void put_who(struct print *p, const struct print_class *c, const struct ctf_value *v,
		    const struct trace_packet *packet)
{
	const struct ctf_value *who[WHO_NR] = {NULL};
	struct out *o = &p->out;
	int64_t pid, cpu;

	for (unsigned i = 0; c->has_who && i < c->nr_items; i++) {
		for (unsigned k = 0; k < WHO_NR; k++)
			if (c->who[k] == (int)i)
				who[k] = v;
		v += c->item[i].kind == PRINT_ENTER ? 1 : 1 + v->nr_below;
	}
	pid = id_of(who[WHO_PID], packet->pid);
	cpu = id_of(who[WHO_CPU], packet->cpu);
	if (who[WHO_CPU] || packet->cpu >= 0) {
		pen_bytes(o, " [", 2);
		pen_i64(o, cpu);
		pen_char(o, ']');
	}
	if (!who[WHO_COMM] && pid < 0 && !who[WHO_TID])
		return;
	pen_char(o, ' ');
	put_colour(p, COLOUR_GREEN);
	if (who[WHO_COMM]) {
		char name[FIELD_NAME_LEN];
		size_t len = who[WHO_COMM]->len;

		out_add_clean(o, name_copy(who[WHO_COMM]->text,
					   len < sizeof(name) ? len : sizeof(name) - 1, name));
	}
	if (who[WHO_COMM] && (pid >= 0 || who[WHO_TID]))
		pen_char(o, ' ');
	if (pid >= 0)
		pen_i64(o, pid);
	if (who[WHO_TID] && (pid < 0 || who[WHO_TID]->i != pid)) {
		pen_char(o, '/');
		pen_i64(o, who[WHO_TID]->i);
	}
	put_colour(p, COLOUR_NONE);
}

/* A value that is not just a decimal number. Its word is written already. */
static void put_other(struct out *o, enum print_kind kind, const struct ctf_value *v)
{
	if (kind == PRINT_TEXT)
		put_quoted(o, v->text, v->len);
	else if (kind == PRINT_PLAIN)
		put_plain(o, v);
	else
		put_value(o, v);
}

/*
 * The values of an event. Words and numbers go straight to where they belong, in room that was made
 * for all of them at once; behind anything else there is room for all of them again.
 */
static void put_values(struct out *o, const struct print_class *c, const struct ctf_value *v)
{
	char *to = pen_room(o, c->room);

	for (unsigned i = 0; i < c->nr_items && to; i++) {
		const struct print_item *item = &c->item[i];
		const char *word = c->words.buf + item->word;

		if (item->kind == PRINT_ENTER) {
			v++;
			continue;
		}
		if (__builtin_expect(item->word_len <= PRINT_WORD_MORE, 1))
			memcpy(to, word, PRINT_WORD_MORE);
		else
			memcpy(to, word, item->word_len);
		to += item->word_len;
		if (item->kind == PRINT_UNSIGNED) {
			to = pen_to_u64(to, v->u);
		} else if (item->kind == PRINT_SIGNED) {
			to = pen_to_i64(to, v->i);
		} else if (item->kind != PRINT_SAID) {
			o->len = (size_t)(to - o->buf);
			put_other(o, (enum print_kind)item->kind, v);
			to = pen_room(o, c->room);
		}
		v += 1 + v->nr_below;
	}
	if (to)
		o->len = (size_t)(to - o->buf);
}

static int put_event(struct print *p, struct trace *t, const struct trace_event *e)
{
	const struct ctf_values *values;
	const struct print_class *c;
	struct trace_packet packet;
	int r = trace_packet_of(&p->packets, t, e, &packet);

	if (r == 0)
		r = trace_values(t, &values);
	if (r == 0)
		r = print_class_of(&p->classes, e, values, &c);
	if (r < 0)
		return r;
	put_who(p, c, values->item, &packet);
	put_colour(p, COLOUR_BOLD);
	pen_bytes(&p->out, c->words.buf, c->name_len);
	put_colour(p, COLOUR_NONE);
	put_values(&p->out, c, values->item);
	return 0;
}

int print_text_line(struct print *p, struct trace *t, const struct trace_event *e)
{
	struct out *o = &p->out;
	size_t start = o->len;
	char *to;
	int r = 0;

	put_colour(p, COLOUR_DIM);
	to = pen_room(o, TIME_ROOM);
	if (to)
		o->len = (size_t)(to_time(p, to, e->t_ns) - o->buf);
	put_colour(p, COLOUR_NONE);
	if (e->state == TRACE_EVENT) {
		r = put_event(p, t, e);
	} else if (e->state == TRACE_LOSS) {
		put_colour(p, COLOUR_RED);
		if (e->nr_lost)
			out_add(o, " lost %llu event%s", (unsigned long long)e->nr_lost,
				e->nr_lost == 1 ? "" : "s");
		if (e->nr_lost_packets)
			out_add(o, "%s lost %llu packet%s", e->nr_lost ? "," : "",
				(unsigned long long)e->nr_lost_packets,
				e->nr_lost_packets == 1 ? "" : "s");
		out_add(o, " within %.9f s in ",
			(double)(e->lost_end_ns - e->lost_begin_ns) / SECOND_NS);
		out_add_clean(o, trace_stream_name(t, e->stream));
		put_colour(p, COLOUR_NONE);
	} else {
		o->len = start; /* said on standard error, by whoever prints */
		return 0;
	}
	pen_char(o, '\n');
	return r;
}
