/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_WATCH_OUTPUT_H
#define TOCSIN_CLI_WATCH_OUTPUT_H

/* From the records of a watch to what people and programs read: explained, summed up, handed to
 * every sink. */

#include "../collector/watch.h"
#include "../report/exec.h"

struct output_options {
	bool is_json; /* JSON lines on standard output, else text */
	bool is_verbose;
	bool is_top;
	const char *json_file; /* JSON lines there as well, NULL: none */
	const char *trace_dir; /* CTF, NULL: none */
	const char *command;   /* a violation each, NULL: none */
};

struct output;

/** output_open() - make the sinks. Return: 0, or -errno. */
int output_open(const struct output_options *opts, struct output **ret, struct tocsin_err *err);

/** output_close() - Return: NULL. */
struct output *output_close(struct output *o);

/** output_limit() - after so many violations nothing more is put out; 0: no limit. */
void output_limit(struct output *o, uint64_t nr_violations);

/** output_armed() - the watch stands. Return: 0, or a sink's error. */
int output_armed(struct output *o, struct watch *w);

/* Handlers of struct watch_handlers; arg is the struct output. */
int output_section(void *arg, const struct watch_record *record);
int output_process(void *arg, const struct watch_event_process *event);

/** output_tick() - what is to be done now and then, once a second or oftener. Return: 0, or a
 * sink's error. */
int output_tick(struct output *o, struct watch *w);

/** output_finish() - the summary, to every sink. Return: 0, or a sink's error. */
int output_finish(struct output *o, struct watch *w);

/** output_nr_violations() - sections that ended over budget or were abandoned over it, so far. */
uint64_t output_nr_violations(const struct output *o);

/** output_nr_fired() - deadlines that passed. */
uint64_t output_nr_fired(const struct output *o);

/** output_has_strict_loss() - after output_finish(): was anything lost that --strict minds? */
bool output_has_strict_loss(const struct output *o);

#endif
