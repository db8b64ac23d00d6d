/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_FAST_H
#define TOCSIN_RING_FAST_H

/* The section that writes a whole record, one file an architecture. Only ring.h includes this. */

#if defined(__x86_64__)
#	include "fast_x86_64.h"
#elif defined(__aarch64__)
#	include "fast_aarch64.h"
#endif

#endif
