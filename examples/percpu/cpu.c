// SPDX-License-Identifier: MIT
/* Where am I? CPU, memory node and concurrency id, without a system call. */
#include <stdio.h>
#include <tocsin/percpu.h>

int main(void)
{
	const char *why;
	int works = tocsin_percpu_usable(&why);

	printf("CPU %u of %u, node %u, concurrency id %d; %s: %s\n", tocsin_cpu(), tocsin_nr_cpus(),
	       tocsin_node(), tocsin_cid(), works ? "fast" : "slow", why);
	return tocsin_cpu() < tocsin_nr_cpus() ? 0 : 1;
}
