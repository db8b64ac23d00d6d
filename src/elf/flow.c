// SPDX-License-Identifier: MIT
/*
 * The code of a function, read from front to back, and the red zone.
 *
 * x86-64 lets a function that calls nothing use the 128 bytes below the stack pointer without
 * moving it. A probe that is entered by a call (on a 5-byte nop) writes there. There is no record
 * of which functions do so, but it can be seen:
 *
 *  - an operand below rsp (`-8(%rsp)`), in whatever function;
 *
 *  - in a function that calls nothing, an operand below rbp that reaches further down than what
 *    was reserved after rbp had been set (this is what unoptimised leaf functions look like);
 *
 *  - in such a function, a copy of rsp in another register: how far down that reaches is not
 *    followed.
 *
 * A function that calls something has no red zone, for the callee's frame would lie in it. What a
 * tail call does is done after the frame is gone, and does not count as calling. Code that cannot
 * be decoded cannot be excluded.
 *
 * Parts. gcc moves unlikely code to a place of its own (symbol NAME.cold). It is the same function
 * with the same frame, so it is read too. In a stripped file nothing says whether a jump out leads
 * to a moved part or to another function; for the red zone both are looked at, for where a function
 * ends see flow_walk.c.
 */
#include "flow.h"

#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"

static void part_done(struct flow_part *p)
{
	free(p->code);
	free(p->mark);
	free(p->head);
	free(p->site);
}

struct flow *flow_free(struct flow *fl)
{
	if (!fl)
		return NULL;
	for (size_t i = 0; i < fl->nr_parts; i++)
		part_done(&fl->part[i]);
	free(fl);
	return NULL;
}

void flow_freep(struct flow **fl)
{
	*fl = flow_free(*fl);
}

struct flow_part *flow_part_at(struct flow *fl, uint64_t vaddr)
{
	for (size_t i = 0; i < fl->nr_parts; i++) {
		struct flow_part *p = &fl->part[i];

		if (!p->is_guess && vaddr >= p->vaddr && vaddr - p->vaddr < p->size)
			return p;
	}
	return NULL;
}

static bool is_sp(unsigned reg)
{
	return reg == X86_REG_RSP;
}

/* The frame as the prologue makes it: what is reserved between setting rbp and the first branch. */
static void prologue_step(struct flow *fl, const cs_insn *in, const struct insn_effect *e)
{
	const cs_x86_op *op = in->detail->x86.operands;

	if (e->flow != FLOW_NEXT && e->flow != FLOW_CALL)
		fl->is_prologue_over = true;
	if (fl->is_prologue_over)
		return;
	if (in->id == X86_INS_MOV && op[0].type == X86_OP_REG && op[0].reg == X86_REG_RBP &&
	    op[1].type == X86_OP_REG && is_sp(op[1].reg)) {
		fl->is_frame_set = true;
	} else if (!fl->is_frame_set) {
		return;
	} else if (in->id == X86_INS_PUSH) {
		fl->frame_bytes += 8;
	} else if (in->id == X86_INS_SUB && op[0].type == X86_OP_REG && is_sp(op[0].reg) &&
		   op[1].type == X86_OP_IMM) {
		fl->frame_bytes += op[1].imm;
	} else if ((e->gpr & 1u << GPR_SP) && in->id != X86_INS_AND) {
		fl->is_prologue_over = true;
	}
}

static void red_zone_step(struct flow *fl, const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	/* lea with rsp as its result moves the stack pointer and touches nothing. */
	if (in->id == X86_INS_LEA && is_sp(x->operands[0].reg))
		return;
	if (in->id == X86_INS_MOV && x->operands[0].type == X86_OP_REG &&
	    x->operands[0].reg != X86_REG_RBP && x->operands[1].type == X86_OP_REG &&
	    is_sp(x->operands[1].reg) && !fl->copied_at)
		fl->copied_at = in->address;
	for (unsigned i = 0; i < x->op_count; i++) {
		const x86_op_mem *m = &x->operands[i].mem;

		if (x->operands[i].type != X86_OP_MEM || m->disp >= 0)
			continue;
		if (is_sp(m->base) && !fl->below_at)
			fl->below_at = in->address;
		if (m->base == X86_REG_RBP && fl->is_frame_set && -m->disp > fl->frame_used) {
			fl->frame_used = -m->disp;
			fl->frame_at = in->address;
		}
	}
}

static void scan_part(struct flow *fl, struct flow_part *p)
{
	bool is_main = p == &fl->part[0];
	uint64_t at = 0;

	while (at < p->size) {
		const cs_insn *in =
			insn_decode(fl->f->decoder, p->code + at, p->size - at, p->vaddr + at);
		struct flow_part *to;
		struct insn_effect e;

		if (!in) {
			fl->is_undecodable = true;
			at++;
			continue;
		}
		p->mark[at] |= MARK_LINEAR;
		insn_effect(fl->f->decoder, in, &e);
		if (e.has_target && e.flow != FLOW_CALL) {
			to = flow_part_at(fl, e.target);
			if (to)
				to->mark[e.target - to->vaddr] |= MARK_TARGET;
		}
		if (e.flow == FLOW_CALL && !p->is_guess)
			fl->has_call = true;
		if (is_main)
			prologue_step(fl, in, &e);
		red_zone_step(fl, in);
		at += in->size;
	}
}

/* Return: 1, 0 too many parts, -errno. */
static int part_new(struct flow *fl, uint64_t vaddr, uint64_t size, bool is_guess,
		    struct tocsin_err *err)
{
	struct flow_part *p = &fl->part[fl->nr_parts];
	const struct elf_frame *frame;
	int r;

