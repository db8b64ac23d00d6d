// SPDX-License-Identifier: MIT
/*
 * One x86-64 instruction under a probe.
 *
 * The kernel puts int3 (0xcc) on the first byte, and then does the instruction's work itself
 * (emulated: pushes, nops, direct jumps and calls; ~500 ns) or lets a copy of it run elsewhere
 * under single step (5-8 us). A 5-byte nop it turns into a call of its own code (225 ns), which
 * pushes three registers: what a function keeps below the stack pointer is overwritten.
 *
 * Its analysis is a table by the first opcode byte, and that is where programs get hurt. Measured
 * on Linux 6.18, 1,000 calls each, their results compared with those without a probe:
 *
 *  - Never fires: instructions with a segment or lock prefix (0x26 0x2e 0x36 0x3e 0xf0: also
 *    `notrack jmp` and some long nops), 16-bit branches, and opcodes on the kernel's list of bad
 *    ones. Where no process has mapped the file yet, the attach succeeds all the same.
 *
 *  - Computes wrong results: AVX. Of an instruction with a VEX or EVEX prefix the table sees the
 *    opcode byte behind it, which means something else there. vmovdqu (store), vpor, vpcmpeqb,
 *    vpshufd, vpbroadcastb, vpsubsb and vpsubsw pass for jumps and calls: they are "emulated" and
 *    never executed, 1,000 results of 1,000 wrong. vpxor and vmovdqu (load) are on the list of
 *    bad ones, as in and out, and never fire; vpaddb and vxorps work.
 *
 *  - Computes wrong results: xchg %rax,%r8 passes for a nop.
 *
 *  - Dies: vfnmadd132ss passes for popf (SIGTRAP). pushf saves the trap flag of the single step,
 *    and the popf that follows sets it (SIGTRAP). syscall (SIGSEGV at the first hit).
 *
 * So insn_judge() repeats the kernel's table, from the bytes, and names what it gets wrong.
 * Decoding for everything else is Capstone's. Its lists of written registers have gaps, so a first
 * operand counts as written unless the instruction is known only to read it.
 */
#include "insn.h"

#include <errno.h>
#include <string.h>

#include "elf_internal.h"

#define KERNEL_NOPS \
	(6u << 16 | 18) /* since when all usual nops are emulated, and 5-byte ones optimised */

struct insn_decoder {
	csh handle;
	cs_insn *in;
};

