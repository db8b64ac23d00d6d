// SPDX-License-Identifier: MIT
/* Functions by name: versions, ambiguity, C++ names, sizes, what a stripped file still says. */
#include "sites.h"

#include <errno.h>

static void expect_failure(struct elf_file *f, const char *symbol, int wanted, const char *words)
{
	struct tocsin_err err = {0};
	struct elf_func func;
	char text[4096];

	assert_int_equal(elf_find_func(f, symbol, &func, NULL, &err), wanted);
	if (!strstr(tocsin_err_text(&err, text, sizeof(text)), words))
		fail_msg("'%s' does not say '%s'", text, words);
}

static void test_by_name(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("plain_pie");
	struct elf_func func = site_func(f, "choose"), at;

	(void)state;
	assert_string_equal(func.name, "choose");
	assert_true(func.size > 16 && func.size < 4096);
	assert_int_equal(elf_func_at(f, func.vaddr + func.size - 1, &at, NULL), 0);
	assert_int_equal(at.vaddr, func.vaddr);
	func = site_func(f, "step"); /* local to its file */
	assert_true(func.offset > 0);
	expect_failure(f, "printf", -ENOENT, "name that library");
	expect_failure(f, "no_such_function", -ENOENT, "no function");
}

/* The file offset is not the address in a program of fixed addresses. */
static void test_fixed_addresses(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("plain_fixed");
	struct elf_func func = site_func(f, "leaf");

	(void)state;
	assert_true(func.vaddr >= 0x400000);
	assert_true(func.offset < f->size_bytes);
	assert_int_equal(func.vaddr - func.offset, 0x400000);
}

static void test_versions(void **state)
{
	static const char *const files[] = {"libversions.so", "versions_stripped"};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open(files[i]);
		struct elf_func old = site_func(f, "shared@SITES_1"),
				new = site_func(f, "shared@@SITES_2");

		assert_true(old.vaddr != new.vaddr);
		assert_int_equal(site_func(f, "shared").vaddr, new.vaddr);
		assert_int_equal(site_func(f, "shared@SITES_2").vaddr, new.vaddr);
		expect_failure(f, "shared@@SITES_1", -ENOENT, "no function");
		expect_failure(f, "shared@SITES_3", -ENOENT, "no function");
	}
}

static void test_ambiguous(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libversions.so");
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *stripped = site_open("versions_stripped");

	(void)state;
	expect_failure(f, "local_twice", -ENOTUNIQ, "2 functions have this name");
	expect_failure(f, "local_twice", -ENOTUNIQ, "at file offset 0x");
	expect_failure(stripped, "local_twice", -ENOENT, "no function");
}

static void test_near_names(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libversions.so");
	struct tocsin_nearest near;
	struct elf_func func;
	char text[256];

	(void)state;
	tocsin_nearest_init(&near, "sharde");
	assert_int_equal(elf_find_func(f, "sharde", &func, &near, NULL), -ENOENT);
	assert_string_equal(tocsin_nearest_text(&near, text, sizeof(text)), "'shared'");
}

static void test_cxx_names(void **state)
{
	static const struct {
		const char *wanted, *mangled; /* NULL: ambiguous */
	} cases[] = {
		{"shop::deliver",
		 "_ZN4shop7deliverERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEm"},
		{"shop::order::total() const", "_ZNK4shop5order5totalEv"},
		{"shop::order::total(int) const", "_ZNK4shop5order5totalEi"},
		{"shop :: order::total( int )const", "_ZNK4shop5order5totalEi"},
		{"shop::order::total", NULL},
		{"shop::order::operator()", "_ZNK4shop5orderclEi"},
		{"shop::order::operator==", "_ZNK4shop5ordereqERKS0_"},
		{"shop::doubled", NULL},
		{"shop::doubled<int>", "_ZN4shop7doubledIiEET_S1_"},
		{"shop::doubled<long>(long)", "_ZN4shop7doubledIlEET_S1_"},
		{"int shop::doubled<int>(int)", "_ZN4shop7doubledIiEET_S1_"},
		{"plain_function", "_Z14plain_functioni"},
		{"(anonymous namespace)::hidden", "_ZN12_GLOBAL__N_16hiddenEi"},
		{"_ZNK4shop5order5totalEv", "_ZNK4shop5order5totalEv"},
	};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("names");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (cases[i].mangled)
			assert_string_equal(site_func(f, cases[i].wanted).name, cases[i].mangled);
		else
			expect_failure(f, cases[i].wanted, -ENOTUNIQ, "shop::");
	expect_failure(f, "shop::order::total(long) const", -ENOENT, "no function");
	expect_failure(f, "order::total", -ENOENT, "no function");
	/* Constructors of both kinds are one function, or two that must be told apart by their
	 * symbols. */
	assert_non_null(strstr(site_func(f, "shop::order::~order").name, "D"));
}

