/* SPDX-License-Identifier: MIT */
/* The event that tocsin-bench-lttng emits, as LTTng-UST wants it said: this file is read several
 * times. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tocsin_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./bench_lttng.h"

#if !defined(TOCSIN_CLI_BENCH_LTTNG_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#	define TOCSIN_CLI_BENCH_LTTNG_H

#	include <stdint.h>

#	include <lttng/tracepoint.h>

/* clang-format off */
LTTNG_UST_TRACEPOINT_EVENT(
	tocsin_bench, event,
	LTTNG_UST_TP_ARGS(uint64_t, a, uint64_t, b),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(uint64_t, a, a)
		lttng_ust_field_integer(uint64_t, b, b)
	)
)
/* clang-format on */

#endif

#include <lttng/tracepoint-event.h>
