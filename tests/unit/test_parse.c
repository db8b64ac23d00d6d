// SPDX-License-Identifier: MIT
/* base/parse: numbers, durations and sizes, and distances against the definition written out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"

#define UNTOUCHED UINT64_C(0x5555555555555555)

struct number {
	const char *text;
	int r;
	uint64_t value;
};

static void check_numbers(int (*parse)(const char *, uint64_t *), const struct number *cases,
			  size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		uint64_t value = UNTOUCHED;
		int r = parse(cases[i].text, &value);
		uint64_t wanted = cases[i].r ? UNTOUCHED : cases[i].value;

		if (r != cases[i].r || value != wanted)
			fail_msg("'%s': %d, %llu", cases[i].text, r, (unsigned long long)value);
	}
}

#define CHECK(parse, cases) check_numbers(parse, cases, sizeof(cases) / sizeof((cases)[0]))

static void u64_is_a_whole_number(void **state)
{
	static const struct number cases[] = {
		{"0", 0, 0},
		{"7", 0, 7},
		{"010", 0, 10},
		{"18446744073709551615", 0, UINT64_MAX},
		{"0xffffffffffffffff", 0, UINT64_MAX},
		{"0XaB", 0, 0xab},
		{"18446744073709551616", -ERANGE},
		{"0x10000000000000000", -ERANGE},
		{"99999999999999999999999999999999999999", -ERANGE},
		{"99999999999999999999999999999999999999x", -EINVAL},
		{"", -EINVAL},
		{"0x", -EINVAL},
		{"x10", -EINVAL},
		{"-1", -EINVAL},
		{"+1", -EINVAL},
		{" 1", -EINVAL},
		{"1 ", -EINVAL},
		{"1.0", -EINVAL},
		{"0xg", -EINVAL},
		{"12a", -EINVAL},
	};

	(void)state;
	CHECK(tocsin_parse_u64, cases);
}

static void duration_is_exact(void **state)
{
	static const struct number cases[] = {
		{"1ns", 0, 1},
		{"20us", 0, 20000},
		{"20\xc2\xb5s", 0, 20000},
		{"20\xce\xbcs", 0, 20000},
		{"10ms", 0, 10000000},
		{"1.5s", 0, 1500000000},
		{"0.1s", 0, 100000000},
		{"0.3ms", 0, 300000},
		{"4.35us", 0, 4350},
		{"1.1h", 0, 3960000000000},
		{"2m", 0, 120000000000},
		{"0.0000000001s", 0, 0},
		{"1.9999999999s", 0, 1999999999},
		{"0.123456789123456789123456789s", 0, 123456789},
		{"9223372036854775807ns", 0, INT64_MAX},
		{"9223372036.854775807s", 0, INT64_MAX},
		{"2562047.788015215h", 0, 9223372036854774000},
		{"9223372036854775808ns", -ERANGE},
		{"9223372036.854775808s", -ERANGE},
		{"18446744073709551616h", -ERANGE},
		{"18446744073709551615h", -ERANGE},
		{"99999999999999999999999s", -ERANGE},
		{"99999999999999999999999x", -EINVAL},
		{"", -EINVAL},
		{"10", -EINVAL},
		{"s", -EINVAL},
		{"1 s", -EINVAL},
		{"-1s", -EINVAL},
		{"+1s", -EINVAL},
		{".5s", -EINVAL},
		{"5.s", -EINVAL},
		{"1.5.5s", -EINVAL},
		{"1e3s", -EINVAL},
		{"0x10s", -EINVAL},
		{"10sec", -EINVAL},
		{"10MS", -EINVAL},
		{"10s ", -EINVAL},
		{"10\xc2s", -EINVAL},
	};

	(void)state;
	CHECK(tocsin_parse_duration, cases);
}

static void size_has_powers_of_1024(void **state)
{
	static const struct number cases[] = {
		{"0", 0, 0},
		{"4096", 0, 4096},
		{"64K", 0, 65536},
		{"8M", 0, 8388608},
		{"2G", 0, 2147483648},
		{"17179869183G", 0, UINT64_C(17179869183) << 30},
		{"17179869184G", -ERANGE},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551615K", -ERANGE},
		{"99999999999999999999K", -ERANGE},
		{"", -EINVAL},
		{"K", -EINVAL},
		{"1KB", -EINVAL},
		{"1T", -EINVAL},
		{"1.5K", -EINVAL},
		{"-1K", -EINVAL},
	};

	(void)state;
	CHECK(tocsin_parse_size, cases);
}

struct shown {
	uint64_t ns;
	const char *text;
};

static void duration_is_shown_with_three_digits(void **state)
{
	static const struct shown cases[] = {
		{0, "0 ns"},
		{840, "840 ns"},
		{999, "999 ns"},
		{1000, "1.00 us"},
		{8100000, "8.10 ms"},
		{9994999, "9.99 ms"},
		{9995000, "10.0 ms"},
		{99949999, "99.9 ms"},
		{99950000, "100 ms"},
		{999499999, "999 ms"},
		{999500000, "1.00 s"},
		{1250000000, "1.25 s"},
		{62000000000, "62.0 s"},
		{999499999999, "999 s"},
		{999500000000, "16.7 m"},
		{3596999999999, "59.9 m"},
		{3597000000000, "1.00 h"},
		{3600000000000, "1.00 h"},
		{3600000000000 * 999, "999 h"},
		{3600000000000 * 12345, "12345 h"},
		{UINT64_MAX, "5124096 h"},
	};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(tocsin_format_duration(cases[i].ns, buf, sizeof(buf)),
				    cases[i].text);
}

static void duration_is_printed_exactly(void **state)
{
	static const struct shown cases[] = {
		{0, "0ns"},
		{1, "1ns"},
		{1500, "1.5us"},
		{1001, "1.001us"},
		{10000000, "10ms"},
		{1234567, "1234.567us"},
		{1500000000, "1.5s"},
		{90000000000, "90s"},
		{120000000000, "2m"},
		{3600000000000, "1h"},
		{3600000000001, "3600000000.001us"},
	};
	uint64_t seed = 1, back;
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(tocsin_print_duration(cases[i].ns, buf, sizeof(buf)),
				    cases[i].text);
	for (int i = 0; i < 20000; i++) {
		uint64_t ns;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		ns = seed >> (1 + seed % 60);
		assert_int_equal(
			tocsin_parse_duration(tocsin_print_duration(ns, buf, sizeof(buf)), &back),
			0);
		assert_int_equal(back, ns);
	}
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* The whole matrix, as the textbooks have it. */
static unsigned distance_by_definition(const char *a, const char *b)
{
	static unsigned d[16][16];
	size_t a_len = strlen(a), b_len = strlen(b);

	for (size_t i = 0; i <= a_len; i++)
		for (size_t j = 0; j <= b_len; j++) {
			if (!i || !j) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
				       d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = min3(d[i][j], d[i - 2][j - 2] + 1, d[i][j]);
		}
	return d[a_len][b_len];
}

