// SPDX-License-Identifier: MIT
/*
 * Fuzzes the way from call frame information to a walk. Input: a byte of flags (bit 0:
 * .debug_frame, bit 1: aarch64), then the section. Whatever it holds, its instructions end, rows
 * rise and lie in their function, rules are of known kinds, and a walk by them stays in the stack
 * that it is given and ends.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "unwind/cfa.h"
#include "unwind/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

#define FRAMES   32
#define ROWS_MAX 4096

struct seen {
	const struct unwind_machine *machine;
	const struct cfi_fde *fde;
	uint64_t last;
	unsigned nr, nr_rows;
};

static void walk(const struct unwind_rule *rule)
{
	static const struct unwind_row row = {0, 0};
	static const uint32_t pages[] = {0, 1};
	const struct unwind_table table = {.nr_rules = 1,
					   .nr_pages = 1,
					   .nr_rows = 1,
					   .rule = rule,
					   .page = pages,
					   .row = &row};
	const struct unwind_map map = {
		.start = 0x10000, .end = 0x20000, .bias = 0x10000, .table = &table};
	const struct unwind_space space = {.map = &map, .nr_maps = 1, .code_mask = ~0ull};
	uint64_t words[64];
	const struct unwind_stack stack = {
		.base = 0x800000, .bytes = (const uint8_t *)words, .len = sizeof(words)};
	const struct unwind_regs regs = {
		.pc = 0x10010, .sp = 0x800000, .fp = 0x800040, .lr = 0x10020};
	struct unwind_frame frame[FRAMES];
	enum stack_reason why = STACK_REASONS;
	size_t n;

	for (size_t i = 0; i < 64; i++) /* code and addresses of the stack, so that walks go on */
		words[i] = i & 1 ? 0x10100 + i : 0x800000 + 8 * (i + 4);
	n = unwind_walk(&space, &regs, &stack, frame, FRAMES, &why);
	CHECK(n >= 1 && n <= FRAMES && why < STACK_REASONS);
	CHECK(frame[0].pc == regs.pc && frame[0].is_exact);
}

static int row_see(uint64_t vaddr, const struct unwind_rule *rule, void *arg)
{
	struct seen *s = arg;

	CHECK(vaddr >= s->fde->vaddr && vaddr - s->fde->vaddr < s->fde->size);
	CHECK(!s->nr || vaddr > s->last);
	CHECK(rule->cfa < UNWIND_CFA_NR && rule->ra < UNWIND_RA_NR && rule->fp < UNWIND_FP_NR &&
	      !(rule->flags & ~UNWIND_RULE_FLAGS));
	s->last = vaddr;
	s->nr++;
	walk(rule);
	return ++s->nr_rows > ROWS_MAX;
}

static int fde_see(const struct cfi_fde *fde, void *arg)
{
	struct seen *s = arg;

	CHECK(fde->size && fde->vaddr + fde->size > fde->vaddr && fde->cie->usable);
	s->fde = fde;
	s->nr = 0;
	return unwind_cfa_run(s->machine, fde, row_see, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
	struct seen s = {0};
	struct cursor c;

	if (!bytes)
		return 0;
	s.machine = unwind_machine_of(input[0] & 2 ? EM_AARCH64 : EM_X86_64);
	c = (struct cursor){input + 1, input + bytes, 0x1000, false};
	(void)cfi_for_each(c, input[0] & 1, fde_see, &s); /* what it returns is row_see()'s own */
	return 0;
}
