// SPDX-License-Identifier: MIT
/* `tocsin ps`: which processes can be recorded, and what they do. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "../abi/control.h"
#include "../base/parse.h"
#include "../collector/record_look.h"
#include "../report/json_text.h"
#include "../report/out.h"
#include "cli.h"

static struct {
	struct opt_strings pid;
	bool is_json, has_events;
} wanted;

static const struct opt options[] = {
	{OPT_STRINGS, 'p', "pid", "PID", "only this process; may be given again", NULL, &wanted.pid,
	 0, 0, NULL},
	{OPT_FLAG, 'e', "events", NULL, "print the events of each process, and whether they are on",
	 NULL, &wanted.has_events, 0, 0, NULL},
	CLI_SHARED(JSON, &wanted.is_json),
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin ps",
	"tocsin ps -p 4711 --events",
	"tocsin ps --json | jq 'select(.state == \"idle\").pid'",
	NULL,
};

const struct opt_command cmd_ps_usage = {
	CLI_COMMAND(ps),
	.usage = "[-p PID] [--events]",
	.examples = examples,
	.options = options,
};

struct listing {
	struct out out;
	bool has_head;
};

static void print_json(struct out *o, const struct record_seen *s)
{
	char library[32];

	(void)snprintf(library, sizeof(library), "%u.%u.%u", s->library >> 16,
		       s->library >> 8 & 0xff, s->library & 0xff);
	json_open(o, NULL, '{');
	json_str(o, "type", "process");
	json_i64(o, "pid", s->pid);
	json_str(o, "comm", s->comm);
	json_str(o, "library", library);
	json_str(o, "state", s->state);
	json_u64(o, "owner", s->owner);
	json_u64(o, "events", s->nr_events);
	json_u64(o, "on", s->nr_on);
	json_u64(o, "rings", s->nr_rings);
	json_u64(o, "ring_bytes", s->ring_bytes);
	json_u64(o, "lost", s->lost);
	json_open(o, "lost_by_library", '{');
	for (unsigned i = 0; i < TRACEE_LOSS_NR; i++)
		if (s->library_lost[i])
			json_u64(o, record_library_losses[i].name, s->library_lost[i]);
	json_close(o, '}');
	if (wanted.has_events)
		json_open(o, "event", '[');
	for (uint32_t i = 0; wanted.has_events && i < s->nr_events; i++) {
		json_open(o, NULL, '{');
		json_str(o, "provider", s->event[i].provider);
		json_str(o, "name", s->event[i].name);
		json_u64(o, "level", s->event[i].level);
		json_bool(o, "on", s->event[i].is_on);
		json_close(o, '}');
	}
	if (wanted.has_events)
		json_close(o, ']');
	json_close(o, '}');
	out_add(o, "\n");
}

static void print_padded(struct out *o, const char *text, size_t columns)
{
	size_t start = o->len, have;

	out_add_clean(o, text);
	have = out_columns(o, start);
	if (have < columns)
		out_add(o, "%*s", (int)(columns - have), "");
}

static int print_process(void *arg, const struct record_seen *s)
{
	struct listing *l = arg;
	char text[48];

	if (wanted.is_json) {
		print_json(&l->out, s);
		return 0;
	}
	if (!l->has_head)
		out_add(&l->out, "%7s  %-15s  %-9s  %-18s  %-9s  %s\n", "PID", "NAME", "LIBTOCSIN",
			"STATE", "EVENTS ON", "LOST");
	l->has_head = true;
	out_add(&l->out, "%7d  ", (int)s->pid);
	print_padded(&l->out, s->comm, 15);
	(void)snprintf(text, sizeof(text), "%u.%u.%u", s->library >> 16, s->library >> 8 & 0xff,
		       s->library & 0xff);
	out_add(&l->out, "  %-9s", text);
	if (s->owner)
		(void)snprintf(text, sizeof(text), "%s by %u", s->state, s->owner);
	else
		(void)snprintf(text, sizeof(text), "%s", s->state);
	out_add(&l->out, "  %-18s", text);
	(void)snprintf(text, sizeof(text), "%u of %u", s->nr_on, s->nr_events);
	out_add(&l->out, "  %-9s  %llu\n", text, (unsigned long long)s->lost);
	for (unsigned i = 0; i < TRACEE_LOSS_NR; i++)
		if (s->library_lost[i])
			out_add(&l->out, "         lost %llu: %s\n",
				(unsigned long long)s->library_lost[i],
				record_library_losses[i].sentence);
	for (uint32_t i = 0; wanted.has_events && i < s->nr_events; i++) {
		out_add(&l->out, "         %s ", s->event[i].is_on ? "on " : "off");
		out_add_clean(&l->out, s->event[i].provider);
		out_add(&l->out, ":");
		out_add_clean(&l->out, s->event[i].name);
		out_add(&l->out, "\n");
	}
	return 0;
}

static int look_at(struct listing *l, pid_t pid, struct discover_blind *blind)
{
	struct tocsin_err err = {0};
	char why[64];
	int r = record_look(pid, print_process, l, blind, &err);

	if (r > 0 || (r == 0 && !pid))
		return -1;
	if (r == 0)
		tocsin_err_add(&err, "process %d has no libtocsin", (int)pid);
	else if (!err.nr_causes)
		tocsin_err_add(&err, "cannot look at processes: %s",
			       tocsin_errno_text(r, why, sizeof(why)));
	return cli_fail(CLI_USAGE, &err);
}

int cmd_ps(int argc, char **argv)
{
	struct discover_blind blind = {0};
	struct listing l = {0};
	int operands, after, status, r;
	char why[256];

	status = cli_parse(&cmd_ps_usage, argc, argv, &operands, &after);
	if (status < 0 && operands < argc)
		status = cli_usage(&cmd_ps_usage, "unexpected '%s'", argv[operands]);
	if (status >= 0)
		return status;
	out_init(&l.out, STDOUT_FILENO);
	for (size_t i = 0; i < wanted.pid.nr && status < 0; i++) {
		uint64_t pid;

		if (tocsin_parse_u64(wanted.pid.item[i], &pid) || !pid || pid > INT_MAX)
			status = cli_usage(&cmd_ps_usage, "'%s' is no process id",
					   wanted.pid.item[i]);
		else
			status = look_at(&l, (pid_t)pid, &blind);
	}
	if (!wanted.pid.nr)
		status = look_at(&l, 0, &blind);
	r = out_write(&l.out);
	out_done(&l.out);
	if (status < 0 && r)
		status = CLI_FAILED;
	if (status < 0 && blind.nr_refused)
		cli_error("%u processes have another version of libtocsin: %s", blind.nr_refused,
			  tocsin_err_text(&blind.why, why, sizeof(why)));
	if (status < 0 && blind.nr_denied)
		(void)fprintf(stderr, "%u process%s could not be looked into\n", blind.nr_denied,
			      blind.nr_denied == 1 ? "" : "es");
	opt_strings_done(&wanted.pid);
	return status < 0 ? CLI_OK : status;
}
