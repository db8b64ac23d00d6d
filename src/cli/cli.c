// SPDX-License-Identifier: MIT
/* Words to people: usage errors, failures, diagnostics. All go to stderr and none can do harm to a
 * terminal. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/text.h"

/* A long chain of causes, each cleaned. */
#define ERROR_LEN (TOCSIN_ERR_CAUSES * TOCSIN_ERR_CAUSE_LEN + 64)

static void error_print(const char *text)
{
	char clean[ERROR_LEN];
	struct tocsin_text t;

	tocsin_text_init(&t, clean, sizeof(clean));
	tocsin_text_add_clean(&t, text, strlen(text));
	(void)fprintf(stderr, "tocsin: %s\n", clean); /* there is nowhere else to say it */
}

void cli_error(const char *fmt, ...)
{
	char text[ERROR_LEN];
	struct tocsin_text t;
	va_list ap;

	tocsin_text_init(&t, text, sizeof(text));
	va_start(ap, fmt);
	tocsin_text_addv(&t, fmt, ap);
	va_end(ap);
	error_print(text);
}

int cli_fail(enum cli_status status, const struct tocsin_err *err)
{
	char text[ERROR_LEN];

	error_print(tocsin_err_text(err, text, sizeof(text)));
	return (int)status;
}

int cli_usage(const struct opt_command *cmd, const char *fmt, ...)
{
	struct tocsin_err err = {0};
	char text[TOCSIN_ERR_CAUSE_LEN];
	struct tocsin_text t;
	va_list ap;

	tocsin_text_init(&t, text, sizeof(text));
	va_start(ap, fmt);
	tocsin_text_addv(&t, fmt, ap);
	va_end(ap);
	(void)opt_fail(cmd, &err, "%s", text); /* adds where to read more */
	return cli_fail(CLI_USAGE, &err);
}

int cli_parse(const struct opt_command *cmd, int argc, char **argv, int *ret_operands,
	      int *ret_after_dashes)
{
	struct tocsin_err err = {0};
	int r;

	r = opt_parse(cmd, argc, argv, ret_operands, ret_after_dashes, &err);
	if (r < 0)
		return cli_fail(CLI_USAGE, &err);
	if (r == 0)
		return -1;
	(void)opt_help(cmd); /* main() looks at stdout itself */
	return CLI_OK;
}

int cli_diag(int r, const struct tocsin_diag *diag)
{
	char text[4 * sizeof(*diag)];

	(void)fputs(tocsin_diag_text(diag, text, sizeof(text)), stderr);
	return r == -ENOMEM ? CLI_FAILED : CLI_USAGE;
}

int cli_pipe_pair(int there[2], int back[2])
{
	int r;

	if (pipe2(there, O_CLOEXEC))
		return -errno;
	if (!pipe2(back, O_CLOEXEC))
		return 0;
	r = -errno;
	(void)close(there[0]);
	(void)close(there[1]);
	return r;
}
