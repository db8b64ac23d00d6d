/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_RECORD_ARGS_H
#define TOCSIN_CLI_RECORD_ARGS_H

/* Which events, with what, into which rings: options that record and its flight recorder share. */

#include "../collector/record.h"
#include "../collector/record_chunk.h"
#include "cli.h"

struct record_args {
	struct opt_strings enable, disable;
	const char *level, *contexts, *mode, *where;
	uint64_t ring_bytes, block_ns;
	void *filters;           /* owned */
	struct record_wish wish; /* what they come to */
};

#define RECORD_ARGS_OPTIONS(a)                                                                                      \
	{.kind = OPT_GROUP, .name = "Events"},                                                                      \
		{OPT_STRINGS,                                                                                       \
		 'e',                                                                                               \
		 "enable",                                                                                          \
		 "GLOB",                                                                                            \
		 "record events whose provider:name matches; may be given again",                                   \
		 "* is any text, ? any character; a GLOB without a colon is a provider.",                           \
		 &(a).enable,                                                                                       \
		 0,                                                                                                 \
		 0,                                                                                                 \
		 "*"},                                                                                              \
		{OPT_STRINGS, 'x',          "disable", "GLOB", "but not those that match this",                     \
		 NULL,        &(a).disable, 0,         0,      NULL},                                               \
		{OPT_STRING,                                                                                        \
		 'l',                                                                                               \
		 "level",                                                                                           \
		 "LEVEL",                                                                                           \
		 "only events at least as important as this",                                                       \
		 "emerg, alert, crit, error, warning, notice, info, debug or trace.",                               \
		 &(a).level,                                                                                        \
		 0,                                                                                                 \
		 0,                                                                                                 \
		 "trace"},                                                                                          \
		{OPT_STRING,                                                                                        \
		 'c',                                                                                               \
		 "context",                                                                                         \
		 "LIST",                                                                                            \
		 "add to every event: tid, pid, comm, cpu, cookie, perf0, perf1",                                   \
		 NULL,                                                                                              \
		 &(a).contexts,                                                                                     \
		 0,                                                                                                 \
		 0,                                                                                                 \
		 NULL},                                                                                             \
		{.kind = OPT_GROUP, .name = "Rings"},                                                               \
		{OPT_SIZE,                                                                                          \
		 0,                                                                                                 \
		 "ring-size",                                                                                       \
		 "SIZE",                                                                                            \
		 "bytes of each ring, a power of two from 64K to 1G",                                               \
		 NULL,                                                                                              \
		 &(a).ring_bytes,                                                                                   \
		 64 << 10,                                                                                          \
		 1 << 30,                                                                                           \
		 "4M"},                                                                                             \
		{OPT_STRING,                                                                                        \
		 'm',                                                                                               \
		 "mode",                                                                                            \
		 "MODE",                                                                                            \
		 "of full rings: discard, overwrite or block",                                                      \
		 "discard counts the new event as lost; overwrite loses the oldest; block waits, at most --block.", \
		 &(a).mode,                                                                                         \
		 0,                                                                                                 \
		 0,                                                                                                 \
		 "discard"},                                                                                        \
	{                                                                                                           \
		OPT_DURATION, 0, "block", "TIME", "longest wait for room of one event", NULL,                       \
			&(a).block_ns, 1000, 1000000000, "10ms"                                                     \
	}

/** record_args_read() - make a wish of them. Return: -1 to go on, or the exit status. */
int record_args_read(struct record_args *a, const struct opt_command *cmd, bool is_inherited);
void record_args_done(struct record_args *a);

/** record_recover_run() - `tocsin record --recover DIR`. Return: the exit status. */
int record_recover_run(const char *dir);

#endif
