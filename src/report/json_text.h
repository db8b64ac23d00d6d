/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_JSON_TEXT_H
#define TOCSIN_REPORT_JSON_TEXT_H

/*
 * JSON, written piece by piece. Not jansson's writer: its whole numbers are signed, and keys,
 * arguments and counters here are unsigned 64-bit numbers, which it would print as negative ones.
 *
 * Every name argument may be NULL: in an array there are none. Strings are made valid: what is no
 * UTF-8 becomes U+FFFD, what could act on a terminal is escaped.
 */

#include "out.h"

#include <stdint.h>

void json_open(struct out *o, const char *name, char bracket); /* '{' or '[' */
void json_close(struct out *o, char bracket);                  /* '}' or ']' */
void json_u64(struct out *o, const char *name, uint64_t value);
void json_i64(struct out *o, const char *name, int64_t value);
void json_bool(struct out *o, const char *name, bool value);
void json_share(struct out *o, const char *name, uint64_t permyriad); /* 0.0000 to 1 and more */
void json_str(struct out *o, const char *name, const char *text);
void json_strn(struct out *o, const char *name, const char *text,
	       size_t len); /* up to a zero byte */

#define JSON_NAME(o, name, array) json_strn(o, name, array, sizeof(array))

#endif
