// SPDX-License-Identifier: MIT
/* A function that does nothing, built with -finstrument-functions. */
void bench_function(void);

void bench_function(void)
{
	__asm__ __volatile__("" : : : "memory");
}
