// SPDX-License-Identifier: MIT
/* Life of the result model. */
#include "model.h"

#include <stdlib.h>

#include "../base/banned.h"

struct violation *violation_free(struct violation *v)
{
	if (v) {
		free(v->section);
		free(v->spell);
		free(v->cause);
	}
	free(v);
	return NULL;
}
