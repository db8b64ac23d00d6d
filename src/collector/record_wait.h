/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RECORD_WAIT_H
#define TOCSIN_COLLECTOR_RECORD_WAIT_H

/* Sleeping until a traced process wakes us, and the arena of processes that we start. */

#include "record_internal.h"

/** record_wait_wake() - until a process wakes its collector, at most @ns. */
void record_wait_wake(struct recorder *rec, uint64_t ns);

/** record_arena_places() - how many places of the arena are taken. Return: 0, or -errno. */
int record_arena_places(struct recorder *rec, uint32_t *ret_nr);

/** record_arena_page() - the page of a place. Return: 0, -EAGAIN not ready yet, -ENOENT no good,
 * -errno. */
int record_arena_page(struct recorder *rec, uint32_t place, struct discovered *ret);

/** record_arena_give_back() - free the memory of a process that has ended. */
void record_arena_give_back(struct recorder *rec, struct record_process *p);

#endif
