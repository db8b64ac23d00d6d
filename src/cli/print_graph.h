/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_PRINT_GRAPH_H
#define TOCSIN_CLI_PRINT_GRAPH_H

/* `tocsin print --graph`: events of `tocsin record --trace functions` as the nesting of calls. */

#include "../report/out.h"
#include "../trace/trace.h"
#include "../trace/who.h"

struct graph;

/** graph_new() - @out is lent. Return: NULL: no memory. */
struct graph *graph_new(struct out *out);

/** graph_free() - accepts NULL. Return: NULL. */
struct graph *graph_free(struct graph *g);

/**
 * graph_event() - take an event; others than those of functions are passed over.
 *
 * Lines are appended to the text as calls begin and end, those of a least duration when the
 * outermost has ended. Return: 1 taken, 0 passed over, -ENOMEM, -errno of reading.
 */
int graph_event(struct graph *g, struct trace *t, struct trace_packets *packets,
		const struct trace_event *e);

/** graph_end() - append what is not over. */
void graph_end(struct graph *g);

#endif
