/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_FILTER_H
#define TOCSIN_COLLECTOR_FILTER_H

/*
 * Filters on fields: `--where` text to the tables that the traced process evaluates
 * (abi/filter.h).
 *
 *	fd > 10 && peer ~ "10.*"
 *	!(status == 200 || status == 304) && $comm == "worker"
 *
 * Tests: == != < <= > >= (numbers, == and != texts too), & (bits of an integer), ~ and !~ (a text
 * and a pattern with * and ?). Numbers: decimal, 0x, with a sign, with a fraction; true and false.
 * Texts in double or single quotes, \ before what stands for itself. A name alone: the event has
 * that field. Names that begin with $ are contexts. ! binds closer than &&, that closer than ||.
 *
 * A test of a field that an event does not have does not hold.
 */

#include <stdint.h>

#include "../base/err.h"

/**
 * filter_add() - compile a filter into an area.
 * @area: CONTROL_FILTER_BYTES, all zero at first; filters are added one by one
 * @text: the filter, lent
 * @name: where it comes from, for messages: "--where"
 * @diag: filled where the text is wrong; may be NULL
 * @ret_nr: its number, from 1
 *
 * Return: 0, -EINVAL @diag says where and why, -ENOSPC the area is full (@diag says so).
 * Thread-safe: per object. Signal-safe: no.
 */
int filter_add(void *area, const char *text, const char *name, struct tocsin_diag *diag,
	       uint16_t *ret_nr);

#endif
