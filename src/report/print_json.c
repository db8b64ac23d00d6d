// SPDX-License-Identifier: MIT
/* A line of JSON an event; docs/formats/print-json.md describes it. Keys come from metadata, which
 * may be foreign, so they are escaped as values are. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/utf8.h"
#include "pen.h"
#include "print.h"

/* ---- pieces */

static void put_code(struct out *o, uint32_t code)
{
	switch (code) {
	case '\n': pen_bytes(o, "\\n", 2); break;
	case '\r': pen_bytes(o, "\\r", 2); break;
	case '\t': pen_bytes(o, "\\t", 2); break;
	case '"': pen_bytes(o, "\\\"", 2); break;
	case '\\': pen_bytes(o, "\\\\", 2); break;
	default: out_add(o, "\\u%04x", code); break; /* all of utf8_is_control() have four digits */
	}
}

void print_json_string(struct out *o, const char *text, size_t len)
{
	size_t good = 0, pos = 0;

	pen_char(o, '"');
	while (pos < len) {
		unsigned char c = (unsigned char)text[pos];
		uint32_t code = 0;
		unsigned nr;

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
		if (nr)
			put_code(o, code);
		else
			pen_text(o, UTF8_REPLACEMENT);
		pos += nr ?: 1;
		good = pos;
	}
	pen_bytes(o, text + good, len - good);
	pen_char(o, '"');
}

static char last_char(const struct out *o)
{
	return (char)(o->len ? o->buf[o->len - 1] : 0);
}

void print_json_key(struct out *o, const char *name)
{
	if (last_char(o) != '{')
		pen_char(o, ',');
	print_json_string(o, name, strlen(name));
	pen_char(o, ':');
}

void print_json_float(struct out *o, double f)
{
	if (isfinite(f))
		out_add(o, "%.17g", f);
	else
		pen_text(o, isnan(f) ? "\"NaN\"" : f < 0 ? "\"-Infinity\"" : "\"Infinity\"");
}

static void put_integer(struct out *o, const struct ctf_value *v)
{
	if (v->type->is_signed)
		pen_i64(o, v->i);
	else
		pen_u64(o, v->u);
}

/* ---- values */

static bool put_plain(struct out *o, const struct ctf_value *v)
{
	const char *label = v->type->kind == META_ENUM ? meta_label(v->type, v->u) : NULL;

	if (v->is_text)
		print_json_string(o, v->text, v->len);
	else if (v->type->kind == META_FLOAT)
		print_json_float(o, v->f);
	else if (label)
		print_json_string(o, label, strlen(label));
	else if (v->type->kind == META_INT || v->type->kind == META_ENUM)
		put_integer(o, v);
	else
		return false;
	return true;
}

static bool is_object(const struct ctf_value *v)
{
	return v->type->kind == META_STRUCT || v->type->kind == META_VARIANT;
}

void print_json_members(struct out *o, const struct ctf_value *v, const struct ctf_value *end)
{
	const struct ctf_value *close[3 * META_DEPTH_MAX];
	char bracket[3 * META_DEPTH_MAX];
	unsigned depth = 0;

	for (; v < end; v++) {
		if (v->name)
			print_json_key(o, v->name);
		else if (last_char(o) != '[')
			pen_char(o, ',');
		if (!put_plain(o, v) && depth < 3 * META_DEPTH_MAX) {
			pen_char(o, is_object(v) ? '{' : '[');
			bracket[depth] = is_object(v) ? '}' : ']';
			close[depth++] = v + v->nr_below;
		}
		while (depth && v == close[depth - 1])
			pen_char(o, bracket[--depth]);
	}
}

void print_json_value(struct out *o, const struct ctf_value *v)
{
	if (put_plain(o, v))
		return;
	pen_char(o, is_object(v) ? '{' : '[');
	print_json_members(o, v + 1, v + 1 + v->nr_below);
	pen_char(o, is_object(v) ? '}' : ']');
}

static void put_time(struct out *o, const char *key, int64_t t_ns)
{
	print_json_key(o, key);
	pen_i64(o, t_ns);
}

static void put_stream(struct out *o, const struct trace *t, const struct trace_event *e)
{
	const char *dir = trace_dir(t, e->stream), *name = trace_stream_name(t, e->stream);

	if (trace_get_stats(t).traces > 1) {
		print_json_key(o, "trace");
		print_json_string(o, dir, strlen(dir));
	}
	print_json_key(o, "stream");
	print_json_string(o, name, strlen(name));
}

/* Fields of a packet's head that are for the reader, not about the events. */
static bool is_bookkeeping(const struct ctf_value *v)
{
	enum meta_role role = v->name ? meta_role_by_name(v->name) : ROLE_NONE;

	return role != ROLE_NONE && role != ROLE_EVENT_ID;
}

static int put_packet(struct out *o, struct trace *t)
{
	const struct ctf_values *values;
	bool is_open = false;
	int r = trace_packet_values(t, &values);

	if (r < 0 || !values->nr)
		return r;
	for (const struct ctf_value *v = values->item + 1; v < values->item + values->nr;
	     v += 1 + v->nr_below) {
		if (is_bookkeeping(v))
			continue;
		if (!is_open) {
			print_json_key(o, "packet");
			pen_char(o, '{');
		}
		is_open = true;
		print_json_members(o, v, v + 1 + v->nr_below);
	}
	if (is_open)
		pen_char(o, '}');
	return 0;
}

static int put_event(struct out *o, struct trace *t)
{
	const struct ctf_values *values;
	const struct ctf_value *v, *end;
	int r = trace_values(t, &values);

	if (r < 0)
		return r;
	end = values->item + values->nr;
	for (v = values->item; v < end; v += 1 + v->nr_below) {
		print_json_key(o, v->scope == SCOPE_STREAM_CONTEXT  ? "stream_context"
				  : v->scope == SCOPE_EVENT_CONTEXT ? "event_context"
								    : "fields");
		pen_char(o, '{');
		print_json_members(o, v + 1, v + 1 + v->nr_below);
		pen_char(o, '}');
	}
	return 0;
}

static void put_loss(struct out *o, const struct trace_event *e)
{
	print_json_key(o, "events");
	pen_u64(o, e->nr_lost);
	if (e->nr_lost_packets) {
		print_json_key(o, "packets");
		pen_u64(o, e->nr_lost_packets);
	}
	put_time(o, "begin_ns", e->lost_begin_ns);
	put_time(o, "end_ns", e->lost_end_ns);
}

int print_json_line(struct print *p, struct trace *t, const struct trace_event *e)
{
	struct out *o = &p->out;
	int r = 0;

	pen_text(o, e->state == TRACE_EVENT  ? "{\"type\":\"event\""
		    : e->state == TRACE_LOSS ? "{\"type\":\"lost\""
		    : e->state == TRACE_CUT  ? "{\"type\":\"cut\""
					     : "{\"type\":\"bad\"");
	if (e->state == TRACE_EVENT || e->state == TRACE_LOSS) {
		put_time(o, "time_ns", e->t_ns);
		if (e->state == TRACE_EVENT) {
			print_json_key(o, "name");
			print_json_string(o, e->name, strlen(e->name));
		}
		put_stream(o, t, e);
	}
	if (e->state == TRACE_EVENT) {
		r = put_packet(o, t);
		if (r == 0)
			r = put_event(o, t);
	} else if (e->state == TRACE_LOSS) {
		put_loss(o, e);
	} else {
		print_json_key(o, "text");
		print_json_string(o, e->wrong, strlen(e->wrong));
	}
	pen_bytes(o, "}\n", 2);
	return r;
}
