// SPDX-License-Identifier: MIT
/* A library of the program whose constructor allocates, before the constructors of libraries that
 * stand before it. */
#include <stdlib.h>

#define EARLY_SIZE 555551

void *volatile early_kept;

__attribute__((constructor(101))) static void first(void)
{
	early_kept = malloc(EARLY_SIZE);
	early_kept = realloc(early_kept, 2 * EARLY_SIZE);
}
