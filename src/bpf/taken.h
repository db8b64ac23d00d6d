/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_TAKEN_H
#define TOCSIN_BPF_TAKEN_H

/* Open sections of an index that is taken away: ended and counted. */

#include <stdint.h>

#include "../base/err.h"

/**
 * watch_taken_count() - end all open sections of one index, unreported.
 * @threads_fd: the map of the threads' states, lent
 * @section:    the index; its probes must do nothing any more
 * @ret:        how many there were; of sections that pair by key none is counted here
 *
 * Return: 0, or -errno. Thread-safe: no. Signal-safe: no.
 */
int watch_taken_count(int threads_fd, uint32_t section, uint64_t *ret, struct tocsin_err *err);

#endif
