// SPDX-License-Identifier: MIT
/* The last complaint of libbpf; one load at a time. */
#include "complaint.h"

#include <stdio.h>
#include <string.h>

static __thread char last_complaint[256];

int complaint_keep(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[256];

	if (level != LIBBPF_WARN)
		return 0;
	(void)vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = 0;
	/* "try raising RLIMIT_MEMLOCK" is wrong on every kernel that this loads on */
	if (!strstr(line, "RLIMIT_MEMLOCK") && !strstr(line, "failed to load object") &&
	    !strstr(line, "failed to load BPF skeleton") && !strstr(line, "-- "))
		memcpy(last_complaint, line, sizeof(last_complaint));
	return 0;
}

const char *complaint_last(void)
{
	return last_complaint;
}

void complaint_clear(void)
{
	last_complaint[0] = 0;
}
