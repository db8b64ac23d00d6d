/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_FAST_AARCH64_H
#define TOCSIN_RING_FAST_AARCH64_H

/*
 * The fast path on aarch64, step for step that of fast_x86_64.h.
 *
 *	x8  ring        x9  head, then where the record goes      x10 new head
 *
 * The commit is a store-release: payload before head. The counter may be read ahead of the load of
 * the head, which does no harm for the reason given there: a switch of context lies between two
 * writers of one ring, and that synchronises. Never a pair (stp) for the commit; for the payload,
 * which is in free space, it may be seen half done.
 */

/* clang-format off */
#define RING_FAST                                         \
	TOCSIN_RSEQ_BEGIN                                 \
	TOCSIN_RSEQ_INDEX                                 \
	"cmp w16, %[indexes]\n\t"                         \
	"b.hs %l[none]\n\t"                               \
	"ldr x8, [%[w], x16, lsl #3]\n\t"                 \
	"cbz x8, %l[none]\n\t"                            \
	TOCSIN_RSEQ_INJECT(1)                             \
	"ldr x9, [x8, %[at_head]]\n\t"                    \
	"add x10, x9, %[bytes]\n\t"                       \
	"add x10, x10, #8\n\t"                            \
	"ldr x11, [x8, %[at_limit]]\n\t"                  \
	"cmp x10, x11\n\t"                                \
	"b.hi %l[none]\n\t"                               \
	TOCSIN_RSEQ_INJECT(2)                             \
	"mrs x11, cntvct_el0\n\t"                         \
	"ldr w12, [x8, %[at_epoch]]\n\t"                  \
	"lsr x13, x11, #32\n\t"                           \
	"cmp w12, w13\n\t"                                \
	"b.ne %l[none]\n\t"                               \
	"ldr x12, [x8, %[at_mask]]\n\t"                   \
	"orr x11, %[head_word], x11, lsl #32\n\t"         \
	"and x9, x9, x12\n\t"                             \
	"add x9, x9, %[at_data]\n\t"                      \
	"add x9, x9, x8\n\t"                              \
	"str x11, [x9], #8\n\t"                           \
	TOCSIN_RSEQ_INJECT(3)                             \
	"mov x12, %[payload]\n\t"                         \
	"mov x13, %[bytes]\n\t"                           \
	"tbz x13, #3, 61f\n\t"                            \
	"ldr x11, [x12], #8\n\t"                          \
	"str x11, [x9], #8\n\t"                           \
	"sub x13, x13, #8\n"                              \
	"61:\n\t"                                         \
	"cbz x13, 63f\n"                                  \
	"62:\n\t"                                         \
	TOCSIN_RSEQ_INJECT(4)                             \
	"ldp x11, x16, [x12], #16\n\t"                    \
	"stp x11, x16, [x9], #16\n\t"                     \
	"subs x13, x13, #16\n\t"                          \
	"b.ne 62b\n"                                      \
	"63:\n\t"                                         \
	TOCSIN_RSEQ_INJECT(5)                             \
	"add x8, x8, %[at_head]\n\t"                      \
	"stlr x10, [x8]\n\t"                              \
	TOCSIN_RSEQ_END
/* clang-format on */

/* Return: true the record is there; false nothing happened. */
static inline __attribute__((always_inline)) bool ring_write_fast(intptr_t fast,
								  struct ring_writer *w,
								  uint32_t id, const void *payload,
								  size_t bytes)
{
	uint64_t head_word = id | (uint64_t)(bytes + RING_COMPACT_BYTES) / 8 << 16;
	uintptr_t area = TOCSIN_RSEQ_AREA(fast);
	uintptr_t index = TOCSIN_RSEQ_AREA(ring_process.index);

	__asm__ goto(
		RING_FAST
		:
		: [area] "r"(area), [index] "r"(index), [w] "r"(w->ring), [payload] "r"(payload),
		  [bytes] "r"(bytes), [head_word] "r"(head_word), [indexes] "i"(RING_INDEXES),
		  [at_head] "i"(offsetof(struct ring_header, head)),
		  [at_limit] "i"(offsetof(struct ring_header, limit)),
		  [at_mask] "i"(offsetof(struct ring_header, mask)),
		  [at_epoch] "i"(offsetof(struct ring_header, epoch)),
		  [at_data] "i"(RING_HEADER_BYTES)
		: "x8", "x9", "x10", "x11", "x12", "x13", TOCSIN_RSEQ_CLOBBERS
		: aborted, none);
	return true;
aborted:
none:
	return false;
}

#endif
