// SPDX-License-Identifier: MIT
/* The second file of versions.c. */
int more_use(int n);

static __attribute__((noinline, used)) int local_twice(int n)
{
	__asm__ volatile("");
	return n * 7;
}

int more_use(int n)
{
	return local_twice(n);
}
