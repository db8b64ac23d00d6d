/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_NAMED_H
#define TOCSIN_UNWIND_NAMED_H

/* A stack with names, for people and for traces: what is left once process and files have gone. */

#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#include "../abi/stack.h"

struct named_frame {
	const char *function; /* as people write it; "": not known */
	const char *file;     /* of the source; "": not known */
	unsigned line;        /* 0: not known */
	bool is_inlined;      /* into the frame that follows, which has the same address */
	const char *module;   /* path, as the process names it; "": no file */
	const char *build_id; /* of the module, lower-case hex; "": none */
	bool is_replaced;     /* the module's path has another file by now, or none */
	uint64_t vaddr;       /* in the module as linked, or the address itself without one */
};

struct named_stack {
	unsigned nr;
	enum stack_reason why; /* STACK_COMPLETE: to the outermost frame; else why it ends there, or
				  with nr 0 why there is none */
	struct named_frame frame[];
};

/** stack_reason_name() - as in JSON and traces: "no_table". Lent for ever. */
const char *stack_reason_name(enum stack_reason why);

/** stack_reason_text() - for people. Lent for ever. */
const char *stack_reason_text(enum stack_reason why);

#endif
