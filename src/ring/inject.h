/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_INJECT_H
#define TOCSIN_RING_INJECT_H

/*
 * Numbered places where test builds wait for a while, so that what happens once in a million runs
 * happens all the time. They share tocsin_rseq_delay[] with the sections:
 *
 *	1 to 5    the fast section: ring known, clock read, header written, in the copy, before the
 *	          commit
 *	6 to 8    the exact section: ring and head verified, in the copy, before the commit
 *	9         the section that counts a loss
 *	10        slow path: head read, clock not yet
 *	11        slow path: record committed, epoch and limit not yet
 *	12        slow path: a new group announced, not yet begun
 *	13        side ring: head read, clock not yet
 *	14        side ring: reserved, nothing written
 *	15        side ring: written, not yet said so
 *	16        side ring: the oldest record read, not yet dropped
 *	17        reader: copied, not yet checked
 *	18        reader: stepped over, tail not yet moved
 *	19        reader: group chosen, not yet copied
 */

#include "tocsin/rseq.h"

#ifdef TOCSIN_RSEQ_WITH_INJECT
#	define RING_POINT(n)                                                          \
		do {                                                                   \
			for (int32_t left_ = tocsin_rseq_delay[n]; left_ > 0; left_--) \
				TOCSIN_CPU_RELAX();                                    \
		} while (0)
#else
#	define RING_POINT(n) ((void)0)
#endif

#endif
