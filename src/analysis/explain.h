/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_EXPLAIN_H
#define TOCSIN_ANALYSIS_EXPLAIN_H

/* One spell explained: the step between the records and their account (verdict.c). */

#include "finding.h"
#include "verdict.h"

/* The parts of a spell inside a section. They follow one another; their sum is what it took. */
struct spell_parts {
	uint64_t blocked_ns; /* or stopped */
	uint64_t throttled_ns;
	uint64_t waited_ns;
};

/**
 * spell_parts() - cut a spell to the time from @from_ns to @to_ns.
 *
 * Times that contradict one another give what is left of them, down to nothing.
 */
struct spell_parts spell_parts(const struct watch_spell *raw, uint64_t from_ns, uint64_t to_ns);

/** spell_resolve() - fill a spell's system call, frames, and flags; and the evidence. */
void spell_resolve(struct spell *s, const struct violation *v, const struct explain_context *ctx,
		   struct evidence *ret);

/** spell_evidence() - the words of a cause's evidence field. */
void spell_evidence(const struct spell *s, const struct finding *f, char *buf, size_t len);

#endif
