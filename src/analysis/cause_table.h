/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_CAUSE_TABLE_H
#define TOCSIN_ANALYSIS_CAUSE_TABLE_H

/* Totals of causes over all violations of a section, in bounded memory. */

#include "model.h"

#define CAUSE_TABLE_MAX 64

struct cause_table;

/** cause_table_new() - an empty table, to be given to cause_table_free(), or NULL. */
struct cause_table *cause_table_new(void);

/** cause_table_free() - NULL is fine. Return: NULL. */
struct cause_table *cause_table_free(struct cause_table *t);

/**
 * cause_table_add() - put the causes of an explained violation to the totals.
 *
 * One entry a kind, class of subject ("row lock", whatever the transaction) and peer (process and
 * name; the thread of those that hold a lock). When CAUSE_TABLE_MAX entries are in use a new peer
 * is put to another of its name for the same reason, which then stands for several; else the
 * smallest entry gives way to a larger one and goes to the rest. Violations that are VIOLATION_OPEN
 * have no causes and add nothing.
 *
 * Never fails: what finds no memory goes to the rest. Thread-safe: per object. Signal-safe: no.
 */
void cause_table_add(struct cause_table *t, const struct violation *v);

/**
 * cause_table_top() - the causes so far, largest first, with their sentences.
 * @ret_cause:    to be given to free(); NULL when there are none
 * @ret_nr:       how many
 * @ret_other_ns: time of causes that found no place; all that was added is this and the causes' ns
 *
 * Return: 0, or -ENOMEM.
 */
int cause_table_top(const struct cause_table *t, struct cause **ret_cause, unsigned *ret_nr,
		    uint64_t *ret_other_ns);

#endif
