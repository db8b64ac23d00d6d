/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_OPT_H
#define TOCSIN_BASE_OPT_H

/*
 * Option tables: one entry an option, from which come parsing, --help, the manual's OPTIONS and
 * completion.
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
	char letter;         /* 0: none */
	const char *name;    /* long name, whole words; for OPT_GROUP the title */
	const char *metavar; /* upper case; NULL for flags */
	const char *help;    /* one sentence, no full stop */
	const char *detail;  /* paragraph for the manual, may be NULL */
	void *value;
	uint64_t min, max;    /* inclusive, for numbers; both 0: any */
	const char *standard; /* what holds without the option, for help and manual; may be NULL */
};

struct opt_command {
	const char *name;            /* "watch" */
	const char *usage;           /* what follows "tocsin watch " in the synopsis */
	const char *summary;         /* one line */
	const char *const *examples; /* whole lines of <= 77 bytes, NULL-terminated, at least two */
	const struct opt *options;   /* ends with OPT_END */
};

/**
 * opt_parse() - read the options of a command line, wherever they stand before "--".
 * @cmd:  the command, lent
 * @argc: words, argv[0] is the command's name
 * @argv: lent; reordered into name, options, "--" if given, operands, the words behind "--"
 * @ret_operands:     index of the first operand
 * @ret_after_dashes: index behind the last operand: the first word behind "--", or argc when there
 *                    is none
 * @err:  the sentence on failure, which ends in where to read more
 *
 * `--name VALUE`, `--name=VALUE`, `-nVALUE`, `-n VALUE`; letters of flags may be clustered. Unique
 * abbreviations of long names are accepted; an unknown one names the nearest. "-" is an operand.
 *
 * Return: 0, 1 when --help was asked for (the caller prints it with opt_help()), -EINVAL, -ENOMEM.
 * Thread-safe: per object. Signal-safe: no.
 */
int opt_parse(const struct opt_command *cmd, int argc, char **argv, int *ret_operands,
	      int *ret_after_dashes, struct tocsin_err *err);

/**
 * opt_fail() - add a usage error of a command's own finding, in the form that opt_parse() uses.
 *
 * Return: -EINVAL.
 */
int opt_fail(const struct opt_command *cmd, struct tocsin_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** opt_strings_done() - free the array. @s may be NULL. */
void opt_strings_done(struct opt_strings *s);

/** opt_help() - the help text, under 80 columns, to standard output. Return: 0, or -EIO. */
int opt_help(const struct opt_command *cmd);

#endif
