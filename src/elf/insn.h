/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_INSN_H
#define TOCSIN_ELF_INSN_H

/* One x86-64 instruction at a time: what it is, what it writes, and what the kernel does to it when
 * a probe is on it. */

#include <capstone/capstone.h>

#include "bind.h"

#define INSN_BYTES_MAX 15

/* General registers by their number in instructions. */
enum { GPR_AX, GPR_CX, GPR_DX, GPR_BX, GPR_SP, GPR_BP, GPR_SI, GPR_DI, GPR_NR = 16 };

struct insn_decoder;

/** insn_decoder_new() - Return: 0, or -ENOMEM, -ENOTSUP the disassembler lacks x86. */
int insn_decoder_new(struct insn_decoder **ret);

/**
 * insn_decode() - the instruction at the start of @code.
 *
 * Return: it, valid until the next call; NULL: not an instruction that the disassembler knows.
 */
const cs_insn *insn_decode(struct insn_decoder *d, const uint8_t *code, size_t len, uint64_t vaddr);

enum insn_flow {
	FLOW_NEXT,     /* goes on behind it */
	FLOW_CALL,     /* goes on behind it, if the callee returns */
	FLOW_BRANCH,   /* conditional: there or behind it */
	FLOW_JUMP,     /* there */
	FLOW_INDIRECT, /* to where a register or memory says */
	FLOW_RETURN,
	FLOW_TRAP,   /* ud2, hlt, int3: goes nowhere */
	FLOW_KERNEL, /* syscall and its kin */
};

/* What one instruction does to the course of the program and to the registers. */
struct insn_effect {
	enum insn_flow flow;
	bool has_target;
	uint64_t target; /* of a direct jump, branch or call */
	uint32_t gpr;    /* general registers written, bit by number */
	uint32_t vec;    /* xmm0..31 written, whichever width */
	bool flags;      /* arithmetic flags written */
	bool memory;     /* memory written */
};

/** insn_effect() - registers count as written when in doubt. */
void insn_effect(struct insn_decoder *d, const cs_insn *in, struct insn_effect *ret);

/** insn_gpr() - number of the general register of which @reg is a part; -1: it is none. */
int insn_gpr(x86_reg reg);

enum insn_danger {
	INSN_SAFE,
	INSN_NEVER_FIRES, /* the attach may succeed, and nothing is ever seen */
	INSN_HURTS,       /* the program goes wrong or dies */
};

/* What becomes of an instruction under a probe. */
struct insn_fate {
	enum bind_cost cost;
	enum insn_danger danger;
	bool pushes;     /* may be replaced by a call, which writes below the stack pointer */
	const char *why; /* of the danger, static text */
};

/**
 * insn_judge() - the kernel's rules for one instruction.
 * @code:        its bytes
 * @len:         its length
 * @page_offset: place of its first byte in its page of 4096 bytes
 * @kernel:      major << 16 | minor
 */
struct insn_fate insn_judge(const uint8_t *code, size_t len, unsigned page_offset, unsigned kernel);

#endif
