/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PMC_H
#define TOCSIN_PMC_H

/*
 * Hardware counters of the calling thread, read without a system call where the machine permits it.
 *
 *	struct tocsin_pmc *pmc;
 *	int err = tocsin_pmc_open(TOCSIN_PMC_INSTRUCTIONS, &pmc);
 *	...
 *	err = tocsin_pmc_read(pmc, &before);
 *
 * The kernel says in a page that it shares which hardware counter holds an event now. Between
 * reading that number and reading the counter the thread may be moved to a CPU of another type,
 * where the number means something else; a restartable sequence around both makes that impossible.
 * On machines with several types of CPU an event is opened for each and the counts are added up:
 * each is right for the time on its CPUs.
 *
 * tocsin_pmc_how() says how a counter is read; nothing is replaced by something else in silence.
 *
 *	TOCSIN_PMC_RDPMC         the counter itself, without a system call
 *	TOCSIN_PMC_SYSCALL       read(2): the counter may not be read from user space, the thread
 *	                         has no rseq, or not on this architecture
 *	TOCSIN_PMC_THREAD_CLOCK  only TOCSIN_PMC_CYCLES, where there is no such hardware (most
 *	                         virtual machines): CPU time of the thread, in ns
 *
 * Tested with a page made by hand and a counter instruction replaced; NOT tested: a real rdpmc,
 * machines with several types of CPU, and anything on aarch64, where only the cycle counter is read
 * directly.
 *
 * C11 and C++17.
 */

#include <stdint.h>

#include "tocsin/rseq.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tocsin_pmc;

/* What is counted, in user space only. */
enum tocsin_pmc_event {
	TOCSIN_PMC_CYCLES = 0,
	TOCSIN_PMC_INSTRUCTIONS = 1,
	TOCSIN_PMC_CACHE_REFERENCES = 2,
	TOCSIN_PMC_CACHE_MISSES = 3,
	TOCSIN_PMC_BRANCHES = 4,
	TOCSIN_PMC_BRANCH_MISSES = 5
};

enum tocsin_pmc_how { TOCSIN_PMC_RDPMC = 1, TOCSIN_PMC_SYSCALL = 2, TOCSIN_PMC_THREAD_CLOCK = 3 };

/**
 * tocsin_pmc_open() - begin to count an event of the calling thread.
 * @ret_pmc: to be given to tocsin_pmc_close()
 *
 * Return: 0; -EINVAL no such event; -EOPNOTSUPP the machine does not count it; -EACCES not
 * permitted
 * (/proc/sys/kernel/perf_event_paranoid); -EMFILE, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API int tocsin_pmc_open(enum tocsin_pmc_event event, struct tocsin_pmc **ret_pmc);

/**
 * tocsin_pmc_read() - the count since tocsin_pmc_open().
 *
 * Never goes back. If the event had to share a hardware counter with others, the count is of the
 * time that it had one.
 *
 * Return: 0; -EIO the kernel no longer tells it.
 * Thread-safe: no: only the thread that opened it. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API int tocsin_pmc_read(struct tocsin_pmc *pmc, uint64_t *ret_count);

/**
 * tocsin_pmc_how() - how the last read was made, before the first how it would be.
 * @ret_text: a sentence for people, a constant; may be NULL
 *
 * Thread-safe: as tocsin_pmc_read(). Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API enum tocsin_pmc_how tocsin_pmc_how(const struct tocsin_pmc *pmc, const char **ret_text);

/** tocsin_pmc_close() - stop counting. @pmc may be NULL. Return: NULL. Thread-safe: no.
 * Signal-safe: no. Since: 0.1. */
TOCSIN_API struct tocsin_pmc *tocsin_pmc_close(struct tocsin_pmc *pmc);

#ifdef __cplusplus
}
#endif

#endif
