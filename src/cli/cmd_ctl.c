// SPDX-License-Identifier: MIT
/* `tocsin ctl`: change the sections of a watch that runs. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../collector/ctl.h"
#include "../collector/section.h"
#include "cli.h"

static struct {
	uint64_t pid;
} wanted;

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Watch"},
	{OPT_U64, 'w', "watch", "PID", "the watch to talk to", "Needed only where several run.",
	 &wanted.pid, 1, INT_MAX, "the only one that runs"},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin ctl add 'commits: func:/usr/bin/server:commit < 20ms'",
	"tocsin ctl remove commits",
	"tocsin ctl list",
	NULL,
};

const struct opt_command cmd_ctl_usage = {
	CLI_COMMAND(ctl),
	.usage = "[--watch PID] add 'SECTION' | remove NAME|PATH:START | list",
	.examples = examples,
	.options = options,
};

/* The request of one line, checked here already: a fault in a section is shown with its caret at
 * once. */
static int request_make(int argc, char **argv, char *request, size_t len)
{
	struct section s = {0};
	struct tocsin_diag diag;
	enum section_line kind;
	int r;

	if (argc == 1 && !strcmp(argv[0], "list")) {
		(void)snprintf(request, len, "list");
		return -1;
	}
	if (argc != 2 || (strcmp(argv[0], "add") && strcmp(argv[0], "remove")))
		return cli_usage(&cmd_ctl_usage,
				 "expected add 'SECTION', remove NAME, remove PATH:START, or list");
	if (!strcmp(argv[0], "remove") && argv[1][0] == '/')
		(void)snprintf(request, len, "add -%s",
			       argv[1]); /* the language's own way to say it */
	else
		(void)snprintf(request, len, "%s %s", argv[0], argv[1]);
	if (strlen(request) >= len - 1 || strchr(request, '\n'))
		return cli_usage(&cmd_ctl_usage, "the section is not one line of at most %d bytes",
				 SECTION_LINE_MAX);
	if (strncmp(request, "add ", 4))
		return -1;
	r = section_parse(request + 4, "command line", 0, &kind, &s, &diag);
	section_done(&s);
	return r ? cli_diag(r, &diag) : -1;
}

int cmd_ctl(int argc, char **argv)
{
	char *answer TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	char request[CTL_REQUEST_MAX];
	struct tocsin_err err = {0};
	int operands, after, status, r;
	bool ok = false;

	status = cli_parse(&cmd_ctl_usage, argc, argv, &operands, &after);
	if (status < 0)
		status = request_make(argc - operands, argv + operands, request, sizeof(request));
	if (status >= 0)
		return status;
	r = ctl_ask((pid_t)wanted.pid, request, &ok, &answer, &err);
	if (r)
		return cli_fail(r == -ENOENT || r == -ENOTUNIQ ? CLI_USAGE : CLI_FAILED, &err);
	if (ok) {
		(void)fputs(answer, stdout); /* main() looks whether it got out */
		return CLI_OK;
	}
	answer[strcspn(answer, "\n")] = 0;
	cli_error("%s", answer);
	return CLI_USAGE;
}
