/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_VIOLATED_KERNEL_H
#define TOCSIN_REPORT_VIOLATED_KERNEL_H

/* Violations in the words of the kernel's runtime verification. */

#include <stdbool.h>

#include "../base/text.h"
#include "../monitor/violated.h"
#include "out.h"

/** kernel_has_id() - are the instances of such a model told apart by a number? */
bool kernel_has_id(const struct model *m);

/** kernel_env_text() - "clk=123,x=4": clocks in ns and stored variables; nothing if there are none.
 */
void kernel_env_text(struct tocsin_text *t, const struct violated *v);

/** kernel_event_text() - what the kernel's trace event says, its name included:
 * "error_wwnr: 12: event wakeup not expected in the state running". */
void kernel_event_text(struct tocsin_text *t, const struct violated *v);

/** kernel_reaction_text() - what the kernel's reactors are told:
 * "rv: monitor wwnr does not allow event wakeup on state running". */
void kernel_reaction_text(struct tocsin_text *t, const struct violated *v);

/** violated_kernel() - a line as the kernel's `trace_pipe` has it. */
void violated_kernel(struct out *o, const struct violated *v);

#endif
