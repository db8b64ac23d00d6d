/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_MAP_H
#define TOCSIN_CTF_READ_MAP_H

/* A file of a trace in memory, mapped. It may grow while it is read; that it shrinks is survived.
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

/** ctf_map_look() - look at the file's size again. What was lent may have moved. Return: 1 it has
 * changed, 0 it has not, -errno. */
int ctf_map_look(struct ctf_map *map);

/** ctf_map_release() - what is before @offset is not needed now; keeps memory flat. */
void ctf_map_release(struct ctf_map *map, size_t offset);

/** ctf_map_close() - @map may be zeroed, or closed already. */
void ctf_map_close(struct ctf_map *map);

#endif
