/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_CLOCK_H
#define TOCSIN_CTF_READ_CLOCK_H

/*
 * From ticks of a trace's clock to nanoseconds since 1970, exactly: the quotient is rounded down
 * once, from the clock's zero on, whatever was asked before.
 *
 * A division of 128 bits gives one time and its remainder; times up to 2^32 ticks later follow with
 * two multiplications: q = n * floor(2^64 / f) >> 64 is the quotient of n / f or one less, for
 * every n below 2^64, and the remainder tells which.
 */

#include <stdbool.h>
#include <stdint.h>

#include "read_meta.h"

struct ctf_clock {
	uint64_t base_ticks;
	uint64_t span; /* ticks from there on that base and inverse serve */
	uint64_t base_ns;
	uint64_t base_rest; /* what was cut off of base_ns, times the frequency */
	uint64_t inverse;   /* floor(2^64 / frequency) */
	uint64_t frequency_hz;
	uint64_t offset_ticks;
	int64_t offset_s;
	int64_t ns_offset; /* is_ns: what to add to ticks */
	bool is_ns;        /* ticks are nanoseconds */
};

#define CTF_CLOCK_SPAN          ((uint64_t)1 << 32)
#define CTF_CLOCK_FREQUENCY_MAX ((uint64_t)1 << 40) /* above it every time is divided */

/** ctf_clock_init() - for a clock of the metadata; NULL: ticks are nanoseconds. */
static inline void ctf_clock_init(struct ctf_clock *c, const struct meta_clock *meta)
{
	*c = (struct ctf_clock){.frequency_hz = meta ? meta->frequency_hz : 1000000000,
				.offset_ticks = meta ? meta->offset_ticks : 0,
				.offset_s = meta ? meta->offset_s : 0};
	c->is_ns = c->frequency_hz == 1000000000;
	c->ns_offset = (int64_t)((uint64_t)c->offset_s * 1000000000 + c->offset_ticks);
	if (c->frequency_hz > 1)
		c->inverse = (uint64_t)(((unsigned __int128)1 << 64) / c->frequency_hz);
}

/** ctf_clock_rebase() - divide. Thread-safe: per object. Signal-safe: yes. */
static __attribute__((noinline, unused)) void ctf_clock_rebase(struct ctf_clock *c, uint64_t ticks)
{
	unsigned __int128 n = ((unsigned __int128)c->offset_ticks + ticks) * (unsigned)1000000000;
	unsigned __int128 q = n / c->frequency_hz;

	c->base_ticks = ticks;
	c->base_ns = (uint64_t)c->offset_s * 1000000000 + (uint64_t)q;
	c->base_rest = (uint64_t)(n - q * c->frequency_hz);
	c->span = c->frequency_hz > 1 && c->frequency_hz <= CTF_CLOCK_FREQUENCY_MAX ? CTF_CLOCK_SPAN
										    : 0;
}

/** ctf_clock_has() - does ctf_clock_ns() get along without a division? */
static inline bool ctf_clock_has(const struct ctf_clock *c, uint64_t ticks)
{
	return c->is_ns || ticks - c->base_ticks < c->span;
}

/**
 * ctf_clock_ns() - the time of a tick. Numbers beyond all reason wrap.
 *
 * Thread-safe: per object. Signal-safe: yes.
 */
static inline __attribute__((always_inline)) int64_t ctf_clock_ns(struct ctf_clock *c,
								  uint64_t ticks)
{
	uint64_t d = ticks - c->base_ticks, n, q;

	if (c->is_ns)
		return (int64_t)(ticks + (uint64_t)c->ns_offset);
	if (__builtin_expect(d >= c->span, 0)) {
		ctf_clock_rebase(c, ticks);
		return (int64_t)c->base_ns;
	}
	n = d * 1000000000 + c->base_rest;
	q = (uint64_t)((unsigned __int128)n * c->inverse >> 64);
	q += n - q * c->frequency_hz >= c->frequency_hz;
	return (int64_t)(c->base_ns + q);
}

#endif
