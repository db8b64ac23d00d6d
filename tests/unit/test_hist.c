// SPDX-License-Identifier: MIT
/* base/hist: percentiles against sorted values, and the buckets of abi/hist.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/hist.h"
#include "base/hist.h"

static uint64_t buckets[TOCSIN_HIST_BUCKETS];

static int clear(void **state)
{
	(void)state;
	memset(buckets, 0, sizeof(buckets));
	return 0;
}

static void every_value_is_in_its_bucket(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		unsigned long long v, low;
		unsigned b;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		v = (seed >> 2) >> (20 + seed % 42);
		b = tocsin_hist_bucket(v);
		low = tocsin_hist_low(b);
		assert_true(b < TOCSIN_HIST_BUCKETS);
		assert_in_range(v, low, low + tocsin_hist_width(b) - 1);
	}
	for (unsigned b = 1; b < TOCSIN_HIST_BUCKETS; b++)
		assert_int_equal(tocsin_hist_low(b),
				 tocsin_hist_low(b - 1) + tocsin_hist_width(b - 1));
	assert_int_equal(tocsin_hist_bucket(UINT64_MAX), TOCSIN_HIST_BUCKETS - 1);
}

static void empty_is_zero(void **state)
{
	(void)state;
	assert_int_equal(hist_percentile(buckets, 0.5), 0);
	assert_int_equal(hist_percentile(buckets, 1.0), 0);
}

static void ranks_are_exact(void **state)
{
	(void)state;
	for (unsigned v = 1; v <= 100; v++)
		buckets[tocsin_hist_bucket(v)]++;
	for (unsigned p = 1; p <= 100; p++)
		assert_int_equal(hist_percentile(buckets, p / 100.0), p);
	assert_int_equal(hist_percentile(buckets, 0.0), 1);
	assert_int_equal(hist_percentile(buckets, 0.001), 1);
	assert_int_equal(hist_percentile(buckets, 0.991), 100);
	assert_int_equal(hist_percentile(buckets, -1.0), 1);
	assert_int_equal(hist_percentile(buckets, 7.0), 100);
	assert_int_equal(hist_percentile(buckets, __builtin_nan("")), 1);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void error_is_below_one_percent(void **state)
{
	static const unsigned permille[] = {1, 10, 100, 500, 900, 990, 999, 1000};
	enum { NR = 50000 };
	uint64_t *values = malloc(NR * sizeof(*values));
	uint64_t seed = 11;

	(void)state;
	assert_non_null(values);
	for (size_t i = 0; i < NR; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		values[i] = 100 + (seed >> 3) % (UINT64_C(1) << (10 + seed % 30));
		buckets[tocsin_hist_bucket(values[i])]++;
	}
	qsort(values, NR, sizeof(*values), by_value);
	for (size_t i = 0; i < sizeof(permille) / sizeof(permille[0]); i++) {
		uint64_t wanted = values[permille[i] * NR / 1000 - 1];
		uint64_t got = hist_percentile(buckets, permille[i] / 1000.0);
		uint64_t off = got > wanted ? got - wanted : wanted - got;

		if (off * 100 > wanted)
			fail_msg("%u: %llu, not %llu", permille[i], (unsigned long long)got,
				 (unsigned long long)wanted);
	}
	free(values);
}

static void huge_counts_do_not_overflow(void **state)
{
	(void)state;
	buckets[10] = UINT64_MAX / 2;
	buckets[20] = UINT64_MAX / 2;
	assert_int_equal(hist_percentile(buckets, 0.25), 10);
	assert_int_equal(hist_percentile(buckets, 0.75), 20);
	assert_int_equal(hist_percentile(buckets, 0.9999999999999999), 20);
	assert_int_equal(hist_percentile(buckets, 1.0), 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_is_in_its_bucket),
		cmocka_unit_test_setup(empty_is_zero, clear),
		cmocka_unit_test_setup(ranks_are_exact, clear),
		cmocka_unit_test_setup(error_is_below_one_percent, clear),
		cmocka_unit_test_setup(huge_counts_do_not_overflow, clear),
	};

	return cmocka_run_group_tests_name("hist", tests, NULL, NULL);
}
