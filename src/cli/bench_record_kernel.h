/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_RECORD_KERNEL_H
#define TOCSIN_CLI_BENCH_RECORD_KERNEL_H

/* What kernel events cost, for `tocsin bench record`. */

#include "bench_run.h"

/** bench_record_kernel() - measure, into @run; a note where it cannot be done. @dir: of the traces,
 * which go again. Return: 0, or -errno. */
int bench_record_kernel(struct bench_run *run, const char *dir, struct tocsin_err *err);

/** bench_dir_remove() - a trace and its directory. */
void bench_dir_remove(const char *path);

#endif
