/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_STACK_H
#define TOCSIN_ABI_STACK_H

/* User stacks: how a request and its stack are tied together, and what is said where there is none
 * or a part only. Shared with the kernel half. */

#include <linux/types.h>

enum stack_reason {
#define X(NAME, name, text) STACK_##NAME,
#include "stack_reasons.def"
#undef X
	STACK_REASONS,
};

#endif
