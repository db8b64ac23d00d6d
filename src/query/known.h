/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_QUERY_KNOWN_H
#define TOCSIN_QUERY_KNOWN_H

/* Events that views ask for: their tables have these columns also where a trace has no such event,
 * or an older one with fewer fields. */

#include <stddef.h>

size_t known_nr(void);
const char *known_name(size_t i);

/** known_columns() - ends with NULL; of an event that is not known it is empty. */
const char *const *known_columns(const char *event);

#endif