/* A name of 200 bytes that would expand to 35 MB (and with 50 more to a gigabyte) is not expanded.
 */
static void test_cxx_bomb(void **state)
{
	char mangled[1024] = "_Z1f1AIiiE", last[8] = "S0_", readable[64];
	size_t used = strlen(mangled);

	(void)state;
	for (int i = 1; i < 20; i++) {
		used += (size_t)snprintf(mangled + used, sizeof(mangled) - used, "S_I%s%sE", last,
					 last);
		(void)snprintf(last, sizeof(last), "S%c_",
			       "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i]);
	}
	assert_false(demangle_matches(mangled, "f"));
	assert_string_equal(demangle_text(mangled, readable, 6), "_Z1f1");
	assert_true(demangle_matches("_Z1f1AIiiE", "f"));
}

static void test_sizes(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");

	(void)state;
	assert_int_equal(site_func(f, "label_only").size,
			 3); /* push pop ret, by the unwinding table */
	assert_int_equal(site_func(f, "sized_zero").size, 4);
	expect_failure(f, "chosen", -EOPNOTSUPP, "IFUNC");
}

static int count_func(const struct elf_func *func, void *arg)
{
	unsigned *nr = arg;

	assert_true(func->size > 0);
	if (strcmp(func->name, "ends_two") == 0)
		*nr += 1000;
	return ++*nr % 1000 == 7 ? 42 : 0;
}

static void test_each(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libcode.so");
	unsigned nr = 0;

	(void)state;
	assert_int_equal(elf_for_each_func(f, count_func, &nr), 42);
	assert_int_equal(nr % 1000, 7);
}

/* Without any symbols the unwinding table still says where functions begin and end. */
static void test_frames_only(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *whole = site_open("libcode.so");
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *stripped = site_open("code_stripped");
	struct elf_func moved, at;

	(void)state;
	moved = site_func(whole, "ends_moved.cold");
	assert_int_equal(elf_func_at(stripped, moved.vaddr + 1, &at, NULL), 0);
	assert_string_equal(at.name, "");
	assert_int_equal(at.vaddr, moved.vaddr);
	assert_int_equal(at.size, moved.size);
	assert_int_equal(elf_func_at(stripped, 1, &at, NULL), -ENOENT);
}

static void test_libc(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
	char path[4096];

	(void)state;
	assert_int_equal(elf_find_library(0, "libc.so.6", path, sizeof(path)), 0);
	f = site_open_path(path);
	assert_true(site_func(f, "malloc").size > 16);
	assert_int_equal(site_func(f, "getpid").vaddr, site_func(f, "__getpid").vaddr);
	expect_failure(f, "memcpy", -EOPNOTSUPP, "chosen when the program starts");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_name),    cmocka_unit_test(test_fixed_addresses),
		cmocka_unit_test(test_versions),   cmocka_unit_test(test_ambiguous),
		cmocka_unit_test(test_near_names), cmocka_unit_test(test_cxx_names),
		cmocka_unit_test(test_cxx_bomb),   cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_each),       cmocka_unit_test(test_frames_only),
		cmocka_unit_test(test_libc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
