// SPDX-License-Identifier: MIT
/* Walks: of this process against the C library's own, and of stacks made by hand, which lie. */
#include <execinfo.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "unwind/symbol.h"

/* --- of ourselves
 * ------------------------------------------------------------------------------------------------------
 */

/* The sanitizer's backtrace() has a frame of its own, the first. */
#ifdef __SANITIZE_ADDRESS__
#	define INTERCEPTED 1
#else
#	define INTERCEPTED 0
#endif
#define FRAMES 64

static struct unwind_process *process;
static unsigned nr_walks;

/* A function of its own, so that its caller is the first frame that both see. */
static __attribute__((noinline)) void walk_both(void)
{
	struct unwind_frame frame[FRAMES];
	void *theirs[FRAMES];
	struct unwind_regs regs = {0};
	struct unwind_stack stack = {.len = 65536};
	enum stack_reason why;
	size_t n;
	int m = backtrace(theirs, FRAMES) - INTERCEPTED;

	__asm__ volatile("lea (%%rip), %0; mov %%rsp, %1; mov %%rbp, %2"
			 : "=r"(regs.pc), "=r"(regs.sp), "=r"(regs.fp));
	stack.base = regs.sp;
	stack.bytes = (const uint8_t *)regs.sp;
	for (int again = 0; again < 2; again++) { /* the second time out of the cache */
		n = unwind_walk(unwind_process_space(process), &regs, &stack, frame, FRAMES, &why);
		assert_int_equal(why, STACK_COMPLETE);
		assert_int_equal(n, m);
		assert_true(frame[0].is_exact);
		for (size_t i = 1; i < n; i++) {
			assert_ptr_equal((void *)frame[i].pc, theirs[i + INTERCEPTED]);
			assert_false(frame[i].is_exact);
		}
	}
	nr_walks++;
}

static __attribute__((noinline)) int recurse(int depth)
{
	volatile char place[40];

	place[0] = (char)depth;
	if (depth)
		return recurse(depth - 1) + place[0];
	walk_both();
	return place[0];
}

static int by_value(const void *a, const void *b)
{
	return recurse(7) * 0 + *(const int *)a - *(const int *)b;
}

static void test_own(void **state)
{
	struct unwind_files *files = unwind_files_new(NULL);
	struct unwind_symbol sym[UNWIND_INLINED_MAX];
	const struct unwind_map *map;
	int list[] = {2, 1, 3};
	uint64_t at = (uint64_t)&recurse;
	int n;

	(void)state;
	assert_non_null(files);
	assert_int_equal(unwind_process_open(files, getpid(), &process, NULL), 0);
	(void)recurse(3);
	qsort(list, 3, sizeof(list[0]), by_value);
	assert_true(nr_walks >= 3);

	map = unwind_map_at(unwind_process_space(process), at);
	assert_non_null(map);
	assert_string_equal(strrchr(unwind_module_path(map->module), '/'), "/test_unwind_walk");
	assert_false(unwind_module_is_replaced(map->module));
	n = unwind_symbol_at(map->module, at - map->bias, sym);
	assert_int_equal(n, 1);
	assert_string_equal(sym[0].function, "recurse");
	assert_non_null(strstr(sym[0].file, "test_unwind_walk.c"));
	assert_true(sym[0].line > 50 && sym[0].line < 90);
	process = unwind_process_free(process);
	(void)unwind_files_free(files);
}

/* --- by hand
 * ------------------------------------------------------------------------------------------------------
 */

/* Four kinds of code of a page each: sp + 16; fp + 16 with fp saved; outermost; signed leaf. */
static const struct unwind_rule rules[] = {
	{.cfa = UNWIND_CFA_SP, .cfa_off = 16, .ra_off = -8},
	{.cfa = UNWIND_CFA_FP, .cfa_off = 16, .ra_off = -8, .fp = UNWIND_FP_AT_CFA, .fp_off = -16},
	{.cfa = UNWIND_CFA_END},
	{.cfa = UNWIND_CFA_SP, .cfa_off = 16, .ra = UNWIND_RA_IN_LR, .flags = UNWIND_RULE_SIGNED},
	{.cfa = UNWIND_CFA_UNSUPPORTED},
	{.cfa = UNWIND_CFA_NONE},
	{.cfa = UNWIND_CFA_SP, .cfa_off = 16, .ra_off = -8, .fp = UNWIND_FP_LOST},
	{.cfa = UNWIND_CFA_SP_DEREF,
	 .cfa_off = 0,
	 .ra = UNWIND_RA_AT_SP,
	 .ra_off = 8,
	 .flags = UNWIND_RULE_SIGNAL},
};
enum {
	BY_SP,
	BY_FP,
	OUTERMOST,
	LEAF,
	UNSUPPORTED,
	GAP,
	LOSES_FP,
	SIGNAL,
};

