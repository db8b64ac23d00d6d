/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_RV_MODELS_H
#define TOCSIN_CLI_RV_MODELS_H

/* The shipped models in the shape of the kernel's monitors. */

#include "../collector/rv.h"

/**
 * rv_models_read() - those that this kernel has the events for, or may have; containers with what
 * is in them behind them.
 * @ret: to be given to rv_monitors_done(), also on failure
 *
 * Return: -1, or the exit status, which was said.
 */
int rv_models_read(struct rv_monitors *ret);

#endif
