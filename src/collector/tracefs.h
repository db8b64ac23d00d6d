/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_TRACEFS_H
#define TOCSIN_COLLECTOR_TRACEFS_H

/* Tracepoints as tracefs describes them. Nothing there is changed. */

#include "../abi/watch.h"
#include "../base/err.h"
#include "../base/parse.h"

/** tracefs_dir() - where tracefs is mounted. Return: the directory, or NULL. */
const char *tracefs_dir(void);

/**
 * tracefs_check() - is there such a tracepoint?
 * @near: gathers similar names of the category when not, may be NULL
 *
 * Return: 0, or -ENOENT, -ENODEV tracefs is not mounted, -EACCES, -errno.
 */
int tracefs_check(const char *category, const char *name, struct tocsin_nearest *near,
		  struct tocsin_err *err);

/**
 * tracefs_syscall() - the tracepoint of a system call, also where the kernel has another name for
 * it.
 * @name: as its manual page has it
 * @side: "enter" or "exit"
 * @buf:  gets the tracepoint's name, of the category `syscalls`
 * @near: gathers similar system calls when there is none, may be NULL
 *
 * Return: as tracefs_check().
 */
int tracefs_syscall(const char *name, const char *side, char *buf, size_t len,
		    struct tocsin_nearest *near, struct tocsin_err *err);

/**
 * tracefs_field() - how to read the n-th field of a tracepoint's record, the common ones not
 * counted.
 *
 * Return: 0, or -ENOENT there are fewer, -EINVAL not a number of 1 to 8 bytes, -ENODEV, -errno.
 */
int tracefs_field(const char *category, const char *name, unsigned n, struct watch_arg *ret,
		  struct tocsin_err *err);

/** tracefs_field_named() - the same of a field by its name. Return: as above. */
int tracefs_field_named(const char *category, const char *name, const char *field,
			struct watch_arg *ret, struct tocsin_err *err);

#endif
