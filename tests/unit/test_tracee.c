// SPDX-License-Identifier: MIT
/* Registering sites that programs did not get from the macros: wrong, too many, of another version.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "abi/glob.h"
#include "tracee/tracee.h"

static const volatile uint8_t off;

static uint64_t lost(enum control_loss which)
{
	return tracee.page->tracee.loss[which];
}

static void add(const struct tocsin_class *cls, struct tocsin_site *site, uint32_t abi)
{
	struct tocsin_site *sites[1] = {site};
	struct tocsin_module module = {.begin = sites, .end = sites + 1, .abi = abi};

	*site = (struct tocsin_site){.on = &off, .cls = cls, .id = 0xffff, .abi = TOCSIN_SITE_ABI};
	tocsin_module_register(&module);
	tocsin_module_unregister(&module); /* the description stays */
}

static void test_same_class(void **state)
{
	static const struct tocsin_field one[] = {{.name = "a", .type = TOCSIN_TYPE_U32}};
	static const struct tocsin_field two[] = {{.name = "a", .type = TOCSIN_TYPE_U64}};
	const struct tocsin_class cls = {.provider = "u",
					 .name = "same",
					 .file = "x.c",
					 .fields = one,
					 .nr_fields = 1,
					 .line = 5};
	struct tocsin_class other = cls;
	struct tocsin_site a, b;
	uint32_t nr = tracee.nr_classes;

	(void)state;
	add(&cls, &a, TOCSIN_SITE_ABI);
	other.line = 99; /* where it stands is not what it is */
	other.file = "y.c";
	add(&other, &b, TOCSIN_SITE_ABI);
	assert_int_equal(a.id, b.id);
	assert_ptr_equal(a.on, &tracee.page->enable[a.id]);
	assert_ptr_equal(a.on, b.on);
	assert_int_equal(tracee.nr_classes, nr + 1);
	other.level = TOCSIN_LEVEL_DEBUG;
	add(&other, &b, TOCSIN_SITE_ABI);
	assert_int_not_equal(a.id, b.id);
	other.level = 0;
	other.fields = two;
	add(&other, &b, TOCSIN_SITE_ABI);
	assert_int_not_equal(a.id, b.id);
	assert_int_equal(tracee.nr_classes, nr + 3);
}

static void test_lookup(void **state)
{
	const struct tocsin_class cls = {.provider = "u", .name = "there"};
	const struct tocsin_class ask = {
		.provider = "u", .name = "there", .flags = TOCSIN_CLASS_LOOKUP};
	const struct tocsin_class none = {
		.provider = "u", .name = "not there", .flags = TOCSIN_CLASS_LOOKUP};
	struct tocsin_site a, b, c;
	struct tocsin_site *sites[2] = {&b, &a}; /* the question first */
	struct tocsin_module module = {.begin = sites, .end = sites + 2, .abi = TOCSIN_SITE_ABI};

	(void)state;
	a = (struct tocsin_site){.on = &off, .cls = &cls};
	b = (struct tocsin_site){.on = &off, .cls = &ask};
	tocsin_module_register(&module);
	assert_ptr_equal(a.on, b.on);
	assert_ptr_not_equal(a.on, &off);
	tocsin_module_unregister(&module);
	add(&none, &c, TOCSIN_SITE_ABI);
	assert_ptr_equal(c.on, &off);
}

static void test_malformed(void **state)
{
	static const struct tocsin_label no_text[] = {{0, 1, NULL}};
	static const struct tocsin_field bad[][2] = {
		{{.name = "a", .type = TOCSIN_TYPE_U32}, {.name = "a", .type = TOCSIN_TYPE_U32}},
		{{.name = "a", .type = 99}, {.name = "b", .type = TOCSIN_TYPE_U8}},
		{{.name = NULL, .type = TOCSIN_TYPE_U8}, {.name = "b", .type = TOCSIN_TYPE_U8}},
		{{.name = "", .type = TOCSIN_TYPE_U8}, {.name = "b", .type = TOCSIN_TYPE_U8}},
		{{.name = "a", .type = TOCSIN_TYPE_SEQUENCE, .elem = TOCSIN_TYPE_STRING},
		 {.name = "b", .type = TOCSIN_TYPE_U8}},
		{{.name = "a", .type = TOCSIN_TYPE_STRING, .count = 0},
		 {.name = "b", .type = TOCSIN_TYPE_U8}},
		{{.name = "a", .type = TOCSIN_TYPE_S32, .nr_labels = 1, .labels = no_text},
		 {.name = "b", .type = TOCSIN_TYPE_U8}},
		{{.name = "a", .type = TOCSIN_TYPE_S32, .nr_labels = 1},
		 {.name = "b", .type = TOCSIN_TYPE_U8}},
	};
	size_t nr = sizeof(bad) / sizeof(bad[0]);
	uint64_t before = lost(TRACEE_LOSS_NO_FIELD);
	struct tocsin_class cls = {.provider = "u", .name = "bad", .nr_fields = 2};
	struct tocsin_site site;

	(void)state;
	for (size_t i = 0; i < nr; i++) {
		cls.fields = bad[i];
		add(&cls, &site, TOCSIN_SITE_ABI);
		assert_ptr_equal(site.on, &off);
	}
	cls.nr_fields = 17;
	add(&cls, &site, TOCSIN_SITE_ABI);
	cls = (struct tocsin_class){.provider = "", .name = "bad"};
	add(&cls, &site, TOCSIN_SITE_ABI);
	assert_ptr_equal(site.on, &off);
	assert_int_equal(lost(TRACEE_LOSS_NO_FIELD) - before, nr + 2);
}

