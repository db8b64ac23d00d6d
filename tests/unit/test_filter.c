// SPDX-License-Identifier: MIT
/* Filters: text to table (collector/filter.c) and table to answer (tracee/filter.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/control.h"
#include "abi/filter.h"
#include "collector/filter.h"
#include "tracee/tracee.h"

static const struct tocsin_field fields[] = {
	{.name = "fd", .type = TOCSIN_TYPE_U32},
	{.name = "delta", .type = TOCSIN_TYPE_S16},
	{.name = "peer", .type = TOCSIN_TYPE_STRING, .count = 64},
	{.name = "load", .type = TOCSIN_TYPE_F64},
	{.name = "list", .type = TOCSIN_TYPE_SEQUENCE, .elem = TOCSIN_TYPE_U16, .count = 9},
	{.name = "big", .type = TOCSIN_TYPE_U64},
	{.name = "ok", .type = TOCSIN_TYPE_BOOL},
};
static const struct tocsin_class cls = {.provider = "p",
					.name = "n",
					.fields = fields,
					.nr_fields = sizeof(fields) / sizeof(fields[0])};

/* fd 12, delta -5, peer "10.1.2.3", load 1.5, list {7, 8}, big 2^64 - 1, ok true */
static size_t payload_make(unsigned char *p)
{
	uint32_t fd = 12, nr = 2;
	int16_t delta = -5;
	double load = 1.5;
	uint16_t list[2] = {7, 8};
	uint64_t big = UINT64_MAX;

	memset(p, 0, 128);
	memcpy(p, &fd, 4);
	memcpy(p + 4, &delta, 2);
	memcpy(p + 6, "10.1.2.3", 9); /* to 15 */
	memcpy(p + 16, &load, 8);
	memcpy(p + 24, &nr, 4);
	memcpy(p + 28, list, 4);
	memcpy(p + 32, &big, 8);
	p[40] = 1;
	return 41;
}

static uint8_t area[CONTROL_FILTER_BYTES];
static unsigned char payload[128] __attribute__((aligned(8)));

static bool passes(const char *text)
{
	struct tocsin_diag diag = {0};
	uint16_t nr = 0;
	size_t bytes = payload_make(payload);

	memset(area, 0, sizeof(area));
	if (filter_add(area, text, "--where", &diag, &nr))
		fail_msg("'%s': %u: %s", text, diag.column, diag.text);
	return filter_passes(area, nr, &cls, payload, bytes);
}

static void test_answers(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} table[] = {
		{"fd == 12", true},
		{"fd != 12", false},
		{"fd > 11", true},
		{"fd >= 12", true},
		{"fd < 12", false},
		{"fd <= 12", true},
		{"fd == 0xc", true},
		{"fd & 4", true},
		{"fd & 3", false},
		{"fd == 12.0", true},
		{"fd > -1", true},
		{"delta == -5", true},
		{"delta < 0", true},
		{"delta > 0", false},
		{"delta < 18446744073709551615", true},
		{"delta > -9223372036854775808", true},
		{"big == 18446744073709551615", true},
		{"big > -1", true},
		{"big > 9223372036854775807", true},
		{"load == 1.5", true},
		{"load > 1", true},
		{"load < 1.25e1", true},
		{"load != 1.5", false},
		{"ok == true", true},
		{"ok == false", false},
		{"peer == \"10.1.2.3\"", true},
		{"peer != '10.1.2.3'", false},
		{"peer ~ \"10.*\"", true},
		{"peer ~ '*.?'", true},
		{"peer ~ '11*'", false},
		{"peer !~ '11*'", true},
		{"peer ~ '10\\.*'", true},
		{"peer ~ '\\*'", false},
		{"peer == 10", false}, /* not comparable: does not hold */
		{"peer != 10", false},
		{"fd == '12'", false},
		{"fd != '12'", false},
		{"list == 7", false},
		{"list", false}, /* has no value */
		{"peer", true},
		{"none", false},
		{"none == 1", false},
		{"none != 1", false},
		{"none !~ 'x'", false},
		{"!none", true},
		{"!(none == 1)", true},
		{"!!fd", true},
		{"fd > 10 && peer ~ '10.*'", true},
		{"fd > 20 && peer ~ '10.*'", false},
		{"fd > 20 || peer ~ '10.*'", true},
		{"fd > 20 || peer ~ '11.*'", false},
		{"fd > 20 && fd > 30 || fd == 12", true},
		{"fd == 12 || fd > 20 && fd > 30", true},
		{"(fd == 12 || fd > 20) && fd > 30", false},
		{"!(fd == 12 && delta == -5)", false},
		{"!(fd == 1 && delta == -5) && !(load > 2 || none)", true},
		{" ( ( fd==12 ) ) ", true},
		{"fd==12&&delta<0&&load>1&&ok==true", true},
		{"$pid >= 0", true},
		{"$none", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (passes(table[i].text) != table[i].want)
			fail_msg("'%s' should be %s", table[i].text,
				 table[i].want ? "true" : "false");
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *text;
		unsigned column;
		const char *what;
	} table[] = {
		{"", 1, "something is missing at the end"},
		{"fd >", 5, "expected a number or a text in quotes"},
		{"fd > 1 &&", 10, "something is missing at the end"},
		{"fd > 1 && && fd", 11, "expected the name of a field"},
		{"fd > 1 fd", 8, "expected && or ||"},
		{"(fd > 1", 1, "this parenthesis is not closed"},
		{"fd > 1)", 7, "this parenthesis was not opened"},
		{"5 > fd", 1, "expected the name of a field"},
		{"fd > x", 6, "expected a number or a text in quotes"},
		{"fd > 12q", 6, "this is no number"},
		{"fd > 1.2.3", 6, "this is no number"},
		{"fd > 18446744073709551616", 6, "this number does not fit 64 bits"},
		{"fd > -9223372036854775809", 6, "this number does not fit 64 bits"},
		{"peer == \"abc", 9, "this text has no end"},
		{"peer == 'abc\\'", 9, "this text has no end"},
		{"peer < 'abc'", 8, "texts have no order: use == or ~"},
		{"peer ~ 5", 8, "a pattern is a text in quotes"},
		{"fd & 1.5", 6, "bits are a whole number"},
		{"fd = 5", 4, "expected && or ||"},
		{"\xff", 1, "expected the name of a field"},
	};
	struct tocsin_diag diag;
	uint16_t nr = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(area, 0, sizeof(area));
		assert_int_equal(filter_add(area, table[i].text, "--where", &diag, &nr), -EINVAL);
		assert_int_equal(nr, 77);
		if (strcmp(diag.text, table[i].what) != 0 || diag.column != table[i].column)
			fail_msg("'%s': %u: %s", table[i].text, diag.column, diag.text);
	}
}

