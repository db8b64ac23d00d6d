// SPDX-License-Identifier: MIT
/*
 * What has to be known about registers to follow an indirect jump, and about the stack to know a
 * jump out of the function from one inside it.
 *
 * A switch becomes a jump through a table in read-only data. Compilers write
 *
 *     cmp $N,%edi; ja default            or of memory: cmpl $N,(%rdi); ja default; mov (%rdi),%eax
 *     mov %edi,%eax                      a 32-bit write clears the upper half; or movzx, or and $N
 *     lea table(%rip),%rdx
 *     movslq (%rdx,%rax,4),%rax          4-byte distances from the table
 *     add %rdx,%rax; jmp *%rax           or jmp *table(,%rax,8) where nothing is relocated
 *
 * with other instructions in between and the table's address often set outside the loop. So the
 * facts are kept per register along every way, and where two ways meet only what both say remains.
 * At one place facts only ever get lost, so the walk ends. Anything not understood leaves no fact:
 * the jump is then not followed, and the function is refused, never guessed at.
 */
#include "flow_facts.h"

#include <string.h>

#define CALLER_SAVED 0x0fc7u /* rax rcx rdx rsi rdi r8-r11 */
#define ARGUMENTS    0x03c6u /* rcx rdx rsi rdi r8 r9 */
#define DEPTH_MAX    (1ll << 40)

struct flow_facts facts_unknown(void)
{
	return (struct flow_facts){.depth = DEPTH_UNKNOWN, .frame = DEPTH_UNKNOWN};
}

struct flow_facts facts_entry(void)
{
	struct flow_facts s = {.depth = 0, .frame = DEPTH_UNKNOWN};

	for (unsigned i = 0; i < GPR_NR; i++)
		if (ARGUMENTS >> i & 1)
			s.reg[i].kind = FACT_POINTER;
	return s;
}

static bool fact_equal(const struct fact *a, const struct fact *b)
{
	return a->kind == b->kind && a->bits == b->bits && a->is_absolute == b->is_absolute &&
	       a->max == b->max && a->value == b->value;
}

static bool key_equal(const struct mem_key *a, const struct mem_key *b)
{
	return a->base == b->base && a->index == b->index && a->scale == b->scale &&
	       a->size == b->size && a->disp == b->disp;
}

bool facts_meet(struct flow_facts *into, const struct flow_facts *from)
{
	bool is_lost = false;

	if (into->depth != from->depth && into->depth != DEPTH_UNKNOWN) {
		into->depth = DEPTH_UNKNOWN;
		is_lost = true;
	}
	if (into->frame != from->frame && into->frame != DEPTH_UNKNOWN) {
		into->frame = DEPTH_UNKNOWN;
		is_lost = true;
	}
	for (unsigned i = 0; i < GPR_NR; i++)
		if (into->reg[i].kind && !fact_equal(&into->reg[i], &from->reg[i])) {
			into->reg[i] = (struct fact){0};
			is_lost = true;
		}
	if (into->has_compare &&
	    (!from->has_compare || into->is_compare_mem != from->is_compare_mem ||
	     into->compare_reg != from->compare_reg || into->compare_bits != from->compare_bits ||
	     into->compare_max != from->compare_max ||
	     !key_equal(&into->compare_mem, &from->compare_mem))) {
		into->has_compare = false;
		is_lost = true;
	}
	if (into->has_mem_bound && (!from->has_mem_bound || into->mem_max != from->mem_max ||
				    !key_equal(&into->mem, &from->mem))) {
		into->has_mem_bound = false;
		is_lost = true;
	}
	return is_lost;
}

/* Return: false for operands that cannot be recognised again. */
static bool key_make(const cs_x86_op *op, struct mem_key *ret)
{
	const x86_op_mem *m = &op->mem;

	if (m->base == X86_REG_RIP || m->segment != X86_REG_INVALID)
		return false;
	*ret = (struct mem_key){.base = (int8_t)insn_gpr(m->base),
				.index = (int8_t)insn_gpr(m->index),
				.scale = (uint8_t)m->scale,
				.size = op->size,
				.disp = m->disp};
	return true;
}

static bool key_uses(const struct mem_key *k, uint32_t gpr)
{
	return (k->base >= 0 && (gpr & 1u << k->base)) || (k->index >= 0 && (gpr & 1u << k->index));
}

/* The largest value of a register; false: not known. */
static bool bound_of(const struct flow_facts *s, x86_reg reg, uint32_t *ret)
{
	int nr = insn_gpr(reg);

	if (nr < 0 || s->reg[nr].kind != FACT_BOUND || s->reg[nr].bits != 64)
		return false;
	*ret = s->reg[nr].max;
	return true;
}

