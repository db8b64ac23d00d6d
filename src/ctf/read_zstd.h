/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_ZSTD_H
#define TOCSIN_CTF_READ_ZSTD_H

/*
 * A compressed file, unpacked from its beginning to its end, with a window of what it unpacks to in
 * memory: as much as a packet takes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZSTD_SUFFIX ".zst"
#define ZSTD_WINDOW_MAX \
	((uint64_t)1 << 30) /* bytes that are wanted at a time; a ring has no more */

struct ctf_zstd;

/** ctf_zstd_stem() - length of a name without ".zst", or 0: it does not end so. */
size_t ctf_zstd_stem(const char *name);

/**
 * ctf_zstd_open() - @fd is lent, at its beginning.
 *
 * Return: 0, or -EOPNOTSUPP built without zstd, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no.
 */
int ctf_zstd_open(int fd, struct ctf_zstd **ret_zstd);

/** ctf_zstd_close() - @z may be NULL. Return: NULL. */
struct ctf_zstd *ctf_zstd_close(struct ctf_zstd *z);

/**
 * ctf_zstd_want() - have bytes of the content in memory, as far as there are so many.
 * @offset: of the first of them; what is before it goes, and cannot be wanted again
 * @len:    how many
 *
 * Return: 0, or -EFBIG more than ZSTD_WINDOW_MAX, -EBADMSG no zstd data (ctf_zstd_wrong() says what
 * and where; what came before is there), -errno, -ENOMEM.
 * Thread-safe: per object. Signal-safe: no.
 */
int ctf_zstd_want(struct ctf_zstd *z, uint64_t offset, uint64_t len);

/** ctf_zstd_bytes() - what is in memory: @ret_start and @ret_end are offsets of the content. */
const uint8_t *ctf_zstd_bytes(const struct ctf_zstd *z, uint64_t *ret_start, uint64_t *ret_end);

/** ctf_zstd_is_all() - nothing comes behind what is in memory, be it the end or an error. */
bool ctf_zstd_is_all(const struct ctf_zstd *z);

/** ctf_zstd_wrong() - why the content is not whole, or NULL; @ret_at: byte of the compressed file.
 */
const char *ctf_zstd_wrong(const struct ctf_zstd *z, uint64_t *ret_at);

/** ctf_zstd_progress() - bytes of the compressed file that were read; and its size. */
uint64_t ctf_zstd_progress(const struct ctf_zstd *z, uint64_t *ret_total);

#endif
