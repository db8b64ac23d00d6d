// SPDX-License-Identifier: MIT
/* USDT notes: finding sites, correcting their addresses, reading what the arguments say. */
#include "sites.h"

#include <errno.h>

struct wanted_arg {
	const char *text;
	struct watch_arg arg;
	const char *fault; /* words of the reason; NULL: can be read */
};

static void expect_arg(const struct wanted_arg *w)
{
	const char *fault[USDT_ARGS];
	struct watch_arg arg[USDT_ARGS];

	assert_int_equal(usdt_parse_args(w->text, arg, fault), 1);
	if (w->fault) {
		if (arg[0].kind != ARG_NONE || !fault[0] || !strstr(fault[0], w->fault))
			fail_msg("'%s': kind %u, %s", w->text, arg[0].kind,
				 fault[0] ? fault[0] : "no reason");
		return;
	}
	if (fault[0] || memcmp(&arg[0], &w->arg, sizeof(w->arg)) != 0)
		fail_msg("'%s': kind %u size %u signed %u scale %u reg %u index %u value %lld%s%s",
			 w->text, arg[0].kind, arg[0].size, arg[0].is_signed, arg[0].scale,
			 arg[0].reg, arg[0].index, (long long)arg[0].value, fault[0] ? ": " : "",
			 fault[0] ? fault[0] : "");
}

#define REG(bytes, sign, offset)                                                 \
	{                                                                        \
		.kind = ARG_REG, .size = bytes, .is_signed = sign, .reg = offset \
	}
#define CONST(bytes, sign, v)                                                   \
	{                                                                       \
		.kind = ARG_CONST, .size = bytes, .is_signed = sign, .value = v \
	}
#define MEM(bytes, sign, offset, v)                                                          \
	{                                                                                    \
		.kind = ARG_MEM, .size = bytes, .is_signed = sign, .reg = offset, .value = v \
	}
#define SIB(bytes, sign, offset, v, i, s)                                                     \
	{                                                                                     \
		.kind = ARG_MEM, .size = bytes, .is_signed = sign, .reg = offset, .value = v, \
		.index = i, .scale = s                                                        \
	}

