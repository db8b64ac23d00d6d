// SPDX-License-Identifier: MIT
/* Frees what a constructor of its library has allocated. */
#include <stdlib.h>

extern void *volatile early_kept;

int main(void)
{
	free(early_kept);
	return 0;
}
