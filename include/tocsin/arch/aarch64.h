/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ARCH_AARCH64_H
#define TOCSIN_ARCH_AARCH64_H

/*
 * Building blocks of restartable sequences, aarch64. Only <tocsin/rseq.h> includes this; what each
 * macro promises is said there.
 *
 * TOCSIN_RSEQ_AREA() is the address of the thread's rseq area. x16 and x17 are the scratch
 * registers. TOCSIN_RSEQ_CPU leaves the CPU in w16.
 */

#define TOCSIN_RSEQ_SIG 0xd428bc00 /* brk #0x45e0, as an instruction */

static inline __attribute__((always_inline)) uintptr_t tocsin_thread_pointer_(void)
{
	uintptr_t tp;

	__asm__("mrs %0, tpidr_el0" : "=r"(tp));
	return tp;
}

#define TOCSIN_RSEQ_AREA(offset) (tocsin_thread_pointer_() + (uintptr_t)(offset))

#define TOCSIN_RSEQ_BEGIN                               \
	".pushsection __rseq_cs, \"aw?\"\n\t"           \
	".balign 32\n"                                  \
	"70:\n\t"                                       \
	".long 0, 0\n\t"                                \
	".quad 71f, 72f - 71f, 74f\n\t"                 \
	".popsection\n\t"                               \
	".pushsection __rseq_cs_ptr_array, \"aw?\"\n\t" \
	".quad 70b\n\t"                                 \
	".popsection\n\t"                               \
	"adrp x16, 70b\n\t"                             \
	"add x16, x16, :lo12:70b\n\t"                   \
	"str x16, [%[area], #8]\n"                      \
	"71:\n\t"

/* The signature is an instruction, so its bytes are in the order of instructions, also big endian.
 * The branch is in the text itself: %l[aborted] must be in reach of `b`. */
#define TOCSIN_RSEQ_END      \
	"\n72:\n\t"          \
	"b 76f\n\t"          \
	".inst 0xd428bc00\n" \
	"74:\n\t"            \
	"b %l[aborted]\n"    \
	"76:\n\t"

#define TOCSIN_RSEQ_CPU "ldr w16, [%[area], #4]\n\t"

#define TOCSIN_RSEQ_INDEX             \
	"ldr w16, [%[area], #4]\n\t"  \
	"tbnz w16, #31, %l[none]\n\t" \
	"ldr w16, [%[index]]\n\t"

#define TOCSIN_RSEQ_CLOBBERS "x16", "x17", "cc", "memory"

#ifdef TOCSIN_RSEQ_WITH_INJECT
#	define TOCSIN_RSEQ_INJECT(n)                                      \
		"adrp x17, tocsin_rseq_unmet + 4 * " #n "\n\t"             \
		"add x17, x17, :lo12:(tocsin_rseq_unmet + 4 * " #n ")\n\t" \
		"str wzr, [x17]\n\t"                                       \
		"adrp x17, tocsin_rseq_delay + 4 * " #n "\n\t"             \
		"add x17, x17, :lo12:(tocsin_rseq_delay + 4 * " #n ")\n\t" \
		"ldr w17, [x17]\n"                                         \
		"75:\n\t"                                                  \
		"subs w17, w17, #1\n\t"                                    \
		"b.pl 75b\n\t"
#else
#	define TOCSIN_RSEQ_INJECT(n)
#endif

#define TOCSIN_CPU_RELAX() __asm__ __volatile__("yield" ::: "memory")

#endif