	if (fl->nr_parts == FLOW_PARTS_MAX)
		return 0;
	if (size > FLOW_SIZE_MAX)
		return tocsin_err_fail(-EFBIG, err,
				       "the code at 0x%lx is too large to be checked (%lu bytes)",
				       vaddr, size);
	*p = (struct flow_part){.vaddr = vaddr, .size = size, .is_guess = is_guess};
	fl->nr_parts++;
	p->code = malloc(size);
	p->mark = calloc(size, 1);
	p->head = calloc(size, sizeof(*p->head));
	if (!p->code || !p->mark || !p->head)
		return -ENOMEM;
	r = elf_read_vaddr(fl->f, vaddr, p->code, size);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot read the code at 0x%lx of '%s'", vaddr,
				       fl->f->path);
	frame = elf_frame_at(fl->f, vaddr);
	r = frame ? elf_frame_call_sites(fl->f, frame, &p->site, &p->nr_sites) : 0;
	p->has_bad_sites = r == -EBADMSG;
	return r == -ENOMEM ? r : 1;
}

int flow_add_part(struct flow *fl, uint64_t vaddr, bool is_guess, struct tocsin_err *err)
{
	const struct elf_frame *frame = elf_frame_at(fl->f, vaddr);
	int r;

	for (size_t i = 0; i < fl->nr_parts; i++)
		if (frame && frame->vaddr < fl->part[i].vaddr + fl->part[i].size &&
		    fl->part[i].vaddr < frame->vaddr + frame->size &&
		    (is_guess || !fl->part[i].is_guess))
			return 0;
	if (!frame)
		return 0;
	r = part_new(fl, frame->vaddr, frame->size, is_guess, err);
	if (r > 0)
		scan_part(fl, &fl->part[fl->nr_parts - 1]);
	return r;
}

static bool is_cold_name_of(const char *name, const char *of)
{
	size_t len = strlen(of);

	return strncmp(name, of, len) == 0 && strncmp(name + len, ".cold", 5) == 0 &&
	       (!name[len + 5] || name[len + 5] == '.');
}

/* The moved parts that symbols tell of, under any name that the function has. */
static int add_named_parts(struct flow *fl, struct tocsin_err *err)
{
	const struct elf_file *f = fl->f;
	const struct elf_sym *first;
	int r = 0;

	if (!f->has_symtab || !elf_sym_starts(f, fl->func.vaddr, &first))
		return 0;
	for (size_t i = 0; i < f->nr_syms && r >= 0; i++) {
		const struct elf_sym *s = &f->sym[i];

		if (!strstr(s->name, ".cold") || flow_part_at(fl, s->vaddr))
			continue;
		for (const struct elf_sym *a = first;
		     a < f->sym + f->nr_syms && a->vaddr == first->vaddr; a++)
			if (is_cold_name_of(s->name, a->name)) {
				r = part_new(fl, s->vaddr, s->size, false, err);
				break;
			}
	}
	return r;
}

/* Where a jump leaves for a place that no symbol explains, look there too. */
static int add_guessed_parts(struct flow *fl, struct tocsin_err *err)
{
	size_t nr = fl->nr_parts; /* guesses are not followed further */

	for (size_t i = 0; i < nr; i++) {
		const struct flow_part *p = &fl->part[i];

		for (uint64_t at = 0; at < p->size; at++) {
			const struct elf_sym *s;
			struct insn_effect e;
			const cs_insn *in;
			int r = 0;

			if (!(p->mark[at] & MARK_LINEAR))
				continue;
			in = insn_decode(fl->f->decoder, p->code + at, p->size - at, p->vaddr + at);
			if (!in)
				continue;
			insn_effect(fl->f->decoder, in, &e);
			if (e.has_target && e.flow != FLOW_CALL && !flow_part_at(fl, e.target) &&
			    !elf_sym_starts(fl->f, e.target, &s))
				r = flow_add_part(fl, e.target, true, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int flow_new(struct elf_file *f, const struct elf_func *func, struct flow **ret,
	     struct tocsin_err *err)
{
	TOCSIN_CLEANUP(flow_freep) struct flow *fl = calloc(1, sizeof(*fl));
	int r;

	if (!fl)
		return -ENOMEM;
	fl->f = f;
	fl->func = *func;
	r = elf_load_symbols(f, err);
	if (r < 0)
		return r;
	if (!f->decoder) {
		r = insn_decoder_new(&f->decoder);
		if (r < 0)
			return tocsin_err_fail(r, err, "cannot start the disassembler");
	}
	r = part_new(fl, func->vaddr, func->size, false, err);
	if (r >= 0)
		r = add_named_parts(fl, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < fl->nr_parts; i++)
		scan_part(fl, &fl->part[i]);
	r = add_guessed_parts(fl, err);
	if (r < 0)
		return r;
	*ret = tocsin_take_ptr(&fl);
	return 0;
}

bool flow_red_zone(const struct flow *fl, char *buf, size_t len)
{
	bool is_leaf = !fl->has_call;

	if (fl->below_at)
		(void)snprintf(buf, len,
			       "it keeps data below the stack pointer, in the red zone (at 0x%lx)",
			       fl->below_at);
	else if (is_leaf && fl->is_frame_set && fl->frame_used > fl->frame_bytes)
		(void)snprintf(buf, len,
			       "it calls nothing and keeps data below its frame (at 0x%lx)",
			       fl->frame_at);
	else if (is_leaf && fl->copied_at)
		(void)snprintf(buf, len, "it calls nothing and copies the stack pointer (at 0x%lx)",
			       fl->copied_at);
	else if (fl->is_undecodable)
		(void)snprintf(buf, len, "not all of its code can be decoded");
	else if (is_leaf && !fl->func.name[0])
		(void)snprintf(
			buf, len,
			"without symbols it cannot be seen whether it is a part of such a function");
	else
		return false;
	return true;
}
