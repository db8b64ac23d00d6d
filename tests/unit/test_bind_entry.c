// SPDX-License-Identifier: MIT
/* Where a probe goes at the start of a function, and what is refused, instruction by instruction.
 */
#include "sites.h"

#include <errno.h>

struct entry_case {
	const char *name;
	const char *refusal; /* words of it; NULL: none */
	enum bind_cost cost;
	unsigned shift;
	int sp_adjust;
};

static const struct entry_case cases[] = {
	/* A 5-byte nop where data lies below the stack pointer: another place, or none. */
	{"zone_nop5_first", NULL, BIND_STEPPED, 5, 0},
	{"zone_nop5_only", "below the stack pointer", BIND_NOP5, 0, 0},
	{"zone_index", "below the stack pointer", BIND_NOP5, 0, 0},
	{"nop5_lea", "below the stack pointer", BIND_STEPPED, 0, 0},
	{"nop5_plain", NULL, BIND_NOP5, 0, 0},
	{"nop5_other", NULL, BIND_NOP5, 0, 0},
	{"nop5_behind_endbr", NULL, BIND_NOP5, 4, 0},
	{"nop5_across_pages", NULL, BIND_EMULATED, 0, 0},

	{"entry_push", NULL, BIND_EMULATED, 0, 0},
	{"entry_endbr", NULL, BIND_EMULATED, 4, 0},
	{"entry_late", NULL, BIND_EMULATED, 6, 0x28},
	{"entry_argument", NULL, BIND_STEPPED, 0, 0},
	{"entry_vector_argument", NULL, BIND_STEPPED, 0, 0},
	{"entry_other_vector", NULL, BIND_EMULATED, 5, 0},
	{"entry_branch", NULL, BIND_EMULATED, 4, 0},
	{"entry_loop", NULL, BIND_STEPPED, 0, 0},
	{"entry_own_loop", NULL, BIND_EMULATED, 0, 0},
	{"entry_align", NULL, BIND_STEPPED, 0, 0},

	{"bad_syscall", "crashes the program", BIND_STEPPED, 0, 0},
	{"bad_syscall_later", NULL, BIND_STEPPED, 0, 0},
	{"bad_pushf", "trap flag", BIND_STEPPED, 0, 0},
	{"bad_xchg", "takes this exchange for a nop", BIND_STEPPED, 0, 0},
	{"bad_vpor", NULL, BIND_EMULATED, 5, 0},
	{"bad_vpor_only", "AVX", BIND_STEPPED, 0, 0},
	{"bad_vmovdqu_store", "AVX", BIND_STEPPED, 0, 0},
	{"bad_vpxor", "no probe", BIND_STEPPED, 0, 0},
	{"bad_vfnmadd", "AVX", BIND_STEPPED, 0, 0},
	{"good_vpaddb", NULL, BIND_STEPPED, 0, 0},
	{"good_por", NULL, BIND_STEPPED, 0, 0},
	{"bad_prefix_nop", NULL, BIND_STEPPED, 10, 0},
	{"bad_lock", "prefix", BIND_STEPPED, 0, 0},
	{"bad_notrack", "prefix", BIND_STEPPED, 0, 0},
};

static void expect_entry(struct elf_file *f, const struct entry_case *c)
{
	struct elf_func func = site_func(f, c->name);
	struct tocsin_err err = {0};
	struct bind_point p = {0};
	char text[4096];
	int r = bind_func_entry(f, &func, false, &p, &err);

	(void)tocsin_err_text(&err, text, sizeof(text));
	if (r != (c->refusal ? -EPERM : 0) || (c->refusal && !strstr(text, c->refusal)))
		fail_msg("%s: %d, '%s'", c->name, r, text);
	if (c->refusal) {
		/* By force it goes to the first instruction, with a warning. */
		err.nr_causes = 0;
		assert_int_equal(bind_func_entry(f, &func, true, &p, &err), 0);
		assert_int_equal(err.nr_causes, 1);
		assert_non_null(strstr(tocsin_err_text(&err, text, sizeof(text)), c->refusal));
	}
	if (p.cost != c->cost || p.shift != c->shift || p.sp_adjust != c->sp_adjust ||
	    p.offset != func.offset + c->shift)
		fail_msg("%s: %s, +%u, sp %d, at '%s'", c->name, bind_cost_name(p.cost), p.shift,
			 p.sp_adjust, p.insn);
	assert_true(p.insn[0]);
}

static void test_entries(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect_entry(f, &cases[i]);
}

static void test_undecodable(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");
	struct elf_func func = site_func(f, "bad_bytes");
	struct bind_point p;

	(void)state;
	assert_int_equal(bind_func_entry(f, &func, false, &p, NULL), -EPERM);
	assert_int_equal(bind_func_entry(f, &func, true, &p, NULL), -EPERM);
}

/* An older kernel single-steps the 5-byte nop and does not push. */
static void test_older_kernel(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");
	struct elf_func func = site_func(f, "nop5_plain");
	struct bind_point p;

	(void)state;
	f->kernel = 6u << 16 | 1;
	assert_int_equal(bind_func_entry(f, &func, false, &p, NULL), 0);
	assert_int_equal(p.cost, BIND_STEPPED);
}

struct offset_case {
	const char *symbol;
	unsigned behind; /* bytes behind it */
	const char *refusal;
	enum bind_cost cost;
};

