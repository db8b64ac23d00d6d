// SPDX-License-Identifier: MIT
/* The command table: help, version, and the way to the commands. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/parse.h"
#include "cli.h"

static const struct command {
	const char *name;
	const char *group;
	const char *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
#define X(name_, group_, summary_) {#name_, group_, summary_, cmd_##name_},
#include "commands.def"
#undef X
};

#define COMMANDS_NR (sizeof(commands) / sizeof(commands[0]))

/* What stands in the place of a command. */
enum { MAIN_HELP, MAIN_VERSION, MAIN_DUMP };

static const struct {
	const char *name;
	int what;
} words[] = {
	{"--help", MAIN_HELP},
	{"-h", MAIN_HELP},
	{"--version", MAIN_VERSION},
	{"--dump-cli", MAIN_DUMP},
};

#define WORDS_NR (sizeof(words) / sizeof(words[0]))

/* A command that goes first to its group; the others of the group follow it. */
static bool is_first_of_group(size_t i)
{
	for (size_t before = 0; before < i; before++)
		if (strcmp(commands[before].group, commands[i].group) == 0)
			return false;
	return true;
}

static void main_help(void)
{
	(void)fputs("Usage: tocsin COMMAND [OPTIONS] [ARGS]\n\n"
		    "Watches a running Linux service and says why a piece of work was late.\n",
		    stdout);
	for (size_t i = 0; i < COMMANDS_NR; i++) {
		if (!is_first_of_group(i))
			continue;
		(void)printf("\n%s:\n", commands[i].group);
		for (size_t k = i; k < COMMANDS_NR; k++)
			if (strcmp(commands[k].group, commands[i].group) == 0)
				(void)printf("  %-12s %s\n", commands[k].name, commands[k].summary);
	}
	(void)fputs("\nOptions:\n"
		    "  -h, --help   print this help\n"
		    "  --version    print the version\n"
		    "  --dump-cli   print commands and options as JSON, for completion\n"
		    "\nExamples:\n"
#if TOCSIN_HAS_KERNEL_HALF
		    "  tocsin watch -p 4711 'func:/usr/bin/server:handle < 10ms'\n"
#endif
		    "  tocsin check --budgets budgets.txt --json\n"
		    "  tocsin doctor\n"
		    "\nMore: 'tocsin COMMAND --help', 'man tocsin'\n",
		    stdout);
}

/* Return: the exit status of what stands in the place of a command. */
static int main_word(const char *word)
{
	char names[300];
	struct tocsin_nearest nearest;

	tocsin_nearest_init(&nearest, word);
	for (size_t i = 0; i < WORDS_NR; i++) {
		if (words[i].name[1] == '-')
			tocsin_nearest_offer(&nearest, words[i].name);
		if (strcmp(words[i].name, word) != 0)
			continue;
		if (words[i].what == MAIN_DUMP)
			return cli_dump();
		if (words[i].what == MAIN_VERSION)
			(void)printf("tocsin %s\n", TOCSIN_VERSION);
		else
			main_help();
		return CLI_OK;
	}
	(void)tocsin_nearest_text(&nearest, names, sizeof(names));
	cli_error("unknown option '%.80s'%s%s; see 'tocsin --help'", word,
		  names[0] ? ", nearest is " : "", names);
	return CLI_USAGE;
}

static int command_run(int argc, char **argv)
{
	char names[400];
	struct tocsin_nearest nearest;

	tocsin_nearest_init(&nearest, argv[0]);
	for (size_t i = 0; i < COMMANDS_NR; i++) {
		tocsin_nearest_offer(&nearest, commands[i].name);
		if (strcmp(commands[i].name, argv[0]) == 0)
			return commands[i].run(argc, argv);
	}
	(void)tocsin_nearest_text(&nearest, names, sizeof(names));
	cli_error("unknown command '%.80s'%s%s; see 'tocsin --help'", argv[0],
		  names[0] ? ", nearest is " : "", names);
	return CLI_USAGE;
}

/*
 * A program started without its standard descriptors would open files in their place and write
 * words into them. Each missing one becomes /dev/null, opened so that using it is an error.
 */
static bool descriptors_fill(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", flags) != fd)
			return false;
	}
	return true;
}

/* Output that did not get out is a failure, and a worse one than any other answer but those of
 * usage. */
static int output_finish(int status)
{
	char why[64];
	int r = 0;

	if (fflush(stdout) != 0)
		r = errno;
	else if (ferror(stdout))
		r = EIO;
	if (!r)
		return status;
	cli_error("cannot write to standard output: %s", tocsin_errno_text(r, why, sizeof(why)));
	return status == CLI_OK || status == CLI_NO ? CLI_FAILED : status;
}

int main(int argc, char **argv)
{
	int status;

	if (!descriptors_fill())
		return CLI_FAILED; /* there is nobody to tell */
	if (argc < 2) {
		cli_error("no command; see 'tocsin --help'");
		return CLI_USAGE;
	}
	status = argv[1][0] == '-' ? main_word(argv[1]) : command_run(argc - 1, argv + 1);
	return output_finish(status);
}
