/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RECORD_CHUNK_H
#define TOCSIN_COLLECTOR_RECORD_CHUNK_H

/* What becomes of chunks that are finished: compressed, and the oldest removed. In a thread of its
 * own, so that draining goes on. */

#include <stdbool.h>
#include <stdint.h>

#define RECORD_CHUNK_FORMAT "chunk_%06u"

struct record_chunks;

/** record_chunk_has_zstd() - was it built with zstd? */
bool record_chunk_has_zstd(void);

/**
 * record_chunks_open() - begin to look after a directory of chunks.
 * @dir:  lent
 * @keep: finished chunks to keep, 0: all
 *
 * Return: 0, or -errno.
 */
int record_chunks_open(const char *dir, bool is_zstd, uint64_t keep, struct record_chunks **ret);

/** record_chunks_finished() - chunks up to this number are complete. Thread-safe: one caller. */
void record_chunks_finished(struct record_chunks *c, unsigned chunk);

/** record_chunks_close() - wait until all is done; NULL is fine. @ret_r: 0, or what failed first.
 * Return: NULL. */
struct record_chunks *record_chunks_close(struct record_chunks *c, int *ret_r);

#endif
