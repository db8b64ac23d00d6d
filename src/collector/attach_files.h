/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_ATTACH_FILES_H
#define TOCSIN_COLLECTOR_ATTACH_FILES_H

/* Which files a place may be in: as named, the programs that the targets run, the libraries that
 * they have mapped. */

#include <limits.h>
#include <sys/types.h>

#include "attach.h"

struct file {
	char path[PATH_MAX]; /* as we can open it */
	dev_t dev;
	ino_t ino;
	pid_t pid; /* a process that has it mapped, 0: none yet */
};

/* Different files, by device and inode. */
struct file_list {
	struct file *item;
	size_t nr;
};

void file_list_done(struct file_list *l);

/** file_list_is_full() - there may be more than it holds. */
bool file_list_is_full(const struct file_list *l);

/** files_named() - the file that a place names, as each target sees it; without targets as we do.
 * Return: 0, or -ENOENT, -E2BIG too many different ones, -ENOMEM, -errno. */
int files_named(const struct attach_targets *t, const char *name, struct file_list *l,
		struct tocsin_err *err);

/** files_of_programs() - the programs that the targets run. Return: as files_named(). */
int files_of_programs(const struct attach_targets *t, struct file_list *l, struct tocsin_err *err);

/** files_of_libraries() - add the shared libraries that the targets have mapped. Return: 0, or
 * -ENOMEM. */
int files_of_libraries(const struct attach_targets *t, struct file_list *l);

#endif
