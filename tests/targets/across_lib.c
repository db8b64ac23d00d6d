// SPDX-License-Identifier: MIT
/* A library in C that neither throws nor switches stacks, and whose function is gone through by who
 * does. */
#include "target.h"

int across_each(int n, int (*fn)(int));

TARGET_NOINLINE int across_each(int n, int (*fn)(int))
{
	int sum = 0;

	TARGET_FRAME();
	for (int i = 0; i < n; i++)
		sum += fn(i);
	return sum;
}
