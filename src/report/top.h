/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_TOP_H
#define TOCSIN_REPORT_TOP_H

/* `--top`: a table of the sections that is drawn again and again. On a terminal it takes the
 * alternate screen and gives it back; elsewhere the tables follow one another. */

#include "fields.h"
#include "out.h"

struct top_row; /* what was drawn of a section the last time */

struct top {
	struct out out;
	bool has_screen;     /* the alternate screen is on */
	uint64_t drawn_ns;   /* summary's duration at the last drawing */
	struct top_row *row; /* owned */
	unsigned nr_rows;
};

/** top_init() - for a descriptor, which stays the caller's. */
void top_init(struct top *t, int fd);

/**
 * top_draw() - draw the table.
 * @t:                  the table
 * @summary:            totals since the start of the watch, lent
 * @now_ns:             CLOCK_MONOTONIC
 * @realtime_offset_ns: add for CLOCK_REALTIME
 *
 * Rates are since the last drawing, all else since the start. Whether it is a terminal, and its
 * size, are looked up each time.
 *
 * Return: 0, or -errno of the write (-EPIPE: the reader has gone), -ENOMEM.
 * Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int top_draw(struct top *t, const struct watch_summary *summary, uint64_t now_ns,
	     int64_t realtime_offset_ns);

/** top_done() - give the screen back, if it was taken. Call it before anything else is printed. */
void top_done(struct top *t);

#endif
