/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_AUTOMATA_RANDOM_H
#define TOCSIN_TESTS_AUTOMATA_RANDOM_H

/* What the tests of automata/ share: numbers at random, and texts into models. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "automata/model.h"
#include "automata/step.h"
#include "base/text.h"

static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned rnd(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 20) % below);
}

static struct {
	unsigned errors, warnings;
	char last[256];
} said;

static void say(void *context, const struct tocsin_diag *diag)
{
	(void)context;
	if (diag->is_warning) {
		said.warnings++;
		return;
	}
	said.errors++;
	(void)snprintf(said.last, sizeof(said.last), "%s", diag->text);
}

static struct model *compile(const char *file, const char *text, size_t len)
{
	const struct model_sink sink = {.say = say};
	const struct model_options options = {.jiffy_ns = 4000000};
	struct model *m = NULL;

	memset(&said, 0, sizeof(said));
	if (model_read(file, text, len, &options, &sink, &m) < 0)
		assert_null(m);
	else
		assert_int_equal(said.errors, 0);
	return m;
}

static __attribute__((unused)) int name_find(const struct model *m, bool is_event, const char *name)
{
	int nr = is_event ? m->nr_events : m->nr_states;

	for (int i = 0; i < nr; i++)
		if (strcmp(is_event ? m->event[i].name : m->state[i].name, name) == 0)
			return i;
	return -1;
}

#endif
