/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_STATS_H
#define TOCSIN_CLI_BENCH_STATS_H

/* Rounds and samples become figures. */

#include <stddef.h>

#define BENCH_ROUNDS_MAX 101

/** bench_sort() - into rising order, in place. Thread-safe: per object. Signal-safe: no. */
void bench_sort(double *v, size_t nr);

/**
 * bench_percentile() - the smallest value that a share of all values does not exceed.
 * @sorted: rising, lent
 * @share:  0.0 to 1.0; taken to the nearer end outside of that
 *
 * Return: one of the values, 0 of none. Thread-safe: yes. Signal-safe: yes.
 */
double bench_percentile(const double *sorted, size_t nr, double share);

/**
 * bench_undisturbed() - what something takes when nothing comes in between.
 * @slice: what short stretches of it took, turn by turn; sorted here
 *
 * Interrupts and other programs' turns on the CPU only ever add, and mostly to a minority of the
 * slices: so this is a low percentile, which is steadier than the least.
 */
double bench_undisturbed(double *slice, size_t nr);

/** bench_median() - the middle one, or the mean of the two in the middle; 0 of none. @sorted:
 * rising. */
double bench_median(const double *sorted, size_t nr);

/**
 * bench_spread() - how noisy: the width of the middle half of the values over their median.
 * @sorted: rising, lent
 *
 * Return: a share; 0 for less than two values or a median of 0.
 */
double bench_spread(const double *sorted, size_t nr);

#endif
