// SPDX-License-Identifier: MIT
/* The counter against CLOCK_MONOTONIC, on clocks of the test's making: an hour takes no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "collector/timebase.h"

#define FREQ 2500000000.0

/* A machine whose CLOCK_MONOTONIC turns as a test wants it. */
struct machine {
	double s;                /* true seconds since the start */
	double ns;               /* of its CLOCK_MONOTONIC */
	double (*ppm)(double s); /* how much too fast it runs then */
	unsigned noise_ns;
	unsigned seed;
	uint64_t tick0, ns0;
	bool is_noisy;
};

static void machine_go(struct machine *m, double dt)
{
	/* The rate in the middle: exact for rates that are linear or change at the edges. */
	m->ns += dt * 1e9 * (1 + m->ppm(m->s + dt / 2) * 1e-6);
	m->s += dt;
}

static int machine_read(void *arg, struct timebase_point *ret)
{
	struct machine *m = arg;
	double noise = 0;

	if (m->is_noisy)
		return -EAGAIN;
	if (m->noise_ns) {
		m->seed = m->seed * 1103515245 + 12345;
		noise = (double)(m->seed >> 16 & 0x7fff) / 32767 * 2 * m->noise_ns - m->noise_ns;
	}
	ret->tick = m->tick0 + (uint64_t)(m->s * FREQ);
	ret->ns = m->ns0 + (uint64_t)llround(m->ns + noise);
	ret->error_ns = m->noise_ns;
	machine_go(m, 0.01); /* timebase_open() sleeps between its two points */
	return 0;
}

/* What a reader makes of a tick: double arithmetic with the metadata's numbers. */
static double reader_ns(const struct timebase *tb, uint64_t tick, int64_t realtime)
{
	uint64_t end, ticks;
	int64_t s;
	const struct timebase_line *line = &tb->line[timebase_line_at(tb, tick, &end)];

	timebase_line_offset(line, realtime, &s, &ticks);
	/* In two parts, as Babeltrace does. */
	return (double)(s - realtime / 1000000000) * 1e9 - (double)(realtime % 1000000000) +
	       (double)ticks * 1e9 / (double)line->freq_hz +
	       (double)tick / (double)line->freq_hz * 1e9;
}

static double steady(double s)
{
	(void)s;
	return 12;
}

static double ntp(double s) /* wanders by some ppm, corrected every 64 s */
{
	return 20 + 3 * sin(floor(s / 64) * 1.7);
}

static double slew(double s) /* somebody steers the clock for a minute */
{
	return s > 600 && s < 660 ? 30 : 0;
}

static double hot(double s) /* a clock that keeps turning */
{
	return s / 60;
}

/*
 * An hour of drains. Every 10 ms a record between two points is converted with the line that it
 * gets when it is drained, and again at the end with the final metadata.
 */
static void hour(double (*ppm)(double), unsigned noise_ns, unsigned *ret_lines,
		 unsigned *ret_redrawn)
{
	struct machine m = {.ppm = ppm,
			    .noise_ns = noise_ns,
			    .seed = 1,
			    .tick0 = 77000000000000,
			    .ns0 = 30800000000000};
	enum { SAMPLES = 45000 };
	uint64_t *tick = calloc(SAMPLES, sizeof(*tick));
	double *ns = calloc(SAMPLES, sizeof(*ns)), worst = 0;
	const int64_t realtime = 1700000000123456789;
	struct timebase tb;
	unsigned redrawn = 0, nr = 0;

	assert_int_equal(timebase_open(&tb, machine_read, &m), 0);
	while (nr < SAMPLES) {
		double error;
		int r;

		machine_go(&m, 0.02 + (nr % 7) * 0.01);
		tick[nr] = m.tick0 + (uint64_t)(m.s * FREQ);
		ns[nr] = (double)m.ns0 + m.ns;
		machine_go(&m, 0.02);
		r = timebase_measure(&tb);
		assert_true(r >= 0);
		redrawn += r == TIMEBASE_REDRAWN;
		error = fabs(reader_ns(&tb, tick[nr], realtime) - ns[nr]);
		if (error > worst)
			worst = error;
		assert_true(fabs((double)timebase_line_ns(&tb.line[tb.nr_lines - 1], tick[nr]) -
				 ns[nr]) < 1000);
		nr++;
	}
	assert_true(m.s > 3200);
	for (unsigned i = 0; i < nr; i++) {
		double error = fabs(reader_ns(&tb, tick[i], realtime) - ns[i]);

		if (error > worst)
			worst = error;
	}
	print_message("# worst %.0f ns, %u lines, %u redrawn\n", worst, tb.nr_lines, redrawn);
	assert_true(worst < 1000);
	*ret_lines = tb.nr_lines;
	*ret_redrawn = redrawn;
	timebase_done(&tb);
	free(tick);
	free(ns);
}

