/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_CLI_H
#define TOCSIN_CLI_CLI_H

/*
 * What the commands share. A command is one line in commands.def and one file cmd_NAME.c that
 * defines
 *
 *   const struct opt_command cmd_NAME_usage = {CLI_COMMAND(NAME), .usage = ..., .examples = ...,
 * .options = ...}; int cmd_NAME(int argc, char **argv);
 *
 * The function returns the exit status. What it leaves in stdout's buffer is written by main(),
 * which turns an error into CLI_FAILED.
 */

#include "../base/err.h"
#include "../base/opt.h"

enum cli_status {
#define X(NAME, value, text) CLI_##NAME = (value),
#include "exit_codes.def"
#undef X
};

#define X(name, group, summary)                             \
	int cmd_##name(int argc, char **argv);              \
	extern const struct opt_command cmd_##name##_usage; \
	static const char cli_summary_##name[] __attribute__((unused)) = summary;
#include "commands.def"
#undef X

/* The start of a struct opt_command's initialiser. */
#define CLI_COMMAND(command) .name = #command, .summary = cli_summary_##command

#define X(NAME, kind_, letter_, name_, metavar_, help_, detail_)                          \
	enum { cli_shared_kind_##NAME = (kind_), cli_shared_letter_##NAME = (letter_) };  \
	static const char cli_shared_name_##NAME[] __attribute__((unused)) = name_;       \
	static const char cli_shared_metavar_##NAME[] __attribute__((unused)) = metavar_; \
	static const char cli_shared_help_##NAME[] __attribute__((unused)) = help_;       \
	static const char cli_shared_detail_##NAME[] __attribute__((unused)) = detail_;
#include "shared_options.def"
#undef X

/* One entry of an option table, from shared_options.def. */
#define CLI_SHARED(NAME, value_)                                                                   \
	{                                                                                          \
		.kind = (enum opt_kind)cli_shared_kind_##NAME, .letter = cli_shared_letter_##NAME, \
		.name = cli_shared_name_##NAME,                                                    \
		.metavar = sizeof(cli_shared_metavar_##NAME) > 1 ? cli_shared_metavar_##NAME : 0,  \
		.help = cli_shared_help_##NAME, .detail = cli_shared_detail_##NAME,                \
		.value = (value_),                                                                 \
	}

/**
 * cli_parse() - opt_parse() for commands: prints the help or the error.
 *
 * Return: -1 to go on, or the exit status to return at once.
 */
int cli_parse(const struct opt_command *cmd, int argc, char **argv, int *ret_operands,
	      int *ret_after_dashes);

/** cli_usage() - print a usage error: what is wrong, and where to read more. Return: CLI_USAGE. */
int cli_usage(const struct opt_command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** cli_pipe_pair() - a pipe for each direction, closed on execution: both or none. Return: 0, or
 * -errno. */
int cli_pipe_pair(int there[2], int back[2]);

/** cli_error() - print `tocsin: ...` as one line to stderr; foreign bytes in it do no harm. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** cli_fail() - print a chain of causes as cli_error() does. Return: @status. */
int cli_fail(enum cli_status status, const struct tocsin_err *err);

/** cli_diag() - print the diagnostic of what failed with @r. Return: CLI_USAGE; of -ENOMEM,
 * CLI_FAILED. */
int cli_diag(int r, const struct tocsin_diag *diag);

/** cli_dump() - print all tables as one JSON object, for manual pages and completion. Return: the
 * exit status. */
int cli_dump(void);

#endif
