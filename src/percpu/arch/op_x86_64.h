/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_ARCH_OP_X86_64_H
#define TOCSIN_PERCPU_ARCH_OP_X86_64_H

/*
 * The sections of the operations, x86-64: see op.c. %rdx holds the word's address, %rcx is a
 * scratch register.
 *
 * Injection points: 1 index known, 2 gate passed, 3 before the commit.
 */

/* The index in %eax, the item's address in %rdx; then the word's. */
#define OP_ENTER                                                                                 \
	TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_INDEX                                                      \
		"cmpl %[nr], %%eax\n\t"                                                          \
		"jae %l[none]\n\t"                                                               \
		"testl %[want], %[want]\n\t"                                                     \
		"js 77f\n\t"                                                                     \
		"cmpl %[want], %%eax\n\t"                                                        \
		"jne %l[elsewhere]\n"                                                            \
		"77:\n\t" TOCSIN_RSEQ_INJECT(1) "movq (%[table], %%rax, 8), %%rdx\n\t"           \
						"testq %%rdx, %%rdx\n\t"                         \
						"jz %l[closed]\n\t"                              \
						"movl %%eax, (%[frame])\n\t" TOCSIN_RSEQ_INJECT( \
							2) "addq 8(%[frame]), %%rdx\n\t"

#define OP_LOAD                                                \
	OP_ENTER "movq (%%rdx), %%rax\n\t" TOCSIN_RSEQ_INJECT( \
		3) "movq %%rax, 16(%[frame])" TOCSIN_RSEQ_END

#define OP_STORE                                                    \
	OP_ENTER "movq 16(%[frame]), %%rax\n\t" TOCSIN_RSEQ_INJECT( \
		3) "movq %%rax, (%%rdx)" TOCSIN_RSEQ_END

#define OP_ADD                                                      \
	OP_ENTER "movq (%%rdx), %%rax\n\t"                          \
		 "addq 16(%[frame]), %%rax\n\t" TOCSIN_RSEQ_INJECT( \
			 3) "movq %%rax, (%%rdx)" TOCSIN_RSEQ_END

/* Unequal: the word goes to the frame, which commits nothing. */
#define OP_CMPSTORE                                                 \
	OP_ENTER "movq (%%rdx), %%rax\n\t"                          \
		 "cmpq 24(%[frame]), %%rax\n\t"                     \
		 "movq %%rax, 32(%[frame])\n\t"                     \
		 "jne %l[unequal]\n\t"                              \
		 "movq 16(%[frame]), %%rax\n\t" TOCSIN_RSEQ_INJECT( \
			 3) "movq %%rax, (%%rdx)" TOCSIN_RSEQ_END

#define OP_PUSH                                                \
	OP_ENTER "movq (%%rdx), %%rax\n\t"                     \
		 "movq 40(%[frame]), %%rcx\n\t"                \
		 "movq %%rax, (%%rcx)\n\t" TOCSIN_RSEQ_INJECT( \
			 3) "movq 40(%[frame]), %%rcx\n\t"     \
			    "movq %%rcx, (%%rdx)" TOCSIN_RSEQ_END

#define OP_POP                                                 \
	OP_ENTER "movq (%%rdx), %%rax\n\t"                     \
		 "movq %%rax, 40(%[frame])\n\t"                \
		 "testq %%rax, %%rax\n\t"                      \
		 "jz %l[empty]\n\t"                            \
		 "movq (%%rax), %%rax\n\t" TOCSIN_RSEQ_INJECT( \
			 3) "movq %%rax, (%%rdx)" TOCSIN_RSEQ_END

/* From 40 to the item + 48, 56 bytes long; %rsi and %rdi are the string instruction's. */
#define OP_COPY                                                     \
	OP_ENTER "movq 40(%[frame]), %%rsi\n\t"                     \
		 "movq %%rdx, %%rdi\n\t"                            \
		 "subq 8(%[frame]), %%rdi\n\t"                      \
		 "addq 48(%[frame]), %%rdi\n\t"                     \
		 "movq 56(%[frame]), %%rcx\n\t"                     \
		 "rep movsb\n\t"                                    \
		 "movq 16(%[frame]), %%rax\n\t" TOCSIN_RSEQ_INJECT( \
			 3) "movq %%rax, (%%rdx)" TOCSIN_RSEQ_END

/* %rcx is in the list of test builds already. */
#ifdef TOCSIN_RSEQ_WITH_INJECT
#	define OP_CLOBBERS TOCSIN_RSEQ_CLOBBERS, "rdx", "rsi", "rdi"
#else
#	define OP_CLOBBERS TOCSIN_RSEQ_CLOBBERS, "rcx", "rdx", "rsi", "rdi"
#endif

#endif
