/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_CLOCK_H
#define TOCSIN_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/** clock_now_ns() - CLOCK_MONOTONIC in ns, the clock of every record. Signal-safe: yes. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC,
			    &ts); /* cannot fail: the clock exists on every Linux */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/** clock_realtime_offset_ns() - CLOCK_REALTIME minus CLOCK_MONOTONIC now, in ns; good to about a
 * microsecond. */
static inline int64_t clock_realtime_offset_ns(void)
{
	struct timespec real;
	uint64_t before = clock_now_ns();

	(void)clock_gettime(CLOCK_REALTIME, &real); /* cannot fail */
	return (int64_t)real.tv_sec * 1000000000 + real.tv_nsec -
	       (int64_t)(before + (clock_now_ns() - before) / 2);
}

#endif
