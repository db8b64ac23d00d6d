// SPDX-License-Identifier: MIT
/*
 * Where may a probe go? A wrong answer does not fail, it makes somebody's service compute wrong
 * results or die, so a place is given only when all of this is known about it:
 *
 *  - it is the beginning of an instruction, in executable code;
 *
 *  - the kernel will notice it, and executes this instruction rightly under a probe (insn.c says
 *    which it does not);
 *
 *  - when it is a 5-byte nop, which is replaced by a call: the function keeps nothing below the
 *    stack pointer (flow.c). Measured on a leaf function with its data there: 999,999 wrong
 *    results of 1,000,000;
 *
 *  - it is not code that must not be traced (noinstr.c).
 *
 * For the start of a function there is a choice. An emulated instruction costs a tenth of a
 * single-stepped one, so the place is moved down over instructions that leave everything as the
 * probe wants to find it: the argument registers rdi rsi rdx rcx r8 r9 xmm0-7 as the caller set
 * them, rsp changed by known amounts only (sp_adjust undoes them), no branch or call passed, and
 * nothing jumping to it from inside the function. endbr64 is the usual case: 7,400 ns on it, 665
 * behind it.
 *
 * USDT sites and offsets given by the user are checked and never moved.
 *
 * A refusal is -EPERM with the reason. With force the place is given all the same, and the reason
 * becomes a warning.
 */
#include "bind.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "../base/cleanup.h"
#include "bind_internal.h"

#define LOOK_AHEAD 8 /* instructions */
#define PAGE_BYTES 4096u

#define ARGUMENT_GPR (1u << GPR_DI | 1u << GPR_SI | 1u << GPR_DX | 1u << GPR_CX | 1u << 8 | 1u << 9)
#define ARGUMENT_VEC 0xffu

const char *bind_cost_name(enum bind_cost cost)
{
	static const char *const names[] = {
#define X(NAME, name, ns, text) name,
#include "bind_costs.def"
#undef X
	};

	return cost < BIND_COSTS ? names[cost] : "?";
}

uint64_t bind_cost_ns(enum bind_cost cost)
{
	static const uint64_t ns[] = {
#define X(NAME, name, ns, text) ns,
#include "bind_costs.def"
#undef X
	};

	return cost < BIND_COSTS ? ns[cost] : 0;
}

const char *bind_cost_text(enum bind_cost cost)
{
	static const char *const texts[] = {
#define X(NAME, name, ns, text) text,
#include "bind_costs.def"
#undef X
	};

	return cost < BIND_COSTS ? texts[cost] : "?";
}

int bind_check_machine(const struct elf_file *f, struct tocsin_err *err)
{
	if (f->machine == EM_X86_64)
		return 0;
	return tocsin_err_fail(
		-ENOTSUP, err,
		"'%s' is for another machine than x86-64: what a probe would do there is not known",
		f->path);
}

int bind_refuse(bool force, struct tocsin_err *err, const char *fmt, ...)
{
	char text[TOCSIN_ERR_CAUSE_LEN];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (force) {
		tocsin_err_add(
			err, "bound by force though it can hurt the program or see nothing: %.430s",
			text);
		return 0;
	}
	return tocsin_err_fail(-EPERM, err, "%s", text);
}

bool bind_danger(const struct flow *fl, const cs_insn *in, const struct insn_fate *fate, char *buf,
		 size_t len)
{
	char zone[128];

	if (fate->danger != INSN_SAFE) {
		(void)snprintf(buf, len, "'%s%s%.40s' at 0x%lx: %s", in->mnemonic,
			       *in->op_str ? " " : "", in->op_str, in->address, fate->why);
		return true;
	}
	if (!fate->pushes || (fl && !flow_red_zone(fl, zone, sizeof(zone))))
		return false;
	if (!fl)
		(void)snprintf(zone, sizeof(zone), "the function around it is not known");
	(void)snprintf(
		buf, len,
		"the 5-byte nop at 0x%lx would become a call, which overwrites what the function keeps below the "
		"stack pointer: %s",
		in->address, zone);
	return true;
}

void bind_fill(const struct elf_file *f, const cs_insn *in, const struct insn_fate *fate,
	       struct bind_point *ret)
{
	*ret = (struct bind_point){.cost = fate->cost, .byte = in->bytes[0]};
	TOCSIN_ASSERT(elf_vaddr_to_offset(f, in->address, PF_X, &ret->offset) == 0);
	(void)snprintf(ret->insn, sizeof(ret->insn), "%.16s%s%.44s", in->mnemonic,
		       *in->op_str ? " " : "", in->op_str);
}

struct insn_fate bind_fate(const struct elf_file *f, const cs_insn *in)
{
	uint64_t offset = 0;

	(void)elf_vaddr_to_offset(f, in->address, PF_X,
				  &offset); /* 0 when it is not code, which others refuse */
	return insn_judge(in->bytes, in->size, (unsigned)(offset % PAGE_BYTES), f->kernel);
}

