// SPDX-License-Identifier: MIT
/* `left_throw [N]`: a function that is left by an exception every other time; its caller catches
 * and sleeps. */

#include <cstdio>
#include <stdexcept>

extern "C" {
#include "target.h"
}

static constexpr uint64_t WORK_NS = 300 * NS_PER_US;
static constexpr uint64_t REST_NS = 60 * NS_PER_MS;

extern "C" TARGET_NOINLINE int thrower(unsigned i)
{
	TARGET_FRAME();
	sleep_ns(WORK_NS);
	if (i % 2)
		throw std::runtime_error("left");
	return 1;
}

extern "C" TARGET_NOINLINE int catcher(unsigned i)
{
	try {
		return thrower(i);
	} catch (const std::runtime_error &) {
		sleep_ns(REST_NS);
		return 0;
	}
}

int main(int argc, char **argv)
{
	const uint64_t n = argc > 1 ? target_u64(argv[1]) : 20;
	int returned = 0;

	target_ready();
	for (unsigned i = 0; i < n; i++)
		returned += catcher(i);
	printf("{\"returned\":%d}\n", returned);
	return 0;
}
