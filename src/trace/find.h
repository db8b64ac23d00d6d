/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACE_FIND_H
#define TOCSIN_TRACE_FIND_H

#include "../base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/* Directories with a file `metadata`. */
struct trace_dirs {
	char **path; /* owned, in the order of their names */
	dev_t *dev;
	ino_t *ino;
	size_t nr, capacity;
};

/**
 * trace_dirs_add() - a trace, or all traces below a directory.
 *
 * Does not follow symbolic links below @path; goes no deeper than 16 and looks at no more than
 * 100,000 entries.
 *
 * Return: 0, or -ENOENT none there, -errno; @err says which. Thread-safe: yes. Signal-safe: no.
 */
int trace_dirs_add(struct trace_dirs *dirs, const char *path, struct tocsin_err *err);

/** trace_dirs_is_root() - is this a directory that is no trace, so that one may appear in it? */
bool trace_dirs_is_root(const char *path);

void trace_dirs_done(struct trace_dirs *dirs);

#endif
