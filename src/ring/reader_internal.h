/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_READER_INTERNAL_H
#define TOCSIN_RING_READER_INTERNAL_H

/* What the parts of the reader share. */

#include "reader.h"

/* One load each: the compiler must not look twice at memory that changes under us. */
static inline uint64_t ring_peek(const void *at)
{
	return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
}

/* The record at an offset of a run of bytes. */
struct ring_step {
	uint64_t bytes;
	uint64_t time;
	bool is_extended;
};

/**
 * ring_step() - look at the header of the record at @at, which has @left bytes to the end of the
 * run, and remember its time in @r.
 *
 * Return: RING_CORRUPT_NOT, and @ret_step; else what is wrong.
 */
enum ring_corrupt ring_step(struct ring_reader *r, const unsigned char *at, uint64_t left,
			    struct ring_step *ret_step);

/* ring_scan() - step over @bytes at @data, at most @max_bytes unless the first record is longer.
 * Return: RING_CORRUPT_NOT, and counts and times in @extent; @r->corrupt_at is not yet set. */
enum ring_corrupt ring_scan(struct ring_reader *r, const unsigned char *data, uint64_t bytes,
			    uint64_t max_bytes, struct ring_extent *extent);

/* Remember what is wrong, for good. */
enum ring_read ring_is_corrupt(struct ring_reader *r, enum ring_corrupt corrupt, uint64_t at);

enum ring_read ring_next_overwrite(struct ring_reader *r, uint64_t max_bytes,
				   struct ring_extent *extent);
enum ring_read ring_next_side(struct ring_reader *r, uint64_t max_bytes,
			      struct ring_extent *extent);
void ring_release_side(struct ring_reader *r, const struct ring_extent *upto);

#endif
