/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_PEEK_H
#define TOCSIN_CTF_READ_PEEK_H

/*
 * A few numbers out of each event of a class, without decoding all of it: what steps over millions
 * of events looks at their keys only.
 */

#include "read_plan.h"

#define PEEK_MAX 24 /* numbers of one event */

struct peek {
	const struct plan *plan; /* lent */
	unsigned nr;
	struct {
		uint32_t op;  /* step of the plan that reads it */
		uint8_t slot; /* place of the result */
	} at[PEEK_MAX];
};

void peek_init(struct peek *p, const struct plan *plan);

/**
 * peek_add() - want one more number: a field as where.h names it.
 * @ret_slot: which of the results it is; the same for the same field
 *
 * Fields behind arrays, sequences and variants, and such that are no integer of whole bytes in
 * little endian, cannot be had this way.
 *
 * Return: 0, -ENOENT the class has no such field, -ENOTSUP not this way, -E2BIG PEEK_MAX are there.
 */
int peek_add(struct peek *p, const char *path, unsigned *ret_slot);

/**
 * peek_run() - read them.
 * @base: of the packet; @at_bits, @end_bits: of the event's contexts, of the packet's content
 * @ret:  PEEK_MAX places
 *
 * Return: 0, or -EBADMSG the event is not whole. Thread-safe: yes. Signal-safe: yes.
 */
int peek_run(const struct peek *p, const uint8_t *base, uint64_t at_bits, uint64_t end_bits,
	     uint64_t *ret);

#endif
