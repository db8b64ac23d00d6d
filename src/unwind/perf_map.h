/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_PERF_MAP_H
#define TOCSIN_UNWIND_PERF_MAP_H

/* Names of code that a program has made while it runs, from the file that JIT compilers write for
 * profilers: /tmp/perf-PID.map, a line `START SIZE NAME` each, in hex. */

#include <stddef.h>
#include <stdint.h>

struct perf_map;

/**
 * perf_map_read() - from text.
 * @text: hostile; lines that make no sense are passed over
 *
 * Of two entries for the same code the later in the file counts: code is made again in its place.
 *
 * Return: 0, to be given to perf_map_free(), or -ENOMEM.
 */
int perf_map_read(const char *text, size_t len, struct perf_map **ret);

/**
 * perf_map_open() - of a process, through its own root and by its number inside its namespace.
 *
 * Return: 0, or -ENOENT it has none, -EPERM it is not the process's own, -ENOMEM, -errno.
 */
int perf_map_open(int pid, struct perf_map **ret);

/** perf_map_free() - accepts NULL. Return: NULL. */
struct perf_map *perf_map_free(struct perf_map *m);

/** perf_map_find() - the name of the code at an address. Return: lent, or NULL. */
const char *perf_map_find(const struct perf_map *m, uint64_t address);

#endif
