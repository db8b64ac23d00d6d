// SPDX-License-Identifier: MIT
/* The ends of functions: by return probe only where nothing can unwind or switch stacks, else every
 * one of them. */
#include "sites.h"

#include <errno.h>

struct ends_case {
	const char *name;
	const char *refusal; /* words of it; NULL: none */
	size_t nr;
	unsigned behind[4]; /* bytes behind the function's start; 0: in a moved part */
};

/* libcode.so has an exception table, so none of its functions gets a return probe. */
static const struct ends_case cases[] = {
	{"entry_push", NULL, 1, {2}},
	{"ends_two", NULL, 2, {6, 20}},
	{"ends_tail", NULL, 2, {4, 9}},
	{"ends_plt", NULL, 1, {2}},
	{"ends_framed_tail", "with its frame still on the stack", 0, {0}},
	{"ends_conditional_tail", "conditional jump", 0, {0}},
	{"ends_table", NULL, 4, {29, 35, 41, 44}},
	{"ends_table_memory", NULL, 1, {37}},
	{"ends_table_changed", "cannot be told where", 0, {0}},
	{"ends_unreached", "no way was found", 0, {0}},
	{"ends_table_unbounded", "cannot be told where", 0, {0}},
	{"ends_table_two_ways", "cannot be told where", 0, {0}},
	{"ends_table_writable", "cannot be read", 0, {0}},
	{"ends_pointer_loaded", NULL, 1, {9}},
	{"ends_pointer_framed", "cannot be told where", 0, {0}},
	{"ends_pointer_sum", "cannot be told where", 0, {0}},
	{"ends_pointer_data", "cannot be told where", 0, {0}},
	{"ends_pointer_label", "cannot be told where", 0, {0}},
	{"ends_moved", NULL, 2, {10, 0}},
	{"ends_never", "never returns", 0, {0}},
	{"ends_falls", "runs over its end", 0, {0}},
	{"ends_unbalanced", "something else on the stack", 0, {0}},
	{"ends_lock", NULL, 1, {14}},
	{"ends_landing", NULL, 2, {7, 11}},
	{"bad_bytes", "cannot be decoded", 0, {0}},
};

static void expect_ends(struct elf_file *f, const struct ends_case *c)
{
	TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
	struct elf_func func = site_func(f, c->name);
	struct tocsin_err err = {0};
	char text[4096];
	int r = bind_func_returns(f, &func, NULL, false, &ends, &err);

	(void)tocsin_err_text(&err, text, sizeof(text));
	if (r != (c->refusal ? -EPERM : 0) || ends.nr != c->nr ||
	    (c->refusal && !strstr(text, c->refusal)))
		fail_msg("%s: %d, %zu ends, '%s'", c->name, r, ends.nr, text);
	if (c->refusal) {
		assert_non_null(strstr(text, "explicit stop"));
		return;
	}
	assert_false(ends.by_return_probe);
	assert_non_null(strstr(ends.why, "no return probe"));
	for (size_t i = 0; i < ends.nr; i++) {
		const struct bind_point *p = &ends.point[i];

		if (p->shift != c->behind[i] || (p->shift && p->offset != func.offset + p->shift))
			fail_msg("%s: end %zu is '%s' at +%u", c->name, i, p->insn, p->shift);
		assert_int_equal(p->sp_adjust, 0);
		assert_true(strstr(p->insn, "ret") ? p->cost == BIND_STEPPED : p->insn[0] == 'j');
	}
}

static void test_ends(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect_ends(f, &cases[i]);
}

/* Stripped, the moved part is found by the jump to it and the unwinding table. */
static void test_ends_stripped(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *whole = site_open("libcode.so");
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("code_stripped");

	(void)state;
	expect_ends(f, &(struct ends_case){"ends_moved", NULL, 2, {10, 0}});
	expect_ends(f, &(struct ends_case){"ends_table", NULL, 4, {29, 35, 41, 44}});
	expect_ends(whole, &(struct ends_case){"ends_moved", NULL, 2, {10, 0}});
}

static void test_force(void **state)
{
	TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");
	struct elf_func func = site_func(f, "ends_table_unbounded");
	struct tocsin_err err = {0};

	(void)state;
	assert_int_equal(bind_func_returns(f, &func, NULL, true, &ends, &err), 0);
	assert_int_equal(err.nr_causes, 1);
	assert_true(ends.by_return_probe);
	assert_int_equal(ends.nr, 1);
	assert_int_equal(ends.point[0].offset, func.offset);
	func = site_func(f, "bad_bytes");
	assert_int_equal(bind_func_returns(f, &func, NULL, true, &ends, &err), -EPERM);
}

