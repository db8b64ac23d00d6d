/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_INPROCESS_H
#define TOCSIN_INPROCESS_H

/* A compiled model: the table of abi/automaton.h, and behind it names. */

#include <stddef.h>

#include "../abi/automaton.h"

#define INPROCESS_NAMES      (AUTOMATON_EVENTS + AUTOMATON_STATES + AUTOMATON_INPUTS)
#define INPROCESS_NAME_BYTES 64 /* of one, with its zero byte */

struct inprocess_model {
	struct automaton_table table;
	const char *event[AUTOMATON_EVENTS]; /* "": has none */
	const char *state[AUTOMATON_STATES]; /* of a graph; 0 is "not started": "" */
	const char *input[AUTOMATON_INPUTS];
	char names[INPROCESS_NAMES * INPROCESS_NAME_BYTES];
};

/**
 * inprocess_model_load() - check and copy.
 * @bytes: may hold anything, need not be aligned
 *
 * Return: 0, -EBADMSG, -EPROTONOSUPPORT another version. Thread-safe: yes. Signal-safe: yes.
 */
int inprocess_model_load(const void *bytes, size_t nr_bytes, struct inprocess_model *ret);

#endif
