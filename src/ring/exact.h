/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_EXACT_H
#define TOCSIN_RING_EXACT_H

/*
 * The sections of the slow path: everything was decided outside, under the assumption that this
 * thread writes to `ring` and that its head is `head`. Inside, both are verified and the record is
 * copied and committed. Only slow.c includes this.
 *
 * Heads never repeat, so an equal head says that no record came in between; hence a clock that was
 * read after the head, but outside the section, is not older than the record before.
 */

#include "ring.h"

struct ring_exact {
	struct ring_header *ring;
	uint64_t head;
	uint64_t new_head;
	__u64 *first; /* gets `head` in passing: the index of a group, or `nowhere` */
	void *to;     /* where the record goes */
	const void *payload;
	uint64_t bytes; /* of the payload */
	uint64_t header[2];
	uint64_t header_bytes; /* 8 or 16 */
	__u64 nowhere;
};

#define RING_EXACT_OPERANDS                                                                      \
	[area] "r"(TOCSIN_RSEQ_AREA(ring_process.area)),                                         \
		[index] "r"(TOCSIN_RSEQ_AREA(ring_process.index)), [w] "r"(w->ring), [x] "r"(x), \
		[indexes] "i"(RING_INDEXES), [at_head] "i"(offsetof(struct ring_header, head)),  \
		[at_lost] "i"(offsetof(struct ring_header, lost)),                               \
		[x_ring] "i"(offsetof(struct ring_exact, ring)),                                 \
		[x_head] "i"(offsetof(struct ring_exact, head)),                                 \
		[x_new_head] "i"(offsetof(struct ring_exact, new_head)),                         \
		[x_first] "i"(offsetof(struct ring_exact, first)),                               \
		[x_to] "i"(offsetof(struct ring_exact, to)),                                     \
		[x_payload] "i"(offsetof(struct ring_exact, payload)),                           \
		[x_bytes] "i"(offsetof(struct ring_exact, bytes)),                               \
		[x_header] "i"(offsetof(struct ring_exact, header)),                             \
		[x_header_bytes] "i"(offsetof(struct ring_exact, header_bytes))

/* clang-format off */
#if defined(__x86_64__)
#	define RING_EXACT_CLOBBERS "rdx", "rsi", "rdi", "r8", "r9", "r10", TOCSIN_RSEQ_CLOBBERS

#	define RING_EXACT_RING                            \
	TOCSIN_RSEQ_BEGIN                                 \
	TOCSIN_RSEQ_INDEX                                 \
	"cmpl %[indexes], %%eax\n\t"                      \
	"jae %l[none]\n\t"                                \
	"movq (%[w],%%rax,8), %%r8\n\t"                   \
	"cmpq %c[x_ring](%[x]), %%r8\n\t"                 \
	"jne %l[moved]\n\t"

#	define RING_EXACT_COMMIT                          \
	RING_EXACT_RING                                   \
	"movq %c[x_head](%[x]), %%r9\n\t"                 \
	"cmpq %c[at_head](%%r8), %%r9\n\t"                \
	"jne %l[moved]\n\t"                               \
	TOCSIN_RSEQ_INJECT(6)                             \
	"movq %c[x_new_head](%[x]), %%r10\n\t"            \
	"movq %c[x_to](%[x]), %%rdi\n\t"                  \
	"movq %c[x_header](%[x]), %%rax\n\t"              \
	"movq %%rax, (%%rdi)\n\t"                         \
	"addq $8, %%rdi\n\t"                              \
	"cmpq $8, %c[x_header_bytes](%[x])\n\t"           \
	"je 61f\n\t"                                      \
	"movq 8 + %c[x_header](%[x]), %%rax\n\t"          \
	"movq %%rax, (%%rdi)\n\t"                         \
	"addq $8, %%rdi\n"                                \
	"61:\n\t"                                         \
	"movq %c[x_payload](%[x]), %%rsi\n\t"             \
	"movq %c[x_bytes](%[x]), %%rdx\n\t"               \
	"testq %%rdx, %%rdx\n\t"                          \
	"jz 63f\n"                                        \
	"62:\n\t"                                         \
	TOCSIN_RSEQ_INJECT(7)                             \
	"movq (%%rsi), %%rax\n\t"                         \
	"movq %%rax, (%%rdi)\n\t"                         \
	"addq $8, %%rsi\n\t"                              \
	"addq $8, %%rdi\n\t"                              \
	"subq $8, %%rdx\n\t"                              \
	"jnz 62b\n"                                       \
	"63:\n\t"                                         \
	"movq %c[x_first](%[x]), %%rdi\n\t"               \
	"movq %%r9, (%%rdi)\n\t"                          \
	TOCSIN_RSEQ_INJECT(8)                             \
	"movq %%r10, %c[at_head](%%r8)\n\t"               \
	TOCSIN_RSEQ_END

