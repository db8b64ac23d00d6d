/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_SPACE_H
#define TOCSIN_UNWIND_SPACE_H

/*
 * The code of running processes: their executable mappings, and the files behind them, each opened
 * once for all processes. A file is the one that is mapped, found through the process's own root
 * or, when its path has another file by now, through /proc/PID/map_files.
 */

#include <sys/types.h>

#include "walk.h"

/* The files of all processes. One thread at a time. */
struct unwind_files;

/**
 * unwind_files_new() - with no file yet.
 * @cache_dir: for unwind_table_load(), copied; NULL: no cache
 *
 * Return: to be given to unwind_files_free(), or NULL: no memory.
 */
struct unwind_files *unwind_files_new(const char *cache_dir);

/** unwind_files_free() - after all processes of it. Accepts NULL. Return: NULL. */
struct unwind_files *unwind_files_free(struct unwind_files *files);

struct unwind_process;

/**
 * unwind_process_open() - the mappings of a process as they are now.
 * @files: lent, must outlive the process
 *
 * Return: 0, or -ESRCH it has gone, -EACCES, -ENOMEM, -errno.
 */
int unwind_process_open(struct unwind_files *files, pid_t pid, struct unwind_process **ret,
			struct tocsin_err *err);

/** unwind_process_free() - accepts NULL. Return: NULL. */
struct unwind_process *unwind_process_free(struct unwind_process *p);
void unwind_process_freep(struct unwind_process **p);

/**
 * unwind_process_refresh() - read the mappings again: libraries are loaded and unloaded.
 *
 * Return: as unwind_process_open(); on failure those read before stay.
 */
int unwind_process_refresh(struct unwind_process *p, struct tocsin_err *err);

/** unwind_process_space() - for unwind_walk(), with a cache; lent until refresh or free. */
const struct unwind_space *unwind_process_space(const struct unwind_process *p);

/* --- files ---------------------------------------------------------------------------------- */

/** unwind_module_path() - as the process names it; "[vdso]" too. */
const char *unwind_module_path(const struct unwind_module *m);

/** unwind_module_table() - NULL: it has none, and unwind_module_why() says why. */
const struct unwind_table *unwind_module_table(const struct unwind_module *m);
const char *unwind_module_why(const struct unwind_module *m);

/** unwind_module_is_replaced() - another file, or none, has its path by now. */
bool unwind_module_is_replaced(const struct unwind_module *m);

/** unwind_module_build_id() - in lower-case hex, terminated; "" for none. */
const char *unwind_module_build_id(const struct unwind_module *m);

#endif
