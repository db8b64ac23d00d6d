// SPDX-License-Identifier: MIT
/* Bounded text building, and the making harmless of foreign text. */
#include "text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

void tocsin_text_init(struct tocsin_text *t, char *buf, size_t len)
{
	*t = (struct tocsin_text){.buf = buf, .len = len};
	if (len)
		buf[0] = '\0';
}

void tocsin_text_addv(struct tocsin_text *t, const char *fmt, va_list ap)
{
	size_t room = t->len - t->used;
	int n;

	if (!room) {
		t->is_cut = true;
		return;
	}
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): every caller has started it */
	n = vsnprintf(t->buf + t->used, room, fmt, ap);
	if (n < 0) { /* a wide character that the locale lacks; we print none */
		t->buf[t->used] = '\0';
		t->is_cut = true;
	} else if ((size_t)n >= room) {
		t->used = t->len - 1;
		t->is_cut = true;
	} else {
		t->used += (size_t)n;
	}
}

void tocsin_text_add(struct tocsin_text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tocsin_text_addv(t, fmt, ap);
	va_end(ap);
}

void tocsin_text_add_bytes(struct tocsin_text *t, const char *bytes, size_t len)
{
	size_t room = t->len - t->used;

	if (!room || len > room - 1) {
		t->is_cut = true;
		len = room ? room - 1 : 0;
	}
	if (!len)
		return;
	memcpy(t->buf + t->used, bytes, len);
	t->used += len;
	t->buf[t->used] = '\0';
}

/* The character at the start of the bytes: its length, and whether it may go to a terminal. */
static unsigned char_step(const char *bytes, size_t len, bool *ret_clean)
{
	uint32_t code;
	unsigned n = utf8_step(bytes, len, &code);

	*ret_clean = n && !utf8_is_control(code);
	return n ? n : 1;
}

void tocsin_text_add_clean(struct tocsin_text *t, const char *bytes, size_t len)
{
	bool is_clean;
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = char_step(bytes + i, len - i, &is_clean);
		if (t->len - t->used <= n) {
			t->is_cut = true; /* half a character would spoil the terminal's line */
			return;
		}
		if (bytes[i] == '\t')
			tocsin_text_add_bytes(t, " ", 1);
		else if (is_clean)
			tocsin_text_add_bytes(t, bytes + i, n);
		else
			tocsin_text_add_bytes(t, "?", 1);
	}
}

size_t tocsin_text_columns(const char *bytes, size_t len)
{
	size_t columns = 0;
	bool is_clean;

	for (size_t i = 0; i < len; i += char_step(bytes + i, len - i, &is_clean))
		columns++;
	return columns;
}
