/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_FAST_X86_64_H
#define TOCSIN_RING_FAST_X86_64_H

/*
 * The fast path on x86-64: one section, from the index to the store of the new head.
 *
 *	r8  ring        r9  head, and where in the data that is        rax, rdx  the clock
 *
 * What does not go the plain way leaves by a label, and nothing that counts has been written:
 * everything before the last store goes into free space. The clock is read inside; where inside
 *does not matter, since whoever else wrote to this ring in between would have had this section
 *aborted. rdtsc is not ordered against the loads round it, and need not be: who wrote the record
 *before ran on this CPU before us, or on another one before a context switch, which orders.
 *
 * It stands where it costs least. Measured: it starts when the loads before it have come (a third
 * dependent load costs 5 cycles), and nothing behind it is decoded before it has ended (30 nops
 *cost 7). So index and ring are looked up before it, the head after it: 1.14 to 1.19 of the bare
 *clock for 16 bytes, against 1.20 to 1.26 with head and limit before it and 1.29 with everything
 *after it. Leaving out any other single part (arming, checks, copy) gains less than 0.01.
 *
 * The payload is copied by moves of 8 bytes, unrolled where its size is a constant: fields were
 * just staged by narrow stores, which wider loads would have to wait for. From RING_COPY_STRING
 * bytes on by `rep movsq`, which may be interrupted in the middle like any instruction.
 */

#define RING_COPY_STRING 512u

/* clang-format off */
#define RING_FAST_TO_HEADER(end)                          \
	TOCSIN_RSEQ_BEGIN                                 \
	TOCSIN_RSEQ_INDEX                                 \
	"cmpl %[indexes], %%eax\n\t"                      \
	"jae %l[none]\n\t"                                \
	"movq (%[w],%%rax,8), %%r8\n\t"                   \
	"testq %%r8, %%r8\n\t"                            \
	"jz %l[none]\n\t"                                 \
	TOCSIN_RSEQ_INJECT(1)                             \
	"rdtsc\n\t"                                       \
	"cmpl %c[at_epoch](%%r8), %%edx\n\t"              \
	"jne %l[none]\n\t"                                \
	TOCSIN_RSEQ_INJECT(2)                             \
	"movq %c[at_head](%%r8), %%r9\n\t"                \
	"leaq " end ", %%rdx\n\t"                         \
	"cmpq %c[at_limit](%%r8), %%rdx\n\t"              \
	"ja %l[none]\n\t"                                 \
	"andq %c[at_mask](%%r8), %%r9\n\t"                \
	"movl %k[head_word], %c[at_data](%%r8,%%r9)\n\t"  \
	"movl %%eax, 4 + %c[at_data](%%r8,%%r9)\n\t"      \
	TOCSIN_RSEQ_INJECT(3)

/* One instruction, and so one commit: a thread is interrupted before or after it. It needs no
 * register for the new head, which spares the callers of fixed sizes a push and a pop or two. */
#define RING_FAST_COMMIT                                  \
	TOCSIN_RSEQ_INJECT(5)                             \
	"addq %[step], %c[at_head](%%r8)\n\t"             \
	TOCSIN_RSEQ_END

#define RING_COPY_FIXED                                   \
	".set ring_at, 0\n\t"                             \
	".rept %c[bytes] / 8\n\t"                         \
	"movq ring_at(%[payload]), %%rax\n\t"             \
	"movq %%rax, 8 + %c[at_data] + ring_at(%%r8,%%r9)\n\t" \
	".set ring_at, ring_at + 8\n\t"                   \
	".endr\n\t"

#define RING_COPY_MOVES                                   \
	"leaq 8 + %c[at_data](%%r8,%%r9), %%r9\n\t"       \
	"xorl %%edx, %%edx\n\t"                           \
	"testq %[bytes], %[bytes]\n\t"                    \
	"jz 62f\n"                                        \
	"61:\n\t"                                         \
	TOCSIN_RSEQ_INJECT(4)                             \
	"movq (%[payload],%%rdx), %%rax\n\t"              \
	"movq %%rax, (%%r9,%%rdx)\n\t"                    \
	"addq $8, %%rdx\n\t"                              \
	"cmpq %[bytes], %%rdx\n\t"                        \
	"jb 61b\n"                                        \
	"62:\n\t"

#define RING_COPY_WORDS                                   \
	"leaq 8 + %c[at_data](%%r8,%%r9), %%rdi\n\t"      \
	"movq %[payload], %%rsi\n\t"                      \
	"movq %[bytes], %%rcx\n\t"                        \
	"shrq $3, %%rcx\n\t"                              \
	"rep movsq\n\t"

