// SPDX-License-Identifier: MIT
/* libkinds: a plain function, and one symbol in two versions. */

#include "kinds_lib.h"
#include "target.h"

const char kinds_versioned_name[] = "kinds_versioned";

TARGET_NOINLINE void kinds_lib_work(uint64_t ns, uint64_t t[4])
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(ns);
	t[2] = now_ns();
}

TARGET_NOINLINE void kinds_versioned_old(uint64_t ns, uint64_t t[4])
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(ns);
	t[2] = now_ns();
}

TARGET_NOINLINE void kinds_versioned_new(uint64_t ns, uint64_t t[4])
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(ns);
	t[2] = now_ns();
}

__asm__(".symver kinds_versioned_old, kinds_versioned@KINDS_1\n"
	".symver kinds_versioned_new, kinds_versioned@@KINDS_2\n");
