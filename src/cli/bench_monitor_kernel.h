/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_MONITOR_KERNEL_H
#define TOCSIN_CLI_BENCH_MONITOR_KERNEL_H

#include "bench_run.h"

/** bench_monitor_kernel() - a round of what monitors in the kernel half cost; a note where that
 * cannot be measured. Return: 0, -errno. */
int bench_monitor_kernel(struct bench_run *run, struct tocsin_err *err);

#endif