/* Injected delays clobber rcx by themselves, and a register must not be named twice. */
#ifdef TOCSIN_RSEQ_WITH_INJECT
#	define RING_FAST_RCX
#else
#	define RING_FAST_RCX "rcx",
#endif
/* clang-format on */

#define RING_FAST_OPERANDS                                                              \
	[area] "r"(area), [index] "r"(index), [w] "r"(w->ring), [payload] "r"(payload), \
		[head_word] "r"(head_word), [indexes] "i"(RING_INDEXES),                \
		[at_head] "i"(offsetof(struct ring_header, head)),                      \
		[at_limit] "i"(offsetof(struct ring_header, limit)),                    \
		[at_mask] "i"(offsetof(struct ring_header, mask)),                      \
		[at_epoch] "i"(offsetof(struct ring_header, epoch)),                    \
		[at_data] "i"(RING_HEADER_BYTES)

#define RING_FAST_CLOBBERS "rdx", "r8", "r9", TOCSIN_RSEQ_CLOBBERS

/* One statement a size: an operand "i" must be a literal where nothing is optimised. */
#define RING_FAST_FIXED(size)                                                                    \
case size:                                                                                       \
	__asm__ goto(RING_FAST_TO_HEADER("8 + %c[bytes](%%r9)") RING_COPY_FIXED RING_FAST_COMMIT \
		     :                                                                           \
		     : RING_FAST_OPERANDS, [bytes] "i"(size), [step] "i"(8 + size)               \
		     : RING_FAST_CLOBBERS                                                        \
		     : aborted, none);                                                           \
	return true

static inline __attribute__((always_inline)) bool ring_write_fixed(uintptr_t area, uintptr_t index,
								   struct ring_writer *w,
								   uint64_t head_word,
								   const void *payload,
								   size_t bytes)
{
	switch (bytes) {
		RING_FAST_FIXED(8);
		RING_FAST_FIXED(16);
		RING_FAST_FIXED(24);
		RING_FAST_FIXED(32);
		RING_FAST_FIXED(40);
		RING_FAST_FIXED(48);
		RING_FAST_FIXED(56);
		RING_FAST_FIXED(64);
	default: return false;
	}
aborted:
none:
	return false;
}

static inline __attribute__((always_inline)) bool ring_write_moves(uintptr_t area, uintptr_t index,
								   struct ring_writer *w,
								   uint64_t head_word,
								   const void *payload,
								   size_t bytes)
{
	__asm__ goto(RING_FAST_TO_HEADER("8(%%r9,%[bytes])") RING_COPY_MOVES RING_FAST_COMMIT
		     :
		     : RING_FAST_OPERANDS, [bytes] "r"(bytes), [step] "r"(bytes + 8)
		     : RING_FAST_CLOBBERS
		     : aborted, none);
	return true;
aborted:
none:
	return false;
}

static inline __attribute__((always_inline)) bool ring_write_words(uintptr_t area, uintptr_t index,
								   struct ring_writer *w,
								   uint64_t head_word,
								   const void *payload,
								   size_t bytes)
{
	__asm__ goto(RING_FAST_TO_HEADER("8(%%r9,%[bytes])") RING_COPY_WORDS RING_FAST_COMMIT
		     :
		     : RING_FAST_OPERANDS, [bytes] "r"(bytes), [step] "r"(bytes + 8)
		     : "rsi", "rdi", RING_FAST_RCX RING_FAST_CLOBBERS
		     : aborted, none);
	return true;
aborted:
none:
	return false;
}

/* Return: true the record is there; false nothing happened. */
static inline __attribute__((always_inline)) bool ring_write_fast(intptr_t fast,
								  struct ring_writer *w,
								  uint32_t id, const void *payload,
								  size_t bytes)
{
	uint64_t head_word = id | (uint64_t)(bytes + RING_COMPACT_BYTES) / 8 << 16;
	uintptr_t area = TOCSIN_RSEQ_AREA(fast);
	uintptr_t index = TOCSIN_RSEQ_AREA(ring_process.index);

	if (__builtin_constant_p(bytes) && bytes && bytes <= 64)
		return ring_write_fixed(area, index, w, head_word, payload, bytes);
	if (bytes < RING_COPY_STRING)
		return ring_write_moves(area, index, w, head_word, payload, bytes);
	return ring_write_words(area, index, w, head_word, payload, bytes);
}

#endif
