/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_WATCH_HOT_H
#define TOCSIN_CLI_WATCH_HOT_H

/* Sections that are passed so often that their probes cost the program something: said, once each.
 */

#include "../collector/watch.h"

struct hot {
	uint64_t due_ns; /* when to look again; 0: at the first call */
	uint64_t gap_ns;
	uint64_t looked_ns;
	bool is_said[WATCH_SECTIONS_MAX];
	uint64_t ended[WATCH_SECTIONS_MAX]; /* sections, at the last look */
};

/**
 * hot_look() - warn on standard error about sections that have become hot since the last look.
 * @h: zeroed at first
 *
 * Call it a few times a second; it looks a second after the first call, and ever more seldom.
 * Counted are sections of watched processes: one that is bound in a file for all processes costs
 * the others too. Thread-safe: per object. Signal-safe: no.
 */
void hot_look(struct hot *h, const struct watch *w);

#endif
