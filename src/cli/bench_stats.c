// SPDX-License-Identifier: MIT
/* Rounds and samples become figures. */
#include "bench_stats.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void bench_sort(double *v, size_t nr)
{
	if (nr)
		qsort(v, nr, sizeof(*v), by_value);
}

double bench_percentile(const double *sorted, size_t nr, double share)
{
	size_t rank;

	if (!nr)
		return 0;
	if (!(share > 0))
		return sorted[0];
	if (share >= 1)
		return sorted[nr - 1];
	/* Rounded up, but 0.99 * 200 is 198 although its product is a little more. */
	rank = (size_t)(share * (double)nr + 1 - 1e-9);
	return sorted[rank > nr ? nr - 1 : rank ? rank - 1 : 0];
}

double bench_undisturbed(double *slice, size_t nr)
{
	bench_sort(slice, nr);
	return bench_percentile(slice, nr, 0.10);
}

double bench_median(const double *sorted, size_t nr)
{
	if (!nr)
		return 0;
	return (sorted[(nr - 1) / 2] + sorted[nr / 2]) / 2;
}

/* Between the values on both sides of that place, in proportion. */
static double quantile(const double *sorted, size_t nr, double share)
{
	double place = share * (double)(nr - 1);
	size_t below = (size_t)place;

	if (below + 1 >= nr)
		return sorted[nr - 1];
	return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

double bench_spread(const double *sorted, size_t nr)
{
	double median = bench_median(sorted, nr);

	if (nr < 2 || !(median > 0))
		return 0;
	return (quantile(sorted, nr, 0.75) - quantile(sorted, nr, 0.25)) / median;
}
