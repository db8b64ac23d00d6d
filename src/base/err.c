// SPDX-License-Identifier: MIT
/* Chains of causes, diagnostics with a caret, and the end of a program that found a bug in itself.
 */
#include "err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* A cause that is too long ends in "...", so that nobody takes the rest for all of it. */
static void text_mark_cut(const struct tocsin_text *t)
{
	if (t->is_cut && t->used >= 3)
		memcpy(t->buf + t->used - 3, "...", 3);
}

static void __attribute__((format(printf, 2, 0)))
err_addv(struct tocsin_err *err, const char *fmt, va_list ap)
{
	struct tocsin_text t;

	if (!err || err->nr_causes >= TOCSIN_ERR_CAUSES)
		return;
	tocsin_text_init(&t, err->cause[err->nr_causes++], TOCSIN_ERR_CAUSE_LEN);
	tocsin_text_addv(&t, fmt, ap);
	text_mark_cut(&t);
}

void tocsin_err_add(struct tocsin_err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_addv(err, fmt, ap);
	va_end(ap);
}

int tocsin_err_fail(int r, struct tocsin_err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_addv(err, fmt, ap);
	va_end(ap);
	return r;
}

const char *tocsin_err_text(const struct tocsin_err *err, char *buf, size_t len)
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, len);
	for (unsigned i = err->nr_causes; i-- > 0;)
		tocsin_text_add(&t, "%s%s", err->cause[i], i ? ": " : "");
	text_mark_cut(&t);
	return buf;
}

const char *tocsin_errno_text(int r, char *buf, size_t len)
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, len);
	tocsin_text_add(&t, "%s", strerror(abs(r))); /* glibc's has a buffer per thread */
	if (t.used > 1 && buf[0] >= 'A' && buf[0] <= 'Z' && buf[1] >= 'a' && buf[1] <= 'z')
		buf[0] = (char)(buf[0] - 'A' + 'a');
	return buf;
}

/* The line, or the part of it that has the fault with a third of the room before it. */
static void diag_set_source(struct tocsin_diag *diag, const char *source, size_t column)
{
	size_t room = sizeof(diag->source) - 1;
	size_t len = strlen(source);
	size_t first = 0;

	if (len > room && column > room / 3) {
		first = column - room / 3;
		if (first > len - room)
			first = len - room;
		while (first && ((unsigned char)source[first] & 0xc0) == 0x80 &&
		       column - first < room)
			first--; /* not into the middle of a character */
	}
	if (len - first < room)
		room = len - first;
	memcpy(diag->source, source + first, room);
	diag->source[room] = '\0';
	diag->skipped = (unsigned)first;
}

void tocsin_diag_setv(struct tocsin_diag *diag, const struct tocsin_where *where, const char *fmt,
		      va_list ap)
{
	struct tocsin_text t;

	if (!diag)
		return;
	*diag = (struct tocsin_diag){
		.line = where->line,
		.column = (unsigned)where->column,
		.len = where->len ? (unsigned)where->len : 1,
	};
	tocsin_text_init(&t, diag->file, sizeof(diag->file));
	tocsin_text_add(&t, "%s", where->file);
	tocsin_text_init(&t, diag->text, sizeof(diag->text));
	tocsin_text_addv(&t, fmt, ap);
	text_mark_cut(&t);
	if (where->source)
		diag_set_source(diag, where->source, where->column);
}

void tocsin_diag_set(struct tocsin_diag *diag, const struct tocsin_where *where, const char *fmt,
		     ...)
{
	va_list ap;

	va_start(ap, fmt);
	tocsin_diag_setv(diag, where, fmt, ap);
	va_end(ap);
}

void tocsin_diag_hint(struct tocsin_diag *diag, const char *fmt, ...)
{
	struct tocsin_text t;
	va_list ap;

	if (!diag)
		return;
	tocsin_text_init(&t, diag->hint, sizeof(diag->hint));
	va_start(ap, fmt);
	tocsin_text_addv(&t, fmt, ap);
	va_end(ap);
	text_mark_cut(&t);
}

static void text_add_clean_string(struct tocsin_text *t, const char *s)
{
	tocsin_text_add_clean(t, s, strlen(s));
}

/* The source line and the carets under its fault. */
static void text_add_source(struct tocsin_text *t, const struct tocsin_diag *diag)
{
	size_t len = strlen(diag->source);
	size_t at, columns;

	text_add_clean_string(t, diag->source);
	tocsin_text_add(t, "\n");
	if (!diag->column || diag->column - 1 < diag->skipped)
		return;
	at = diag->column - 1 - diag->skipped;
	if (at > len)
		return;
	tocsin_text_add(t, "%*s^", (int)tocsin_text_columns(diag->source, at), "");
	columns = diag->len > len - at ? len - at : diag->len;
	columns = tocsin_text_columns(diag->source + at, columns);
	for (size_t i = 1; i < columns; i++)
		tocsin_text_add(t, "~");
	tocsin_text_add(t, "\n");
}

const char *tocsin_diag_text(const struct tocsin_diag *diag, char *buf, size_t len)
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, len);
	text_add_clean_string(&t, diag->file);
	if (diag->line && diag->column)
		tocsin_text_add(&t, ":%u:%u", diag->line, diag->column);
	else if (diag->line)
		tocsin_text_add(&t, ":%u", diag->line);
	tocsin_text_add(&t, diag->is_warning ? ": warning: " : ": error: ");
	text_add_clean_string(&t, diag->text);
	tocsin_text_add(&t, "\n");
	if (diag->source[0])
		text_add_source(&t, diag);
	if (diag->hint[0]) {
		tocsin_text_add(&t, "hint: ");
		text_add_clean_string(&t, diag->hint);
		tocsin_text_add(&t, "\n");
	}
	if (t.is_cut && t.used)
		buf[t.used - 1] = '\n'; /* lines end, also when the storage does */
	return buf;
}

void tocsin_assert_failed(const char *cond, const char *file, int line)
{
	(void)fprintf(stderr, "tocsin: bug: '%s' does not hold at %s:%d\n", cond, file, line);
	abort(); /* nothing is left to do about a failing stderr */
}
