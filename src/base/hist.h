/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_HIST_H
#define TOCSIN_BASE_HIST_H

#include <stdint.h>

/**
 * hist_percentile() - the value below which a share of the recorded values lies.
 * @buckets: TOCSIN_HIST_BUCKETS counts (abi/hist.h), lent
 * @share:   0.0 to 1.0
 *
 * Return: the middle of the bucket that holds that value, in the histogram's unit (ns); 0 for an
 * empty histogram. Thread-safe: yes. Signal-safe: yes.
 */
uint64_t hist_percentile(const uint64_t *buckets, double share);

/** hist_count() - how many values were recorded. Thread-safe: yes. Signal-safe: yes. */
uint64_t hist_count(const uint64_t *buckets);

/** hist_mean() - their mean, each taken as the middle of its bucket; 0 for an empty histogram. */
uint64_t hist_mean(const uint64_t *buckets);

#endif
