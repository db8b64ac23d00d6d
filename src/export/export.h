/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_EXPORT_EXPORT_H
#define TOCSIN_EXPORT_EXPORT_H

/* Traces for the programs of others. docs/formats/export.md says what becomes what. */

#include "../report/load.h"

enum export_format {
#define X(NAME, name, text) EXPORT_##NAME,
#include "formats.def"
#undef X
	EXPORT_NR,
};

struct export;

/**
 * export_open() - begin.
 * @fd: where to; stays the caller's, who ignores SIGPIPE
 *
 * Return: 0, or -ENOMEM. Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
int export_open(enum export_format format, int fd, struct export **ret_export);

/**
 * export_item() - one item of a trace; what a format has no place for is passed over and counted.
 * @l: where @item comes from
 *
 * Return: 0, or -errno of the write (-EPIPE: the reader has gone), -ENOMEM.
 * Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int export_item(struct export *e, struct load *l, const struct load_item *item);

/** export_finish() - write what is left. Return: as above. */
int export_finish(struct export *e);

struct export_stats {
	uint64_t violations, events; /* that were written */
	uint64_t passed_over;        /* that the format has no place for */
};

struct export_stats export_get_stats(const struct export *e);

/** export_close() - @e may be NULL. Return: NULL. */
struct export *export_close(struct export *e);

#endif