/* The table that a scaled operand reads, and how far its index goes. */
static bool table_of(const struct flow_facts *s, const cs_x86_op *op, unsigned entry_bytes,
		     struct fact *ret)
{
	const x86_op_mem *m = &op->mem;
	int base = insn_gpr(m->base);

	if (m->scale != (int)entry_bytes || m->segment != X86_REG_INVALID ||
	    !bound_of(s, m->index, &ret->max))
		return false;
	if (m->base == X86_REG_INVALID)
		ret->value = (uint64_t)m->disp;
	else if (base >= 0 && s->reg[base].kind == FACT_ADDRESS)
		ret->value = s->reg[base].value + (uint64_t)m->disp;
	else
		return false;
	return true;
}

/* From memory that is not the stack, and no table. */
static bool is_plain_load(const cs_x86_op *op)
{
	return op->mem.index == X86_REG_INVALID && op->mem.segment == X86_REG_INVALID &&
	       op->mem.base != X86_REG_RSP && op->mem.base != X86_REG_RBP && op->size == 8;
}

static struct fact fact_of_load(const struct flow_facts *s, const cs_insn *in)
{
	const cs_x86_op *op = in->detail->x86.operands;
	struct fact fact = {0};
	struct mem_key key;

	if (op[1].size == 8 && table_of(s, &op[1], 8, &fact)) {
		fact.kind = FACT_CODE;
		fact.is_absolute = true;
	} else if (in->id == X86_INS_MOVSXD && table_of(s, &op[1], 4, &fact)) {
		fact.kind = FACT_ENTRY;
	} else if (in->id != X86_INS_MOVSXD && in->id != X86_INS_MOVSX && s->has_mem_bound &&
		   key_make(&op[1], &key) && key_equal(&key, &s->mem) && (op[0].size >= 4)) {
		fact = (struct fact){.kind = FACT_BOUND, .bits = 64, .max = s->mem_max};
	} else if (in->id == X86_INS_MOVZX && op[1].size == 1 && op[0].size >= 4) {
		fact = (struct fact){.kind = FACT_BOUND, .bits = 64, .max = UINT8_MAX};
	} else if (in->id == X86_INS_MOV && op[0].size == 8 && is_plain_load(&op[1])) {
		fact.kind = FACT_POINTER;
	}
	return fact;
}

/* From register to register. */
static struct fact fact_of_copy(const struct flow_facts *s, const cs_insn *in)
{
	const cs_x86_op *op = in->detail->x86.operands;
	int from = insn_gpr(op[1].reg);
	unsigned bits = op[1].size * 8u;
	struct fact fact;

	if (from < 0 || op[0].size < 4)
		return (struct fact){0};
	fact = s->reg[from];
	if (op[0].size == 8 && in->id == X86_INS_MOV)
		return fact;
	/* A bound of the low bits becomes one of the whole, if these bits are all that is copied.
	 */
	if (fact.kind == FACT_BOUND && (fact.bits == bits || (fact.bits == 64 && bits == 32))) {
		bool is_signed = in->id == X86_INS_MOVSX || in->id == X86_INS_MOVSXD;

		if (!is_signed || fact.max < 1u << (bits - 1)) {
			fact.bits = 64;
			return fact;
		}
	}
	if (in->id == X86_INS_MOVZX && bits == 8)
		return (struct fact){.kind = FACT_BOUND, .bits = 64, .max = UINT8_MAX};
	return (struct fact){0};
}

/* The two halves of a table entry come together: distance and table, in either order. */
static struct fact fact_of_sum(const struct flow_facts *s, x86_reg one, x86_reg other)
{
	int a = insn_gpr(one), b = insn_gpr(other);
	const struct fact *entry, *table;

	if (a < 0 || b < 0)
		return (struct fact){0};
	entry = s->reg[a].kind == FACT_ENTRY ? &s->reg[a] : &s->reg[b];
	table = s->reg[a].kind == FACT_ENTRY ? &s->reg[b] : &s->reg[a];
	if (entry->kind != FACT_ENTRY || table->kind != FACT_ADDRESS ||
	    table->value != entry->value)
		return (struct fact){0};
	return (struct fact){.kind = FACT_CODE, .value = entry->value, .max = entry->max};
}

static struct fact fact_of_lea(const struct flow_facts *s, const cs_insn *in)
{
	const cs_x86_op *op = in->detail->x86.operands;
	const x86_op_mem *m = &op[1].mem;

	if (op[0].size != 8)
		return (struct fact){0};
	if (m->base == X86_REG_RIP && m->index == X86_REG_INVALID)
		return (struct fact){.kind = FACT_ADDRESS,
				     .value = in->address + in->size + (uint64_t)m->disp};
	if (m->disp == 0 && m->scale == 1)
		return fact_of_sum(s, m->base, m->index);
	return (struct fact){0};
}

