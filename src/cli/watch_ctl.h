/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_WATCH_CTL_H
#define TOCSIN_CLI_WATCH_CTL_H

/* The requests of `tocsin ctl`, answered by the watch. */

#include <stdbool.h>
#include <stdio.h>

#include "../collector/watch.h"

/**
 * watch_ctl_answer() - do what one line asks for: `list`, `add SECTION`, `remove NAME`. A
 * ctl_answer_fn.
 * @arg:    the struct watch
 * @answer: gets the lines to print, or the reason of a refusal
 *
 * Return: was it done? Thread-safe: no. Signal-safe: no.
 */
bool watch_ctl_answer(void *arg, const char *request, FILE *answer);

/** watch_say_bound() - where the probes of a section were placed, to standard error. */
void watch_say_bound(const struct watch *w, unsigned i);

#endif
