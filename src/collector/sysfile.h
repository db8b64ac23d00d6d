/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_SYSFILE_H
#define TOCSIN_COLLECTOR_SYSFILE_H

/* The kernel's small text files: /proc/sys, /sys. */

#include <stddef.h>
#include <stdint.h>

/**
 * sysfile_read() - the start of a file as text, without the newline that ends it.
 * @path: lent
 * @buf:  storage, terminated on success; NUL bytes of the file stay in it
 * @len:  its size in bytes, at least 1; what is longer is cut
 *
 * Return: the length of the text in bytes, or -errno of open(2) or read(2).
 * Thread-safe: yes. Signal-safe: yes.
 */
int sysfile_read(const char *path, char *buf, size_t len);

/**
 * sysfile_read_u64() - a file that holds one number.
 *
 * Return: 0, or what sysfile_read() and tocsin_parse_u64() return.
 */
int sysfile_read_u64(const char *path, uint64_t *ret_value);

/**
 * sysfile_field() - the text behind `NAME:` in a file of such lines, blanks before it skipped.
 * @text: the file, lent
 * @name: with its colon, lent
 * @buf:  storage, terminated on success
 * @len:  its size in bytes; what is longer is cut
 *
 * Return: 0, or -ENOENT.
 */
int sysfile_field(const char *text, const char *name, char *buf, size_t len);

#endif
