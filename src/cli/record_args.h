/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_RECORD_ARGS_H
#define TOCSIN_CLI_RECORD_ARGS_H

/* Which events, with what, into which rings. */

#include "../collector/kernel_wish.h"
#include "../collector/record.h"
#include "../collector/record_chunk.h"
#include "cli.h"

struct record_args {
	struct opt_strings enable, disable;
	struct opt_strings kernel;
	bool with_self;
	const char *level, *contexts, *mode, *where;
	uint64_t ring_bytes, block_ns;
	void *filters;           /* owned */
	struct record_wish wish; /* what they come to */
	struct kernel_wish kernel_wish;
	struct record_kernel_options kernel_options; /* all but is_all */
};

/** record_args_read() - make a wish of them. Return: -1 to go on, or the exit status. */
int record_args_read(struct record_args *a, const struct opt_command *cmd, bool is_inherited);
void record_args_done(struct record_args *a);

/** record_recover_run() - `tocsin record --recover DIR`. Return: the exit status. */
int record_recover_run(const char *dir);

#endif
