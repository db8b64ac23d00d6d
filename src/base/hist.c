// SPDX-License-Identifier: MIT
/* Percentiles of the log-linear histogram that abi/hist.h lays out. */
#include "hist.h"

#include "../abi/hist.h"

static uint64_t bucket_middle(unsigned b)
{
	return tocsin_hist_low(b) + tocsin_hist_width(b) / 2;
}

uint64_t hist_percentile(const uint64_t *buckets, double share)
{
	uint64_t total = 0, seen = 0, rank = 1;
	unsigned last = 0;

	for (unsigned b = 0; b < TOCSIN_HIST_BUCKETS; b++) {
		total += buckets[b];
		if (buckets[b])
			last = b;
	}
	if (!total)
		return 0;
	if (share >= 1.0) {
		rank = total;
	} else if (share > 0.0) { /* false for NaN, which asks for the smallest */
		/* The rank is ceil(share * total); 0.07 * 100 is a little over 7 and means 7. */
		double exact = share * (double)total * (1.0 - 1e-12);

		rank = (uint64_t)exact;
		if ((double)rank < exact)
			rank++;
	}
	for (unsigned b = 0; b < last; b++) {
		seen += buckets[b];
		if (seen >= rank)
			return bucket_middle(b);
	}
	return bucket_middle(last);
}

uint64_t hist_count(const uint64_t *buckets)
{
	uint64_t total = 0;

	for (unsigned b = 0; b < TOCSIN_HIST_BUCKETS; b++)
		total += buckets[b];
	return total;
}

uint64_t hist_mean(const uint64_t *buckets)
{
	uint64_t total = hist_count(buckets);
	double sum = 0;

	for (unsigned b = 0; b < TOCSIN_HIST_BUCKETS; b++)
		sum += (double)buckets[b] * (double)bucket_middle(b);
	return total ? (uint64_t)(sum / (double)total) : 0;
}
