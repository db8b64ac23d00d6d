/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_TSDL_LEX_H
#define TOCSIN_CTF_TSDL_LEX_H

/* The words of CTF 1.8's metadata language. */

#include "../base/err.h"
#include "read_arena.h"

#include <stdint.h>

enum tsdl_word {
	TSDL_END,
	TSDL_NAME,
	TSDL_NUMBER,
	TSDL_STRING,
	TSDL_ASSIGN_TYPE, /* := */
	TSDL_DOTS,        /* ... */
	TSDL_PUNCT = 256, /* TSDL_PUNCT + the character */
};

#define TSDL_PUNCT_OF(c) (TSDL_PUNCT + (c))

struct tsdl_token {
	unsigned word;
	const char *text; /* name: lent from the input; string: in the arena, terminated */
	size_t len;       /* bytes of text */
	uint64_t number;
	size_t pos; /* in the input */
	size_t width;
};

struct tsdl_lex {
	const char *text; /* lent */
	size_t len;
	size_t pos;
	const char *file; /* lent */
	struct arena *arena;
	struct tocsin_diag *diag;
	struct tsdl_token now; /* the word looked at */
};

/**
 * tsdl_next() - step to the next word.
 *
 * Return: 0, or -EBADMSG (the diagnostic says where), -ENOMEM.
 */
int tsdl_next(struct tsdl_lex *lex);

/** tsdl_fail_at() - say what is wrong at a token. Return: @r. */
int tsdl_fail_at(const struct tsdl_lex *lex, const struct tsdl_token *token, int r, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));

#endif
