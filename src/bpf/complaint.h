/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_COMPLAINT_H
#define TOCSIN_BPF_COMPLAINT_H

/* What libbpf complains about, kept instead of printed: it has the kernel's own words. */

#include <stdarg.h>

#include <bpf/libbpf.h>

/** complaint_keep() - a libbpf_print_fn_t: remembers the last warning of this thread. */
int complaint_keep(enum libbpf_print_level level, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

/** complaint_last() - "" when there was none since complaint_clear(); lent. */
const char *complaint_last(void);
void complaint_clear(void);

#endif
