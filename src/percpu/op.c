// SPDX-License-Identifier: MIT
/*
 * Operations on one CPU's item, as a section where the thread is on that CPU, else behind the gate.
 *
 * Everything that a section needs is in a frame on the stack, and everything that it finds out goes
 * there before the commit: an abort only means that the frame is filled in again. The sections are
 * in arch/; each is a macro that names its operands, so that they are written once here.
 *
 * The same operation behind the gate is the plain C of op_behind_gate(). That both give the same
 * results is tested operation by operation (tests/unit/test_percpu_op.c).
 */
#include <errno.h>
#include <string.h>

#include "percpu.h"

#include "broken.h"

#if defined(__x86_64__) && defined(__LP64__)
#	include "arch/op_x86_64.h"
#elif defined(__aarch64__) && defined(__LP64__)
#	include "arch/op_aarch64.h"
#endif

struct op_frame {
	uint32_t index; /* out: where it was done */
	uint32_t reserved;
	uint64_t off;
	uint64_t value;
	uint64_t expect;
	uint64_t found; /* out: CMPSTORE that is not equal */
	void *pointer;  /* node, in or out; source */
	uint64_t copy_off;
	uint64_t len_bytes;
};

_Static_assert(offsetof(struct op_frame, off) == 8, "known in arch/");
_Static_assert(offsetof(struct op_frame, value) == 16, "known in arch/");
_Static_assert(offsetof(struct op_frame, expect) == 24, "known in arch/");
_Static_assert(offsetof(struct op_frame, found) == 32, "known in arch/");
_Static_assert(offsetof(struct op_frame, pointer) == 40, "known in arch/");
_Static_assert(offsetof(struct op_frame, copy_off) == 48, "known in arch/");
_Static_assert(offsetof(struct op_frame, len_bytes) == 56, "known in arch/");

/* What a section says beyond the codes of tocsin/rseq.h: not on the CPU wanted. */
#define OP_ELSEWHERE 5

/* Return: 0, -EINVAL. */
static int op_check(const struct tocsin_percpu *p, int cpu, const struct tocsin_op *op)
{
	if (cpu < TOCSIN_CPU_HERE || (cpu >= 0 && (unsigned)cpu >= p->nr))
		return -EINVAL;
	if (op->code < TOCSIN_OP_LOAD || op->code > TOCSIN_OP_COPY)
		return -EINVAL;
	if (op->off % 8 || op->off > p->size_bytes - 8)
		return -EINVAL;
	if (op->code == TOCSIN_OP_PUSH && !op->u.node)
		return -EINVAL;
	if (op->code != TOCSIN_OP_COPY)
		return 0;
	if (op->len_bytes > p->size_bytes || op->copy_off > p->size_bytes - op->len_bytes)
		return -EINVAL;
	if (op->len_bytes && op->copy_off < op->off + 8 && op->off < op->copy_off + op->len_bytes)
		return -EINVAL;
	return op->len_bytes && !op->u.src ? -EINVAL : 0;
}

#if TOCSIN_RSEQ_ARCH

/* One try of operation @text; the labels are local to the statement expression that it is used in.
 */
#	define OP_TRY(text)                                                                      \
		__asm__ goto(                                                                     \
			text                                                                      \
			:                                                                         \
			: [area] "r"(area), [index] "r"(area + p->index_offset), [nr] "r"(p->nr), \
			  [want] "r"(want), [table] "r"(table), [frame] "r"(frame)                \
			: OP_CLOBBERS                                                             \
			: aborted, none, closed, elsewhere, unequal, empty)

static int op_section(struct tocsin_percpu *p, void *const *table, int want, uint32_t code,
		      struct op_frame *frame)
{
	uintptr_t area = TOCSIN_RSEQ_AREA(tocsin_rseq.area);

	switch (code) {
	case TOCSIN_OP_LOAD: OP_TRY(OP_LOAD); break;
	case TOCSIN_OP_STORE: OP_TRY(OP_STORE); break;
	case TOCSIN_OP_ADD: OP_TRY(OP_ADD); break;
	case TOCSIN_OP_CMPSTORE: OP_TRY(OP_CMPSTORE); break;
	case TOCSIN_OP_PUSH: OP_TRY(OP_PUSH); break;
	case TOCSIN_OP_POP: OP_TRY(OP_POP); break;
	default: OP_TRY(OP_COPY); break;
	}
empty:
	return TOCSIN_RSEQ_DONE;
none:
	return TOCSIN_RSEQ_NONE;
closed:
	return TOCSIN_RSEQ_CLOSED;
elsewhere:
	return OP_ELSEWHERE;
unequal:
	return TOCSIN_RSEQ_UNEQUAL;
aborted:
	return TOCSIN_RSEQ_ABORTED;
}

