// SPDX-License-Identifier: MIT
/* Text on its way to a descriptor: built in memory, so that a line is one write and an error is one
 * return value. */
#include "out.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/utf8.h"

void out_init(struct out *o, int fd)
{
	*o = (struct out){.fd = fd};
}

void out_done(struct out *o)
{
	free(o->buf);
	*o = (struct out){.fd = -1};
}

static bool out_reserve(struct out *o, size_t more)
{
	size_t capacity = o->capacity ?: 1024;
	char *buf;

	if (o->failed)
		return false;
	while (capacity - o->len < more && capacity <= SIZE_MAX / 2)
		capacity *= 2;
	if (capacity - o->len < more) {
		o->failed = -ENOMEM;
		return false;
	}
	if (capacity == o->capacity)
		return true;
	buf = realloc(o->buf, capacity);
	if (!buf) {
		o->failed = -ENOMEM;
		return false;
	}
	o->buf = buf;
	o->capacity = capacity;
	return true;
}

char *out_room(struct out *o, size_t more)
{
	return out_reserve(o, more) ? o->buf + o->len : NULL;
}

void out_add_bytes(struct out *o, const char *bytes, size_t len)
{
	if (!len || !out_reserve(o, len))
		return;
	memcpy(o->buf + o->len, bytes, len);
	o->len += len;
}

void out_add(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		o->failed = -EOVERFLOW;
	if (len < 0 || !out_reserve(o, (size_t)len + 1))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(o->buf + o->len, (size_t)len + 1, fmt, ap); /* as long as before */
	va_end(ap);
	o->len += (size_t)len;
}

void out_add_clean(struct out *o, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		uint32_t code = 0;
		unsigned nr = utf8_step(text, len, &code);

		if (code == '\t')
			out_add_bytes(o, " ", 1);
		else if (!nr || utf8_is_control(code))
			out_add_bytes(o, "?", 1);
		else
			out_add_bytes(o, text, nr);
		text += nr ?: 1;
		len -= nr ?: 1;
	}
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t nr = write(fd, bytes, len);

		if (nr < 0 && errno == EAGAIN) {
			struct pollfd ready = {.fd = fd, .events = POLLOUT};

			if (poll(&ready, 1, -1) < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		if (nr < 0 && errno == EINTR)
			continue;
		if (nr < 0)
			return -errno;
		bytes += nr;
		len -= (size_t)nr;
	}
	return 0;
}

int out_write(struct out *o)
{
	int r;

	if (o->fd == OUT_KEPT)
		return o->failed; /* it stays, for whoever takes it */
	r = o->failed ?: write_all(o->fd, o->buf, o->len);
	o->failed = 0;
	o->len = 0;
	return r;
}

struct out_style out_style_get(int fd)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	struct out_style style = {.is_terminal = isatty(fd) == 1};
	struct winsize size = {0};

	if (!style.is_terminal)
		return style;
	style.has_colour = !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0) {
		style.columns = size.ws_col;
		style.lines = size.ws_row;
	}
	return style;
}

/* Bytes of the character or colour sequence at the start of a text that out_add*() made; its
 * columns. */
static size_t piece_len(const char *text, size_t len, unsigned *ret_columns)
{
	uint32_t code;

	if (*text == '\033') {
		const char *end = memchr(text, 'm', len);

		*ret_columns = 0;
		return end ? (size_t)(end - text) + 1 : len;
	}
	*ret_columns = 1;
	return utf8_step(text, len, &code) ?: 1;
}

void out_wrap(struct out *o, size_t start, unsigned columns, unsigned indent)
{
	char *line TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	size_t len = o->len - start, word = 0, pos = 0;
	unsigned used = 0, word_columns = 0;
	bool is_first = true;

	if (o->failed || !len || !columns || columns < 2 * indent)
		return;
	line = malloc(len);
	if (!line) {
		o->failed = -ENOMEM;
		return;
	}
	memcpy(line, o->buf + start, len);
	o->len = start;
	while (pos <= len) {
		unsigned piece_columns;

		if (pos < len && (line[pos] != ' ' || pos == word)) {
			pos += piece_len(line + pos, len - pos, &piece_columns);
			word_columns += piece_columns;
			continue;
		}
		/* A word is what it is with the blank before it; a broken line drops that blank. */
		if (!is_first && used + word_columns > columns) {
			size_t blank = line[word] == ' ' ? 1 : 0;

			out_add(o, "\n%*s", (int)indent, "");
			out_add_bytes(o, line + word + blank, pos - word - blank);
			used = indent + word_columns - (unsigned)blank;
		} else {
			out_add_bytes(o, line + word, pos - word);
			used += word_columns;
		}
		is_first = false;
		word = pos;
		word_columns = 0;
		if (pos == len)
			break;
	}
}

unsigned out_columns(const struct out *o, size_t start)
{
	unsigned used = 0, piece_columns;

	for (size_t pos = start; pos < o->len; used += piece_columns)
		pos += piece_len(o->buf + pos, o->len - pos, &piece_columns);
	return used;
}

void out_clip(struct out *o, size_t start, unsigned columns)
{
	unsigned used = 0;

	if (!columns || o->failed)
		return;
	for (size_t pos = start; pos < o->len;) {
		unsigned piece_columns;
		size_t len = piece_len(o->buf + pos, o->len - pos, &piece_columns);

		if (used + piece_columns > columns) {
			o->len = pos;
			out_add_bytes(o, "\033[0m",
				      memchr(o->buf + start, '\033', pos - start) ? 4 : 0);
			return;
		}
		used += piece_columns;
		pos += len;
	}
}
