// SPDX-License-Identifier: MIT
/*
 * Call frame instructions, run to rows of rules.
 *
 * DWARF describes a function's frames as a program: instructions change a row of register rules,
 * and others move on to the next address. Here only the rules of the stack pointer, the frame
 * pointer and the return address are kept. Where a rule is an expression, the shapes that compilers
 * and C libraries write are recognised as what they mean: a register plus a constant, loaded from
 * memory or not (realigned stacks, the frame of a signal), and the one of PLT entries. Any other is
 * unsupported.
 *
 * Source of the instructions: DWARF 5, section 6.4.2; x86-64 psABI, figure 3.36 (register numbers);
 * DWARF for the Arm 64-bit architecture (signed return addresses).
 */
#include "cfa.h"

#include <dwarf.h>
#include <elf.h>

#define REMEMBERED_MAX 16 /* nested remembered rows; compilers write one */

#define CFA_negate_ra_state 0x2d /* aarch64; other machines use the number for something else */

enum where {
	WHERE_DEFAULT, /* nothing has been said */
	WHERE_SAME,
	WHERE_UNDEFINED,
	WHERE_CFA, /* *(cfa + off) */
	WHERE_SP,  /* *(sp + off), sp and fp being those of this frame */
	WHERE_FP,
	WHERE_OTHER,
};

struct reg {
	enum where where;
	int64_t off;
};

struct row {
	enum unwind_cfa cfa; /* NONE: cfa_reg + cfa_off */
	uint64_t cfa_reg;
	int64_t cfa_off;
	int64_t cfa_add;
	struct reg sp, fp, ra, other;
	bool is_signed;
};

struct run {
	const struct unwind_machine *machine;
	const struct cfi_cie *cie;
	struct row now, first;
	struct row remembered[REMEMBERED_MAX];
	unsigned nr_remembered;
	uint64_t at;
};

static const struct unwind_machine machines[] = {
	{.elf = EM_X86_64, .sp = 7, .fp = 6, .ra = 16},
	{.elf = EM_AARCH64, .sp = 31, .fp = 29, .ra = 30},
};

const struct unwind_machine *unwind_machine_of(uint16_t elf_machine)
{
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (machines[i].elf == elf_machine)
			return &machines[i];
	return NULL;
}

/* --- expressions
 * ------------------------------------------------------------------------------------------------------
 */

struct expression {
	uint64_t reg;
	int64_t off;
	bool is_deref;
	int64_t add; /* after the load */
};

/* A register plus constants, perhaps loaded, perhaps plus constants again. */
static bool expression_read(struct cursor c, struct expression *e)
{
	uint8_t op = (uint8_t)cursor_bytes(&c, 1);

	*e = (struct expression){0};
	if (op < DW_OP_breg0 || op > DW_OP_breg31)
		return false;
	e->reg = op - DW_OP_breg0;
	e->off = (int64_t)cursor_leb(&c, true);
	while (c.at < c.end && !c.bad) {
		int64_t *sum = e->is_deref ? &e->add : &e->off;
		uint64_t n = 0;

		op = (uint8_t)cursor_bytes(&c, 1);
		if (op == DW_OP_deref && !e->is_deref) {
			e->is_deref = true;
			continue;
		}
		if (op == DW_OP_plus_uconst)
			n = cursor_leb(&c, false);
		else if (op >= DW_OP_lit0 && op <= DW_OP_lit31 && cursor_bytes(&c, 1) == DW_OP_plus)
			n = op - DW_OP_lit0;
		else
			return false;
		if (__builtin_add_overflow(*sum, (int64_t)n, sum))
			return false;
	}
	return !c.bad;
}

static bool op_is(struct cursor *c, unsigned op)
{
	return cursor_bytes(c, 1) == op;
}

/* ((rip & 15) >= N) << 3) + rsp + 8: binutils writes it for PLT entries, which push in their
 * second half. */
static bool plt_read(struct cursor c, const struct unwind_machine *machine, int64_t *ret_off,
		     int64_t *ret_from)
{
	uint8_t lit;

	if (machine->elf != EM_X86_64 || !op_is(&c, (unsigned)DW_OP_breg0 + machine->sp))
		return false;
	*ret_off = (int64_t)cursor_leb(&c, true);
	if (!op_is(&c, (unsigned)DW_OP_breg0 + machine->ra) || cursor_leb(&c, true) != 0 ||
	    !op_is(&c, DW_OP_lit0 + 15) || !op_is(&c, DW_OP_and))
		return false;
	lit = (uint8_t)cursor_bytes(&c, 1);
	if (lit < DW_OP_lit0 || lit > DW_OP_lit0 + 15 || !op_is(&c, DW_OP_ge) ||
	    !op_is(&c, DW_OP_lit0 + 3) || !op_is(&c, DW_OP_shl) || !op_is(&c, DW_OP_plus) ||
	    c.bad || c.at != c.end)
		return false;
	*ret_from = lit - DW_OP_lit0;
	return true;
}