static void test_offsets(void **state)
{
	static const struct offset_case offsets[] = {
		{"zone_frame_site", 0, "below its frame", BIND_NOP5},
		{"zone_frame_reserved_site", 0, NULL, BIND_NOP5},
		{"zone_frame_beyond_site", 0, "below its frame", BIND_NOP5},
		{"zone_copied_site", 0, "copies the stack pointer", BIND_NOP5},
		{"zone_calls_site", 0, NULL, BIND_NOP5},
		{"zone_moved_frame_site", 0, "below its frame", BIND_NOP5},
		{"zone_moved_site", 0, "below the stack pointer", BIND_NOP5},
		{"entry_push", 1, NULL, BIND_STEPPED},
		{"entry_push", 2, NULL, BIND_STEPPED},
		{"entry_late", 1, "middle of an instruction", BIND_STEPPED},
		{"bad_syscall_later", 5, "crashes", BIND_STEPPED},
		{"ends_lock", 12, NULL,
		 BIND_STEPPED}, /* behind its lock prefix, where glibc jumps to */
		{"ends_lock", 11, "prefix", BIND_STEPPED},
		{"bad_notrack", 0, "prefix", BIND_STEPPED},
		{"ends_two", 4, NULL, BIND_STEPPED},
	};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");

	(void)state;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		const struct offset_case *c = &offsets[i];
		uint64_t at = site_func(f, c->symbol).offset + c->behind;
		struct tocsin_err err = {0};
		struct bind_point p;
		char text[4096];
		int r = bind_offset(f, at, false, &p, &err);

		(void)tocsin_err_text(&err, text, sizeof(text));
		if (r != (c->refusal ? -EPERM : 0) || (c->refusal && !strstr(text, c->refusal)))
			fail_msg("%s+%u: %d, '%s'", c->symbol, c->behind, r, text);
		assert_int_equal(bind_offset(f, at, true, &p, NULL), 0);
		if (p.cost != c->cost)
			fail_msg("%s+%u: %s", c->symbol, c->behind, bind_cost_name(p.cost));
		assert_int_equal(p.offset, at);
		assert_int_equal(p.shift, 0);
		assert_int_equal(p.sp_adjust, 0);
	}
}

static void test_offset_outside(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");
	struct bind_point p;

	(void)state;
	assert_int_equal(bind_offset(f, 8, false, &p, NULL), -EINVAL);
	assert_int_equal(bind_offset(f, f->size_bytes + 8, false, &p, NULL), -EINVAL);
	assert_int_equal(bind_offset(f, UINT64_MAX, true, &p, NULL), -EINVAL);
}

/* Without symbols: the unwinding table has the functions, but not which of them is a part of
 * another. */
static void test_stripped(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *whole = site_open("libcode.so");
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("code_stripped");
	uint64_t moved = site_func(whole, "zone_moved_site").offset;
	struct tocsin_err err = {0};
	struct bind_point p;
	char text[2048];

	(void)state;
	assert_int_equal(bind_offset(f, moved, false, &p, &err), -EPERM);
	assert_non_null(
		strstr(tocsin_err_text(&err, text, sizeof(text)), "below the stack pointer"));
	moved = site_func(whole, "local_nop5").offset;
	assert_int_equal(bind_offset(whole, moved, false, &p, NULL), 0);
	err.nr_causes = 0;
	assert_int_equal(bind_offset(f, moved, false, &p, &err), -EPERM);
	assert_non_null(strstr(tocsin_err_text(&err, text, sizeof(text)), "without symbols"));
	assert_int_equal(bind_offset(f, site_func(whole, "entry_push").offset, false, &p, NULL), 0);
}

/* What compilers write: the first instructions of a leaf function, and behind endbr64. */
static void test_compiled(void **state)
{
	static const char *const files[] = {"plain_pie", "plain_fixed", "plain_cet",
					    "plain_unoptimised"};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open(files[i]);
		struct elf_func func = site_func(f, "leaf");
		struct tocsin_err err = {0};
		struct bind_point p;
		char text[2048];

		assert_int_equal(bind_offset(f, site_func(f, "leaf_site").offset, false, &p, &err),
				 -EPERM);
		assert_non_null(strstr(tocsin_err_text(&err, text, sizeof(text)), "5-byte nop"));
		assert_int_equal(bind_func_entry(f, &func, false, &p, NULL), 0);
		assert_int_not_equal(p.cost, BIND_NOP5);
		/* 1-byte nops in front; clang writes one of 5 bytes, with data below the stack
		 * pointer. */
		func = site_func(f, "padded");
		assert_int_equal(bind_func_entry(f, &func, false, &p, NULL), 0);
		assert_int_not_equal(p.cost, BIND_NOP5);
		if (p.byte == 0x90) {
			assert_int_equal(p.cost, BIND_EMULATED);
			assert_int_equal(p.shift, strcmp(files[i], "plain_cet") == 0 ? 4 : 0);
		}
	}
}

/* Not x86-64: said so, before anything is disassembled. */
static void test_other_machine(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");
	struct elf_func func = site_func(f, "entry_push");
	struct bind_returns ends;
	struct bind_point p;

	(void)state;
	f->machine = EM_AARCH64;
	assert_int_equal(bind_func_entry(f, &func, true, &p, NULL), -ENOTSUP);
	assert_int_equal(bind_offset(f, func.offset, true, &p, NULL), -ENOTSUP);
	assert_int_equal(bind_func_returns(f, &func, NULL, true, &ends, NULL), -ENOTSUP);
}

static void test_texts(void **state)
{
	(void)state;
	assert_string_equal(bind_cost_name(BIND_NOP5), "nop5");
	assert_string_equal(bind_cost_text(BIND_EMULATED), "~500 ns emulated");
	assert_string_equal(bind_cost_name(BIND_COSTS), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),        cmocka_unit_test(test_undecodable),
		cmocka_unit_test(test_older_kernel),   cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_offset_outside), cmocka_unit_test(test_stripped),
		cmocka_unit_test(test_compiled),       cmocka_unit_test(test_other_machine),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
