/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_AUTOMATA_SHIPPED_H
#define TOCSIN_AUTOMATA_SHIPPED_H

/* The models in models/, put into the program when it is built. */

#include <stddef.h>

struct shipped_model {
	const char *file; /* "wwnr.dot"; NULL ends the list, which is in the order of names */
	size_t len;
	const char *text; /* terminated */
};

extern const struct shipped_model shipped_models[];

#endif
