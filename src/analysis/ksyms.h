/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_KSYMS_H
#define TOCSIN_ANALYSIS_KSYMS_H

#include <stddef.h>
#include <stdint.h>

struct ksyms;

/**
 * ksyms_new() - a table of the kernel's functions, which is read when first asked.
 * @path: file in the form of /proc/kallsyms, lent for the table's life; NULL: /proc/kallsyms
 *
 * Return: the table, to be given to ksyms_free(), or NULL without memory.
 */
struct ksyms *ksyms_new(const char *path);

/** ksyms_free() - give the table back; NULL is fine. Return: NULL. */
struct ksyms *ksyms_free(struct ksyms *k);

/**
 * ksyms_load() - read the file now, if it has not been read. A failure is remembered, not repeated.
 *
 * About 2.5 MiB and 0.1 s for a kernel of 60,000 functions.
 *
 * Return: 0, or -EPERM the kernel hides its addresses (kernel.kptr_restrict), -ENODATA no function
 * in the file, -E2BIG more than KSYMS_MAX, -ENOMEM, -errno of the file.
 * Thread-safe: per object. Signal-safe: no.
 */
int ksyms_load(struct ksyms *k);

#define KSYMS_MAX (1u << 22)

/**
 * ksyms_find() - the function that an address lies in; loads the table.
 * @address:    of an instruction; for a return address ask one byte before it
 * @ret_offset: bytes from the function's beginning; may be NULL
 *
 * Return: its name, lent for the table's life, or NULL: not a function's, or nothing is known.
 */
const char *ksyms_find(struct ksyms *k, uint64_t address, uint64_t *ret_offset);

/** ksyms_bytes() - memory that the table holds now. */
size_t ksyms_bytes(const struct ksyms *k);

#endif
