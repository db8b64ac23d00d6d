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

static void put_time(struct print *p, int64_t t_ns)
{
	int64_t second = t_ns / SECOND_NS, rest = t_ns % SECOND_NS;

	if (rest < 0) {
		rest += SECOND_NS;
		second--;
	}
	if (second != p->second)
		second_set(p, second);
	pen_bytes(&p->out, p->clock, p->clock_len);
	pen_fraction(&p->out, (uint32_t)rest);
}

static void put_delta(struct print *p, int64_t t_ns)
{
	uint64_t ns = p->has_last ? (uint64_t)t_ns - (uint64_t)p->last_ns : 0;

	pen_char(&p->out, ' ');
	/* Times of a stream that was late, or of a broken one. */
	pen_char(&p->out, p->has_last && t_ns < p->last_ns ? '-' : '+');
	if (p->has_last && t_ns < p->last_ns)
		ns = 0 - ns;
	pen_u64(&p->out, ns / SECOND_NS);
	pen_fraction(&p->out, (uint32_t)(ns % SECOND_NS));
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

static bool is_plain(const struct ctf_value *v)
{
	return v->is_text || v->type->kind <= META_STRING;
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
	pen_bytes(o, v->name, v->name_len);
	pen_char(o, '=');
}

/* `_NAME_length` before the sequence NAME, which shows it. */
static bool is_length(const struct ctf_value *v, const struct ctf_value *end)
{
	const struct ctf_value *next = v + 1;

	return v->name_len > 8 && next < end && v->name[0] == '_' &&
	       next->type->kind == META_SEQUENCE && next->name_len + 8u == v->name_len &&
	       memcmp(v->name + 1, next->name, next->name_len) == 0 &&
	       strcmp(v->name + 1 + next->name_len, "_length") == 0;
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
		if (is_length(v, last + 1))
			continue;
		if (depth && o->len && !strchr("{[", o->buf[o->len - 1]))
			pen_char(o, ' ');
		put_name(o, v);
		if (is_plain(v)) {
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

/* ---- who */

struct who {
	const struct ctf_value *comm, *pid, *tid, *cpu;
};

static bool is_named(const struct ctf_value *v, const char *a, const char *b)
{
	return strcmp(v->name, a) == 0 || strcmp(v->name, b) == 0;
}

/* Among the values from @v up to @end, on one level. */
static void who_find(struct who *who, const struct ctf_value *v, const struct ctf_value *end)
{
	for (; v < end; v += 1 + v->nr_below) {
		if (!v->name || !is_plain(v))
			continue;
		if (v->is_text && is_named(v, "comm", "procname"))
			who->comm = v;
		else if (v->type->kind != META_INT)
			continue;
		else if (is_named(v, "pid", "vpid") && !who->pid)
			who->pid = v;
		else if (is_named(v, "tid", "vtid") && !who->tid)
			who->tid = v;
		else if (is_named(v, "cpu", "cpu_id"))
			who->cpu = v;
	}
}

static void put_who(struct print *p, const struct who *who, const struct trace_packet *packet)
{
	struct out *o = &p->out;
	int64_t pid = who->pid ? who->pid->i : packet->pid;

	if (who->cpu || packet->cpu >= 0) {
		pen_bytes(o, " [", 2);
		pen_i64(o, who->cpu ? who->cpu->i : packet->cpu);
		pen_char(o, ']');
	}
	if (!who->comm && pid < 0 && !who->tid)
		return;
	pen_char(o, ' ');
	put_colour(p, COLOUR_GREEN);
	if (who->comm) {
		char name[FIELD_NAME_LEN];

		out_add_clean(o, name_copy(who->comm->text,
					   who->comm->len < sizeof(name) ? who->comm->len
									 : sizeof(name) - 1,
					   name));
	}
	if (who->comm && (pid >= 0 || who->tid))
		pen_char(o, ' ');
	if (pid >= 0)
		pen_i64(o, pid);
	if (who->tid && (pid < 0 || who->tid->i != pid)) {
		pen_char(o, '/');
		pen_i64(o, who->tid->i);
	}
	put_colour(p, COLOUR_NONE);
}

static bool is_said(const struct who *who, const struct ctf_value *v)
{
	return v == who->comm || v == who->pid || v == who->tid || v == who->cpu;
}

/* The values of a level, each with a blank before it. */
static void put_level(struct print *p, const struct who *who, const struct ctf_value *v,
		      const struct ctf_value *end)
{
	for (; v < end; v += 1 + v->nr_below) {
		if (is_said(who, v) || is_length(v, end))
			continue;
		pen_char(&p->out, ' ');
		if (is_plain(v)) {
			put_name(&p->out, v);
			put_plain(&p->out, v);
		} else {
			put_value(&p->out, v);
		}
	}
}

static int put_event(struct print *p, struct trace *t, const struct trace_event *e)
{
	const struct ctf_values *values;
	const struct ctf_value *end;
	struct trace_packet packet;
	struct who who = {0};
	int r = trace_packet_of(&p->packets, t, e, &packet);

	if (r == 0)
		r = trace_values(t, &values);
	if (r < 0)
		return r;
	end = values->item + values->nr;
	for (const struct ctf_value *v = values->item; v < end; v += 1 + v->nr_below) {
		if (v->scope != SCOPE_PAYLOAD)
			who_find(&who, v + 1, v + 1 + v->nr_below);
		else if (v->nr_below && trace_who_is_context(v + 1))
			who_find(&who, v + 2, v + 2 + v[1].nr_below);
	}
	put_who(p, &who, &packet);
	pen_char(&p->out, ' ');
	put_colour(p, COLOUR_BOLD);
	pen_clean(&p->out, e->name);
	put_colour(p, COLOUR_NONE);
	for (const struct ctf_value *v = values->item; v < end; v += 1 + v->nr_below) {
		const struct ctf_value *first = v + 1;

		if (v->scope == SCOPE_PAYLOAD && v->nr_below && trace_who_is_context(first)) {
			put_level(p, &who, first + 1, first + 1 + first->nr_below);
			first += 1 + first->nr_below;
		}
		put_level(p, &who, first, v + 1 + v->nr_below);
	}
	return 0;
}

int print_text_line(struct print *p, struct trace *t, const struct trace_event *e)
{
	struct out *o = &p->out;
	size_t start = o->len;
	int r = 0;

	put_colour(p, COLOUR_DIM);
	put_time(p, e->t_ns);
	put_delta(p, e->t_ns);
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
