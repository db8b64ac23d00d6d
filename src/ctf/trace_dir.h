/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_TRACE_DIR_H
#define TOCSIN_CTF_TRACE_DIR_H

/* A trace's directory: empty when it is made, `metadata` replaced in one step. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/err.h"

/**
 * ctf_trace_dir_open() - make a directory, or take one that is empty.
 * @dir:      its path; parents are not made
 * @err:      the sentence on failure, may be NULL
 * @ret_fd:   its descriptor, to be closed
 * @ret_made: it was not there; may be NULL
 *
 * Return: 0, -EEXIST it is not empty, or -errno.
 * Thread-safe: yes. Signal-safe: no.
 */
int ctf_trace_dir_open(const char *dir, struct tocsin_err *err, int *ret_fd, bool *ret_made);

/** ctf_metadata_replace() - write `metadata` under a hidden name and rename it. Return: 0, or
 * -errno; the metadata of before stays. */
int ctf_metadata_replace(int dir_fd, const char *text, size_t len);

/** ctf_uuid_make() - a random identity. Return: 0, or -EIO. */
int ctf_uuid_make(uint8_t ret_uuid[static 16]);

#endif
