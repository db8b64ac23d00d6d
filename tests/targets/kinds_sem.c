// SPDX-License-Identifier: MIT
/* Probes with semaphores: counters in the program that a watcher raises while it is there. */

#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

#include "kinds_probes.h"
#include "target.h"

volatile unsigned short kinds_sem_begin_semaphore __attribute__((section(".probes")));
volatile unsigned short kinds_sem_end_semaphore __attribute__((section(".probes")));

bool probe_sem_wanted(void)
{
	return kinds_sem_begin_semaphore || kinds_sem_end_semaphore;
}

TARGET_NOINLINE void probe_sem_begin(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(kinds, sem_begin, i);
}

TARGET_NOINLINE void probe_sem_end(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(kinds, sem_end, i);
}
