// SPDX-License-Identifier: MIT
/* CTF 2's metadata. */
#include "read_meta.h"

#include <errno.h>

int meta_read_json(struct meta *m, const char *text, size_t len, const char *file,
		   struct tocsin_diag *diag)
{
	struct tocsin_where where = {.file = file};

	(void)m;
	(void)text;
	(void)len;
	tocsin_diag_set(diag, &where, "metadata of CTF 2");
	return -ENOTSUP;
}
