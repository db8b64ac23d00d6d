// SPDX-License-Identifier: MIT
/* `hurt_boost [ROUNDS]`: hurt_coro with the fibres of boost.context, whose switch is a few
 * instructions of their own. */

#include <sys/sdt.h>

#include <boost/context/fiber.hpp>
#include <cstdio>
#include <utility>

extern "C" {
#include "target.h"

int watched(int who);
void watched_done(int who);
}

namespace ctx = boost::context;

static uint64_t order;
static uint64_t rounds = 500;
static ctx::fiber back; /* whom to give the CPU to */

static void note(unsigned mark)
{
	order = order * 31 + mark;
}

static void give_way()
{
	back = std::move(back).resume();
}

TARGET_NOINLINE int watched(int who)
{
	TARGET_FRAME();
	note(static_cast<unsigned>(who) + 1);
	give_way();
	note(static_cast<unsigned>(who) + 11);
	return who;
}

TARGET_NOINLINE void watched_done(int who)
{
	TARGET_FRAME();
	DTRACE_PROBE1(hurt, boost_done, who);
}

static ctx::fiber fibre_make(int who)
{
	return ctx::fiber([who](ctx::fiber &&from) {
		back = std::move(from);
		for (uint64_t i = 0; i < rounds; i++) {
			note(static_cast<unsigned>(watched(who)) + 21);
			watched_done(who);
			give_way();
		}
		return std::move(back);
	});
}

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = target_u64(argv[1]);
	target_ready();

	ctx::fiber fibre[2] = {fibre_make(0), fibre_make(1)};
	bool alive = true;

	while (alive) {
		alive = false;
		for (auto &f : fibre) {
			if (!f)
				continue;
			f = std::move(f).resume();
			alive = true;
		}
	}
	printf("{\"rounds\":%ju,\"order\":%ju}\n", rounds, order);
	return 0;
}
