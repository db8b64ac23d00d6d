/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_KERNEL_CLOCK_H
#define TOCSIN_COLLECTOR_KERNEL_CLOCK_H

/* Kernel events have CLOCK_MONOTONIC, those of programs the counter of the CPU: one is made the
 * other. kernel_clock.c has the method. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../ring/reader.h"
#include "timebase.h"

#define KERNEL_CLOCK_POINTS 1024

/* Storage of the caller's, zeroed. */
struct kernel_clock {
	struct {
		uint64_t tick, ns;
	} point[KERNEL_CLOCK_POINTS]; /* measured, rising */
	unsigned nr_points;
	unsigned at; /* segment of the last conversion */
};

/** kernel_clock_point() - one more measurement; one that is not newer is left out. */
void kernel_clock_point(struct kernel_clock *c, const struct timebase_point *p);

/** kernel_clock_tick() - the counter at a time: on the straight line between the two measurements
 * around it. Return: @ns itself when there are fewer than two. */
uint64_t kernel_clock_tick(struct kernel_clock *c, uint64_t ns);

/* What a ring's records were converted to last; zeroed at first. */
struct kernel_clock_stream {
	uint64_t raw;  /* as the record has it */
	uint64_t tick; /* as we wrote it */
};

/**
 * kernel_clock_convert() - records of the kernel half with the counter's time.
 * @s:    of their ring
 * @ext:  what the reader gave
 * @buf:  at least 2 * ext->bytes, 8-aligned
 * @ret:  the same records in @buf; position and losses as in @ext
 *
 * Times that went back by some ns are those of the record before.
 *
 * Return: true, or false: the records make no sense.
 * Thread-safe: per object. Signal-safe: yes.
 */
bool kernel_clock_convert(struct kernel_clock *c, struct kernel_clock_stream *s,
			  const struct ring_extent *ext, void *buf, struct ring_extent *ret);

#endif