const cs_insn *bind_insn_at(struct flow *fl, uint64_t vaddr)
{
	const struct flow_part *p = flow_part_at(fl, vaddr);
	uint64_t off;

	if (!p)
		return NULL;
	off = vaddr - p->vaddr;
	return insn_decode(fl->f->decoder, p->code + off, p->size - off, vaddr);
}

/* Follow rsp over an instruction. Return: false when it can no longer be told. */
static bool follow_sp(const cs_insn *in, const struct insn_effect *e, int32_t *sp_adjust)
{
	const cs_x86_op *op = in->detail->x86.operands;
	bool is_sp = in->detail->x86.op_count == 2 && op[0].type == X86_OP_REG &&
		     op[0].reg == X86_REG_RSP && op[1].type == X86_OP_IMM;
	bool is_64bit = in->detail->x86.op_count == 1 && op[0].size == 8;

	if (!(e->gpr & 1u << GPR_SP))
		return true;
	if (in->id == X86_INS_PUSH && is_64bit)
		*sp_adjust += 8;
	else if (in->id == X86_INS_POP && is_64bit &&
		 (op[0].type != X86_OP_REG || op[0].reg != X86_REG_RSP))
		*sp_adjust -= 8;
	else if (in->id == X86_INS_SUB && is_sp && op[1].imm >= 0 && op[1].imm < 1 << 24)
		*sp_adjust += (int32_t)op[1].imm;
	else if (in->id == X86_INS_ADD && is_sp && op[1].imm >= -(1 << 24) && op[1].imm < 0)
		*sp_adjust -= (int32_t)op[1].imm;
	else
		return false;
	return true;
}

/* The search for an entry: the best place so far, and why the first instruction was not one. */
struct search {
	bool is_found;
	struct bind_point best;
	char danger[320];
};

static void search_entry(struct flow *fl, struct search *s)
{
	const struct elf_func *func = &fl->func;
	uint64_t vaddr = func->vaddr;
	int32_t sp_adjust = 0;

	for (unsigned n = 0; n < LOOK_AHEAD; n++) {
		const cs_insn *in = bind_insn_at(fl, vaddr);
		struct insn_fate fate;
		struct insn_effect e;
		char text[320];

		if (!in) {
			if (!s->danger[0])
				(void)snprintf(s->danger, sizeof(s->danger),
					       "the bytes at 0x%lx are no instruction that we know",
					       vaddr);
			return;
		}
		/* Jumping back to the very start is calling oneself; to behind it, a loop. */
		if (n && (fl->part[0].mark[vaddr - func->vaddr] & MARK_TARGET))
			return;
		fate = bind_fate(fl->f, in);
		if (bind_danger(fl, in, &fate, text, sizeof(text))) {
			if (!s->danger[0])
				memcpy(s->danger, text, sizeof(text));
		} else if (!s->is_found || fate.cost < s->best.cost) {
			bind_fill(fl->f, in, &fate, &s->best);
			s->best.sp_adjust = sp_adjust;
			s->best.shift = (unsigned)(vaddr - func->vaddr);
			s->is_found = true;
			if (fate.cost < BIND_STEPPED)
				return;
		}
		insn_effect(fl->f->decoder, in, &e);
		if (e.flow != FLOW_NEXT || (e.gpr & ARGUMENT_GPR) || (e.vec & ARGUMENT_VEC) ||
		    !follow_sp(in, &e, &sp_adjust))
			return;
		vaddr += in->size;
	}
}

int bind_func_entry(struct elf_file *f, const struct elf_func *func, bool force,
		    struct bind_point *ret, struct tocsin_err *err)
{
	TOCSIN_CLEANUP(flow_freep) struct flow *fl = NULL;
	struct search s = {0};
	const cs_insn *in;
	struct insn_fate fate;
	int r = bind_check_machine(f, err);

	r = r < 0 ? r : bind_check_noinstr(f, func->vaddr, force, err);
	r = r < 0 ? r : flow_new(f, func, &fl, err);
	if (r < 0)
		return r;
	search_entry(fl, &s);
	if (!s.is_found) {
		r = bind_refuse(force, err,
				"no place at the start of '%.100s' can be probed safely: %s",
				func->name, s.danger);
		in = bind_insn_at(fl, func->vaddr);
		if (r < 0 || !in)
			return r < 0 ? r : -EPERM;
		fate = bind_fate(f, in);
		bind_fill(f, in, &fate, &s.best);
	}
	*ret = s.best;
	return 0;
}

/* Is @vaddr the beginning of an instruction of this function? What can be reached counts more than
 * what is read in order. */
static int is_boundary(struct flow *fl, uint64_t vaddr, struct tocsin_err *err)
{
	const struct flow_part *p = flow_part_at(fl, vaddr);
	uint8_t mark;
	int r = flow_walk(fl, err);

	if (r < 0)
		return r;
	if (!p)
		return 0;
	mark = p->mark[vaddr - p->vaddr];
	if (mark & MARK_START)
		return 1;
	return (mark & MARK_LINEAR) && !(mark & MARK_BODY);
}

/* The function to which a moved part belongs. Return: whether it is known; two files may have a
 * local one. */
