/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PRELOAD_PRELOAD_H
#define TOCSIN_PRELOAD_PRELOAD_H

/*
 * What the libraries for LD_PRELOAD share. Each stands before libc in the order of symbols, does
 * what it was called for by the function behind it, and emits an event of what came of it.
 *
 * They are users of libtocsin like any program: their sites, off, cost a load and a branch, and
 * recording finds them as it finds others. A tracer's flag (tocsin/tracing.h) is set around each
 * event, so that a callback of a site that calls what it traces does not loop; not around the
 * function itself, which may wait, be cancelled, or be left by a handler's longjmp().
 *
 * They do nothing else: no thread, no handler, no allocation. Where they cannot work they pass
 * everything on, and say so in a line on standard error and in an event.
 */

#include <stdbool.h>

#include "tocsin/tocsin.h"

/* Exported, in front of libc's. */
#define PRELOAD_API __attribute__((visibility("default")))

/* Emit `event`, a tocsin_event() of that provider and name, unless a tracer is at work here. */
#define PRELOAD_EMIT(tracer, provider, name, ...)                                     \
	do {                                                                          \
		if (tocsin_event_enabled(provider, name)) {                           \
			int place_ = tocsin_tracing_begin(tracer, TOCSIN_TRACER_ALL); \
                                                                                      \
			if (place_ >= 0) {                                            \
				tocsin_event(provider, name, __VA_ARGS__);            \
				tocsin_tracing_end(place_);                           \
			}                                                             \
		}                                                                     \
	} while (0)

/**
 * preload_next() - the function that would have been called without this library.
 * @name: its name, lent
 *
 * Return: it, NULL: there is none. Allocates (dlsym() may). Thread-safe: yes. Signal-safe: no.
 */
void *preload_next(const char *name);

/**
 * preload_sanitizer() - the runtime of a sanitizer in this process, which wants to be the first to
 * see such calls.
 *
 * Return: its name for people, a constant; NULL: none. Thread-safe: yes. Signal-safe: no.
 */
const char *preload_sanitizer(void);

/**
 * preload_say() - one line on standard error: `tocsin: WHAT: WHY`.
 *
 * Errors of writing are nobody's. errno is kept. Thread-safe: yes. Signal-safe: yes.
 */
void preload_say(const char *what, const char *why);

#endif
