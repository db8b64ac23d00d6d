// SPDX-License-Identifier: MIT
/*
 * Which clock a process's rings have. The CPU's counter serves when it runs at one rate always and
 * everywhere: the CPU says that it is made so (invariant), and the kernel has not found otherwise,
 * as where firmware writes to the counter of one socket. The kernel then strikes "tsc" from the
 * list of clock sources. Where that list cannot be read, as in a sandbox, the CPU is believed.
 *
 * TOCSIN_CLOCK=monotonic in the environment is for who knows better, and for tests.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#	include <cpuid.h>
#endif

#include "tracee.h"

#define SOURCES "/sys/devices/system/clocksource/clocksource0/available_clocksource"

uint32_t tracee_clock_of(bool is_invariant, const char *sources, const char *wish)
{
	if (wish && !strcmp(wish, "monotonic"))
		return CONTROL_CLOCK_MONOTONIC;
	if (!is_invariant)
		return CONTROL_CLOCK_MONOTONIC;
	for (const char *p = sources; p && *p;) {
		size_t len = strcspn(p, " \n");

		if (len == 3 && !strncmp(p, "tsc", 3))
			return CONTROL_CLOCK_TSC;
		p += len;
		p += strspn(p, " \n");
	}
	return sources && *sources ? CONTROL_CLOCK_MONOTONIC : CONTROL_CLOCK_TSC;
}

uint32_t tracee_clock_choose(void)
{
	const char *wish = secure_getenv("TOCSIN_CLOCK");
#if defined(__x86_64__)
	unsigned a, b, c, d;
	char sources[256] = "";
	int fd = open(SOURCES, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t nr = read(fd, sources, sizeof(sources) - 1);

		sources[nr > 0 ? nr : 0] = 0;
		(void)close(fd); /* only read */
	}
	return tracee_clock_of(__get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & 1u << 8), sources,
			       wish);
#elif defined(__aarch64__)
	return tracee_clock_of(true, NULL, wish); /* the architecture promises it for CNTVCT_EL0 */
#else
	return tracee_clock_of(false, NULL, wish);
#endif
}
