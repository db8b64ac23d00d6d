/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_ARCH_OP_AARCH64_H
#define TOCSIN_PERCPU_ARCH_OP_AARCH64_H

/*
 * The sections of the operations, aarch64: see op.c. x15 holds the word's address, x12 to x14 are
 * scratch registers. The work depends on the address that was loaded from the gate: that orders it
 * behind.
 *
 * Injection points: 1 index known, 2 gate passed, 3 before the commit.
 */

#define OP_ENTER                                                                              \
	TOCSIN_RSEQ_BEGIN TOCSIN_RSEQ_INDEX                                                   \
		"cmp w16, %w[nr]\n\t"                                                         \
		"b.hs %l[none]\n\t"                                                           \
		"tbnz %w[want], #31, 77f\n\t"                                                 \
		"cmp w16, %w[want]\n\t"                                                       \
		"b.ne %l[elsewhere]\n"                                                        \
		"77:\n\t" TOCSIN_RSEQ_INJECT(1) "ldr x15, [%[table], x16, lsl #3]\n\t"        \
						"cbz x15, %l[closed]\n\t"                     \
						"str w16, [%[frame]]\n\t" TOCSIN_RSEQ_INJECT( \
							2) "ldr x16, [%[frame], #8]\n\t"      \
							   "add x15, x15, x16\n\t"

#define OP_LOAD                                           \
	OP_ENTER "ldr x16, [x15]\n\t" TOCSIN_RSEQ_INJECT( \
		3) "str x16, [%[frame], #16]\n" TOCSIN_RSEQ_END

#define OP_STORE                                                    \
	OP_ENTER "ldr x16, [%[frame], #16]\n\t" TOCSIN_RSEQ_INJECT( \
		3) "str x16, [x15]\n" TOCSIN_RSEQ_END

#define OP_ADD                                  \
	OP_ENTER "ldr x16, [x15]\n\t"           \
		 "ldr x14, [%[frame], #16]\n\t" \
		 "add x16, x16, x14\n\t" TOCSIN_RSEQ_INJECT(3) "str x16, [x15]\n" TOCSIN_RSEQ_END

#define OP_CMPSTORE                                                 \
	OP_ENTER "ldr x16, [x15]\n\t"                               \
		 "ldr x14, [%[frame], #24]\n\t"                     \
		 "str x16, [%[frame], #32]\n\t"                     \
		 "cmp x16, x14\n\t"                                 \
		 "b.ne %l[unequal]\n\t"                             \
		 "ldr x16, [%[frame], #16]\n\t" TOCSIN_RSEQ_INJECT( \
			 3) "str x16, [x15]\n" TOCSIN_RSEQ_END

/* The node's link before the list's head, for who looks from another CPU. */
#define OP_PUSH                                 \
	OP_ENTER "ldr x16, [x15]\n\t"           \
		 "ldr x14, [%[frame], #40]\n\t" \
		 "str x16, [x14]\n\t" TOCSIN_RSEQ_INJECT(3) "stlr x14, [x15]\n" TOCSIN_RSEQ_END

#define OP_POP                                  \
	OP_ENTER "ldr x16, [x15]\n\t"           \
		 "str x16, [%[frame], #40]\n\t" \
		 "cbz x16, %l[empty]\n\t"       \
		 "ldr x16, [x16]\n\t" TOCSIN_RSEQ_INJECT(3) "str x16, [x15]\n" TOCSIN_RSEQ_END

#define OP_COPY                                                     \
	OP_ENTER "ldr x16, [%[frame], #40]\n\t"                     \
		 "ldr x14, [%[frame], #8]\n\t"                      \
		 "sub x14, x15, x14\n\t"                            \
		 "ldr x13, [%[frame], #48]\n\t"                     \
		 "add x14, x14, x13\n\t"                            \
		 "ldr x13, [%[frame], #56]\n"                       \
		 "78:\n\t"                                          \
		 "cbz x13, 79f\n\t"                                 \
		 "ldrb w12, [x16], #1\n\t"                          \
		 "strb w12, [x14], #1\n\t"                          \
		 "sub x13, x13, #1\n\t"                             \
		 "b 78b\n"                                          \
		 "79:\n\t"                                          \
		 "ldr x16, [%[frame], #16]\n\t" TOCSIN_RSEQ_INJECT( \
			 3) "stlr x16, [x15]\n" TOCSIN_RSEQ_END

#define OP_CLOBBERS TOCSIN_RSEQ_CLOBBERS, "x12", "x13", "x14", "x15"

#endif
