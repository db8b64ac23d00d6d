/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_FLOW_FACTS_H
#define TOCSIN_ELF_FLOW_FACTS_H

/* What is known about registers and the stack at one place of a function, on every way that leads
 * there. */

#include "flow.h"

#define DEPTH_UNKNOWN INT64_MIN
#define TABLE_MAX     4096 /* entries of a jump table */

enum fact_kind {
	FACT_NONE,
	FACT_ZERO_EXT, /* the upper half is zero */
	FACT_BOUND,    /* the low `bits` bits are at most max, unsigned */
	FACT_ADDRESS,  /* it is `value` */
	FACT_ENTRY,   /* an entry of a table of 4-byte distances at `value`, of index at most max */
	FACT_POINTER, /* from the caller, a callee, or memory off the stack, as it was there */
	FACT_CODE,    /* an address out of a jump table at `value`, of index at most max */
};

struct fact {
	uint8_t kind; /* enum fact_kind */
	uint8_t bits;
	bool is_absolute; /* FACT_CODE: 8-byte addresses rather than 4-byte distances */
	uint32_t max;
	uint64_t value;
};

/* A memory operand, to recognise it when it comes again. */
struct mem_key {
	int8_t base; /* register number; -1: none */
	int8_t index;
	uint8_t scale;
	uint8_t size;
	int64_t disp;
};

struct flow_facts {
	int64_t depth; /* bytes that rsp is below its value at the function's first instruction */
	int64_t frame; /* the same of rbp, where it is a copy of rsp */
	struct fact reg[GPR_NR];

	/* The flags come from comparing this with a constant, unsigned max. */
	bool has_compare, is_compare_mem;
	uint8_t compare_reg, compare_bits;
	uint32_t compare_max;
	struct mem_key compare_mem;

	/* This place in memory holds at most max. */
	bool has_mem_bound;
	uint32_t mem_max;
	struct mem_key mem;
};

/** facts_unknown() - nothing is known; facts_entry() - what is at a function's first instruction.
 */
struct flow_facts facts_unknown(void);
struct flow_facts facts_entry(void);

/** facts_meet() - keep in @into what @from says too. Return: whether anything was lost. */
bool facts_meet(struct flow_facts *into, const struct flow_facts *from);

/** facts_step() - what is known behind an instruction that is not a branch. */
void facts_step(struct flow_facts *s, const cs_insn *in, const struct insn_effect *e);

/** facts_branch() - what a conditional branch tells where it @is_taken, or behind it. */
void facts_branch(struct flow_facts *s, const cs_insn *in, bool is_taken);

/** facts_jump_table() - is the operand of this indirect jump an entry of a table with a known
 * bound? */
bool facts_jump_table(const struct flow_facts *s, const cs_insn *in, struct fact *ret);

/** facts_is_pointer() - does this indirect jump go where a FACT_POINTER says? */
bool facts_is_pointer(const struct flow_facts *s, const cs_insn *in);

#endif
