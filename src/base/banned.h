/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_BANNED_H
#define TOCSIN_BASE_BANNED_H

/*
 * Functions that this project does not call: each use is a compiler warning, and an error where
 * warnings are (CI). They are redeclared rather than poisoned, because system headers that come
 * later may mention them.
 */

#include <alloca.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NOLINTBEGIN(bugprone-macro-parentheses): @fn becomes a declarator */
#define TOCSIN_BANNED(fn, instead) \
	extern __typeof__(fn) fn __attribute__((deprecated("banned: " instead)))
/* NOLINTEND(bugprone-macro-parentheses) */

#undef alloca /* a macro of glibc's; the function has no body anywhere, which is as good */

TOCSIN_BANNED(strcpy, "use snprintf() or tocsin_text_add()");
TOCSIN_BANNED(stpcpy, "use snprintf() or tocsin_text_add()");
TOCSIN_BANNED(strcat, "use tocsin_text_add()");
TOCSIN_BANNED(strncpy, "does not terminate: use snprintf() or memcpy()");
TOCSIN_BANNED(strncat, "use tocsin_text_add()");
TOCSIN_BANNED(sprintf, "use snprintf()");
TOCSIN_BANNED(vsprintf, "use vsnprintf()");
TOCSIN_BANNED(strtok, "keeps state: use strcspn() or strtok_r()");
#ifndef __clang__ /* bodies in <stdlib.h> when optimising, to which clang adds no attribute */
TOCSIN_BANNED(atoi, "no errors: use tocsin_parse_u64()");
TOCSIN_BANNED(atol, "no errors: use tocsin_parse_u64()");
TOCSIN_BANNED(atoll, "no errors: use tocsin_parse_u64()");
#endif
TOCSIN_BANNED(strtol, "takes blanks, signs and octal: use tocsin_parse_u64()");
TOCSIN_BANNED(strtoll, "takes blanks, signs and octal: use tocsin_parse_u64()");
TOCSIN_BANNED(strtoul, "takes blanks, signs and octal: use tocsin_parse_u64()");
TOCSIN_BANNED(strtoull, "takes blanks, signs and octal: use tocsin_parse_u64()");
TOCSIN_BANNED(alloca, "unbounded stack: use malloc() with TOCSIN_CLEANUP()");
TOCSIN_BANNED(system, "a shell in between: use posix_spawn()");
TOCSIN_BANNED(signal, "unportable semantics: use sigaction()");
TOCSIN_BANNED(usleep, "not a way to wait: use poll() or clock_nanosleep()");

#endif
