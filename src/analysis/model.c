// SPDX-License-Identifier: MIT
/* Life of the result model. */
#include "model.h"

#include <stdlib.h>

#include "../base/banned.h"

struct violation *violation_free(struct violation *v)
{
	if (v) {
		for (unsigned i = 0; v->spell && i < v->nr_spells; i++)
			free(v->spell[i].user_stack);
		free(v->stack);
		free(v->section);
		free(v->spell);
		free(v->cause);
	}
	free(v);
	return NULL;
}
