// SPDX-License-Identifier: MIT
/*
 * The CPU's counter runs at a fixed rate; CLOCK_MONOTONIC is made from it by the kernel, at a rate
 * that time keeping turns a little, some parts in a billion a minute on a calm machine, up to 500
 * parts in a million when somebody slews the clock. A trace has one rate and one offset a clock. So
 * the relation is cut into straight lines.
 *
 * A line begins at a measured point, its origin. Each later point (t, n) says which slopes still
 * bring the line within the tolerance of it:
 *
 *	(n - tolerance - n0) / (t - t0) <= slope <= (n + tolerance - n0) / (t - t0)
 *
 * and the slopes allowed by all points so far are the intersection, an interval that narrows (the
 * "swing filter" of data compression; Elmeleegy and others, 2009, describe it). While it holds a
 * rate of whole Hz, one of these is the line's: the one that was published for as long as it is
 * inside, so that metadata is rewritten seldom (a factor of about six in the length of the baseline
 * lies between two rewritings). When it holds none, the line has ended at the point before: from
 * there to this point a new one begins, and nothing that was given to the old line has to move,
 * since all of it is older than the point before.
 *
 * Between two points nothing is known: where the rate turns by r in a gap of d, a record may be off
 * by r * d / 4 besides (10 ppm, 100 ms: 0.25 us).
 *
 * A point is measured by reading the counter on both sides of clock_gettime(). The shortest of some
 * tries counts, and half its length is its error.
 */
#include "timebase.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "../base/clock.h"

#define TRIES     12
#define NOISY_NS  (TIMEBASE_TOLERANCE_NS / 2) /* a point that may be off by more is no use */
#define OPEN_LAST 20                          /* tries for each of the first two points */

uint64_t timebase_counter(void)
{
#if defined(__x86_64__)
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("isb; mrs %0, cntvct_el0; isb" : "=r"(ticks) : : "memory");
	return ticks;
#else
	return 0;
#endif
}

int timebase_read_counter(void *unused, struct timebase_point *ret)
{
	uint64_t best = UINT64_MAX, before_ns = 0, after_ns = 0, first, last;
	struct timebase_point p = {0};

	(void)unused;
	first = timebase_counter();
	before_ns = clock_now_ns();
	for (int i = 0; i < TRIES; i++) {
		uint64_t t0 = timebase_counter(), ns = clock_now_ns(), t1 = timebase_counter();

		if (t1 - t0 < best) {
			best = t1 - t0;
			p.tick = t0 + best / 2;
			p.ns = ns;
		}
	}
	after_ns = clock_now_ns();
	last = timebase_counter();
	if (last == first)
		return -ENODEV;
	/* A rate good enough for the length of the bracket. */
	p.error_ns = (uint64_t)((double)best * (double)(after_ns - before_ns) /
				(double)(last - first) / 2) +
		     1;
	if (p.error_ns > NOISY_NS)
		return -EAGAIN;
	*ret = p;
	return 0;
}

static int line_begin(struct timebase *tb, struct timebase_point origin)
{
	struct timebase_line *lines =
		realloc(tb->line, (tb->nr_lines + 1) * sizeof(*lines)); /* at most one a drain */

	if (!lines)
		return -ENOMEM;
	tb->line = lines;
	lines[tb->nr_lines++] = (struct timebase_line){.origin = origin};
	tb->slope_min = 0;
	tb->slope_max = HUGE_VAL;
	return 0;
}

/* Narrow the slopes by a point. Return: false when none is left, and nothing has changed. */
static bool slopes_narrow(struct timebase *tb, const struct timebase_point *p)
{
	const struct timebase_point *o = &tb->line[tb->nr_lines - 1].origin;
	double dt = (double)(p->tick - o->tick), dn = (double)(int64_t)(p->ns - o->ns);
	double min = fmax(tb->slope_min, (dn - TIMEBASE_TOLERANCE_NS) / dt);
	double max = fmin(tb->slope_max, (dn + TIMEBASE_TOLERANCE_NS) / dt);

	/* Whole Hz: freq = 10^9 / slope. */
	if (!(max > 0) || min > max || floor(1e9 / fmax(min, 1e-9)) < ceil(1e9 / max))
		return false;
	tb->slope_min = min;
	tb->slope_max = max;
	return true;
}

