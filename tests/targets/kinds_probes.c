// SPDX-License-Identifier: MIT
/* Each probe in a function of its own, with its argument where the name says. */

#include <sys/sdt.h>

#include "kinds_probes.h"
#include "target.h"

TARGET_NOINLINE void probe_tick_begin(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(kinds, tick_begin, i);
}

TARGET_NOINLINE void probe_tick_end(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(kinds, tick_end, i);
}

TARGET_NOINLINE void probe_a_begin(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(kinds, a_begin, i);
}

TARGET_NOINLINE void probe_a_end(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(kinds, a_end, i);
}

TARGET_NOINLINE void probe_b_begin(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(kinds, b_begin, i);
}

TARGET_NOINLINE void probe_b_end(unsigned i)
{
	TARGET_FRAME();
	DTRACE_PROBE1(kinds, b_end, i);
}

/* An operand that the assembler gets exactly as asked: register, memory or constant, whatever the
 * compiler would prefer. */
#define NOTE(name, args, ...)                                             \
	__asm__ volatile("990:\tnop\n"                                    \
			 "\t.pushsection .note.stapsdt, \"\", \"note\"\n" \
			 "\t.balign 4\n"                                  \
			 "\t.4byte 992f-991f, 994f-993f, 3\n"             \
			 "991:\t.asciz \"stapsdt\"\n"                     \
			 "992:\t.balign 4\n"                              \
			 "993:\t.8byte 990b\n"                            \
			 "\t.8byte _.stapsdt.base\n"                      \
			 "\t.8byte 0\n"                                   \
			 "\t.asciz \"kinds\"\n"                           \
			 "\t.asciz \"" name "\"\n"                        \
			 "\t.asciz \"" args "\"\n"                        \
			 "994:\t.balign 4\n"                              \
			 "\t.popsection\n"                                \
			 :                                                \
			 : __VA_ARGS__                                    \
			 : "memory")

TARGET_NOINLINE void probe_key_reg_begin(uint64_t key)
{
	TARGET_FRAME();
	NOTE("key_reg_begin", "-4@$1 8@%0", "r"(key));
}

TARGET_NOINLINE void probe_key_reg_end(uint64_t key)
{
	TARGET_FRAME();
	NOTE("key_reg_end", "-4@$0 8@%0", "r"(key));
}

TARGET_NOINLINE void probe_key_mem_begin(uint64_t key)
{
	volatile uint64_t stored = key;

	TARGET_FRAME();
	NOTE("key_mem_begin", "-4@$1 8@%0", "m"(stored));
}

/* The other way to address memory: through a pointer and an index. */
TARGET_NOINLINE void probe_key_mem_end(uint64_t key)
{
	uint64_t table[4] = {0, 0, 0, key};
	uint64_t index = 3;

	TARGET_FRAME();
	__asm__ volatile("" : "+r"(index) : "r"(table) : "memory");
	NOTE("key_mem_end", "-4@$0 8@(%0,%1,8)", "r"(table), "r"(index));
}

TARGET_NOINLINE void probe_key_const_begin(uint64_t key)
{
	TARGET_FRAME();
	NOTE("key_const_begin", "-4@$1 8@$77", "r"(key));
}

TARGET_NOINLINE void probe_key_const_end(uint64_t key)
{
	TARGET_FRAME();
	NOTE("key_const_end", "-4@$0 8@$77", "r"(key));
}
