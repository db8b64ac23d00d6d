/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_RECORD_PRELOAD_H
#define TOCSIN_CLI_RECORD_PRELOAD_H

/* `tocsin record --trace LIST -- CMD`: libraries of ours before the command's own, by LD_PRELOAD.
 */

#include <stddef.h>
#include <stdint.h>

#include "cli.h"

/**
 * record_preload_set() - into this process's environment, for the command that is started next.
 * @cmd:     for words about wrong usage
 * @list:    names, separated by commas; NULL: none
 * @depth, @min_ns: of functions; 0: all
 * @program: path of the command
 *
 * Refuses programs in which this has no effect (linked statically, set-user-id) or would do harm
 * (with the runtime of a sanitizer, which ends the program unless it is the first library).
 *
 * Return: -1 to go on, or the exit status; it has been said why. Thread-safe: no.
 */
int record_preload_set(const struct opt_command *cmd, const char *list, uint64_t depth,
		       uint64_t min_ns, const char *program);

/**
 * record_preload_find() - path of a library: beside this program as it was built, or installed.
 * @name: of record_preload.def
 *
 * Return: 0, -ENOENT.
 */
int record_preload_find(const char *name, char *path, size_t size);

/** record_preload_unset() - the environment as it was. */
void record_preload_unset(void);

#endif