/* What the first operand, a register, is afterwards. */
static struct fact fact_of_result(const struct flow_facts *s, const cs_insn *in)
{
	const cs_x86_op *op = in->detail->x86.operands;
	unsigned nr = in->detail->x86.op_count;

	switch (in->id) {
	case X86_INS_LEA: return fact_of_lea(s, in);
	case X86_INS_MOV:
	case X86_INS_MOVZX:
	case X86_INS_MOVSX:
	case X86_INS_MOVSXD:
		if (op[1].type == X86_OP_MEM)
			return fact_of_load(s, in);
		if (op[1].type == X86_OP_REG)
			return fact_of_copy(s, in);
		if (in->id == X86_INS_MOV && op[1].type == X86_OP_IMM && op[0].size == 4)
			return (struct fact){.kind = FACT_ADDRESS, .value = (uint32_t)op[1].imm};
		return (struct fact){0};
	case X86_INS_ADD:
		if (nr == 2 && op[0].size == 8 && op[1].type == X86_OP_REG)
			return fact_of_sum(s, op[0].reg, op[1].reg);
		return (struct fact){0};
	case X86_INS_AND:
		if (nr == 2 && op[0].size >= 4 && op[1].type == X86_OP_IMM && op[1].imm >= 0 &&
		    op[1].imm < TABLE_MAX)
			return (struct fact){
				.kind = FACT_BOUND, .bits = 64, .max = (uint32_t)op[1].imm};
		return (struct fact){0};
	default: return (struct fact){0};
	}
}

/* The stack pointer and its copy in rbp. Return: whether the instruction was one of theirs. */
static bool stack_step(struct flow_facts *s, const cs_insn *in)
{
	const cs_x86_op *op = in->detail->x86.operands;
	bool to_sp = op[0].type == X86_OP_REG && op[0].reg == X86_REG_RSP;
	bool to_bp = op[0].type == X86_OP_REG && op[0].reg == X86_REG_RBP;
	int64_t *to = to_bp ? &s->frame : &s->depth;
	const int64_t *from = NULL;
	int64_t less = 0;

	switch (in->id) {
	case X86_INS_PUSH:
	case X86_INS_PUSHFQ:
		from = &s->depth;
		less = -8;
		to = &s->depth;
		break;
	case X86_INS_POP:
		if (to_sp)
			return false;
		if (to_bp)
			s->frame = DEPTH_UNKNOWN;
		to = &s->depth;
		from = &s->depth;
		less = 8;
		break;
	case X86_INS_POPFQ:
		from = &s->depth;
		less = 8;
		break;
	case X86_INS_LEAVE:
		s->depth = s->frame == DEPTH_UNKNOWN ? DEPTH_UNKNOWN : s->frame - 8;
		s->frame = DEPTH_UNKNOWN;
		return true;
	case X86_INS_ADD:
	case X86_INS_SUB:
		if (!to_sp || op[1].type != X86_OP_IMM)
			return false;
		from = &s->depth;
		less = in->id == X86_INS_ADD ? op[1].imm : -op[1].imm;
		break;
	case X86_INS_MOV:
		if ((!to_sp && !to_bp) || op[1].type != X86_OP_REG)
			return false;
		from = op[1].reg == X86_REG_RSP   ? &s->depth
		       : op[1].reg == X86_REG_RBP ? &s->frame
						  : NULL;
		break;
	case X86_INS_LEA:
		if ((!to_sp && !to_bp) || op[1].mem.index != X86_REG_INVALID)
			return false;
		from = op[1].mem.base == X86_REG_RSP   ? &s->depth
		       : op[1].mem.base == X86_REG_RBP ? &s->frame
						       : NULL;
		less = op[1].mem.disp;
		break;
	default: return false;
	}
	if (!from || *from == DEPTH_UNKNOWN || less > DEPTH_MAX || less < -DEPTH_MAX ||
	    *from > DEPTH_MAX || *from < -DEPTH_MAX)
		*to = DEPTH_UNKNOWN;
	else
		*to = *from - less;
	return true;
}

static void compare_step(struct flow_facts *s, const cs_insn *in)
{
	const cs_x86_op *op = in->detail->x86.operands;

	s->has_compare = false;
	if (in->id != X86_INS_CMP || op[1].type != X86_OP_IMM || op[1].imm < 0 ||
	    op[1].imm >= TABLE_MAX)
		return;
	s->compare_max = (uint32_t)op[1].imm;
	s->compare_reg = 0;
	s->compare_bits = 0;
	s->compare_mem = (struct mem_key){0};
	if (op[0].type == X86_OP_REG && insn_gpr(op[0].reg) >= 0) {
		s->is_compare_mem = false;
		s->compare_reg = (uint8_t)insn_gpr(op[0].reg);
		s->compare_bits = (uint8_t)(op[0].size * 8);
		/* The second byte of a register is no lower part of it. */
		s->has_compare = op[0].reg != X86_REG_AH && op[0].reg != X86_REG_BH &&
				 op[0].reg != X86_REG_CH && op[0].reg != X86_REG_DH;
	} else if (op[0].type == X86_OP_MEM && key_make(&op[0], &s->compare_mem)) {
		s->is_compare_mem = true;
		s->has_compare = true;
	}
}