static bool whole_function(const struct elf_file *f, const struct elf_func *part,
			   struct elf_func *ret)
{
	const char *cold = strstr(part->name, ".cold");
	const struct elf_sym *whole = NULL;
	size_t len = cold ? (size_t)(cold - part->name) : 0;

	*ret = *part;
	if (!cold)
		return true;
	for (size_t i = 0; i < f->nr_syms; i++) {
		const struct elf_sym *s = &f->sym[i];

		if (strncmp(s->name, part->name, len) != 0 || s->name[len])
			continue;
		if (whole && whole->vaddr != s->vaddr)
			return false;
		whole = s;
	}
	if (!whole)
		return false;
	ret->name[len] = '\0';
	ret->vaddr = whole->vaddr;
	ret->size = whole->size;
	return elf_vaddr_to_offset(f, ret->vaddr, PF_X, &ret->offset) == 0;
}

/* The code around a place, with all of its frame's. Return: 0, or -ENOENT no function is known
 * there, or as flow_new(). */
static int flow_around(struct elf_file *f, uint64_t vaddr, struct flow **ret,
		       struct tocsin_err *err)
{
	TOCSIN_CLEANUP(flow_freep) struct flow *fl = NULL;
	struct elf_func func, whole;
	int r = elf_func_at(f, vaddr, &func, err);

	if (r < 0)
		return r;
	if (whole_function(f, &func, &whole)) {
		r = flow_new(f, &whole, &fl, err);
		if (r < 0)
			return r;
		if (!flow_part_at(fl, vaddr))
			fl = flow_free(fl);
	}
	if (!fl) {
		/* On its own a part counts as one without symbols. */
		func.name[0] = '\0';
		r = flow_new(f, &func, &fl, err);
		if (r < 0)
			return r;
	}
	*ret = tocsin_take_ptr(&fl);
	return 0;
}

/* A place that is where it is: a USDT site or an offset. */
static int check_place(struct elf_file *f, uint64_t vaddr, bool wants_nop, bool force,
		       struct bind_point *ret, struct tocsin_err *err)
{
	TOCSIN_CLEANUP(flow_freep) struct flow *fl = NULL;
	uint64_t room = elf_vaddr_room(f, vaddr, PF_X);
	uint8_t code[INSN_BYTES_MAX];
	size_t len = room < sizeof(code) ? (size_t)room : sizeof(code);
	struct insn_fate fate;
	const cs_insn *in;
	char text[320];
	int r = bind_check_noinstr(f, vaddr, force, err);

	if (r < 0)
		return r;
	r = flow_around(f, vaddr, &fl, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (fl) {
		r = is_boundary(fl, vaddr, err);
		if (r == 0)
			r = bind_refuse(force, err,
					"0x%lx is in the middle of an instruction of '%.100s'",
					vaddr, fl->func.name);
		if (r < 0)
			return r;
	} else if (!f->decoder) {
		r = insn_decoder_new(&f->decoder);
		if (r < 0)
			return tocsin_err_fail(r, err, "cannot start the disassembler");
	}
	r = elf_read_vaddr(f, vaddr, code, len);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot read the code at 0x%lx of '%s'", vaddr,
				       f->path);
	in = insn_decode(f->decoder, code, len, vaddr);
	if (!in)
		return tocsin_err_fail(-EPERM, err,
				       "the bytes at 0x%lx of '%s' are no instruction that we know",
				       vaddr, f->path);
	fate = bind_fate(f, in);
	if (wants_nop && in->id != X86_INS_NOP)
		r = bind_refuse(
			force, err,
			"the site at 0x%lx of '%s' holds '%s', not a nop: the note is wrong", vaddr,
			f->path, in->mnemonic);
	else if (bind_danger(fl, in, &fate, text, sizeof(text)))
		r = bind_refuse(force, err, "%s", text);
	if (r < 0)
		return r;
	bind_fill(f, in, &fate, ret);
	return 0;
}

int bind_usdt_site(struct elf_file *f, const struct elf_usdt *site, bool force,
		   struct bind_point *ret, struct tocsin_err *err)
{
	struct bind_point point;
	int r = bind_check_machine(f, err);

	if (r < 0)
		return r;
	r = check_place(f, site->vaddr, true, force, &point, err);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot probe USDT '%s:%s'", site->provider,
				       site->name);
	point.ref_ctr_offset = site->semaphore_offset;
	*ret = point;
	return 0;
}

int bind_offset(struct elf_file *f, uint64_t file_offset, bool force, struct bind_point *ret,
		struct tocsin_err *err)
{
	uint64_t vaddr;
	int r = bind_check_machine(f, err);

	if (r < 0)
		return r;
	if (elf_offset_to_vaddr(f, file_offset, PF_X, &vaddr) < 0)
		return tocsin_err_fail(-EINVAL, err,
				       "offset 0x%lx of '%s' is not in executable code",
				       file_offset, f->path);
	r = check_place(f, vaddr, false, force, ret, err);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot probe '%s' at offset 0x%lx", f->path,
				       file_offset);
	return 0;
}