/* The block of an expression, which the cursor leaves behind it. */
static struct cursor block_take(struct cursor *c)
{
	uint64_t len = cursor_leb(c, false);
	struct cursor block = *c;

	cursor_skip(c, len);
	block.end = c->at;
	block.bad = c->bad;
	return block;
}

static void cfa_expression(struct run *run, struct cursor block)
{
	struct row *row = &run->now;
	struct expression e;

	row->cfa = UNWIND_CFA_UNSUPPORTED;
	row->cfa_off = row->cfa_add = 0;
	if (expression_read(block, &e)) {
		bool is_sp = e.reg == run->machine->sp, is_fp = e.reg == run->machine->fp;

		if (!is_sp && !is_fp)
			return;
		row->cfa_off = e.off;
		row->cfa_add = e.add;
		if (e.is_deref)
			row->cfa = is_sp ? UNWIND_CFA_SP_DEREF : UNWIND_CFA_FP_DEREF;
		else
			row->cfa = is_sp ? UNWIND_CFA_SP : UNWIND_CFA_FP;
	} else if (plt_read(block, run->machine, &row->cfa_off, &row->cfa_add)) {
		row->cfa = UNWIND_CFA_PLT;
	}
}

static struct reg reg_expression(const struct run *run, struct cursor block)
{
	struct expression e;

	if (expression_read(block, &e) && !e.is_deref) {
		if (e.reg == run->machine->sp)
			return (struct reg){WHERE_SP, e.off};
		if (e.reg == run->machine->fp)
			return (struct reg){WHERE_FP, e.off};
	}
	return (struct reg){WHERE_OTHER, 0};
}

/* --- rows to rules
 * ------------------------------------------------------------------------------------------------------
 */

static bool fits(int64_t v, int32_t *ret)
{
	*ret = (int32_t)v;
	return v == *ret;
}

static bool cfa_rule(const struct run *run, struct unwind_rule *rule)
{
	const struct row *row = &run->now;

	rule->cfa = (uint8_t)row->cfa;
	if (row->cfa == UNWIND_CFA_NONE) {
		if (row->cfa_reg == run->machine->sp)
			rule->cfa = UNWIND_CFA_SP;
		else if (row->cfa_reg == run->machine->fp)
			rule->cfa = UNWIND_CFA_FP;
		else
			return false;
	}
	/* The caller's stack pointer is the CFA. The frame of a signal says the same in a way of
	 * its own. */
	if (row->sp.where != WHERE_DEFAULT &&
	    !(row->sp.where == WHERE_SP && row->cfa == UNWIND_CFA_SP_DEREF &&
	      row->sp.off == row->cfa_off && !row->cfa_add))
		return false;
	return rule->cfa != UNWIND_CFA_UNSUPPORTED && fits(row->cfa_off, &rule->cfa_off) &&
	       fits(row->cfa_add, &rule->cfa_add);
}

static bool ra_rule(const struct run *run, struct unwind_rule *rule)
{
	const struct reg *ra = &run->now.ra;

	switch (ra->where) {
	case WHERE_CFA: rule->ra = UNWIND_RA_AT_CFA; return fits(ra->off, &rule->ra_off);
	case WHERE_SP: rule->ra = UNWIND_RA_AT_SP; return fits(ra->off, &rule->ra_off);
	case WHERE_DEFAULT:
	case WHERE_SAME: rule->ra = UNWIND_RA_IN_LR; return run->machine->elf == EM_AARCH64;
	case WHERE_UNDEFINED:
	case WHERE_FP:
	case WHERE_OTHER: break;
	}
	return false;
}

static void fp_rule(const struct run *run, struct unwind_rule *rule)
{
	const struct reg *fp = &run->now.fp;

	switch (fp->where) {
	case WHERE_DEFAULT:
	case WHERE_SAME: rule->fp = UNWIND_FP_SAME; break;
	case WHERE_CFA: rule->fp = UNWIND_FP_AT_CFA; break;
	case WHERE_SP: rule->fp = UNWIND_FP_AT_SP; break;
	case WHERE_FP: rule->fp = UNWIND_FP_AT_FP; break;
	case WHERE_UNDEFINED:
	case WHERE_OTHER: rule->fp = UNWIND_FP_LOST; break;
	}
	if (!fits(fp->off, &rule->fp_off)) {
		rule->fp = UNWIND_FP_LOST;
		rule->fp_off = 0;
	}
}

