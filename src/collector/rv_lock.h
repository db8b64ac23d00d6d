/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RV_LOCK_H
#define TOCSIN_COLLECTOR_RV_LOCK_H

/* Which of our monitors are enabled: a lock on /run/tocsin/rv.NAME, which the kernel takes away
 * with its holder, in whatever way that ends. */

#include <stdbool.h>

/** rv_lock_take() - @name: without '/'. Return: a descriptor to be closed, -EBUSY another process
 * has it, or -errno. Thread-safe: yes. Signal-safe: no. */
int rv_lock_take(const char *name);

/** rv_lock_is_taken() - by another process; false also where it cannot be seen. */
bool rv_lock_is_taken(const char *name);

#endif
