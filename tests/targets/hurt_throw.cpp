// SPDX-License-Identifier: MIT
/*
 * `hurt_throw [CALLS]`: C++ exceptions that leave a watched function.
 *
 * A return probe replaces the return address on the stack by one that the unwinder does not know:
 * an exception that passes it ends the program. `watched` throws every other time; `watched_guard`
 * lets the exception of `watched` pass through it, and `watched_catch` catches one inside. All are
 * extern "C" so that a test can name them without mangling; Engine::step() is not.
 */

#include <sys/sdt.h>

#include <cstdio>
#include <stdexcept>

extern "C" {
#include "target.h"

int watched(unsigned i);
int watched_guard(unsigned i);
int watched_catch(unsigned i);
void watched_done(unsigned i);
}

namespace demo
{
struct Engine {
	unsigned thrown = 0;
	int step(unsigned i);
};

TARGET_NOINLINE int Engine::step(unsigned i)
{
	TARGET_FRAME();
	if (i % 3 == 0) {
		thrown++;
		throw std::out_of_range("step");
	}
	return 1;
}
} // namespace demo

/* Its destructor runs while the exception passes by. */
struct Guard {
	unsigned *count;
	~Guard()
	{
		++*count;
	}
};

static unsigned guards;

TARGET_NOINLINE int watched(unsigned i)
{
	TARGET_FRAME();
	if (i & 1)
		throw std::runtime_error("odd");
	return 1;
}

TARGET_NOINLINE int watched_guard(unsigned i)
{
	Guard guard{&guards};

	TARGET_FRAME();
	return watched(i) + 1;
}

TARGET_NOINLINE int watched_catch(unsigned i)
{
	TARGET_FRAME();
	try {
		return watched(i);
	} catch (const std::exception &) {
		return 3;
	}
}

TARGET_NOINLINE void watched_done(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(hurt, throw_done, i);
}

int main(int argc, char **argv)
{
	const uint64_t calls = argc > 1 ? target_u64(argv[1]) : 1000;
	demo::Engine engine;
	unsigned caught = 0;
	unsigned sum = 0;

	target_ready();
	for (unsigned i = 0; i < calls; i++) {
		sum += static_cast<unsigned>(watched_catch(i));
		try {
			sum += static_cast<unsigned>(watched_guard(i));
			sum += static_cast<unsigned>(engine.step(i));
		} catch (const std::exception &) {
			caught++;
		}
		watched_done(i);
	}
	printf("{\"caught\":%u,\"guards\":%u,\"thrown\":%u,\"sum\":%u}\n", caught, guards,
	       engine.thrown, sum);
	return 0;
}
