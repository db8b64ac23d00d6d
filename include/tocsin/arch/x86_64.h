/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ARCH_X86_64_H
#define TOCSIN_ARCH_X86_64_H

/*
 * Building blocks of restartable sequences, x86-64. Only <tocsin/rseq.h> includes this; what each
 * macro promises is said there.
 *
 * The thread's rseq area is reached through %fs: TOCSIN_RSEQ_AREA() is its offset from the thread
 * pointer, so no section loads the thread pointer itself. %rax is the scratch register of
 * TOCSIN_RSEQ_BEGIN, %rcx that of a delay in test builds.
 *
 * The sections of the object file carry '?' so that an inline function's descriptor is dropped
 * together with the function when the linker drops a duplicate (COMDAT, C++).
 */

#define TOCSIN_RSEQ_SIG 0x53053053

#define TOCSIN_RSEQ_AREA(offset) ((uintptr_t)(offset))

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
	"leaq 70b(%%rip), %%rax\n\t"                    \
	"movq %%rax, %%fs:8(%[area])\n"                 \
	"71:\n\t"

/* ud1 0x53053053(%rip), %edi: a trap whose last four bytes are the signature. */
#define TOCSIN_RSEQ_END                            \
	"\n72:\n\t"                                \
	".pushsection __rseq_failure, \"ax?\"\n\t" \
	".byte 0x0f, 0xb9, 0x3d\n\t"               \
	".long 0x53053053\n"                       \
	"74:\n\t"                                  \
	"jmp %l[aborted]\n\t"                      \
	".popsection\n\t"

#define TOCSIN_RSEQ_CPU "movl %%fs:4(%[area]), %%eax\n\t"

#define TOCSIN_RSEQ_INDEX              \
	"cmpl $0, %%fs:4(%[area])\n\t" \
	"jl %l[none]\n\t"              \
	"movl %%fs:(%[index]), %%eax\n\t"

#define TOCSIN_RSEQ_CLOBBERS "rax", "cc", "memory" TOCSIN_RSEQ_INJECT_CLOBBER

#ifdef TOCSIN_RSEQ_WITH_INJECT
#	define TOCSIN_RSEQ_INJECT(n)                                 \
		"movl $0, tocsin_rseq_unmet + 4 * " #n "(%%rip)\n\t"  \
		"movl tocsin_rseq_delay + 4 * " #n "(%%rip), %%ecx\n" \
		"75:\n\t"                                             \
		"subl $1, %%ecx\n\t"                                  \
		"jns 75b\n\t"
#	define TOCSIN_RSEQ_INJECT_CLOBBER , "rcx"
#else
#	define TOCSIN_RSEQ_INJECT(n)
#	define TOCSIN_RSEQ_INJECT_CLOBBER
#endif

/* The cheapest hint that this thread only waits. */
#define TOCSIN_CPU_RELAX() __asm__ __volatile__("pause" ::: "memory")

#endif