/* A C program that neither throws nor switches stacks: one return probe, on the true entry. */
static void test_plain(void **state)
{
	static const char *const files[] = {"plain_pie", "plain_fixed", "plain_cet"};
	static const char *const names[] = {"leaf", "tail", "choose", "main"};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open(files[i]);

		for (unsigned k = 0; k < 4; k++) {
			TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
			struct elf_func func = site_func(f, names[k]);

			assert_int_equal(bind_func_returns(f, &func, NULL, false, &ends, NULL), 0);
			assert_true(ends.by_return_probe);
			assert_false(ends.switches_stacks);
			assert_int_equal(ends.nr, 1);
			assert_int_equal(ends.point[0].sp_adjust, 0);
			assert_int_equal(ends.point[0].shift, i == 2 ? 4 : 0); /* behind endbr64 */
		}
	}
}

/* Another reason for probes on the ends. */
static void expect_by_ends(const char *file, const char *name, const char *words)
{
	TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open(file);
	struct elf_func func = site_func(f, name);

	assert_int_equal(bind_func_returns(f, &func, NULL, false, &ends, NULL), 0);
	assert_false(ends.by_return_probe);
	if (!strstr(ends.why, words))
		fail_msg("'%s' does not say '%s'", ends.why, words);
}

static void test_linked(void **state)
{
	(void)state;
	expect_by_ends("plain_linked", "leaf", "is linked with 'libstdc++");
}

static void test_returns_twice(void **state)
{
	(void)state;
	expect_by_ends("plain_pie", "sigsetjmp", "used twice");
}

static void test_throws(void **state)
{
	static const char *const names[] = {"shop::deliver", "shop::ship", "main"};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("names");

	(void)state;
	for (unsigned k = 0; k < 3; k++) {
		TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
		struct elf_func func = site_func(f, names[k]);
		struct tocsin_err err = {0};
		char text[2048];

		if (bind_func_returns(f, &func, NULL, false, &ends, &err) != 0)
			fail_msg("%s: %s", names[k], tocsin_err_text(&err, text, sizeof(text)));
		assert_false(ends.by_return_probe);
		assert_true(ends.nr >= 1);
		assert_false(ends.switches_stacks);
	}
}

static void test_switches(void **state)
{
	TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("context");
	struct elf_func func = site_func(f, "take_turn");

	(void)state;
	assert_int_equal(bind_func_returns(f, &func, NULL, false, &ends, NULL), 0);
	assert_false(ends.by_return_probe);
	assert_true(ends.switches_stacks);
	assert_true(ends.nr >= 1);
	assert_non_null(strstr(ends.why, "context"));
}

/* libc catches (cancellation) and defines makecontext: its functions get probes on their ends. */
static void test_libc(void **state)
{
	TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
	struct elf_func func;
	char path[4096];

	(void)state;
	assert_int_equal(elf_find_library(0, "libc.so.6", path, sizeof(path)), 0);
	f = site_open_path(path);
	func = site_func(f, "malloc");
	assert_int_equal(bind_func_returns(f, &func, NULL, false, &ends, NULL), 0);
	assert_false(ends.by_return_probe);
	assert_true(ends.switches_stacks);
	assert_true(ends.nr >= 2);
}

struct tally {
	struct elf_file *f;
	unsigned nr, entries, ends, refused;
};

/* Every place that is given must be one that is accepted when it is asked for itself. */
static int check_func(const struct elf_func *func, void *arg)
{
	TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
	struct tally *t = arg;
	struct bind_point p, again;

	if (++t->nr % 16) /* a sample */
		return 0;
	if (bind_func_entry(t->f, func, false, &p, NULL) == 0) {
		t->entries++;
		assert_int_equal(bind_offset(t->f, p.offset, false, &again, NULL), 0);
		assert_int_equal(again.cost, p.cost);
		assert_int_equal(again.byte, p.byte);
	}
	if (bind_func_returns(t->f, func, NULL, false, &ends, NULL) != 0) {
		t->refused++;
		return 0;
	}
	for (size_t i = 0; i < ends.nr; i++)
		assert_int_equal(bind_offset(t->f, ends.point[i].offset, false, &again, NULL), 0);
	t->ends += ends.nr > 0;
	return 0;
}

static void test_all_of_a_library(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
	struct tally t = {0};
	char path[4096];

	(void)state;
	if (elf_find_library(0, "libstdc++.so.6", path, sizeof(path)) != 0) {
		print_message("# libstdc++ is not installed\n");
		skip();
	}
	f = site_open_path(path);
	t.f = f;
	assert_int_equal(elf_for_each_func(f, check_func, &t), 0);
	print_message("# %u functions: %u entries, ends of %u, %u refused\n", t.nr / 16, t.entries,
		      t.ends, t.refused);
	assert_true(t.entries > 100 && t.ends > 5 * t.refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),          cmocka_unit_test(test_ends_stripped),
		cmocka_unit_test(test_force),         cmocka_unit_test(test_plain),
		cmocka_unit_test(test_throws),        cmocka_unit_test(test_linked),
		cmocka_unit_test(test_returns_twice), cmocka_unit_test(test_switches),
		cmocka_unit_test(test_libc),          cmocka_unit_test(test_all_of_a_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
