// SPDX-License-Identifier: MIT
/* Where am I, for threads that have no rseq area. glibc's getcpu() asks the vDSO, where the kernel
 * has one for it. */
#include <errno.h>
#include <sched.h>

#include "rseq.h"
#include "tocsin/percpu.h"

unsigned tocsin_cpu_slow_(void)
{
	unsigned cpu = 0, nr = rseq_nr_indexes();

	(void)rseq_thread_register(); /* for the next time; where it is possible */
	if (getcpu(&cpu, NULL))
		cpu = 0; /* no such call: any CPU is a right answer to a question that is old by now
			  */
	return nr && cpu >= nr ? cpu % nr : cpu;
}

unsigned tocsin_node_slow_(void)
{
	unsigned node = 0;

	if (getcpu(NULL, &node))
		node = 0;
	return node;
}

unsigned tocsin_nr_cpus(void)
{
	(void)rseq_init(); /* the number is there, whatever it says */
	return rseq_nr_indexes();
}

int tocsin_percpu_usable(const char **ret_why)
{
	return percpu_usable(ret_why);
}
