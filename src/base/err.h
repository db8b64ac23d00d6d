/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_ERR_H
#define TOCSIN_BASE_ERR_H

/* What went wrong, for people: a chain of causes. Functions return -errno; each level may add a
 * sentence. Only cli/ prints. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "banned.h"

#define TOCSIN_ERR_CAUSES    8
#define TOCSIN_ERR_CAUSE_LEN 512

struct tocsin_err {
	unsigned nr_causes; /* held; causes beyond the capacity are dropped, outermost first */
	char cause[TOCSIN_ERR_CAUSES][TOCSIN_ERR_CAUSE_LEN];
};

/**
 * tocsin_err_add() - add a cause, outer than those added before.
 * @err: chain, may be NULL (then nothing happens)
 * @fmt: lower case, no full stop, problem first, subject in single quotes
 *
 * Thread-safe: per object. Signal-safe: no.
 */
void tocsin_err_add(struct tocsin_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * tocsin_err_fail() - add a cause and return @r, so that a failure is one statement.
 *
 * Return: @r.
 */
int tocsin_err_fail(int r, struct tocsin_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * tocsin_err_text() - the chain as one line, outermost cause first, joined by ": ".
 * @err: chain, lent
 * @buf: storage for the text, always terminated
 * @len: its size in bytes
 *
 * Return: @buf.
 */
const char *tocsin_err_text(const struct tocsin_err *err, char *buf, size_t len);

/**
 * tocsin_errno_text() - what strerror() says, in the lower case of our messages.
 * @r: an errno, negative or positive
 *
 * Return: @buf.
 */
const char *tocsin_errno_text(int r, char *buf, size_t len);

/* Where in an input something is wrong, and what. */
struct tocsin_diag {
	char file[256];   /* name of the file, or "command line" */
	unsigned line;    /* from 1; 0: the input has no lines */
	unsigned column;  /* in bytes from 1; 0: whole line */
	unsigned len;     /* bytes that the caret line underlines, at least 1 */
	char text[256];   /* the sentence: lower case, no full stop */
	char hint[256];   /* what was expected or the nearest known name; may be empty */
	char source[512]; /* the offending line, without its newline, or a part; may be empty */
	unsigned skipped; /* bytes cut off before source[0] */
	bool is_warning;  /* what it is about works, and is not likely to be meant */
};

/* A place in an input. */
struct tocsin_where {
	const char *file;   /* name of the input, lent */
	unsigned line;      /* from 1; 0: the input has no lines */
	const char *source; /* the whole line, without its newline, lent; NULL: none */
	size_t column;      /* in bytes from 1; 0: whole line */
	size_t len;         /* bytes that the caret line underlines; 0 counts as 1 */
};

/**
 * tocsin_diag_set() - say what is wrong and where; forgets what @diag said before.
 * @diag: to be filled, may be NULL (then nothing happens)
 * @where: copied; of a line that is too long for @diag the part round the fault is kept
 * @fmt:  the sentence: lower case, no full stop
 *
 * Thread-safe: per object. Signal-safe: no.
 */
void tocsin_diag_set(struct tocsin_diag *diag, const struct tocsin_where *where, const char *fmt,
		     ...) __attribute__((format(printf, 3, 4)));
void tocsin_diag_setv(struct tocsin_diag *diag, const struct tocsin_where *where, const char *fmt,
		      va_list ap) __attribute__((format(printf, 3, 0)));

/** tocsin_diag_hint() - add what was expected, or the nearest known name. @diag may be NULL. */
void tocsin_diag_hint(struct tocsin_diag *diag, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * tocsin_diag_text() - what is wrong, as compilers say it.
 * @diag: what to say, lent
 * @buf:  storage for the text, always terminated; lines end with '\n'
 * @len:  its size in bytes
 *
 * `FILE:LINE:COLUMN: error: TEXT` (or `warning:`; without a line
 * `FILE: error: TEXT`), the source line, a caret line, and `hint: ...`. Control characters are
 * shown as '?' and tabs as one space, so that the caret stands right.
 *
 * Return: @buf.
 */
const char *tocsin_diag_text(const struct tocsin_diag *diag, char *buf, size_t len);

/* A bug of ours, never for input: says where and aborts. */
#define TOCSIN_ASSERT(cond) ((cond) ? (void)0 : tocsin_assert_failed(#cond, __FILE__, __LINE__))
void tocsin_assert_failed(const char *cond, const char *file, int line) __attribute__((noreturn));

#endif
