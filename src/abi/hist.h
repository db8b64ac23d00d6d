/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_HIST_H
#define TOCSIN_ABI_HIST_H

/*
 * Latency histogram, log-linear as HdrHistogram: values below 2^6 have a bucket each; above, every
 * power of two is cut into 2^6 equal buckets. A bucket [lo, lo + w) is reported as its middle, so
 * the error is below w / 2 / lo <= 2^-7 = 0.8 %. Values are nanoseconds; those of 2^42 ns (73 min)
 * and more go to the last bucket.
 *
 * This header is compiled into the kernel half too: no includes, no library.
 */

#define TOCSIN_HIST_SUB_BITS 6
#define TOCSIN_HIST_SUB      (1u << TOCSIN_HIST_SUB_BITS)
#define TOCSIN_HIST_MAX_BITS 42
#define TOCSIN_HIST_BUCKETS  ((TOCSIN_HIST_MAX_BITS - TOCSIN_HIST_SUB_BITS + 1) * TOCSIN_HIST_SUB)

/* Index of the highest set bit of v, v != 0. Branch-free halving: BPF has no count-leading-zeros
 * instruction. */
static inline __attribute__((always_inline)) unsigned tocsin_hist_log2(unsigned long long v)
{
	unsigned r, s;

	r = (unsigned)(v > 0xffffffffull) << 5;
	v >>= r;
	s = (unsigned)(v > 0xffff) << 4;
	v >>= s;
	r |= s;
	s = (unsigned)(v > 0xff) << 3;
	v >>= s;
	r |= s;
	s = (unsigned)(v > 0xf) << 2;
	v >>= s;
	r |= s;
	s = (unsigned)(v > 0x3) << 1;
	v >>= s;
	r |= s;
	r |= (unsigned)(v >> 1);
	return r;
}

/* Bucket of a value; always < TOCSIN_HIST_BUCKETS. */
static inline __attribute__((always_inline)) unsigned tocsin_hist_bucket(unsigned long long ns)
{
	unsigned e, b;

	if (ns < TOCSIN_HIST_SUB)
		return (unsigned)ns;
	if (ns >> TOCSIN_HIST_MAX_BITS)
		return TOCSIN_HIST_BUCKETS - 1;
	e = tocsin_hist_log2(ns) - TOCSIN_HIST_SUB_BITS;
	b = (e + 1) * TOCSIN_HIST_SUB + ((unsigned)(ns >> e) - TOCSIN_HIST_SUB);
	return b < TOCSIN_HIST_BUCKETS ? b : TOCSIN_HIST_BUCKETS - 1;
}

/* Smallest value of a bucket, and how many values it holds. */
static inline unsigned long long tocsin_hist_low(unsigned bucket)
{
	unsigned e;

	if (bucket < 2 * TOCSIN_HIST_SUB)
		return bucket;
	e = bucket / TOCSIN_HIST_SUB - 1;
	return (unsigned long long)(TOCSIN_HIST_SUB + bucket % TOCSIN_HIST_SUB) << e;
}

static inline unsigned long long tocsin_hist_width(unsigned bucket)
{
	return bucket < 2 * TOCSIN_HIST_SUB ? 1 : 1ull << (bucket / TOCSIN_HIST_SUB - 1);
}

#endif
