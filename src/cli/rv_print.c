// SPDX-License-Identifier: MIT
/* The columns of the kernel's tool. */
#include "rv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include "../base/text.h"
#include "cli.h"

struct rv_wanted rv_wanted;

void rv_header_print(struct out *o, bool has_id)
{
	out_add(o, "%16s-%-8s %5s %5s ", "<TASK>", "PID", "[CPU]", "TYPE");
	if (has_id)
		out_add(o, "%8s ", "ID");
	out_add(o, "%24s x %-24s -> %-24s %s\n", "STATE", "EVENT", "NEXT_STATE", "FINAL");
	out_add(o, "%16s %-8s %5s %5s ", " | ", " | ", " | ", " | ");
	if (has_id)
		out_add(o, "%8s ", " | ");
	out_add(o, "%24s   %-24s    %-24s %s\n", " | ", " | ", " | ", "|");
}

/* Foreign text in a column; @width < 0: to the left. */
static void column_add(struct out *o, const char *text, int width)
{
	char clean[128];
	struct tocsin_text t;

	tocsin_text_init(&t, clean, sizeof(clean));
	tocsin_text_add_clean(&t, text, strlen(text));
	out_add(o, "%*s", width, clean);
}

void rv_line_print(struct out *o, const struct rv_line *line, bool with_id)
{
	column_add(o, line->comm, 16);
	out_add(o, "-%-8lld [%03u] ", line->pid, line->cpu);
	column_add(o, line->type, 0);
	out_add(o, " ");
	if (with_id && line->has_id)
		out_add(o, "%8llu ", line->id);
	else if (with_id)
		out_add(o, "%8s ", "");
	column_add(o, line->state, 24);
	out_add(o, " x ");
	column_add(o, line->event, line->next ? -24 : 0);
	if (line->next) {
		out_add(o, " -> ");
		column_add(o, line->next, -24);
		out_add(o, " %s", line->is_final ? "Y" : "N");
	} else if (line->env && line->env[0]) {
		out_add(o, " with env ");
		column_add(o, line->env, 0);
	}
	out_add(o, "\n");
}

int rv_signals(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;
	int fd;

	if (sigaction(SIGPIPE, &ignore, NULL)) /* a closed pipe is a result of writing to it */
		return -errno;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int rv_reactor_fail(const char *available)
{
	cli_error("failed to set %.60s reactor, is it available?", rv_wanted.reactor);
	cli_error("available reactors: %s", available);
	return CLI_NO;
}
