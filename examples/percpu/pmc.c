// SPDX-License-Identifier: MIT
/* Cycles of a piece of work, and how they were read: not every machine has the counter. */
#include <stdio.h>
#include <string.h>
#include <tocsin/pmc.h>

int main(void)
{
	struct tocsin_pmc *pmc;
	uint64_t before, after;
	const char *how;
	int err = tocsin_pmc_open(TOCSIN_PMC_CYCLES, &pmc);

	if (err) {
		printf("cycles cannot be counted: %s\n", strerror(-err));
		return 0;
	}
	err = tocsin_pmc_read(pmc, &before);
	for (volatile int i = 0; i < 1000000; i++) {
	}
	if (err || tocsin_pmc_read(pmc, &after))
		return 1;
	(void)tocsin_pmc_how(pmc, &how);
	printf("%llu: %s\n", (unsigned long long)(after - before), how);
	pmc = tocsin_pmc_close(pmc);
	return after > before ? 0 : 1;
}
