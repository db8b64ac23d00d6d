/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_PAGE_H
#define TOCSIN_REPORT_PAGE_H

/* The page of page/, put into the program when it is built. No terminators. */

#include <stddef.h>

extern const char page_head[], page_tail[]; /* before and behind the data */
extern const size_t page_head_len, page_tail_len;

#endif
