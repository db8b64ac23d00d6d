// SPDX-License-Identifier: MIT
/* An ordinary C program: leaf functions, tail calls, a switch; the compiler's own choice of
 * instructions. */
#include <stdint.h>
#include <stdio.h>

#define KEPT __attribute__((noinline, used))

/* Eight words in the red zone, and a 5-byte nop between writing and reading them. */
KEPT uint64_t leaf(uint64_t x, uint64_t y)
{
	volatile uint64_t kept[8];
	uint64_t sum = 0;

	for (unsigned i = 0; i < 8; i++)
		kept[i] = x * i + y;
	__asm__ volatile(".globl leaf_site\nleaf_site: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00" ::
				 : "memory");
	for (unsigned i = 0; i < 8; i++)
		sum = sum * 31 + kept[i];
	return sum;
}

static KEPT int step(int n)
{
	__asm__ volatile("");
	return n + 1;
}

KEPT int tail(int n)
{
	__asm__ volatile("");
	return step(n * 2);
}

KEPT int choose(int n, int m)
{
	switch (n) {
	case 0: return m + 7;
	case 1: return m * 3;
	case 2: return m - 5;
	case 3: return m / 3;
	case 4: return m ^ 99;
	case 5: return m << 3;
	case 6: return m % 11;
	case 7: return -m;
	default: return 0;
	}
}

KEPT __attribute__((patchable_function_entry(5))) int padded(int n)
{
	volatile int m = n;

	return m + 1;
}

/* By its name one that returns twice. */
KEPT int sigsetjmp(int n)
{
	__asm__ volatile("");
	return n;
}

int main(int argc, char **argv)
{
	int sum = (int)leaf((uint64_t)argc, 3) + tail(argc) + padded(argc) + sigsetjmp(argc);

	for (int i = 0; i < 9; i++)
		sum += choose(i, argc);
	return printf("%s %d\n", argv[0], sum) < 0;
}
