// SPDX-License-Identifier: MIT
/* JSON, written piece by piece. */
#include "json_text.h"

#include <string.h>

#include "../base/utf8.h"

/* A comma is needed unless the text is empty, has just been opened, or another line begins: so
 * there is no state but the text. */
static void put_name(struct out *o, const char *name)
{
	if (o->len && !memchr("{[\n", o->buf[o->len - 1], 3))
		out_add_bytes(o, ",", 1);
	if (name)
		out_add(o, "\"%s\":", name);
}

void json_open(struct out *o, const char *name, char bracket)
{
	put_name(o, name);
	out_add_bytes(o, &bracket, 1);
}

void json_close(struct out *o, char bracket)
{
	out_add_bytes(o, &bracket, 1);
}

void json_u64(struct out *o, const char *name, uint64_t value)
{
	put_name(o, name);
	out_add(o, "%llu", (unsigned long long)value);
}

void json_i64(struct out *o, const char *name, int64_t value)
{
	put_name(o, name);
	out_add(o, "%lld", (long long)value);
}

void json_bool(struct out *o, const char *name, bool value)
{
	put_name(o, name);
	out_add(o, "%s", value ? "true" : "false");
}

void json_share(struct out *o, const char *name, uint64_t permyriad)
{
	put_name(o, name);
	/* Whole numbers: "%f" would print the comma of some languages. */
	out_add(o, "%llu.%04llu", (unsigned long long)(permyriad / 10000),
		(unsigned long long)(permyriad % 10000));
}

static void put_code(struct out *o, uint32_t code)
{
	switch (code) {
	case '\n': out_add_bytes(o, "\\n", 2); break;
	case '\r': out_add_bytes(o, "\\r", 2); break;
	case '\t': out_add_bytes(o, "\\t", 2); break;
	default: out_add(o, "\\u%04x", code); break; /* all of utf8_is_control() have four digits */
	}
}

void json_strn(struct out *o, const char *name, const char *text, size_t len)
{
	len = strnlen(text, len);
	put_name(o, name);
	out_add_bytes(o, "\"", 1);
	while (len) {
		uint32_t code = 0;
		unsigned nr = utf8_step(text, len, &code);

		if (!nr)
			out_add_bytes(o, UTF8_REPLACEMENT, sizeof(UTF8_REPLACEMENT) - 1);
		else if (utf8_is_control(code))
			put_code(o, code);
		else if (code == '"' || code == '\\')
			out_add(o, "\\%c", (int)code);
		else
			out_add_bytes(o, text, nr);
		text += nr ?: 1;
		len -= nr ?: 1;
	}
	out_add_bytes(o, "\"", 1);
}

void json_str(struct out *o, const char *name, const char *text)
{
	json_strn(o, name, text ?: "", text ? strlen(text) : 0);
}