static const struct unwind_row rows[] = {{0, 0},      {0x1000, 1}, {0x2000, 2}, {0x3000, 3},
					 {0x4000, 4}, {0x5000, 5}, {0x6000, 6}, {0x7000, 7}};
static const uint32_t pages[] = {0, 8};
static const struct unwind_table table = {.base = 0,
					  .nr_rules = 8,
					  .nr_pages = 1,
					  .nr_rows = 8,
					  .rule = rules,
					  .page = pages,
					  .row = rows};
#define CODE(kind, at) (0x400000 + (uint64_t)(kind)*0x1000 + (at))
#define STACK          0x7000000

static const struct unwind_map map = {
	.start = 0x400000, .end = 0x408000, .bias = 0x400000, .table = &table};
static struct unwind_cache cache;
static const struct unwind_space space = {
	.map = &map, .nr_maps = 1, .code_mask = 0xffffffffffff, .cache = &cache};

static size_t walk(uint64_t pc, uint64_t fp, const uint64_t *words, size_t nr,
		   enum stack_reason *why)
{
	static struct unwind_frame frame[FRAMES];
	const struct unwind_regs regs = {
		.pc = pc, .sp = STACK, .fp = fp, .lr = CODE(OUTERMOST, 8) | 0x5aull << 48};
	const struct unwind_stack stack = {
		.base = STACK, .bytes = (const uint8_t *)words, .len = nr * 8};

	return unwind_walk(&space, &regs, &stack, frame, FRAMES, why);
}

#define WALK(pc, fp, words, why) walk(pc, fp, words, sizeof(words) / 8, why)

static void test_checked(void **state)
{
	const uint64_t good[] = {0, CODE(BY_FP, 4),    STACK + 48, CODE(OUTERMOST, 4), 0, 0,
				 0, CODE(OUTERMOST, 4)};
	const uint64_t not_code[] = {0, 0x1234567};
	const uint64_t null[] = {0, 0};
	const uint64_t unsupported[] = {0, CODE(UNSUPPORTED, 4)};
	const uint64_t gap[] = {0, CODE(GAP, 4)};
	const uint64_t descending[] = {0, CODE(BY_FP, 4)};
	const uint64_t lost[] = {0, CODE(BY_FP, 4), 0, 0};
	const uint64_t interrupted[] = {STACK + 16, CODE(OUTERMOST, 0), 0, 0};
	enum stack_reason why;

	(void)state;
	assert_int_equal(WALK(CODE(BY_SP, 4), STACK + 16, good, &why), 3);
	assert_int_equal(why, STACK_COMPLETE);
	assert_int_equal(WALK(CODE(LEAF, 4), 0, good, &why), 2); /* the signature is cut off */
	assert_int_equal(why, STACK_COMPLETE);
	assert_int_equal(WALK(CODE(BY_SP, 4), 0, not_code, &why), 1);
	assert_int_equal(why, STACK_NOT_CODE);
	assert_int_equal(WALK(CODE(BY_SP, 4), 0, null, &why), 1);
	assert_int_equal(why, STACK_NOT_CODE);
	assert_int_equal(WALK(0, 0, null, &why), 1);
	assert_int_equal(why, STACK_NOT_CODE);
	assert_int_equal(WALK(CODE(BY_SP, 4), 0, unsupported, &why), 2);
	assert_int_equal(why, STACK_UNSUPPORTED);
	assert_int_equal(WALK(CODE(BY_SP, 4), 0, gap, &why), 2);
	assert_int_equal(why, STACK_NO_TABLE);
	/* fp + 16 is not above, is not aligned, is not copied */
	assert_int_equal(WALK(CODE(BY_SP, 4), STACK, descending, &why), 2);
	assert_int_equal(why, STACK_NOT_ASCENDING);
	assert_int_equal(WALK(CODE(BY_SP, 4), STACK + 3, descending, &why), 2);
	assert_int_equal(why, STACK_MISALIGNED);
	assert_int_equal(WALK(CODE(BY_SP, 4), STACK + 160, descending, &why), 2);
	assert_int_equal(why, STACK_NOT_COPIED);
	assert_int_equal(WALK(CODE(LOSES_FP, 4), STACK + 16, lost, &why), 2);
	assert_int_equal(why, STACK_REGISTER_LOST);
	assert_int_equal(WALK(CODE(SIGNAL, 4), 0, interrupted, &why), 2);
	assert_int_equal(why, STACK_COMPLETE); /* the outermost function's first byte: exact */
}

static void test_endless(void **state)
{
	uint64_t deep[2 * FRAMES + 8];
	enum stack_reason why;

	(void)state;
	for (size_t i = 0; i < 2 * FRAMES + 8; i++)
		deep[i] = CODE(BY_SP, 4);
	assert_int_equal(WALK(CODE(BY_SP, 4), 0, deep, &why), FRAMES);
	assert_int_equal(why, STACK_DEPTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_checked),
		cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
