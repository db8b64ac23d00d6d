// SPDX-License-Identifier: MIT
/*
 * What would kill the program is not in the file of the watched function: a callback of a C library
 *throws through it, or leaves its stack in the middle of it.
 *
 *	hurt_across throw|switch ROUNDS
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <ucontext.h>
#include <unistd.h>

extern "C" int across_each(int n, int (*fn)(int));

static ucontext_t home, there[2];
static char stack[2][65536];
static int current;

static int throw_third(int i)
{
	if (i == 2)
		throw std::runtime_error("third");
	return i;
}

static int go_home(int i)
{
	swapcontext(&there[current], &home);
	return i;
}

static void run_there()
{
	for (;;)
		across_each(3, go_home);
}

static int throw_rounds(int rounds)
{
	int caught = 0;

	for (int i = 0; i < rounds; i++) {
		try {
			across_each(5, throw_third);
		} catch (const std::exception &) {
			caught++;
		}
	}
	return caught;
}

static int switch_rounds(int rounds)
{
	volatile int done = 0; /* getcontext() may come back a second time */

	for (int k = 0; k < 2; k++) {
		getcontext(&there[k]);
		there[k].uc_stack.ss_sp = stack[k];
		there[k].uc_stack.ss_size = sizeof(stack[k]);
		makecontext(&there[k], run_there, 0);
	}
	for (int i = 0; i < rounds; i++) {
		done = done + 1;
		current = i & 1;
		swapcontext(&home, &there[current]);
	}
	return done;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? std::atoi(argv[2]) : 0, done;

	std::setvbuf(stdout, nullptr, _IOLBF, 0);
	std::printf("{\"ready\":%d}\n", getpid());
	(void)std::getchar();
	done = std::strcmp(argc > 1 ? argv[1] : "", "throw") ? switch_rounds(rounds)
							     : throw_rounds(rounds);
	std::printf("{\"s\":\"across\",\"done\":%d}\n", done);
	return done == rounds ? 0 : 1;
}
