/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_SYSCALLS_H
#define TOCSIN_ABI_SYSCALLS_H

/* System calls of the machine that Tocsin was built for. The table is made at build time from the
 * kernel's header; a call that is newer than that header has a number and no name. */

#include <stddef.h>

/** syscall_name() - name of a system call, or NULL. Thread-safe: yes. Signal-safe: yes. */
const char *syscall_name(long nr);

/** syscall_number() - number of a system call, or -ENOENT. Thread-safe: yes. Signal-safe: yes. */
int syscall_number(const char *name);

/** syscall_limit() - one more than the highest number: to visit all names. */
long syscall_limit(void);

#endif