static struct unwind_rule rule_make(const struct run *run)
{
	struct unwind_rule rule = {0};

	if (run->now.ra.where == WHERE_UNDEFINED)
		return (struct unwind_rule){.cfa = UNWIND_CFA_END};
	if (!cfa_rule(run, &rule) || !ra_rule(run, &rule))
		return (struct unwind_rule){.cfa = UNWIND_CFA_UNSUPPORTED};
	fp_rule(run, &rule);
	if (run->cie->is_signal)
		rule.flags |= UNWIND_RULE_SIGNAL;
	if (run->now.is_signed)
		rule.flags |= UNWIND_RULE_SIGNED;
	return rule;
}

/* --- instructions
 * ------------------------------------------------------------------------------------------------------
 */

/* The rule of a register; of those that are not followed one place takes all. */
static struct reg *reg_of(struct run *run, struct row *row, uint64_t number)
{
	if (number == run->machine->sp)
		return &row->sp;
	if (number == run->machine->fp)
		return &row->fp;
	if (number == run->cie->return_column)
		return &row->ra;
	return &row->other;
}

static void restore(struct run *run, uint64_t number)
{
	*reg_of(run, &run->now, number) = *reg_of(run, &run->first, number);
}

static void at_cfa(struct run *run, uint64_t number, int64_t factored)
{
	struct reg reg = {WHERE_CFA, 0};

	if (__builtin_mul_overflow(factored, run->cie->data_align, &reg.off))
		reg.where = WHERE_OTHER;
	*reg_of(run, &run->now, number) = reg;
}

static void define_cfa(struct run *run, uint64_t number, int64_t off)
{
	run->now.cfa = UNWIND_CFA_NONE;
	run->now.cfa_reg = number;
	run->now.cfa_off = off;
	run->now.cfa_add = 0;
}

static int64_t signed_factored(struct run *run, struct cursor *c)
{
	int64_t v;

	return __builtin_mul_overflow((int64_t)cursor_leb(c, true), run->cie->data_align, &v)
		       ? INT64_MAX
		       : v;
}

/* Those that change how the CFA is computed. Return: whether it is one. */
static bool cfa_instruction(struct run *run, uint8_t op, struct cursor *c)
{
	struct row *row = &run->now;
	uint64_t number;

	switch (op) {
	case DW_CFA_def_cfa:
		number = cursor_leb(c, false);
		define_cfa(run, number, (int64_t)cursor_leb(c, false));
		return true;
	case DW_CFA_def_cfa_sf:
		number = cursor_leb(c, false);
		define_cfa(run, number, signed_factored(run, c));
		return true;
	case DW_CFA_def_cfa_register: /* of an expression's CFA these two mean nothing */
		number = cursor_leb(c, false);
		if (row->cfa == UNWIND_CFA_NONE)
			row->cfa_reg = number;
		else
			row->cfa = UNWIND_CFA_UNSUPPORTED;
		return true;
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
		row->cfa_off = op == DW_CFA_def_cfa_offset ? (int64_t)cursor_leb(c, false)
							   : signed_factored(run, c);
		if (row->cfa != UNWIND_CFA_NONE)
			row->cfa = UNWIND_CFA_UNSUPPORTED;
		return true;
	case DW_CFA_def_cfa_expression: cfa_expression(run, block_take(c)); return true;
	default: return false;
	}
}

/* Those that say where a register is. Return: whether it is one. */
static bool reg_instruction(struct run *run, uint8_t op, struct cursor *c)
{
	uint64_t number;

	switch (op) {
	case DW_CFA_offset_extended:
	case DW_CFA_offset_extended_sf:
	case DW_CFA_GNU_negative_offset_extended:
		number = cursor_leb(c, false);
		if (op == DW_CFA_offset_extended_sf)
			at_cfa(run, number, (int64_t)cursor_leb(c, true));
		else if (op == DW_CFA_offset_extended)
			at_cfa(run, number, (int64_t)cursor_leb(c, false));
		else
			at_cfa(run, number, -(int64_t)(cursor_leb(c, false) & INT64_MAX));
		return true;
	case DW_CFA_restore_extended: restore(run, cursor_leb(c, false)); return true;
	case DW_CFA_undefined:
		*reg_of(run, &run->now, cursor_leb(c, false)) = (struct reg){WHERE_UNDEFINED, 0};
		return true;
	case DW_CFA_same_value:
		*reg_of(run, &run->now, cursor_leb(c, false)) = (struct reg){WHERE_SAME, 0};
		return true;
	case DW_CFA_register:
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		*reg_of(run, &run->now, cursor_leb(c, false)) = (struct reg){WHERE_OTHER, 0};
		(void)cursor_leb(c, false);
		return true;
	case DW_CFA_expression:
		number = cursor_leb(c, false);
		*reg_of(run, &run->now, number) = reg_expression(run, block_take(c));
		return true;
	case DW_CFA_val_expression:
		*reg_of(run, &run->now, cursor_leb(c, false)) = (struct reg){WHERE_OTHER, 0};
		(void)block_take(c);
		return true;
	default: return false;
	}
}

