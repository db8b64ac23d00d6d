/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_RV_H
#define TOCSIN_CLI_RV_H

/* What the parts of `tocsin rv` share. */

#include "../base/opt.h"
#include "../collector/rv.h"
#include "../report/out.h"

struct rv_wanted {
	bool is_models;
	const char *tracefs;
	const char *reactor;
	bool is_self, is_trace, is_verbose;
	struct opt_strings pid, bind, param;
};

extern struct rv_wanted rv_wanted;
extern const struct opt_command cmd_rv_usage;

/* A line of --trace: an event, or where @next is NULL an error. */
struct rv_line {
	const char *comm; /* foreign, as all text here; "": not known */
	long long pid;
	unsigned cpu;
	const char *type;
	bool has_id;
	unsigned long long id;
	const char *state, *event, *next;
	bool is_final;
	const char *env; /* of an error; NULL or "": none */
};

void rv_header_print(struct out *o, bool has_id);

/** rv_line_print() - @with_id: the header has that column. */
void rv_line_print(struct out *o, const struct rv_line *line, bool with_id);

/**
 * rv_signals() - SIGINT and SIGTERM to a descriptor, to be closed; SIGPIPE ignored.
 *
 * Return: it, or -errno.
 */
int rv_signals(void);

/** rv_reactor_fail() - say that there is no such reactor, and which there are. Return: the status.
 */
int rv_reactor_fail(const char *available);

/** rv_mon_models() - run a shipped model, or those of a container. Return: the exit status. */
int rv_mon_models(const struct rv_monitors *all, const struct rv_monitor *m);

#endif
