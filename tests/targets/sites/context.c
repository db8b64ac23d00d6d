// SPDX-License-Identifier: MIT
/* A program that switches stacks. */
#include <ucontext.h>

static ucontext_t caller, other;
static char stack[65536];
static int turns;

__attribute__((noinline)) void take_turn(void)
{
	turns++;
	(void)swapcontext(&other, &caller);
	turns++;
}

int main(void)
{
	if (getcontext(&other) != 0)
		return 1;
	other.uc_stack.ss_sp = stack;
	other.uc_stack.ss_size = sizeof(stack);
	other.uc_link = &caller;
	makecontext(&other, take_turn, 0);
	(void)swapcontext(&caller, &other);
	return turns != 1;
}
