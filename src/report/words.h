/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_WORDS_H
#define TOCSIN_REPORT_WORDS_H

/* How the reports for people write numbers, names and causes. */

#include "fields.h"
#include "out.h"

enum colour { COLOUR_NONE, COLOUR_DIM, COLOUR_BOLD, COLOUR_RED, COLOUR_YELLOW, COLOUR_GREEN };

/** word_colour() - begin a colour, or end it with COLOUR_NONE; nothing without colour. */
void word_colour(struct out *o, const struct out_style *style, enum colour colour);

/** word_ns() - a duration: `12.6 ms`. */
void word_ns(struct out *o, uint64_t ns);

/** word_budget() - a duration that somebody wrote, exactly: `10 ms`. */
void word_budget(struct out *o, uint64_t ns);

/** word_percent() - a share: `92 %`, `4.2 %`, `0.19 %`. */
void word_percent(struct out *o, uint64_t permyriad);

/** word_percent_aligned() - the same, right in @width columns. */
void word_percent_aligned(struct out *o, uint64_t permyriad, int width);

/** word_name() - a section's name, a thread's name: foreign text of a fixed size. */
void word_name(struct out *o, const char *name, size_t len);

/** word_task() - `postgres 4711`, or `postgres 4711/4713` (process/thread) of a process with
 * threads. */
void word_task(struct out *o, const char *comm, uint32_t tgid, uint32_t tid);

/** word_split() - `running 1.2 ms (9.5 %), blocked 11.4 ms (91 %)`: the parts that are not zero. */
void word_split(struct out *o, const uint64_t *split_ns);

/** word_cause() - why: the sentence of a cause, or what its kind means. */
void word_cause(struct out *o, const struct cause *c);

/** word_clock() - time of day, `21:04:05.123`. */
void word_clock(struct out *o, uint64_t t_ns, int64_t realtime_offset_ns);

#endif