static void test_arguments(void **state)
{
	static const struct wanted_arg cases[] = {
		{"8@%rax", REG(8, 0, 80), NULL},
		{"-4@%r13d", REG(4, 1, 16), NULL},
		{"1@%al", REG(1, 0, 80), NULL},
		{"-1@%ah", REG(1, 1, 81), NULL},
		{"2@%r8w", REG(2, 0, 72), NULL},
		{"1@%dil", REG(1, 0, 112), NULL},
		{"-2@%bp", REG(2, 1, 32), NULL},
		{"8@%rsp", REG(8, 0, 152), NULL},
		{"8@%r15", REG(8, 0, 0), NULL},
		{"8@%eax", REG(4, 0, 80), NULL}, /* no more than the register holds */
		{"%rdi", REG(8, 0, 112), NULL},
		{"-4@$-7", CONST(4, 1, -7), NULL},
		{"8@$0x10", CONST(8, 0, 16), NULL},
		{"8@$18446744073709551615", CONST(8, 0, -1), NULL},
		{"8@(%rbx)", MEM(8, 0, 40, 0), NULL},
		{"8@8@%rbx", {0}, "not understood"},
		{"-8@-24(%rbp)", MEM(8, 1, 32, -24), NULL},
		{"4@4(%r12)", MEM(4, 0, 24, 4), NULL},
		{"4@8+4(%r12)", MEM(4, 0, 24, 12), NULL},
		{"4@-8+4(%r12)", MEM(4, 0, 24, -4), NULL},
		{"8@(%rax,%rbx,8)", SIB(8, 0, 80, 0, 40, 8), NULL},
		{"8@16(%rax,%rbx)", SIB(8, 0, 80, 16, 40, 1), NULL},
		{"8@16(%rax, %rbx, 4)", {0}, "not understood"},
		{"4@counter(%rip)", {0}, "symbol"},
		{"4@counter+8(%rip)", {0}, "symbol"},
		{"4@8+counter(%rip)", {0}, "symbol"},
		{"4@12(%rip)", {0}, "symbol"},
		{"4@counter", {0}, "symbol"},
		{"4@$counter", {0}, "symbol"},
		{"8f@%xmm0", {0}, "floating"},
		{"8@%xmm3", {0}, "floating"},
		{"8@%fs:40", {0}, "segment"},
		{"8@%cr3", {0}, "register"},
		{"8@(%eax)", {0}, "register"},
		{"8@", {0}, "not understood"},
		{"3@%rax", {0}, "not understood"},
		{"-9223372036854775808@%rax", {0}, "not understood"},
		{"8@(%rax,%rbx,3)", {0}, "not understood"},
		{"8@(%rax", {0}, "not understood"},
		{"8@(%rax))", {0}, "not understood"},
		{"8@(", {0}, "not understood"},
		{"8@%", {0}, "register"},
		{"8@$", {0}, "symbol"},
		{"8@99999999999999999999(%rax)", {0}, "symbol"},
		{"@%rax", {0}, "not understood"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect_arg(&cases[i]);
}

static void test_argument_lists(void **state)
{
	const char *fault[USDT_ARGS];
	struct watch_arg arg[USDT_ARGS];

	(void)state;
	assert_int_equal(usdt_parse_args("", arg, fault), 0);
	assert_int_equal(usdt_parse_args("   ", arg, fault), 0);
	assert_int_equal(usdt_parse_args("  8@%rax   4@x(%rip) 8@$1 ", arg, fault), 3);
	assert_int_equal(arg[0].kind, ARG_REG);
	assert_int_equal(arg[1].kind, ARG_NONE);
	assert_int_equal(arg[2].value, 1);
	assert_int_equal(
		usdt_parse_args(
			"1@$1 1@$2 1@$3 1@$4 1@$5 1@$6 1@$7 1@$8 1@$9 1@$10 1@$11 1@$12 1@$13", arg,
			fault),
		USDT_ARGS);
}

/* The notes of this file say addresses that are 0x1000 too low, as after prelinking. */
static void test_moved_notes(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libnotes.so");
	struct elf_func sites = site_func(f, "hand_sites");
	struct elf_usdt *found = NULL;
	GElf_Shdr probes;
	size_t nr = 0;

	(void)state;
	assert_int_equal(elf_find_usdt(f, "hand", "plain", &found, &nr, NULL, NULL), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(found[0].vaddr, sites.vaddr + 4); /* behind sub $8,%rsp */
	assert_int_equal(found[0].offset, sites.offset + 4);
	assert_int_equal(found[0].semaphore_offset, 0);
	assert_int_equal(found[0].nr_args, 6);
	assert_int_equal(found[0].arg[5].scale, 8);
	assert_int_equal(found[1].nr_args, 1);
	found = elf_usdt_free(found, nr);

	assert_int_equal(elf_find_usdt(f, "hand", "counted", &found, &nr, NULL, NULL), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(found[0].vaddr, sites.vaddr + 5);
	assert_non_null(elf_section_find(f->elf, ".probes", &probes));
	assert_int_equal(found[0].semaphore_offset, probes.sh_offset);
	elf_usdt_free(found, nr);
}

static void test_unknown(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libnotes.so");
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *none = site_open("context");
	struct elf_usdt *found = NULL;
	struct tocsin_nearest near;
	size_t nr = 0;
	char text[256];

	(void)state;
	tocsin_nearest_init(&near, "hand:countd");
	assert_int_equal(elf_find_usdt(f, "hand", "countd", &found, &nr, &near, NULL), -ENOENT);
	assert_string_equal(tocsin_nearest_text(&near, text, sizeof(text)), "'hand:counted'");
	assert_int_equal(elf_find_usdt(none, "hand", "plain", &found, &nr, NULL, NULL), -ENOENT);
	assert_null(found);
}

/* What compilers make of <sys/sdt.h>: 4 arguments that can all be read, and a semaphore. */
static void test_real_sites(void **state)
{
	static const char *const files[] = {"probes", "probes_unoptimised"};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open(files[i]);
		struct elf_usdt *found = NULL;
		struct bind_point point;
		size_t nr = 0;

		assert_int_equal(elf_find_usdt(f, "sites", "args", &found, &nr, NULL, NULL), 0);
		assert_true(nr >= 1);
		assert_int_equal(found[0].nr_args, 4);
		assert_int_equal(found[0].arg[0].size, 4);
		assert_int_equal(found[0].arg[0].is_signed, 1);
		assert_int_equal(found[0].arg[1].size, 8);
		assert_int_equal(found[0].arg[3].kind, ARG_CONST);
		assert_int_equal(found[0].arg[3].value, 42);
		for (unsigned k = 0; k < 4; k++)
			assert_null(found[0].arg_fault[k]);
		assert_true(found[0].semaphore_offset > 0);
		assert_int_equal(bind_usdt_site(f, &found[0], false, &point, NULL), 0);
		assert_int_equal(point.cost, BIND_EMULATED);
		assert_int_equal(point.ref_ctr_offset, found[0].semaphore_offset);
		assert_int_equal(point.byte, 0x90);
		found = elf_usdt_free(found, nr);

		assert_int_equal(elf_find_usdt(f, "sites", "counted", &found, &nr, NULL, NULL), 0);
		assert_int_equal(found[0].nr_args, 1);
		elf_usdt_free(found, nr);
	}
}

struct site_case {
	const char *name;
	int result;
	const char *words; /* of the refusal */
	enum bind_cost cost;
};

static void test_binding(void **state)
{
	static const struct site_case cases[] = {
		{"plain", 0, NULL, BIND_EMULATED},
		{"counted", 0, NULL, BIND_EMULATED},
		{"nop5", 0, NULL,
		 BIND_NOP5}, /* the function moves the stack pointer and keeps nothing below */
		{"not_nop", -EPERM, "not a nop", BIND_STEPPED},
		{"zone", -EPERM, "below the stack pointer", BIND_NOP5},
	};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libnotes.so");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tocsin_err err = {0};
		struct elf_usdt *found = NULL;
		struct bind_point point;
		char text[4096];
		size_t nr = 0;

		assert_int_equal(elf_find_usdt(f, "hand", cases[i].name, &found, &nr, NULL, NULL),
				 0);
		assert_int_equal(bind_usdt_site(f, &found[0], false, &point, &err),
				 cases[i].result);
		(void)tocsin_err_text(&err, text, sizeof(text));
		if (cases[i].words && !strstr(text, cases[i].words))
			fail_msg("'%s' does not say '%s'", text, cases[i].words);
		err.nr_causes = 0;
		assert_int_equal(bind_usdt_site(f, &found[0], true, &point, &err), 0);
		assert_int_equal(err.nr_causes, cases[i].words ? 1 : 0); /* by force, and said so */
		assert_int_equal(point.cost, cases[i].cost);
		assert_int_equal(point.shift, 0);
		elf_usdt_free(found, nr);
	}
}

static int count_sites(const char *provider, const char *name, void *arg)
{
	(void)name;
	assert_string_equal(provider, "hand");
	return ++*(unsigned *)arg == 4 ? 9 : 0;
}

static void test_each(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = site_open("libnotes.so");
	unsigned nr = 0;

	(void)state;
	assert_int_equal(elf_for_each_usdt(f, count_sites, &nr, NULL), 9);
	assert_int_equal(nr, 4);
}

/* Debian's PostgreSQL: stripped, its sites in functions that only the unwinding table knows. */
static void test_postgres(void **state)
{
	static const char path[] = "/usr/lib/postgresql/15/bin/postgres";
	static const char *const names[] = {"query__start", "query__done", "transaction__start",
					    "lwlock__wait__start"};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;

	(void)state;
	if (access(path, R_OK) != 0) {
		print_message("# %s is not installed\n", path);
		skip();
	}
	f = site_open_path(path);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct elf_usdt *found = NULL;
		size_t nr = 0;

		assert_int_equal(elf_find_usdt(f, "postgresql", names[i], &found, &nr, NULL, NULL),
				 0);
		for (size_t k = 0; k < nr; k++) {
			struct bind_point point;

			assert_int_equal(bind_usdt_site(f, &found[k], false, &point, NULL), 0);
			assert_int_equal(point.byte, 0x90);
			assert_int_equal(point.cost, BIND_EMULATED);
			for (unsigned a = 0; a < found[k].nr_args; a++)
				assert_int_not_equal(found[k].arg[a].kind, ARG_NONE);
		}
		elf_usdt_free(found, nr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),   cmocka_unit_test(test_argument_lists),
		cmocka_unit_test(test_moved_notes), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_real_sites),  cmocka_unit_test(test_binding),
		cmocka_unit_test(test_each),        cmocka_unit_test(test_postgres),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
