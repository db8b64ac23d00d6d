/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_MONITOR_MODELS_H
#define TOCSIN_CLI_MONITOR_MODELS_H

/* Models as the command line names them, and what is done with what they say. */

#include "../automata/model.h"
#include "../automata/shipped.h"
#include "../base/opt.h"
#include "../report/violated.h"

/* What the command line asks for. */
struct monitor_wanted {
	/* models */
	bool is_strict;
	uint64_t jiffy_ns;
	struct opt_strings param;
	/* check */
	bool is_table;
	const char *compile; /* file */
	const char *svg;
	/* replay and run */
	struct opt_strings bind;
	const char *after;
	bool has_coverage, follow;
	uint64_t max_instances, rate, count;
	/* run */
	struct opt_strings pid;
	bool all, force, fail_on_violation, has_stacks;
	uint64_t duration_ns;
	const char *signal;
	/* output */
	const char *format;
	bool is_json;
};

extern struct monitor_wanted monitor_wanted;
extern const struct opt_command cmd_monitor_usage;

struct monitor_said {
	unsigned nr_warnings;
};

/** monitor_jiffy_ns() - the scheduler's tick here, or what --jiffy says. */
uint64_t monitor_jiffy_ns(void);

/** monitor_model_get() - a file, or the name of a shipped model. Return: -1 and the model, to be
 * given to model_free(), or the exit status, which was said. */
int monitor_model_get(const char *name, struct monitor_said *said, struct model **ret);

/** monitor_model_shipped() - the same of a shipped one, whatever files there are. */
int monitor_model_shipped(const struct shipped_model *shipped, struct monitor_said *said,
			  struct model **ret);

/* Several of them. */
struct monitor_models {
	struct model **item; /* owned, as each of them */
	size_t nr;
};

/** monitor_models_get() - models of other names each, with their parameters. Return: as above. */
int monitor_models_get(char **name, size_t nr, struct monitor_models *ret);
void monitor_models_done(struct monitor_models *models);

/** monitor_policy() - what --after says. Return: -1, or the exit status. */
int monitor_policy(enum automaton_policy *ret);

/** monitor_format() - is what --format says known? Return: as above. */
int monitor_format(void);

/** monitor_say() - a violation as --json and --format ask for it. */
void monitor_say(struct out *o, const struct violated *v);

/** monitor_sum() - the same of a monitor's counts. */
void monitor_sum(struct out *o, const struct monitor_summary *s);

/** monitor_binds_unused() - say that a binding was for none of the models. Return: as above. */
int monitor_binds_unused(const struct monitor_models *models, const bool *used);

/** monitor_replay(), monitor_run() - the commands. Return: the exit status. */
int monitor_replay(char **words, size_t nr, char **command);

/** @command: what stands behind `--`, NULL: nothing. */
int monitor_run_command(char **words, size_t nr, char **command);

#endif
