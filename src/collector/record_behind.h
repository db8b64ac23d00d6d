/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RECORD_BEHIND_H
#define TOCSIN_COLLECTOR_RECORD_BEHIND_H

/* What has been written is sent to the disk soon and does not stay in the page cache:
 * record_behind.c has the reasons. */

#include <stdint.h>

#define RECORD_BEHIND_WINDOW (8ull << 20) /* bytes that are dealt with at a time */
#define RECORD_BEHIND_KEEP   8u           /* windows that stay in memory */

struct record_behind;

/**
 * record_behind_wrote() - a file has grown.
 * @behind: of the recording; *behind is NULL before the first window is full
 * @fd:     of the file, lent
 * @from:   where the next window of this file begins, 0 for a new file; moved on
 * @upto:   bytes that have been written
 *
 * What cannot be done (no thread, no descriptor, a disk that is further behind than the queue is
 * long) is left to the kernel. Thread-safe: one caller. Signal-safe: no.
 */
void record_behind_wrote(struct record_behind **behind, int fd, uint64_t *from, uint64_t upto);

/**
 * record_behind_close() - end it; NULL is fine.
 * @ret_r: 0, or -errno: the disk did not take something that had been written
 *
 * Return: NULL.
 */
struct record_behind *record_behind_close(struct record_behind *b, int *ret_r);

#endif