static void test_limits(void **state)
{
	char text[8192] = "fd";
	struct tocsin_diag diag;
	uint16_t nr;

	(void)state;
	memset(area, 0, sizeof(area));
	for (int i = 1; i < 64; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " || fd == %d", i);
	assert_int_equal(filter_add(area, text, "w", &diag, &nr), 0);
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " || fd == 64");
	assert_int_equal(filter_add(area, text, "w", &diag, &nr), -EINVAL);
	assert_string_equal(diag.text, "more than 64 tests");
	memset(text, '(', 100);
	assert_int_equal(filter_add(area, text, "w", &diag, &nr), -EINVAL);
	assert_string_equal(diag.text, "too deeply nested");
	/* Until the area, or its directory, is full. */
	memset(area, 0, sizeof(area));
	for (unsigned i = 1; i <= CONTROL_FILTERS; i++) {
		assert_int_equal(filter_add(area, "fd == 12 && peer == 'x'", "w", &diag, &nr), 0);
		assert_int_equal(nr, i);
	}
	assert_int_equal(filter_add(area, "fd", "w", &diag, &nr), -ENOSPC);
}

/* ---- against an evaluation of its own, by random expressions */

static uint64_t dice_state = 42;

static unsigned dice(unsigned n)
{
	dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice_state >> 33) % n;
}

static bool make(char *text, size_t size, unsigned depth)
{
	size_t n = strlen(text);
	unsigned kind = depth ? dice(5) : 0;
	bool a, b;

	if (kind <= 1) { /* fd is 12 */
		unsigned value = 10 + dice(5);

		(void)snprintf(text + n, size - n, "fd >= %u", value);
		return value <= 12;
	}
	(void)snprintf(text + n, size - n, kind == 2 ? "!(" : "(");
	a = make(text, size, depth - 1);
	n = strlen(text);
	if (kind == 2) {
		(void)snprintf(text + n, size - n, ")");
		return !a;
	}
	(void)snprintf(text + n, size - n, kind == 3 ? " && " : " || ");
	b = make(text, size, depth - 1);
	n = strlen(text);
	(void)snprintf(text + n, size - n, ")");
	return kind == 3 ? a && b : a || b;
}

static void test_random(void **state)
{
	char text[4096];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		bool want;

		text[0] = 0;
		want = make(text, sizeof(text), 5);
		if (passes(text) != want)
			fail_msg("'%s' should be %d", text, want);
	}
}

/* Broken programs, broken payloads: an answer, and nothing read outside. (The payload is at the end
 * of an allocation, for the sanitizers.) */
static void test_scribbled(void **state)
{
	static uint8_t good[CONTROL_FILTER_BYTES];
	struct tocsin_diag diag;
	uint16_t nr;

	(void)state;
	assert_int_equal(
		filter_add(good, "fd > 10 && peer ~ '10.*' || !(load > 1 && $comm == 'x') && list",
			   "w", &diag, &nr),
		0);
	for (int i = 0; i < 200000; i++) {
		size_t bytes = dice(64);
		unsigned char *p = malloc(bytes + 1);

		assert_non_null(p);
		memcpy(area, good, 0xa00);
		for (unsigned k = dice(6); k > 0; k--)
			area[dice(3) ? FILTER_FIRST_AT + dice(0x120) : 8 + dice(8)] =
				(uint8_t)dice(256);
		(void)payload_make(payload);
		memcpy(p, payload, bytes);
		if (bytes && dice(2))
			p[dice((unsigned)bytes)] = (uint8_t)dice(256);
		(void)filter_passes(area, (unsigned)dice(4), &cls, p, bytes);
		free(p);
	}
}

static void test_texts_random(void **state)
{
	static const char letters[] = "fd peer()!&|<>=~\"'\\0123456789.xe-+$_\xc3\n";
	char text[64];
	struct tocsin_diag diag;
	uint16_t nr;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		unsigned n = dice(sizeof(text) - 1);

		for (unsigned k = 0; k < n; k++)
			text[k] = letters[dice(sizeof(letters) - 1)];
		text[n] = 0;
		memset(area, 0, 0x1000);
		if (filter_add(area, text, "w", &diag, &nr) == 0)
			(void)filter_passes(area, nr, &cls, payload, payload_make(payload));
		else
			assert_true(diag.column >= 1 && diag.column <= n + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),   cmocka_unit_test(test_errors),
		cmocka_unit_test(test_limits),    cmocka_unit_test(test_random),
		cmocka_unit_test(test_scribbled), cmocka_unit_test(test_texts_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
