// SPDX-License-Identifier: MIT
/* Two versions of one function, and a file-local function of a name that another file has too. */
int shared_old(int n);
int shared_new(int n);
int versions_use(int n);

__asm__(".symver shared_old, shared@SITES_1");
__asm__(".symver shared_new, shared@@SITES_2");

__attribute__((noinline)) int shared_old(int n)
{
	__asm__ volatile("");
	return n + 1;
}

__attribute__((noinline)) int shared_new(int n)
{
	__asm__ volatile("");
	return n + 2;
}

static __attribute__((noinline, used)) int local_twice(int n)
{
	__asm__ volatile("");
	return n * 5;
}

int versions_use(int n)
{
	return local_twice(n) + shared_old(n) + shared_new(n);
}
