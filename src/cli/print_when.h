/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_PRINT_WHEN_H
#define TOCSIN_CLI_PRINT_WHEN_H

#include "../base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* A point in time as a command line says it. */
struct print_when {
	enum { WHEN_ABSOLUTE, WHEN_OF_DAY, WHEN_AFTER_START } kind;
	int64_t ns; /* since 1970, since midnight, or since the first event */
};

/**
 * print_when_parse() - `@1795356202.5`, `2026-11-22 14:03:22.5` (or T between), `14:03:22.5`,
 * `14:03`, `+1.5s`.
 *
 * Return: 0, or -EINVAL. Thread-safe: no. Signal-safe: no.
 */
int print_when_parse(const char *text, struct print_when *ret_when);

/** print_when_ns() - since 1970, for a trace whose first event was at @start_ns; local time. */
int64_t print_when_ns(const struct print_when *when, int64_t start_ns);

#endif
