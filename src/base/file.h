/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_FILE_H
#define TOCSIN_BASE_FILE_H

#include <stddef.h>

/**
 * file_load() - all of a file, terminated.
 * @path:     its name; "-" is standard input
 * @max:      bytes that it may have
 * @ret_text: free() it
 * @ret_len:  bytes without the terminator; may be NULL
 *
 * Return: 0, or -EFBIG, -EISDIR, -ENOMEM, -errno. Thread-safe: yes. Signal-safe: no.
 */
int file_load(const char *path, size_t max, char **ret_text, size_t *ret_len);

#endif
