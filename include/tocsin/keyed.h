/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_KEYED_H
#define TOCSIN_KEYED_H

/*
 * An item for each 64-bit key: what a program remembers of a thread, a request or an object by its
 * number or address. On the pool of <tocsin/pool.h>, found under <tocsin/rcu.h>.
 *
 *	struct tocsin_keyed_opts opts = {.size = sizeof(opts), .item_bytes = sizeof(struct state),
 *					 .max_items = 10000};
 *	struct tocsin_keyed *states;
 *	int err = tocsin_keyed_new(&opts, &states);
 *	...
 *	uint64_t token = tocsin_rcu_read_lock();
 *	err = tocsin_keyed_get(states, (uintptr_t)object, &state);    found, or made: all zero
 *	... use state ...
 *	tocsin_rcu_read_unlock(token);
 *	...
 *	tocsin_keyed_remove(states, (uintptr_t)object);
 *	tocsin_keyed_reclaim(states);             now and then: removed items can be used again
 *
 * An item that is found inside a read-side section stays memory, with its contents, until that
 * section ends, whoever removes it; a program with one thread, or whose items are removed by nobody
 * else, needs no section. The table does not protect what is in an item from two threads that have
 * both found it.
 *
 * Memory for max_items is taken at the start and touched, so no function but tocsin_keyed_new() and
 * _free() maps memory, calls malloc or fails for want of it; tocsin_keyed_get() says -ENOSPC then.
 * Finding writes nothing that another CPU reads, and takes no lock. Making and removing take one
 * of many locks for a few stores, with the signals blocked: two system calls, 0.3 us.
 *
 * In the child of a fork() the table goes on with a copy; an item that another thread was making or
 * removing at that moment may be lost to the child (it takes up room). Not in a vfork() child, see
 * <tocsin/percpu.h>. C11 and C++17.
 */

#include <stddef.h>
#include <stdint.h>

#include "tocsin/rseq.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tocsin_keyed;

struct tocsin_keyed_opts {
	size_t size;        /* sizeof(struct tocsin_keyed_opts), as the caller was compiled */
	size_t item_bytes;  /* 1 to 2^20 - 32; items are aligned to 16 */
	uint64_t max_items; /* 1 to 2^26: that many can be there at a time */
	/* Called for each item that is made, all zero, before anybody can find it, with the signals
	 * blocked and a lock held: no call of this table in it. NULL: it stays all zero. */
	void (*init)(void *arg, void *item, uint64_t key);
	void *arg;
};

struct tocsin_keyed_stats {
	uint64_t items;   /* there now */
	uint64_t removed; /* and not reclaimed yet */
	uint64_t refused; /* tocsin_keyed_get() said -ENOSPC */
	uint64_t bytes;   /* of memory */
};

/**
 * tocsin_keyed_new() - make a table.
 * @opts:      lent
 * @ret_keyed: to be given to tocsin_keyed_free()
 *
 * Return: 0, -EINVAL an option is out of range, -E2BIG @opts has fields that this library does not
 * know, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API int tocsin_keyed_new(const struct tocsin_keyed_opts *opts,
				struct tocsin_keyed **ret_keyed);

/** tocsin_keyed_free() - give back a table and all its items; nobody may use either any more.
 * @keyed may be NULL. Return: NULL. Thread-safe: no. Signal-safe: no. Since: 0.1. */
TOCSIN_API struct tocsin_keyed *tocsin_keyed_free(struct tocsin_keyed *keyed);

/**
 * tocsin_keyed_find() - the item of a key.
 *
 * Return: it, until the end of the caller's read-side section; NULL there is none.
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API void *tocsin_keyed_find(struct tocsin_keyed *keyed, uint64_t key);

/**
 * tocsin_keyed_get() - the item of a key, made if there is none. Two threads that ask at once get
 * the same.
 * @ret_item: it, until the end of the caller's read-side section
 *
 * Return: 0 it was there, 1 it was made, -ENOSPC it was not there and there is no room: max_items
 * are there, or were removed and not yet reclaimed. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API int tocsin_keyed_get(struct tocsin_keyed *keyed, uint64_t key, void **ret_item);

/**
 * tocsin_keyed_remove() - nobody finds the item of a key from now on.
 *
 * Return: 0, -ENOENT there is none. Of several at once one gets 0. Thread-safe: yes. Signal-safe:
 * yes. Since: 0.1.
 */
TOCSIN_API int tocsin_keyed_remove(struct tocsin_keyed *keyed, uint64_t key);

/**
 * tocsin_keyed_each() - call a function for each item, for reports and for removing what is old.
 * @fn: may use the table; returns 0, or 1: remove this item
 *
 * Inside a read-side section of its own. An item that is there all the while is met once; one that
 * comes or goes meanwhile, once or not at all.
 *
 * Return: how many were met. Thread-safe: yes. Signal-safe: as @fn. Since: 0.1.
 */
TOCSIN_API uint64_t tocsin_keyed_each(struct tocsin_keyed *keyed,
				      int (*fn)(void *arg, uint64_t key, void *item), void *arg);

/**
 * tocsin_keyed_reclaim() - wait for a grace period and make room of what was removed before.
 *
 * Return: how many items, 0 at once if there are none; or as tocsin_rcu_synchronize(): -EDEADLK
 * inside a read-side section, -ENOSYS; then they stay as they were.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API long tocsin_keyed_reclaim(struct tocsin_keyed *keyed);

/** tocsin_keyed_get_stats() - counts. Thread-safe: yes. Signal-safe: yes. Since: 0.1. */
TOCSIN_API void tocsin_keyed_get_stats(struct tocsin_keyed *keyed,
				       struct tocsin_keyed_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif
