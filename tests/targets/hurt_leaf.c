// SPDX-License-Identifier: MIT
/*
 * `hurt_leaf [CALLS]`: a leaf function that keeps data below its stack pointer and has a five-byte
 * nop among its instructions.
 *
 * The kernel turns a probe on such a nop into a call, which pushes over the red zone: each call of
 * leaf() would then compute a wrong sum. The nop is also the USDT probe hurt:leaf, as code that is
 * built to be probed cheaply would have it; the function's own symbol is `leaf`. leaf_done() is a
 * place to stop at.
 */

#include <sys/sdt.h>

#include "target.h"

#define WORDS 8

uint64_t leaf(uint64_t x, uint64_t y, bool *ret_red_zone);
void leaf_done(uint64_t i);

TARGET_NOINLINE uint64_t leaf(uint64_t x, uint64_t y, bool *ret_red_zone)
{
	volatile uint64_t word[WORDS];
	uintptr_t sp;
	uint64_t sum = 0;

	for (unsigned i = 0; i < WORDS; i++)
		word[i] = x * i + y;
	__asm__ volatile("mov %%rsp, %0\n"
			 "\t.globl hurt_leaf_site\n"
			 "hurt_leaf_site:\n"
			 "990:\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
			 "\t.pushsection .note.stapsdt, \"\", \"note\"\n"
			 "\t.balign 4\n"
			 "\t.4byte 992f-991f, 994f-993f, 3\n"
			 "991:\t.asciz \"stapsdt\"\n"
			 "992:\t.balign 4\n"
			 "993:\t.8byte 990b\n"
			 "\t.8byte _.stapsdt.base\n"
			 "\t.8byte 0\n"
			 "\t.asciz \"hurt\"\n"
			 "\t.asciz \"leaf\"\n"
			 "\t.asciz \"8@%%rdi\"\n"
			 "994:\t.balign 4\n"
			 "\t.popsection\n"
			 : "=r"(sp)
			 :
			 : "memory");
	*ret_red_zone = (uintptr_t)&word[0] < sp;
	for (unsigned i = 0; i < WORDS; i++)
		sum = sum * 31 + word[i];
	return sum;
}

static uint64_t reference(uint64_t x, uint64_t y)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < WORDS; i++)
		sum = sum * 31 + (x * i + y);
	return sum;
}

TARGET_NOINLINE void leaf_done(uint64_t i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(hurt, leaf_done, i);
}

int main(int argc, char **argv)
{
	uint64_t calls = argc > 1 ? target_u64(argv[1]) : 20000;
	uint64_t sum = 0;
	uint64_t wrong = 0;
	bool red_zone = false;

	target_ready();
	for (uint64_t i = 0; i < calls; i++) {
		uint64_t got = leaf(i, i ^ 5, &red_zone);

		sum = sum * 33 + got;
		wrong += got != reference(i, i ^ 5);
		leaf_done(i);
	}
	printf("{\"calls\":%ju,\"wrong\":%ju,\"sum\":%ju,\"red_zone\":%s}\n", calls, wrong, sum,
	       red_zone ? "true" : "false");
	return wrong != 0;
}
