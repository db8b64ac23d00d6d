// SPDX-License-Identifier: MIT
/* `kinds_cxx [N [DURATION_US]]`: C++ symbols: a method, two overloads, a template, a lambda's
 * owner. Nothing throws. */

#include <cstdio>

extern "C" {
#include "target.h"
}

namespace demo
{
class Engine
{
      public:
	void run(uint64_t ns, uint64_t *t);
};

TARGET_NOINLINE void Engine::run(uint64_t ns, uint64_t *t)
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(ns);
	t[2] = now_ns();
}

TARGET_NOINLINE void work(int ms, uint64_t *t)
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(static_cast<uint64_t>(ms) * NS_PER_MS);
	t[2] = now_ns();
}

TARGET_NOINLINE void work(double ms, uint64_t *t)
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(static_cast<uint64_t>(ms * 1e6));
	t[2] = now_ns();
}

template <typename T> TARGET_NOINLINE void scale(T ms, uint64_t *t)
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(static_cast<uint64_t>(ms) * NS_PER_MS);
	t[2] = now_ns();
}
} // namespace demo

static void stamps_print(const char *name, const uint64_t t[4])
{
	printf("{\"s\":\"%s\",\"pid\":%d,\"tid\":%d,\"t\":[%ju,%ju,%ju,%ju]}\n", name, getpid(),
	       thread_id(), t[0], t[1], t[2], t[3]);
}

int main(int argc, char **argv)
{
	const uint64_t n = argc > 1 ? target_u64(argv[1]) : 3;
	const uint64_t ns = (argc > 2 ? target_u64(argv[2]) : 3000) * NS_PER_US;
	const int ms = static_cast<int>(ns / NS_PER_MS);
	demo::Engine engine;
	uint64_t t[4];

	target_ready();
	for (uint64_t i = 0; i < n; i++) {
		t[0] = now_ns();
		engine.run(ns, t);
		t[3] = now_ns();
		stamps_print("method", t);
		t[0] = now_ns();
		demo::work(ms, t);
		t[3] = now_ns();
		stamps_print("work(int)", t);
		t[0] = now_ns();
		demo::work(static_cast<double>(ms), t);
		t[3] = now_ns();
		stamps_print("work(double)", t);
		t[0] = now_ns();
		demo::scale<short>(static_cast<short>(ms), t);
		t[3] = now_ns();
		stamps_print("scale<short>", t);
	}
	printf("{\"done\":true}\n");
	return 0;
}