void facts_step(struct flow_facts *s, const cs_insn *in, const struct insn_effect *e)
{
	const cs_x86 *x = &in->detail->x86;
	bool is_stack = stack_step(s, in), has_result;
	uint32_t gone = e->gpr;
	struct fact fact = {0};
	int to = -1;

	if (e->flow == FLOW_CALL || e->flow == FLOW_KERNEL)
		gone |= CALLER_SAVED;
	if (!is_stack && (gone & 1u << GPR_SP))
		s->depth = DEPTH_UNKNOWN;
	if (!is_stack && (gone & 1u << GPR_BP))
		s->frame = DEPTH_UNKNOWN;
	if (x->op_count && x->operands[0].type == X86_OP_REG)
		to = insn_gpr(x->operands[0].reg);
	has_result = to >= 0 && (gone & 1u << to) && e->flow == FLOW_NEXT;
	if (has_result) {
		fact = fact_of_result(s, in);
		if (!fact.kind && x->operands[0].size == 4)
			fact.kind = FACT_ZERO_EXT;
	}
	for (unsigned i = 0; i < GPR_NR; i++)
		if (gone & 1u << i)
			s->reg[i] = (struct fact){0};
	if (has_result)
		s->reg[to] = fact;
	if (e->flow == FLOW_CALL)
		s->reg[GPR_AX].kind = FACT_POINTER;
	if (e->memory || e->flow != FLOW_NEXT || key_uses(&s->mem, gone))
		s->has_mem_bound = false;
	if (e->flags || e->flow != FLOW_NEXT)
		compare_step(s, in);
	else if (s->has_compare && (s->is_compare_mem ? e->memory || key_uses(&s->compare_mem, gone)
						      : (gone >> s->compare_reg) & 1))
		s->has_compare = false;
}

static void bound_set(struct flow_facts *s, uint32_t max)
{
	struct fact *reg = &s->reg[s->compare_reg];
	uint8_t bits = s->compare_bits;
	uint64_t limit = bits < 64 ? 1ull << bits : UINT64_MAX;

	if (s->is_compare_mem) {
		s->has_mem_bound = true;
		s->mem = s->compare_mem;
		s->mem_max = max;
		return;
	}
	/* The compared low part is the whole when the rest is known to be zero. */
	if ((reg->kind == FACT_ZERO_EXT && bits == 32) ||
	    (reg->kind == FACT_BOUND && reg->bits == 64 && reg->max < limit))
		bits = 64;
	if (reg->kind == FACT_NONE || reg->kind == FACT_ZERO_EXT || reg->kind == FACT_BOUND ||
	    reg->kind == FACT_POINTER)
		*reg = (struct fact){.kind = FACT_BOUND, .bits = bits, .max = max};
}

void facts_branch(struct flow_facts *s, const cs_insn *in, bool is_taken)
{
	if (!s->has_compare)
		return;
	if ((in->id == X86_INS_JA && !is_taken) || (in->id == X86_INS_JBE && is_taken))
		bound_set(s, s->compare_max);
	else if (((in->id == X86_INS_JAE && !is_taken) || (in->id == X86_INS_JB && is_taken)) &&
		 s->compare_max)
		bound_set(s, s->compare_max - 1);
}

bool facts_jump_table(const struct flow_facts *s, const cs_insn *in, struct fact *ret)
{
	const cs_x86_op *op = in->detail->x86.operands;
	struct fact fact = {0};
	int nr;

	if (in->detail->x86.op_count != 1)
		return false;
	if (op->type == X86_OP_MEM) {
		if (!table_of(s, op, 8, &fact))
			return false;
		fact.is_absolute = true;
	} else {
		nr = op->type == X86_OP_REG ? insn_gpr(op->reg) : -1;
		if (nr < 0 || s->reg[nr].kind != FACT_CODE)
			return false;
		fact = s->reg[nr];
	}
	if (fact.max >= TABLE_MAX)
		return false;
	*ret = fact;
	return true;
}

bool facts_is_pointer(const struct flow_facts *s, const cs_insn *in)
{
	const cs_x86_op *op = in->detail->x86.operands;
	int nr = op->type == X86_OP_REG ? insn_gpr(op->reg) : -1;

	if (in->detail->x86.op_count != 1)
		return false;
	return op->type == X86_OP_MEM ? is_plain_load(op)
				      : nr >= 0 && s->reg[nr].kind == FACT_POINTER;
}
