/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_ATTACH_AROUND_H
#define TOCSIN_COLLECTOR_ATTACH_AROUND_H

/* What lies round a function in the processes that run it: whether a return probe on it could kill
 * one. */

#include "../elf/bind.h"
#include "attach_files.h"

/**
 * attach_around() - what the files that are mapped with @f may do to a return address in it.
 * @elf: @f, open
 * @ret: filled on success
 *
 * Of processes that run, what they have mapped; of those to come, what their program is linked
 * with, however far down. A library's return probe may hit any program: where more processes may
 * come, nothing is known of them.
 *
 * Return: 0, or -ENOMEM.
 */
int attach_around(const struct attach_targets *targets, struct elf_file *elf, const struct file *f,
		  struct bind_around *ret);

#endif