static void test_other_version(void **state)
{
	const struct tocsin_class cls = {.provider = "u", .name = "version"};
	uint64_t before = lost(TRACEE_LOSS_OTHER_ABI);
	struct tocsin_site site;

	(void)state;
	add(&cls, &site, TOCSIN_SITE_ABI + 1);
	assert_ptr_equal(site.on, &off);
	assert_int_equal(lost(TRACEE_LOSS_OTHER_ABI) - before, 1);
}

static void test_too_many(void **state)
{
	uint32_t had = tracee.nr_classes;
	struct tocsin_class cls = {.provider = "u"};
	struct tocsin_site site;
	char name[32];

	(void)state;
	for (uint32_t i = had; i < CONTROL_CLASSES + 10; i++) {
		(void)snprintf(name, sizeof(name), "many %u", i);
		cls.name = name;
		add(&cls, &site, TOCSIN_SITE_ABI);
		assert_int_equal(site.on == &off, i >= CONTROL_CLASSES);
	}
	assert_int_equal(tracee.nr_classes, CONTROL_CLASSES);
	assert_int_equal(tracee.page->tracee.nr_classes, CONTROL_CLASSES);
	assert_int_equal(lost(TRACEE_LOSS_NO_CLASS), 10);
}

static void test_clock(void **state)
{
	(void)state;
	assert_int_equal(tracee_clock_of(true, "tsc kvm-clock \n", NULL), CONTROL_CLOCK_TSC);
	assert_int_equal(tracee_clock_of(true, "hpet tsc\n", NULL), CONTROL_CLOCK_TSC);
	/* The kernel has struck it off. */
	assert_int_equal(tracee_clock_of(true, "hpet acpi_pm\n", NULL), CONTROL_CLOCK_MONOTONIC);
	assert_int_equal(tracee_clock_of(true, "tsc-early hyperv_tsc\n", NULL),
			 CONTROL_CLOCK_MONOTONIC);
	assert_int_equal(tracee_clock_of(false, "tsc\n", NULL), CONTROL_CLOCK_MONOTONIC);
	/* No list to be read. */
	assert_int_equal(tracee_clock_of(true, "", NULL), CONTROL_CLOCK_TSC);
	assert_int_equal(tracee_clock_of(true, NULL, NULL), CONTROL_CLOCK_TSC);
	assert_int_equal(tracee_clock_of(false, NULL, NULL), CONTROL_CLOCK_MONOTONIC);
	assert_int_equal(tracee_clock_of(true, "tsc\n", "monotonic"), CONTROL_CLOCK_MONOTONIC);
	assert_int_equal(tracee_clock_of(true, "tsc\n", "sundial"), CONTROL_CLOCK_TSC);
}

static void test_glob(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool want;
	} table[] = {
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "abc", true},
		{"a*c", "abc", true},
		{"a*c", "ac", true},
		{"a*c", "acb", false},
		{"?", "", false},
		{"?", "a", true},
		{"a?c", "abc", true},
		{"*b*", "abc", true},
		{"*b*", "ac", false},
		{"\\*", "*", true},
		{"\\*", "a", false},
		{"a\\?", "a?", true},
		{"a\\?", "ab", false},
		{"**a", "bba", true},
		{"*a*a*", "aa", true},
		{"*a*a*", "a", false},
		{"abc", "ab", false},
		{"\\", "\\", true},
		{"a*b*c", "aXbYc", true},
		{"*.log", "a.log.log", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (glob_match(table[i].pattern, strlen(table[i].pattern), table[i].text,
			       strlen(table[i].text)) != table[i].want)
			fail_msg("'%s' and '%s'", table[i].pattern, table[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_class), cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_malformed),  cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_too_many),   cmocka_unit_test(test_clock),
		cmocka_unit_test(test_glob),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
