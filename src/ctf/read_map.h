/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_MAP_H
#define TOCSIN_CTF_READ_MAP_H

/*
 * A file of a trace in memory: mapped, or, where its name ends in .zst, unpacked a part at a time.
 * A mapped one may grow while it is read; that it shrinks is survived.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctf_map {
	int fd;
	const uint8_t *bytes;  /* NULL while it is empty */
	size_t len;            /* of the file as it was looked at last */
	size_t mapped;         /* bytes, at least len */
	size_t released;       /* bytes from the start that need not stay in memory */
	volatile bool is_torn; /* pages that were read are not in the file any more: zeros came */
	struct ctf_zstd *zstd; /* NULL: mapped; else bytes is its window, and len what is known */
	uint64_t start;        /* of bytes, in the file or what it unpacks to */
	struct ctf_map *next;
};

/**
 * ctf_map_guard() - from now on a mapped file that is cut makes zeros, not a SIGBUS.
 *
 * Takes over the process's SIGBUS; one that has nothing to do with mapped files kills as it would
 * have. For programs of one thread that reads.
 *
 * Return: 0, or -errno. Thread-safe: no. Signal-safe: no.
 */
int ctf_map_guard(void);

/**
 * ctf_map_open() - map a regular file.
 * @dir_fd:  directory that @name is in
 * @ret_map: to be given to ctf_map_close(); must not move in memory meanwhile
 *
 * Return: 0, or -EISDIR, -EINVAL not a regular file, -errno.
 * Thread-safe: no. Signal-safe: no.
 */
int ctf_map_open(int dir_fd, const char *name, struct ctf_map *ret_map);

/**
 * ctf_map_want() - have bytes in memory, as far as there are so many; of a mapped file all are.
 * @offset: of the first; of a compressed file, what is before it cannot be wanted again
 *
 * What ctf_map_at() lent moves. Return: 0, or as ctf_zstd_want().
 */
int ctf_map_want(struct ctf_map *map, uint64_t offset, uint64_t len);

/** ctf_map_is_all() - is map->len the end? */
bool ctf_map_is_all(const struct ctf_map *map);

/** ctf_map_at() - the bytes from @offset on, up to map->len. */
static inline const uint8_t *ctf_map_at(const struct ctf_map *map, uint64_t offset)
{
	return map->bytes + (offset - map->start);
}

/** ctf_map_look() - look at the file's size again. What was lent may have moved. Return: 1 it has
 * changed, 0 it has not, -errno. */
int ctf_map_look(struct ctf_map *map);

/** ctf_map_release() - what is before @offset is not needed now; keeps memory flat. */
void ctf_map_release(struct ctf_map *map, size_t offset);

/** ctf_map_close() - @map may be zeroed, or closed already. */
void ctf_map_close(struct ctf_map *map);

#endif
