/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_KERNEL_FORMAT_H
#define TOCSIN_COLLECTOR_KERNEL_FORMAT_H

/* What a tracepoint's format in tracefs comes to: typed fields, and the plan by which the kernel
 * half copies them. */

#include <stdio.h>

#include "../base/err.h"
#include "kernel_class.h"

/**
 * kernel_format_read() - read the format of a tracepoint.
 * @id:        of its class
 * @ret_class: its description, free() it
 * @ret_plan:  all but the id of the records
 * @err:       causes
 *
 * Fields that find no room (more than CTF_FIELDS_MAX, or than a record takes) are left out, from
 * the first one on; @ret_left_out says how many.
 *
 * Return: 0, or -ENOENT, -ENODEV no tracefs, -EACCES, -EBADMSG it makes no sense, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no.
 */
int kernel_format_read(const char *category, const char *name, uint32_t id,
		       struct control_class **ret_class, struct kernel_plan *ret_plan,
		       unsigned *ret_left_out, struct tocsin_err *err);

/** kernel_format_parse() - the same of an open file: for tests. */
int kernel_format_parse(FILE *f, const char *category, const char *name, uint32_t id,
			struct control_class **ret_class, struct kernel_plan *ret_plan,
			unsigned *ret_left_out);

#endif
