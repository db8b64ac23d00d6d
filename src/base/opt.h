/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_OPT_H
#define TOCSIN_BASE_OPT_H

/*
 * Option tables: one entry an option, from which come parsing, --help, the manual's OPTIONS and completion.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum opt_kind {
	OPT_END,
	OPT_GROUP,    /* help: a title */
	OPT_FLAG,     /* bool *: --name sets, --no-name clears */
	OPT_STRING,   /* const char **, lent from argv */
	OPT_STRINGS,  /* struct opt_strings *: may be given again */
	OPT_U64,      /* uint64_t *, plain number */
	OPT_DURATION, /* uint64_t *, ns, unit required */
	OPT_SIZE,     /* uint64_t *, bytes, K M G */
};

struct opt_strings {
	const char **item; /* lent from argv; the array is owned: free() it */
	size_t nr;
};

struct opt {
	enum opt_kind kind;
	char letter;          /* 0: none */
	const char *name;     /* long name, whole words; for OPT_GROUP the title */
	const char *metavar;  /* upper case; NULL for flags */
	const char *help;     /* one sentence, no full stop */
	const char *detail;   /* paragraph for the manual, may be NULL */
	void *value;
	uint64_t min, max;    /* inclusive, for numbers; both 0: any */
};

struct opt_command {
	const char *name;     /* "watch" */
	const char *usage;    /* what follows "tocsin watch " in the synopsis */
	const char *summary;  /* one line */
	const char *const *examples; /* NULL-terminated, at least two */
	const struct opt *options;
};

/**
 * opt_parse() - read options up to the first operand that the command takes, "--", or the end.
 * @cmd:  the command, lent
 * @argc: words, argv[0] is the command's name
 * @argv: lent; reordered so that the operands come last, those behind "--" untouched
 * @ret_operands:     index of the first operand
 * @ret_after_dashes: index of the first word behind "--", or argc when there is none
 * @err:  the sentence on failure
 *
 * Unique abbreviations of long names are accepted; an unknown one names the nearest.
 *
 * Return: 0, 1 when --help was asked for (the caller prints it with opt_help()), -EINVAL.
 */
int opt_parse(const struct opt_command *cmd, int argc, char **argv, int *ret_operands,
	      int *ret_after_dashes, struct tocsin_err *err);

/** opt_help() - the help text, under 80 columns, to standard output. Return: 0, or -EIO. */
int opt_help(const struct opt_command *cmd);

#endif