#	define RING_EXACT_LOSE                            \
	RING_EXACT_RING                                   \
	TOCSIN_RSEQ_INJECT(9)                             \
	"lock incq %c[at_lost](%%r8)\n\t"                 \
	TOCSIN_RSEQ_END

#elif defined(__aarch64__)
#	define RING_EXACT_CLOBBERS "x8", "x9", "x10", "x11", "x12", "x13", TOCSIN_RSEQ_CLOBBERS

#	define RING_EXACT_RING                            \
	TOCSIN_RSEQ_BEGIN                                 \
	TOCSIN_RSEQ_INDEX                                 \
	"cmp w16, %[indexes]\n\t"                         \
	"b.hs %l[none]\n\t"                               \
	"ldr x8, [%[w], x16, lsl #3]\n\t"                 \
	"ldr x9, [%[x], %[x_ring]]\n\t"                   \
	"cmp x8, x9\n\t"                                  \
	"b.ne %l[moved]\n\t"

#	define RING_EXACT_COMMIT                          \
	RING_EXACT_RING                                   \
	"ldr x9, [%[x], %[x_head]]\n\t"                   \
	"ldr x10, [x8, %[at_head]]\n\t"                   \
	"cmp x9, x10\n\t"                                 \
	"b.ne %l[moved]\n\t"                              \
	TOCSIN_RSEQ_INJECT(6)                             \
	"ldr x10, [%[x], %[x_new_head]]\n\t"              \
	"ldr x11, [%[x], %[x_to]]\n\t"                    \
	"ldr x16, [%[x], %[x_header]]\n\t"                \
	"str x16, [x11], #8\n\t"                          \
	"ldr x16, [%[x], %[x_header_bytes]]\n\t"          \
	"cmp x16, #8\n\t"                                 \
	"b.eq 61f\n\t"                                    \
	"ldr x16, [%[x], %[x_header] + 8]\n\t"            \
	"str x16, [x11], #8\n"                            \
	"61:\n\t"                                         \
	"ldr x12, [%[x], %[x_payload]]\n\t"               \
	"ldr x13, [%[x], %[x_bytes]]\n\t"                 \
	"cbz x13, 63f\n"                                  \
	"62:\n\t"                                         \
	TOCSIN_RSEQ_INJECT(7)                             \
	"ldr x16, [x12], #8\n\t"                          \
	"str x16, [x11], #8\n\t"                          \
	"subs x13, x13, #8\n\t"                           \
	"b.ne 62b\n"                                      \
	"63:\n\t"                                         \
	"ldr x11, [%[x], %[x_first]]\n\t"                 \
	"str x9, [x11]\n\t"                               \
	TOCSIN_RSEQ_INJECT(8)                             \
	"add x8, x8, %[at_head]\n\t"                      \
	"stlr x10, [x8]\n\t"                              \
	TOCSIN_RSEQ_END

/* One thread at a time is inside for an index, so a plain addition is exact. */
#	define RING_EXACT_LOSE                            \
	RING_EXACT_RING                                   \
	TOCSIN_RSEQ_INJECT(9)                             \
	"ldr x16, [x8, %[at_lost]]\n\t"                   \
	"add x16, x16, #1\n\t"                            \
	"str x16, [x8, %[at_lost]]\n\t"                   \
	TOCSIN_RSEQ_END
#endif
/* clang-format on */

/* Return: TOCSIN_RSEQ_DONE, _ABORTED, _NONE, or _UNEQUAL: another ring, or another head. */
static inline int ring_exact_commit(struct ring_writer *w, struct ring_exact *x)
{
	__asm__ goto(RING_EXACT_COMMIT
		     :
		     : RING_EXACT_OPERANDS:RING_EXACT_CLOBBERS
		     : aborted, none, moved);
	return TOCSIN_RSEQ_DONE;
aborted:
	return TOCSIN_RSEQ_ABORTED;
none:
	return TOCSIN_RSEQ_NONE;
moved:
	return TOCSIN_RSEQ_UNEQUAL;
}

/* Count a record as lost in @x->ring, if that is still the ring of this index: what is counted is
 * counted before ring_retire() returns. Return: as above. */
static inline int ring_exact_lose(struct ring_writer *w, const struct ring_exact *x)
{
	__asm__ goto(RING_EXACT_LOSE
		     :
		     : RING_EXACT_OPERANDS:RING_EXACT_CLOBBERS
		     : aborted, none, moved);
	return TOCSIN_RSEQ_DONE;
aborted:
	return TOCSIN_RSEQ_ABORTED;
none:
	return TOCSIN_RSEQ_NONE;
moved:
	return TOCSIN_RSEQ_UNEQUAL;
}

#endif
