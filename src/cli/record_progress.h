/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_RECORD_PROGRESS_H
#define TOCSIN_CLI_RECORD_PROGRESS_H

/* What a recording says on standard error while it runs, and at the end. */

#include "../collector/record.h"

struct record_progress {
	bool is_on, is_terminal, is_shown;
	uint64_t begun_ns, last_ns;
	uint64_t last_events, last_bytes;
	int told_failure; /* of the disk */
};

void record_progress_begin(struct record_progress *p, bool is_on);

/** record_progress_show() - a line once a second on a terminal; trouble at once anywhere. */
void record_progress_show(struct record_progress *p, const struct recorder *rec);

/** record_progress_end() - the summary. */
void record_progress_end(struct record_progress *p, const struct record_stats *stats,
			 const char *dir);

/** record_progress_lost() - everything that was lost, of whatever kind. */
uint64_t record_progress_lost(const struct record_stats *stats);

#endif