static void distance_is_that_of_the_definition(void **state)
{
	uint64_t seed = 7;
	char a[16], b[16];

	(void)state;
	for (int n = 0; n < 100000; n++) {
		char *words[2] = {a, b};
		unsigned limit, wanted, got;

		for (int w = 0; w < 2; w++) {
			size_t len;

			seed = seed * 6364136223846793005u + 1442695040888963407u;
			len = (seed >> 40) % 12;
			for (size_t i = 0; i < len; i++)
				words[w][i] = (char)('a' + (seed >> (2 * i)) % 3);
			words[w][len] = '\0';
		}
		limit = (unsigned)(seed >> 33) % 14;
		wanted = distance_by_definition(a, b);
		if (wanted > limit)
			wanted = limit + 1;
		got = tocsin_edit_distance(a, b, limit);
		if (got != wanted)
			fail_msg("'%s' '%s' limit %u: %u, not %u", a, b, limit, got, wanted);
	}
	assert_int_equal(tocsin_edit_distance("recieve", "receive", 3), 1);
	assert_int_equal(tocsin_edit_distance("ca", "abc", 5), 3);
	assert_int_equal(tocsin_edit_distance("", "", 0), 0);
}

static void distance_of_long_texts(void **state)
{
	char *a = malloc(100001), *b = malloc(100001);

	(void)state;
	assert_true(a && b);
	memset(a, 'x', 100000);
	memset(b, 'x', 100000);
	a[100000] = b[100000] = '\0';
	b[50000] = 'y';
	memmove(b + 1, b, 99998);
	b[0] = 'z';
	assert_int_equal(tocsin_edit_distance(a, b, TOCSIN_EDIT_LIMIT_MAX), 2);
	b[10] = '\0';
	assert_int_equal(tocsin_edit_distance(a, b, 31), 32);
	free(a);
	free(b);
}

static const char *nearest_of(const char *wanted, const char *const *names, char *buf, size_t len)
{
	struct tocsin_nearest n;

	tocsin_nearest_init(&n, wanted);
	for (; *names; names++)
		tocsin_nearest_offer(&n, *names);
	return tocsin_nearest_text(&n, buf, len);
}

static void nearest_names(void **state)
{
	static const char *const names[] = {"query__start", "query__done", "query__start",
					    "query__stop",  "read",        "raed",
					    "write",        "query_star",  NULL};
	char buf[200], small[12], huge[200] = "";

	(void)state;
	assert_string_equal(nearest_of("query_start", names, buf, sizeof(buf)),
			    "'query__start' or 'query_star'");
	assert_string_equal(nearest_of("raed", names, buf, sizeof(buf)), "'raed' or 'read'");
	assert_string_equal(nearest_of("quer", names, buf, sizeof(buf)),
			    "'query__start', 'query__done' or 'query__stop'");
	assert_string_equal(nearest_of("unlike_any", names, buf, sizeof(buf)), "");
	assert_string_equal(nearest_of("", names, buf, sizeof(buf)), "");
	assert_int_equal(strlen(nearest_of("query__start", names, small, sizeof(small))), 11);
	memset(huge, 'a', sizeof(huge) - 1);
	assert_string_equal(nearest_of(huge, (const char *const[]){huge, NULL}, buf, sizeof(buf)),
			    "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(u64_is_a_whole_number),
		cmocka_unit_test(duration_is_exact),
		cmocka_unit_test(size_has_powers_of_1024),
		cmocka_unit_test(duration_is_shown_with_three_digits),
		cmocka_unit_test(duration_is_printed_exactly),
		cmocka_unit_test(distance_is_that_of_the_definition),
		cmocka_unit_test(distance_of_long_texts),
		cmocka_unit_test(nearest_names),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
