// SPDX-License-Identifier: MIT
/* Values of a trace as SQLite's. */
#include "cell.h"

#include <stdio.h>
#include <string.h>

#include "../base/utf8.h"
#include "../report/pen.h"
#include "../report/print.h"

void cell_text_done(struct cell_text *text)
{
	out_done(&text->out);
}

static void text_give(sqlite3_context *ctx, struct cell_text *text)
{
	if (text->out.failed)
		sqlite3_result_error_nomem(ctx);
	else
		sqlite3_result_text64(ctx, text->out.len ? text->out.buf : "", text->out.len,
				      SQLITE_TRANSIENT, SQLITE_UTF8);
	text->out.len = 0;
	text->out.failed = 0;
}

void cell_result_text(sqlite3_context *ctx, struct cell_text *text, const char *bytes, size_t len)
{
	size_t good = 0, pos = 0;
	uint32_t code;

	while (pos < len) {
		unsigned nr = (unsigned char)bytes[pos] < 0x80
				      ? 1
				      : utf8_step(bytes + pos, len - pos, &code);

		if (!nr) {
			pen_bytes(&text->out, bytes + good, pos - good);
			pen_text(&text->out, UTF8_REPLACEMENT);
			good = pos + 1;
		}
		pos += nr ?: 1;
	}
	if (!good) {
		sqlite3_result_text64(ctx, bytes, len, SQLITE_TRANSIENT, SQLITE_UTF8);
		return;
	}
	pen_bytes(&text->out, bytes + good, len - good);
	text_give(ctx, text);
}

static void integer_give(sqlite3_context *ctx, const struct ctf_value *v)
{
	char digits[24];

	if (v->type->is_signed || v->u <= INT64_MAX) {
		sqlite3_result_int64(ctx, v->i);
		return;
	}
	(void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v->u);
	sqlite3_result_text(ctx, digits, -1, SQLITE_TRANSIENT);
}

void cell_result(sqlite3_context *ctx, struct cell_text *text, const struct ctf_value *v)
{
	const char *label;

	if (v->is_text) {
		cell_result_text(ctx, text, v->text, v->len);
		return;
	}
	switch (v->type->kind) {
	case META_ENUM:
		label = meta_label(v->type, v->u);
		if (label)
			cell_result_text(ctx, text, label, strlen(label));
		else
			integer_give(ctx, v);
		break;
	case META_INT: integer_give(ctx, v); break;
	case META_FLOAT: sqlite3_result_double(ctx, v->f); break;
	case META_STRING:
	case META_STRUCT:
	case META_VARIANT:
	case META_ARRAY:
	case META_SEQUENCE:
	case META_BLOB:
	default: print_json_value(&text->out, v); text_give(ctx, text);
	}
}

void cell_result_json(sqlite3_context *ctx, struct cell_text *text, const struct ctf_values *values,
		      bool is_fields)
{
	const struct ctf_value *end = values->item + values->nr;

	pen_char(&text->out, '{');
	for (const struct ctf_value *v = values->item; v < end; v += 1 + v->nr_below)
		if ((v->scope == SCOPE_PAYLOAD) == is_fields)
			print_json_members(&text->out, v + 1, v + 1 + v->nr_below);
	pen_char(&text->out, '}');
	text_give(ctx, text);
}
