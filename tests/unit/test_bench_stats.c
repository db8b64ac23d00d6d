// SPDX-License-Identifier: MIT
/* cli/bench_stats and cli/bench_judge: figures from known samples, judgements from known faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/bench_judge.h"
#include "cli/bench_stats.h"

/* --- stats --- */

static void percentiles_are_nearest_ranks(void **state)
{
	double v[200];

	(void)state;
	for (int i = 0; i < 200; i++)
		v[i] = i + 1;
	assert_float_equal(bench_percentile(v, 200, 0.50), 100, 0);
	assert_float_equal(bench_percentile(v, 200, 0.99), 198, 0);
	assert_float_equal(bench_percentile(v, 200, 0.991), 199, 0);
	assert_float_equal(bench_percentile(v, 200, 0.005), 1, 0);
	assert_float_equal(bench_percentile(v, 200, 0.0051), 2, 0);
	assert_float_equal(bench_percentile(v, 200, 0), 1, 0);
	assert_float_equal(bench_percentile(v, 200, -1), 1, 0);
	assert_float_equal(bench_percentile(v, 200, 1), 200, 0);
	assert_float_equal(bench_percentile(v, 200, 7), 200, 0);
	assert_float_equal(bench_percentile(v, 200, __builtin_nan("")), 1, 0);
	for (unsigned p = 1; p <= 100; p++)
		assert_float_equal(bench_percentile(v, 100, p / 100.0), p, 0);
	assert_float_equal(bench_percentile(v, 1, 0.5), 1, 0);
	assert_float_equal(bench_percentile(v, 0, 0.5), 0, 0);
}

static void medians_lie_in_the_middle(void **state)
{
	double odd[] = {1, 2, 40}, even[] = {1, 2, 4, 100};

	(void)state;
	assert_float_equal(bench_median(odd, 3), 2, 0);
	assert_float_equal(bench_median(even, 4), 3, 0);
	assert_float_equal(bench_median(even, 1), 1, 0);
	assert_float_equal(bench_median(even, 0), 0, 0);
}

static void sorting_sorts(void **state)
{
	double v[] = {3, -1, 2, 2, 0.5};
	const double want[] = {-1, 0.5, 2, 2, 3};

	(void)state;
	bench_sort(v, 5);
	for (int i = 0; i < 5; i++)
		assert_float_equal(v[i], want[i], 0);
	bench_sort(v, 0);
}

static void spread_is_the_middle_half(void **state)
{
	double v[] = {1, 90, 100, 110, 5000}, same[] = {7, 7, 7}, zero[] = {0, 0, 0, 5};
	double even[] = {10, 20, 30, 40};

	(void)state;
	assert_float_equal(bench_spread(v, 5), 0.2, 1e-12); /* the ends do not count */
	assert_float_equal(bench_spread(same, 3), 0, 0);
	assert_float_equal(bench_spread(zero, 4), 0, 0);
	assert_float_equal(bench_spread(v, 1), 0, 0);
	assert_float_equal(bench_spread(v, 0), 0, 0);
	assert_float_equal(bench_spread(even, 4), (32.5 - 17.5) / 25, 1e-12);
}

static void disturbed_slices_do_not_count(void **state)
{
	double v[100];

	(void)state;
	for (int i = 0; i < 100; i++)
		v[i] = i % 3 ? 900 + i : 100 + i * 0.01;
	assert_true(bench_undisturbed(v, 100) < 102);
	assert_true(bench_undisturbed(v, 100) > 100);
	assert_float_equal(bench_undisturbed(v, 0), 0, 0);
}

/* --- the judge --- */

#define BUDGET 1000000ull
#define NR     3

static struct bench_section section[NR];
static struct bench_record record[16];
static size_t nr_records;
static double late[NR];
static struct bench_judgement j;

/* Three sections, each half past its budget, 10 ms apart; nothing said about them. */
static int scene(void **state)
{
	(void)state;
	nr_records = 0;
	memset(record, 0, sizeof(record));
	for (unsigned i = 0; i < NR; i++) {
		uint64_t at = 10000000ull * (i + 1);

		section[i] = (struct bench_section){.before = at,
						    .after = at + 400,
						    .stop_before = at + BUDGET * 3 / 2,
						    .stop_after = at + BUDGET * 3 / 2 + 300};
	}
	return 0;
}

static void say_fired(unsigned i, uint64_t late_ns, enum tocsin_state state)
{
	uint64_t start = section[i].before + 200;

	record[nr_records++] = (struct bench_record){.type = EV_FIRED,
						     .state = state,
						     .start_ns = start,
						     .deadline_ns = start + BUDGET,
						     .end_ns = start + BUDGET + late_ns,
						     .t_ns = start + BUDGET + late_ns};
}

static void say_closed(unsigned i, uint64_t elapsed_ns)
{
	uint64_t start = section[i].before + 200;

	record[nr_records++] = (struct bench_record){.type = EV_CLOSED,
						     .start_ns = start,
						     .deadline_ns = start + BUDGET,
						     .end_ns = start + elapsed_ns,
						     .t_ns = start + elapsed_ns + 900};
}