/* The table that sections read. */
static void *const *op_table(struct tocsin_percpu *p)
{
#	if TOCSIN_BROKEN == BROKEN_GATE_OUTSIDE
	static void *open_table[256];

	for (unsigned i = 0; i < p->nr && i < 256; i++) {
		open_table[i] = p->items + i * p->stride_bytes;
		while (!__atomic_load_n(&p->gates->table[i], __ATOMIC_ACQUIRE) &&
		       p->gates->alive == PERCPU_ALIVE)
			TOCSIN_CPU_RELAX();
	}
	return open_table;
#	else
	return p->gates->table;
#	endif
}

/* Return: TOCSIN_RSEQ_DONE, _UNEQUAL, or that it has to be done behind the gate. */
static int op_by_section(struct tocsin_percpu *p, int cpu, uint32_t code, struct op_frame *frame)
{
	int r = TOCSIN_RSEQ_ABORTED;

	if (!tocsin_rseq.area || p->is_locked)
		return TOCSIN_RSEQ_NONE;
	for (unsigned n = 0; n < TOCSIN_RSEQ_ABORT_LIMIT; n++) {
		r = op_section(p, op_table(p), cpu, code, frame);
		if (r == TOCSIN_RSEQ_ABORTED)
			continue;
		if (r == TOCSIN_RSEQ_NONE && rseq_thread_register() == 0)
			continue;
		if (r == TOCSIN_RSEQ_CLOSED && gates_after_fork(p))
			continue;
		break;
	}
	return r;
}

#else

static int op_by_section(struct tocsin_percpu *p, int cpu, uint32_t code, struct op_frame *frame)
{
	(void)p;
	(void)cpu;
	(void)code;
	(void)frame;
	return TOCSIN_RSEQ_NONE;
}

#endif

/* Return: TOCSIN_RSEQ_DONE, _UNEQUAL. */
static int op_behind_gate(char *item, uint32_t code, struct op_frame *frame)
{
	uint64_t *word = (uint64_t *)(void *)(item + frame->off);
	struct tocsin_link *node;

	switch (code) {
	case TOCSIN_OP_LOAD: frame->value = *word; break;
	case TOCSIN_OP_STORE: *word = frame->value; break;
	case TOCSIN_OP_ADD: *word += frame->value; break;
	case TOCSIN_OP_CMPSTORE:
		if (*word != frame->expect) {
			frame->found = *word;
			return TOCSIN_RSEQ_UNEQUAL;
		}
		*word = frame->value;
		break;
	case TOCSIN_OP_PUSH:
		node = frame->pointer;
		node->next = (struct tocsin_link *)*word;
		*word = (uint64_t)node;
		break;
	case TOCSIN_OP_POP:
		node = (struct tocsin_link *)*word;
		frame->pointer = node;
		if (node)
			*word = (uint64_t)node->next;
		break;
	default:
		if (frame->len_bytes)
			memcpy(item + frame->copy_off, frame->pointer, frame->len_bytes);
		*word = frame->value;
		break;
	}
	return TOCSIN_RSEQ_DONE;
}

/* Where TOCSIN_CPU_HERE is, for a thread that gets no section done. */
static unsigned here(const struct tocsin_percpu *p)
{
	int cid = p->is_by_cid ? tocsin_cid() : -1;
	unsigned idx = cid >= 0 ? (unsigned)cid : tocsin_cpu();

	return idx % p->nr;
}

/* Return: TOCSIN_RSEQ_DONE, _UNEQUAL, or -errno of gate_close(). */
static int op_from_outside(struct tocsin_percpu *p, unsigned idx, uint32_t code,
			   struct op_frame *frame)
{
	uint64_t signals = signals_block();
	int r = gate_close(p, idx, &signals);

	if (!r) {
		r = op_behind_gate(p->items + idx * p->stride_bytes, code, frame);
		gate_open(p, idx);
	}
	signals_restore(signals);
	frame->index = idx;
	return r;
}

int tocsin_percpu_op(struct tocsin_percpu *p, int cpu, struct tocsin_op *op)
{
	struct op_frame frame;
	int r = op_check(p, cpu, op);

	if (r)
		return r;
	frame = (struct op_frame){
		.off = op->off,
		.value = op->value,
		.expect = op->expect,
		.pointer = op->u.node,
		.copy_off = op->copy_off,
		.len_bytes = op->len_bytes,
	};
	r = op_by_section(p, cpu, op->code, &frame);
	if (r != TOCSIN_RSEQ_DONE && r != TOCSIN_RSEQ_UNEQUAL)
		r = op_from_outside(p, cpu >= 0 ? (unsigned)cpu : here(p), op->code, &frame);
	if (r < 0)
		return r;
	if (r == TOCSIN_RSEQ_UNEQUAL) {
		op->value = frame.found;
		return -ECANCELED;
	}
	if (op->code == TOCSIN_OP_LOAD)
		op->value = frame.value;
	if (op->code == TOCSIN_OP_POP)
		op->u.node = frame.pointer;
	return (int)frame.index;
}
