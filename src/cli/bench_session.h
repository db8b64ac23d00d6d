/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_SESSION_H
#define TOCSIN_CLI_BENCH_SESSION_H

/* A program that is measured is its own collector: nothing else takes part. */

#include "../abi/control.h"

/**
 * bench_session_begin() - find this process's control page as a collector does, and begin a session
 * with overwriting rings.
 *
 * Return: the page; NULL: there is none, or it is another's.
 */
struct control_page *bench_session_begin(void);

/** bench_session_enable() - switch all events on but those whose names begin with @but; NULL: all.
 */
void bench_session_enable(struct control_page *page, const char *but);

#endif