static void say_all_well(void)
{
	for (unsigned i = NR; i-- > 0;) { /* in any order */
		say_closed(i, BUDGET * 3 / 2);
		say_fired(i, 1000ull * (i + 1), TS_RUNNING);
	}
}

static size_t judge(void)
{
	const struct bench_story story = {section, NR, BUDGET, TS_RUNNING};

	return bench_judge(&story, record, nr_records, late, &j);
}

static void assert_only(unsigned fired, unsigned missed, unsigned is_false, unsigned duplicate,
			unsigned unclosed)
{
	assert_int_equal(j.fired, fired);
	assert_int_equal(j.missed, missed);
	assert_int_equal(j.is_false, is_false);
	assert_int_equal(j.duplicate, duplicate);
	assert_int_equal(j.unclosed, unclosed);
}

static void all_well(void **state)
{
	(void)state;
	say_all_well();
	assert_int_equal(judge(), NR);
	assert_only(NR, 0, 0, 0, 0);
	assert_int_equal(j.wrong + j.disturbed, 0);
	for (unsigned i = 0; i < NR; i++)
		assert_float_equal(late[i], (float)(1000 * (i + 1)), 0);
}

static void silence_is_missed_and_unclosed(void **state)
{
	(void)state;
	assert_int_equal(judge(), 0);
	assert_only(0, NR, 0, 0, NR);
}

static void within_budget_nothing_need_be_said(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		section[i].stop_before = section[i].before + BUDGET / 8;
		section[i].stop_after = section[i].stop_before + 300;
	}
	assert_int_equal(judge(), 0);
	assert_only(0, 0, 0, 0, 0);
	say_fired(1, 10, TS_RUNNING);
	(void)judge();
	assert_only(1, 0, 1, 0, 0);
}

static void just_over_need_not_fire(void **state)
{
	(void)state;
	say_all_well();
	nr_records = 0;
	say_closed(0, BUDGET + BENCH_NEAR_NS - 1);
	say_closed(1, BUDGET + BENCH_NEAR_NS);
	say_closed(2, BUDGET * 3 / 2);
	say_fired(2, 50, TS_RUNNING);
	assert_int_equal(judge(), 1);
	assert_only(1, 1, 0, 0, 0);
}

static void early_is_false_and_has_no_lateness(void **state)
{
	(void)state;
	say_all_well();
	for (size_t i = 0; i < nr_records; i++)
		if (record[i].type == EV_FIRED && record[i].start_ns == section[1].before + 200)
			record[i].t_ns = record[i].deadline_ns - 1;
	assert_int_equal(judge(), NR - 1);
	assert_only(NR, 0, 1, 0, 0);
}

static void twice_is_a_duplicate(void **state)
{
	(void)state;
	say_all_well();
	say_fired(1, 7000, TS_RUNNING);
	assert_int_equal(judge(), NR);
	assert_only(NR, 0, 0, 1, 0);
	assert_float_equal(late[1], 2000, 0); /* the first one counts */
}

static void nobody_s_records_are_false(void **state)
{
	(void)state;
	say_all_well();
	for (uint64_t at = 1000; at < 100000000; at += 49000000) {
		say_fired(0, 10, TS_RUNNING);
		record[nr_records - 1].start_ns = at;
	}
	assert_int_equal(judge(), NR);
	assert_only(NR, 0, 3, 0, 0);
}

static void the_state_must_be_the_one_meant(void **state)
{
	(void)state;
	say_all_well();
	for (size_t i = 0; i < nr_records; i++)
		if (record[i].start_ns != section[2].before + 200)
			record[i].state = TS_WAITING;
	section[0].is_disturbed = true;
	assert_int_equal(judge(), 1);
	assert_only(NR, 0, 0, 0, 0);
	assert_int_equal(j.disturbed, 1);
	assert_int_equal(j.wrong, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles_are_nearest_ranks),
		cmocka_unit_test(medians_lie_in_the_middle),
		cmocka_unit_test(sorting_sorts),
		cmocka_unit_test(spread_is_the_middle_half),
		cmocka_unit_test(disturbed_slices_do_not_count),
		cmocka_unit_test_setup(all_well, scene),
		cmocka_unit_test_setup(silence_is_missed_and_unclosed, scene),
		cmocka_unit_test_setup(within_budget_nothing_need_be_said, scene),
		cmocka_unit_test_setup(just_over_need_not_fire, scene),
		cmocka_unit_test_setup(early_is_false_and_has_no_lateness, scene),
		cmocka_unit_test_setup(twice_is_a_duplicate, scene),
		cmocka_unit_test_setup(nobody_s_records_are_false, scene),
		cmocka_unit_test_setup(the_state_must_be_the_one_meant, scene),
	};

	return cmocka_run_group_tests_name("bench_stats", tests, NULL, NULL);
}
