// SPDX-License-Identifier: MIT
/* Fuzzes the reader of perf's map files. Input: the text. Whatever it holds, it is read, and what
 * is found at any address is a terminated text. */
#include <stdlib.h>
#include <string.h>

#include "unwind/perf_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
	struct perf_map *m = NULL;
	uint64_t address = 0;

	if (perf_map_read((const char *)input, bytes, &m))
		return 0;
	for (size_t i = 0; i < bytes && i < 256; i++) {
		const char *name;

		address = address << 4 | (input[i] & 15);
		name = perf_map_find(m, address);
		if (name && strlen(name) > 512)
			abort();
	}
	(void)perf_map_free(m); /* always NULL */
	return 0;
}
