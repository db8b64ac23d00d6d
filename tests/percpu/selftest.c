// SPDX-License-Identifier: MIT
/* The self-test, on this kernel (exit status 0 where it keeps its promise), and with sections that
 * are not armed, which is what a kernel looks like that does not abort them (status 1). 2: not one
 * preemption was met, or no sections here. */
#include <errno.h>
#include <stdio.h>

#include "percpu/rseq.h"

int main(void)
{
	int r = rseq_selftest(5000);

	(void)printf("self-test: %d\n", r);
	return !r ? 0 : r == -EPROTO ? 1 : 2;
}