int insn_decoder_new(struct insn_decoder **ret)
{
	struct insn_decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &d->handle) != CS_ERR_OK) {
		free(d);
		return -ENOTSUP;
	}
	(void)cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_ON); /* cannot fail for this option */
	d->in = cs_malloc(d->handle);
	if (!d->in) {
		insn_decoder_free(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

struct insn_decoder *insn_decoder_free(struct insn_decoder *d)
{
	if (!d)
		return NULL;
	if (d->in)
		cs_free(d->in, 1);
	(void)cs_close(&d->handle); /* fails only for a bad handle */
	free(d);
	return NULL;
}

const cs_insn *insn_decode(struct insn_decoder *d, const uint8_t *code, size_t len, uint64_t vaddr)
{
	return cs_disasm_iter(d->handle, &code, &len, &vaddr, d->in) ? d->in : NULL;
}

int insn_gpr(x86_reg reg)
{
	/* 1 + the number of the register that it is a part of; 0: none. */
	static const uint8_t numbers[X86_REG_ENDING] = {
#define X(nr, a, b, c, d)                                                             \
	[X86_REG_##a] = 1 + (nr), [X86_REG_##b] = 1 + (nr), [X86_REG_##c] = 1 + (nr), \
	[X86_REG_##d] = 1 + (nr)
		X(GPR_AX, RAX, EAX, AX, AL),  X(GPR_CX, RCX, ECX, CX, CL),
		X(GPR_DX, RDX, EDX, DX, DL),  X(GPR_BX, RBX, EBX, BX, BL),
		X(GPR_SP, RSP, ESP, SP, SPL), X(GPR_BP, RBP, EBP, BP, BPL),
		X(GPR_SI, RSI, ESI, SI, SIL), X(GPR_DI, RDI, EDI, DI, DIL),
		X(8, R8, R8D, R8W, R8B),      X(9, R9, R9D, R9W, R9B),
		X(10, R10, R10D, R10W, R10B), X(11, R11, R11D, R11W, R11B),
		X(12, R12, R12D, R12W, R12B), X(13, R13, R13D, R13W, R13B),
		X(14, R14, R14D, R14W, R14B), X(15, R15, R15D, R15W, R15B),
		[X86_REG_AH] = 1 + GPR_AX,    [X86_REG_CH] = 1 + GPR_CX,
		[X86_REG_DH] = 1 + GPR_DX,    [X86_REG_BH] = 1 + GPR_BX,
#undef X
	};

	return (unsigned)reg < X86_REG_ENDING ? numbers[reg] - 1 : -1;
}

static int vec_number(unsigned reg)
{
	if (reg >= X86_REG_XMM0 && reg <= X86_REG_XMM31)
		return (int)(reg - X86_REG_XMM0);
	if (reg >= X86_REG_YMM0 && reg <= X86_REG_YMM31)
		return (int)(reg - X86_REG_YMM0);
	if (reg >= X86_REG_ZMM0 && reg <= X86_REG_ZMM31)
		return (int)(reg - X86_REG_ZMM0);
	return -1;
}

static void mark_written(unsigned reg, struct insn_effect *e)
{
	int gpr = insn_gpr((x86_reg)reg), vec = vec_number(reg);

	if (gpr >= 0)
		e->gpr |= 1u << gpr;
	if (vec >= 0)
		e->vec |= 1u << vec;
	if (reg == X86_REG_EFLAGS)
		e->flags = true;
}

/* Instructions whose first operand is only read. */
static bool only_reads(unsigned id)
{
	static const uint16_t ids[] = {X86_INS_CMP,      X86_INS_TEST,    X86_INS_PUSH,
				       X86_INS_JMP,      X86_INS_CALL,    X86_INS_BT,
				       X86_INS_NOP,      X86_INS_UCOMISS, X86_INS_UCOMISD,
				       X86_INS_COMISS,   X86_INS_COMISD,  X86_INS_VUCOMISS,
				       X86_INS_VUCOMISD, X86_INS_VCOMISS, X86_INS_VCOMISD,
				       X86_INS_PTEST,    X86_INS_VPTEST};

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		if (ids[i] == id)
			return true;
	return false;
}

static bool in_group(const cs_insn *in, uint8_t group)
{
	for (unsigned i = 0; i < in->detail->groups_count; i++)
		if (in->detail->groups[i] == group)
			return true;
	return false;
}

static enum insn_flow flow_kind(const cs_insn *in, bool is_direct)
{
	switch (in->id) {
	case X86_INS_RET: return FLOW_RETURN;
	case X86_INS_JMP: return is_direct ? FLOW_JUMP : FLOW_INDIRECT;
	case X86_INS_CALL: return FLOW_CALL;
	case X86_INS_UD0:
	case X86_INS_UD2:
	case X86_INS_UD2B:
	case X86_INS_HLT:
	case X86_INS_INT1:
	case X86_INS_INT3: return FLOW_TRAP;
	case X86_INS_SYSCALL:
	case X86_INS_SYSENTER:
	case X86_INS_INT: return FLOW_KERNEL;
	case X86_INS_RETF:
	case X86_INS_RETFQ:
	case X86_INS_IRET:
	case X86_INS_IRETD:
	case X86_INS_IRETQ:
	case X86_INS_LJMP:
	case X86_INS_LCALL:
		return FLOW_INDIRECT; /* no compiler writes these: where to is not known */
	default: return in_group(in, CS_GRP_BRANCH_RELATIVE) ? FLOW_BRANCH : FLOW_NEXT;
	}
}

void insn_effect(struct insn_decoder *d, const cs_insn *in, struct insn_effect *ret)
{
	const cs_x86 *x = &in->detail->x86;
	bool reads = only_reads(in->id);
	uint8_t nr_read = 0, nr_written = 0;
	cs_regs read, written;

	*ret = (struct insn_effect){0};
	ret->flow = flow_kind(in, x->op_count && x->operands[0].type == X86_OP_IMM);
	if ((ret->flow == FLOW_JUMP || ret->flow == FLOW_BRANCH || ret->flow == FLOW_CALL) &&
	    x->op_count && x->operands[x->op_count - 1].type == X86_OP_IMM) {
		ret->has_target = true;
		ret->target = (uint64_t)x->operands[x->op_count - 1].imm;
	}
	if (cs_regs_access(d->handle, in, read, &nr_read, written, &nr_written) == CS_ERR_OK)
		for (unsigned i = 0; i < nr_written; i++)
			mark_written(written[i], ret);
	for (unsigned i = 0; i < x->op_count; i++) {
		const cs_x86_op *op = &x->operands[i];
		bool is_written = (op->access & CS_AC_WRITE) || (i == 0 && !reads) ||
				  in->id == X86_INS_XCHG || in->id == X86_INS_XADD;

		if (!is_written)
			continue;
		if (op->type == X86_OP_REG)
			mark_written(op->reg, ret);
		else if (op->type == X86_OP_MEM)
			ret->memory = true;
	}
	if (in->id == X86_INS_CMPXCHG)
		ret->gpr |= 1u << GPR_AX;
	if (in->id == X86_INS_PUSH || in->id == X86_INS_CALL)
		ret->memory = true;
	if (in->id == X86_INS_CMP || in->id == X86_INS_TEST || x->eflags)
		ret->flags = true;
}

/* An instruction taken apart as far as the kernel's rules need it. */
struct raw {
	uint8_t opcode; /* behind all prefixes */
	uint8_t second; /* the byte behind it; for 0x0f the opcode proper */
	uint8_t third;
	uint8_t rex;
	bool has_vex;
	bool has_bad_prefix;
	bool has_16bit; /* 0x66 */
};

static struct raw raw_parse(const uint8_t *code, size_t len)
{
	struct raw raw = {0};
	size_t i = 0;

	for (; i < len; i++) {
		if (memchr("\x26\x2e\x36\x3e\xf0", code[i], 5))
			raw.has_bad_prefix = true;
		else if (code[i] == 0x66)
			raw.has_16bit = true;
		else if (!memchr("\x64\x65\x67\xf2\xf3", code[i], 5))
			break;
	}
	if (i < len && (code[i] & 0xf0) == 0x40)
		raw.rex = code[i++];
	if (i < len && (code[i] == 0xc5 || code[i] == 0xc4 || code[i] == 0x62)) {
		raw.has_vex = true;
		i += code[i] == 0xc5 ? 2 : code[i] == 0xc4 ? 3 : 4;
	}
	raw.opcode = i < len ? code[i] : 0;
	raw.second = i + 1 < len ? code[i + 1] : 0;
	raw.third = i + 2 < len ? code[i + 2] : 0;
	return raw;
}

/* Opcodes that the kernel does not put a probe on, whatever they mean behind a VEX prefix. */
static bool is_bad_opcode(uint8_t opcode)
{
	static const uint8_t bad[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37,
				      0x3f, 0x60, 0x61, 0x62, 0x6c, 0x6d, 0x6e, 0x6f, 0x82, 0x9a,
				      0xcc, 0xcd, 0xce, 0xcf, 0xd4, 0xd5, 0xd6, 0xe4, 0xe5, 0xe6,
				      0xe7, 0xea, 0xec, 0xed, 0xee, 0xef, 0xf1, 0xf4, 0xfa, 0xfb};

	return memchr(bad, opcode, sizeof(bad));
}

/* AVX opcodes that the kernel takes for a jump, a call, a nop, popf or a return. */
static bool is_mistaken_vex(uint8_t opcode)
{
	return (opcode >= 0x70 && opcode <= 0x7f) ||
	       memchr("\x90\x9d\xc2\xc3\xca\xcb\xe8\xe9\xeb", opcode, 9);
}

static bool is_branch(const struct raw *r)
{
	return (r->opcode >= 0x70 && r->opcode <= 0x7f) || r->opcode == 0xe8 || r->opcode == 0xe9 ||
	       r->opcode == 0xeb || (r->opcode == 0x0f && r->second >= 0x80 && r->second <= 0x8f);
}

static const char *danger_of(const struct raw *r, enum insn_danger *ret)
{
	*ret = INSN_HURTS;
	if (!r->has_vex && r->opcode == 0x0f && (r->second == 0x05 || r->second == 0x34))
		return "a probed system call instruction crashes the program";
	if (!r->has_vex && r->opcode == 0x9c)
		return "a probed pushf saves the kernel's trap flag, and the popf that follows kills the program";
	if (!r->has_vex && r->opcode == 0x90 && (r->rex & 1))
		return "the kernel takes this exchange for a nop and does not execute it";
	if (r->has_vex && is_mistaken_vex(r->opcode))
		return "the kernel takes this AVX instruction for another one and does not execute it";
	*ret = INSN_NEVER_FIRES;
	if (r->has_bad_prefix)
		return "the kernel puts no probe on an instruction with this prefix, and does not always say so";
	if (is_bad_opcode(r->opcode) ||
	    (!r->has_vex && r->opcode == 0x8e && (r->second & 0x38) == 0x10))
		return "the kernel puts no probe on this instruction, and does not always say so";
	if (!r->has_vex && r->has_16bit && is_branch(r))
		return "the kernel puts no probe on a 16-bit branch, and does not always say so";
	*ret = INSN_SAFE;
	return NULL;
}

/* Everything that some kernel takes for a nop when it is 5 bytes long. */
static bool is_wide_nop(const struct raw *r, const uint8_t *code, size_t len)
{
	unsigned modrm = r->second, reg = (modrm >> 3 & 7) | (r->rex & 4u) << 1,
		 rm = (modrm & 7) | (r->rex & 1u) << 3;

	if (r->has_vex)
		return false;
	switch (r->opcode) {
	case 0x90: return !(r->rex & 1);
	case 0x0f: return r->second == 0x1f && (r->third & 0x38) == 0;
	case 0xe9: return memcmp(code + len - 4, "\0\0\0\0", 4) == 0;
	case 0x89: return (modrm & 0xc0) == 0xc0 && reg == rm;
	case 0x8d:
		/* lea 0(%rsi,%riz,1),%rsi: with a SIB byte the base is in that. */
		if ((modrm & 7) == 4)
			rm = (r->third & 7u) | (r->rex & 1u) << 3;
		return (modrm & 0xc0) == 0x40 && code[len - 1] == 0 && reg == rm;
	default: return false;
	}
}

static bool is_usual_nop(const uint8_t *code, size_t len)
{
	static const char *const usual[] = {"\x90",
					    "\x66\x90",
					    "\x0f\x1f\x00",
					    "\x0f\x1f\x40\x00",
					    "\x0f\x1f\x44\x00\x00",
					    "\x66\x0f\x1f\x44\x00\x00",
					    "\x0f\x1f\x80\x00\x00\x00\x00",
					    "\x0f\x1f\x84\x00\x00\x00\x00\x00"};

	return len >= 1 && len <= 8 && memcmp(code, usual[len - 1], len) == 0;
}

struct insn_fate insn_judge(const uint8_t *code, size_t len, unsigned page_offset, unsigned kernel)
{
	struct raw r = raw_parse(code, len);
	struct insn_fate fate = {.cost = BIND_STEPPED};

	fate.why = danger_of(&r, &fate.danger);
	if (fate.danger != INSN_SAFE || r.has_vex)
		return fate;
	if (len == 5 && is_wide_nop(&r, code, len) && page_offset <= 4096 - 5) {
		fate.pushes = true;
		if (kernel >= KERNEL_NOPS && (r.opcode == 0x90 || r.opcode == 0x0f)) {
			fate.cost = BIND_NOP5;
			return fate;
		}
	}
	if (r.opcode == 0x90 || (kernel >= KERNEL_NOPS && is_usual_nop(code, len)) || is_branch(&r))
		fate.cost = BIND_EMULATED;
	else if (r.opcode >= 0x50 && r.opcode <= 0x57 && (len == 1 || (len == 2 && r.rex == 0x41)))
		fate.cost = BIND_EMULATED;
	return fate;
}
