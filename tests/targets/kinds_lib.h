/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_KINDS_LIB_H
#define TOCSIN_TESTS_KINDS_LIB_H

/* The shared library of the target `kinds`. All sleep for @ns and stamp their own begin and end
 * into t[1] and t[2]. */

#include <stdint.h>

void kinds_lib_work(uint64_t ns, uint64_t t[4]);

/* One name, two versions: KINDS_1 is the old one, reached by dlvsym() only, KINDS_2 the default. */
void kinds_versioned_old(uint64_t ns, uint64_t t[4]);
void kinds_versioned_new(uint64_t ns, uint64_t t[4]);
extern const char kinds_versioned_name[];

#endif
