// SPDX-License-Identifier: MIT
/* A model as `tocsin monitor check --compile` writes it and libtocsin loads it: the table, then the
 * names of its events, states and inputs, each with its zero byte. docs/formats/model.md has it. */
#include <string.h>

#include "model.h"

static char *name_add(char *at, const char *name)
{
	size_t len = strlen(name) + 1;

	memcpy(at, name, len);
	return at + len;
}

static const char *input_name(const struct model *m, int input)
{
	for (int i = 0; i < m->nr_vars; i++)
		if (m->var[i].kind == MODEL_INPUT &&
		    m->var[i].code == (AUTOMATON_VAR_INPUT | input))
			return m->var[i].name;
	return "?"; /* none: inputs are numbered as they are found */
}

size_t model_compiled(const struct model *m, char ret[MODEL_COMPILED_MAX])
{
	char *at = ret + sizeof(m->table);

	memcpy(ret, &m->table, sizeof(m->table));
	for (int i = 0; i < m->nr_events; i++)
		at = name_add(at, m->event[i].name);
	for (int i = 0; m->kind == AUTOMATON_GRAPH && i < m->nr_states; i++)
		at = name_add(at, m->state[i].name);
	for (int i = 0; i < m->table.nr_inputs; i++)
		at = name_add(at, input_name(m, i));
	return (size_t)(at - ret);
}
