// SPDX-License-Identifier: MIT
/*
 * tocsin-bench-record: what `tocsin bench record` records. Emits N events of 16 bytes from one
 * thread, at full speed or RATE a second, and prints how long that took.
 *
 *	tocsin-bench-record N [RATE]
 */
#include <stdio.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/parse.h"
#include "tocsin/event.h"

#define BURST 256 /* events between two looks at the clock */

int main(int argc, char **argv)
{
	uint64_t nr = 0, rate = 0, start;

	if (argc < 2 || tocsin_parse_u64(argv[1], &nr) ||
	    (argc > 2 && tocsin_parse_u64(argv[2], &rate))) {
		(void)fprintf(stderr, "tocsin-bench-record: started by 'tocsin bench record'\n");
		return 2;
	}
	start = clock_now_ns();
	for (uint64_t i = 0; i < nr; i++) {
		tocsin_event("bench", "sixteen", TF_U64("number", i), TF_U64("other", ~i));
		while (rate && i % BURST == 0 &&
		       (double)(clock_now_ns() - start) < (double)i * 1e9 / (double)rate)
			;
	}
	(void)printf("took_ns %llu\n", (unsigned long long)(clock_now_ns() - start));
	return 0;
}