static void test_steady(void **state)
{
	unsigned lines, redrawn;

	(void)state;
	hour(steady, 0, &lines, &redrawn);
	assert_in_range(lines, 1, 8); /* whole Hz end a line after 20 minutes at the earliest */
	hour(steady, 80, &lines, &redrawn);
	assert_in_range(lines, 1, 8);
	assert_in_range(redrawn, 1, 60);
}

static void test_ntp(void **state)
{
	unsigned lines, redrawn;

	(void)state;
	hour(ntp, 50, &lines, &redrawn);
	assert_in_range(lines, 40, 120); /* one for each of the 56 turns, about */
}

static void test_slew(void **state)
{
	unsigned lines, redrawn;

	(void)state;
	/* The turn itself lies between two points, up to 100 ms apart, and no line bends there:
	 * a record is off by up to turn x distance / 4, here 0.75 us. */
	hour(slew, 50, &lines, &redrawn);
	assert_in_range(lines, 3, 20);
}

static void test_hot(void **state)
{
	unsigned lines, redrawn;

	(void)state;
	hour(hot, 50, &lines, &redrawn);
	assert_in_range(lines, 60, 2000);
}

static void test_noisy(void **state)
{
	struct machine m = {.ppm = steady, .tick0 = 1, .ns0 = 1};
	struct timebase tb;

	(void)state;
	m.is_noisy = true;
	assert_int_equal(timebase_open(&tb, machine_read, &m), -EAGAIN);
	m.is_noisy = false;
	assert_int_equal(timebase_open(&tb, machine_read, &m), 0);
	m.is_noisy = true;
	assert_int_equal(timebase_measure(&tb), TIMEBASE_SAME);
	assert_int_equal(tb.nr_noisy, 1);
	timebase_done(&tb);
	timebase_done(&tb); /* again: nothing */
}

/* A line that was begun starts where the one before was last right. */
static void test_seams(void **state)
{
	struct machine m = {.ppm = slew, .tick0 = 5, .ns0 = 6};
	struct timebase tb;

	(void)state;
	assert_int_equal(timebase_open(&tb, machine_read, &m), 0);
	while (m.s < 700) {
		machine_go(&m, 0.1);
		assert_true(timebase_measure(&tb) >= 0);
	}
	assert_true(tb.nr_lines > 1);
	for (unsigned i = 1; i < tb.nr_lines; i++) {
		const struct timebase_line *line = &tb.line[i];
		uint64_t old = timebase_line_ns(&tb.line[i - 1], line->origin.tick), end;
		int64_t gap = (int64_t)(old - line->origin.ns);

		assert_true(llabs(gap) <= TIMEBASE_TOLERANCE_NS + 2);
		assert_int_equal(timebase_line_at(&tb, line->origin.tick, &end), i);
		assert_int_equal(timebase_line_at(&tb, line->origin.tick - 1, &end), i - 1);
		assert_true(end == line->origin.tick);
	}
	timebase_done(&tb);
}

static void test_machine(void **state)
{
	struct timebase tb;
	struct timebase_point p;
	int r = timebase_open(&tb, timebase_read_counter, NULL);

	(void)state;
	if (r == -ENODEV ||
	    r == -EAGAIN) /* no counter, or no quiet moment: says so, does no harm */
		return;
	assert_int_equal(r, 0);
	for (int i = 0; i < 20; i++) {
		struct timespec t = {.tv_nsec = 2000000};

		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
		assert_true(timebase_measure(&tb) >= 0);
	}
	if (timebase_read_counter(NULL, &p) == 0) {
		int64_t error =
			(int64_t)(timebase_line_ns(&tb.line[tb.nr_lines - 1], p.tick) - p.ns);

		assert_true(llabs(error) < 1000);
	}
	timebase_done(&tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steady),  cmocka_unit_test(test_ntp),
		cmocka_unit_test(test_slew),    cmocka_unit_test(test_hot),
		cmocka_unit_test(test_noisy),   cmocka_unit_test(test_seams),
		cmocka_unit_test(test_machine),
	};

	return cmocka_run_group_tests_name("timebase", tests, NULL, NULL);
}
