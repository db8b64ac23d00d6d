// SPDX-License-Identifier: MIT
/* USDT sites as users write them. */
#define SDT_USE_VARIADIC
#define _SDT_HAS_SEMAPHORES 1
#include <stdint.h>

__extension__ unsigned short sites_counted_semaphore __attribute__((section(".probes")));
__extension__ unsigned short sites_args_semaphore __attribute__((section(".probes")));
#include <sys/sdt.h>

__attribute__((noinline)) int serve(int a, int64_t b, const char *c)
{
	volatile int in_memory = a + 1;

	DTRACE_PROBE4(sites, args, a, b, c, 42);
	STAP_PROBE1(sites, counted, in_memory);
	return a + (int)b + in_memory + c[0];
}

int main(int argc, char **argv)
{
	return serve(argc, argc + 1, argv[0]) == 12345;
}