static bool is_allowed(const struct timebase *tb, double freq)
{
	return freq >= ceil(1e9 / tb->slope_max) && freq <= floor(1e9 / fmax(tb->slope_min, 1e-9));
}

/* Keep the rate if it is still allowed, else take the one nearest to the newest point. */
static int line_draw(struct timebase *tb, const struct timebase_point *p)
{
	struct timebase_line *line = &tb->line[tb->nr_lines - 1];
	double rate = (double)(p->tick - line->origin.tick) * 1e9 /
		      (double)(int64_t)(p->ns - line->origin.ns);

	if (is_allowed(tb, (double)line->freq_hz))
		return TIMEBASE_SAME;
	rate = fmax(rate, ceil(1e9 / tb->slope_max));
	rate = fmin(rate, floor(1e9 / fmax(tb->slope_min, 1e-9)));
	line->freq_hz = (uint64_t)llround(rate);
	return TIMEBASE_REDRAWN;
}

int timebase_measure(struct timebase *tb)
{
	struct timebase_point p;
	int r = tb->read(tb->arg, &p);

	if (r < 0 || p.tick <= tb->last.tick || p.ns <= tb->last.ns) {
		tb->nr_noisy++;
		return TIMEBASE_SAME;
	}
	if (slopes_narrow(tb, &p)) {
		r = line_draw(tb, &p);
		tb->last = p;
		return r;
	}
	r = line_begin(tb, tb->last);
	if (r < 0)
		return r;
	if (!slopes_narrow(tb, &p)) {
		/* A first pair of points always leaves slopes, unless the clocks are mad. */
		tb->nr_lines--;
		tb->nr_noisy++;
		return TIMEBASE_SAME;
	}
	(void)line_draw(tb, &p); /* the first of its line */
	tb->last = p;
	return TIMEBASE_BEGUN;
}

static int read_patiently(struct timebase *tb, struct timebase_point *ret)
{
	int r = -EAGAIN;

	for (int i = 0; i < OPEN_LAST && r == -EAGAIN; i++)
		r = tb->read(tb->arg, ret);
	return r;
}

int timebase_open(struct timebase *tb, timebase_read_fn read, void *arg)
{
	struct timespec t = {.tv_nsec = TIMEBASE_LEARN_NS};
	struct timebase_point p;
	int r;

	*tb = (struct timebase){.read = read, .arg = arg};
	r = read_patiently(tb, &p);
	if (r == 0)
		r = line_begin(tb, p);
	if (r < 0)
		return r;
	tb->last = p;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
	r = read_patiently(tb, &p);
	if (r == 0 && (p.tick <= tb->last.tick || p.ns <= tb->last.ns || !slopes_narrow(tb, &p)))
		r = -ENODEV;
	if (r == 0) {
		(void)line_draw(tb, &p); /* the first */
		tb->last = p;
	} else {
		timebase_done(tb);
	}
	return r;
}

void timebase_done(struct timebase *tb)
{
	free(tb->line);
	tb->line = NULL;
	tb->nr_lines = 0;
}

unsigned timebase_line_at(const struct timebase *tb, uint64_t tick, uint64_t *ret_end)
{
	unsigned i = tb->nr_lines - 1;

	while (i && tb->line[i].origin.tick > tick)
		i--;
	*ret_end = i + 1 < tb->nr_lines ? tb->line[i + 1].origin.tick : UINT64_MAX;
	return i;
}

uint64_t timebase_line_ns(const struct timebase_line *line, uint64_t tick)
{
	__int128 ticks = (__int128)tick - line->origin.tick;

	return (uint64_t)(line->origin.ns + ticks * 1000000000 / (__int128)line->freq_hz);
}

void timebase_line_offset(const struct timebase_line *line, int64_t realtime_offset_ns,
			  int64_t *ret_s, uint64_t *ret_ticks)
{
	__int128 freq = line->freq_hz;
	__int128 ns = (__int128)line->origin.ns + realtime_offset_ns;
	/* The count that 1970 would have had, negated; ns may lie before 1970. */
	__int128 total = (ns * freq + 500000000) / 1000000000 - line->origin.tick;
	__int128 s = total / freq, rest = total % freq;

	if (rest < 0) {
		rest += freq;
		s--;
	}
	*ret_s = (int64_t)s;
	*ret_ticks = (uint64_t)rest;
}