/* Return: whether all was understood. */
static bool state_instruction(struct run *run, uint8_t op, struct cursor *c)
{
	switch (op) {
	case DW_CFA_nop: return true;
	case DW_CFA_remember_state:
		if (run->nr_remembered == REMEMBERED_MAX)
			return false;
		run->remembered[run->nr_remembered++] = run->now;
		return true;
	case DW_CFA_restore_state:
		if (!run->nr_remembered)
			return false;
		run->now = run->remembered[--run->nr_remembered];
		return true;
	case CFA_negate_ra_state:
		run->now.is_signed = !run->now.is_signed;
		return run->machine->elf == EM_AARCH64;
	case DW_CFA_GNU_args_size: (void)cursor_leb(c, false); return true;
	default: return cfa_instruction(run, op, c) || reg_instruction(run, op, c);
	}
}

/* How far an instruction moves on. Return: whether it is one that does. */
static bool advance_of(const struct run *run, uint8_t op, struct cursor *c, uint64_t *ret_to)
{
	uint64_t n;

	if ((op & 0xc0) == DW_CFA_advance_loc)
		n = op & 0x3f;
	else if (op == DW_CFA_advance_loc1)
		n = cursor_bytes(c, 1);
	else if (op == DW_CFA_advance_loc2)
		n = cursor_bytes(c, 2);
	else if (op == DW_CFA_advance_loc4)
		n = cursor_bytes(c, 4);
	else if (op == DW_CFA_set_loc) {
		*ret_to = cursor_encoded(c, run->cie->fde_encoding);
		return true;
	} else
		return false;
	if (__builtin_mul_overflow(n, run->cie->code_align, &n) ||
	    __builtin_add_overflow(run->at, n, ret_to))
		*ret_to = UINT64_MAX;
	return true;
}

/* Return: 0; what @fn returned; or with @fn NULL, for a CIE, whether something was not understood.
 */
static int instructions_run(struct run *run, struct cursor c, uint64_t end, unwind_row_fn fn,
			    void *arg)
{
	struct unwind_rule rule;
	bool is_known = true;
	int r = 0;

	while (c.at < c.end && !c.bad && is_known && !r) {
		uint8_t op = (uint8_t)cursor_bytes(&c, 1);
		uint64_t to;

		if ((op & 0xc0) == DW_CFA_offset)
			at_cfa(run, op & 0x3f, (int64_t)cursor_leb(&c, false));
		else if ((op & 0xc0) == DW_CFA_restore)
			restore(run, op & 0x3f);
		else if (!advance_of(run, op, &c, &to))
			is_known = state_instruction(run, op, &c);
		else if (!fn || to < run->at)
			is_known = false;
		else if (to > run->at && !c.bad) {
			rule = rule_make(run);
			r = fn(run->at, &rule, arg);
			run->at = to;
			if (to >= end)
				return r;
		}
	}
	is_known = is_known && !c.bad;
	if (!fn)
		return !is_known;
	if (r)
		return r;
	rule = is_known ? rule_make(run) : (struct unwind_rule){.cfa = UNWIND_CFA_UNSUPPORTED};
	return fn(run->at, &rule, arg);
}

int unwind_cfa_run(const struct unwind_machine *machine, const struct cfi_fde *fde,
		   unwind_row_fn fn, void *arg)
{
	struct run run = {.machine = machine, .cie = fde->cie, .at = fde->vaddr};
	const struct unwind_rule unsupported = {.cfa = UNWIND_CFA_UNSUPPORTED};

	run.now.cfa = UNWIND_CFA_UNSUPPORTED; /* until it is defined */
	if (fde->cie->return_column != machine->ra ||
	    instructions_run(&run, fde->cie->start, 0, NULL, NULL) != 0)
		return fn(fde->vaddr, &unsupported, arg);
	run.first = run.now;
	run.nr_remembered = 0;
	return instructions_run(&run, fde->code, fde->vaddr + fde->size, fn, arg);
}
