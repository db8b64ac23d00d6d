/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_RULE_H
#define TOCSIN_UNWIND_RULE_H

/*
 * What to do at an instruction to get to the caller: where the frame's end is (the canonical frame
 * address, CFA, which is the caller's stack pointer), where the return address stands, and where
 * the caller's frame pointer. Of all registers only the stack and the frame pointer are followed:
 * a rule that needs another one is *unsupported*, and the walk stops there and says so.
 * docs/formats/unwind-table.md has the layout; the kernel half can hold the same bytes.
 */

#include <stdint.h>

enum unwind_cfa {
	UNWIND_CFA_NONE,     /* no code that a table describes */
	UNWIND_CFA_END,      /* the outermost frame: it has no caller */
	UNWIND_CFA_SP,       /* sp + cfa_off */
	UNWIND_CFA_FP,       /* fp + cfa_off */
	UNWIND_CFA_SP_DEREF, /* *(sp + cfa_off) + cfa_add */
	UNWIND_CFA_FP_DEREF, /* *(fp + cfa_off) + cfa_add */
	UNWIND_CFA_PLT, /* x86-64: sp + cfa_off, and 8 more from byte cfa_add of the 16-byte entry
			 */
	UNWIND_CFA_UNSUPPORTED,
	UNWIND_CFA_NR,
};

enum unwind_ra {
	UNWIND_RA_AT_CFA, /* *(cfa + ra_off) */
	UNWIND_RA_AT_SP,  /* *(sp + ra_off) */
	UNWIND_RA_IN_LR,  /* in the link register still */
	UNWIND_RA_NR,
};

enum unwind_fp {
	UNWIND_FP_SAME,
	UNWIND_FP_AT_CFA, /* *(cfa + fp_off) */
	UNWIND_FP_AT_SP,
	UNWIND_FP_AT_FP,
	UNWIND_FP_LOST, /* not to be known from here on */
	UNWIND_FP_NR,
};

#define UNWIND_RULE_SIGNAL 0x01 /* a signal's frame: what it interrupted is no call */
#define UNWIND_RULE_SIGNED 0x02 /* aarch64: the return address carries a signature */
#define UNWIND_RULE_FLAGS  0x03

struct unwind_rule {
	uint8_t cfa;   /* enum unwind_cfa */
	uint8_t ra;    /* enum unwind_ra */
	uint8_t fp;    /* enum unwind_fp */
	uint8_t flags; /* UNWIND_RULE_* */
	int32_t cfa_off;
	int32_t cfa_add;
	int32_t ra_off;
	int32_t fp_off;
};

_Static_assert(sizeof(struct unwind_rule) == 20, "the layout of docs/formats/unwind-table.md");

#endif
