/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_KERNEL_WISH_H
#define TOCSIN_COLLECTOR_KERNEL_WISH_H

/* Which kernel events are wanted. */

#include "../bpf/record.h"
#include "kernel_class.h"

struct kernel_wish {
	bool event[KERNEL_EVENT_NR];
	struct record_kernel_tracepoint *tracepoint; /* owned, with its names */
	uint32_t nr_tracepoints;
	struct control_class **class; /* owned: of all events of the groups, then of tracepoints */
	uint32_t nr_classes;
	uint32_t nr_left_out; /* fields that found no room */
	bool is_any;
};

/**
 * kernel_wish_add() - what `-k LIST` asks for.
 * @list: groups of abi/kernel_events.def, GROUP:EVENT, or tracepoint:CATEGORY:NAME, with * and ? in
 *        both, separated by commas; may be added to a wish again
 * @err:  what is not known, and the nearest names
 *
 * Return: 0, or -ENOENT no such group or tracepoint, -EINVAL malformed, -E2BIG too many
 * tracepoints, -ENODEV no tracefs, -EACCES it may not be read, -ENOMEM.
 * Thread-safe: per object. Signal-safe: no.
 */
int kernel_wish_add(struct kernel_wish *wish, const char *list, struct tocsin_err *err);
void kernel_wish_done(struct kernel_wish *wish);

#endif
