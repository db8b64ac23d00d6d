// SPDX-License-Identifier: MIT
/*
 * `hurt_coro [ROUNDS]`: two coroutines on stacks of their own, interleaved inside one watched
 * function.
 *
 * Each enters watched(), gives the CPU to the other, and returns later: returns come in another
 * order than entries, and at stack pointers that have nothing to do with each other. A return probe
 * keeps its addresses in one list a thread and would send one coroutine to the other's caller.
 */

#include <sys/sdt.h>
#include <ucontext.h>

#include "target.h"

#define COROUTINES 2

static ucontext_t main_context;
static ucontext_t context[COROUTINES];
static char stack[COROUTINES][1 << 16];
static uint64_t order;
static uint64_t rounds = 500;

int watched(int who);
void watched_done(int who);

static void note(unsigned mark)
{
	order = order * 31 + mark;
}

static void give_way(int who)
{
	if (swapcontext(&context[who], &main_context))
		err(3, "cannot switch stacks");
}

TARGET_NOINLINE int watched(int who)
{
	TARGET_FRAME();
	note((unsigned)who + 1);
	give_way(who);
	note((unsigned)who + 11);
	return who;
}

TARGET_NOINLINE void watched_done(int who)
{
	TARGET_FRAME();
	DTRACE_PROBE1(hurt, coro_done, who);
}

static void coroutine(int who)
{
	for (uint64_t i = 0; i < rounds; i++) {
		note((unsigned)watched(who) + 21);
		watched_done(who);
		give_way(who);
	}
	for (;;)
		give_way(who);
}

static void coroutine_0(void)
{
	coroutine(0);
}

static void coroutine_1(void)
{
	coroutine(1);
}

int main(int argc, char **argv)
{
	void (*const entry[COROUTINES])(void) = {coroutine_0, coroutine_1};

	if (argc > 1)
		rounds = target_u64(argv[1]);
	target_ready();
	for (int i = 0; i < COROUTINES; i++) {
		if (getcontext(&context[i]))
			err(3, "cannot make a context");
		context[i].uc_stack.ss_sp = stack[i];
		context[i].uc_stack.ss_size = sizeof(stack[i]);
		makecontext(&context[i], entry[i], 0);
	}
	for (uint64_t i = 0; i < 2 * rounds; i++)
		for (int who = 0; who < COROUTINES; who++)
			if (swapcontext(&main_context, &context[who]))
				err(3, "cannot switch stacks");
	printf("{\"rounds\":%ju,\"order\":%ju}\n", rounds, order);
	return 0;
}
