// SPDX-License-Identifier: MIT
/* `tocsin bench`: what does this cost on my machine? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "../collector/doctor.h"
#include "bench_percpu.h"
#include "bench_run.h"
#include "cli.h"

static struct {
	bool is_json, is_check;
	uint64_t rounds, budget_ns;
	const char *svg;
} wanted = {.budget_ns = 2000000};

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Measuring"},
	{OPT_U64, 'n', "rounds", "N", "measure each figure in N rounds",
	 "A figure is the median of its rounds, in which everything that is compared is measured in turn.",
	 &wanted.rounds, 1, BENCH_ROUNDS_MAX, "7 to 15"},
	{OPT_DURATION, 0, "budget", "TIME", "budget of the sections of deadline", NULL,
	 &wanted.budget_ns, 200000, 100000000, "2ms"},
	{OPT_FLAG, 0, "check", NULL, "exit with 1 if a figure is over its bar",
	 "The bars are what Tocsin promises on a machine with nothing else to do.",
	 &wanted.is_check, 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "Output"},
	CLI_SHARED(JSON, &wanted.is_json),
	{OPT_STRING, 0, "svg", "FILE", "write the figures of percpu as a picture, too",
	 "A chart for each group of figures, with a bar for each.", &wanted.svg, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"sudo tocsin bench",
	"sudo tocsin bench attach --json | jq .keys.pair_nop5_ns",
	"sudo tocsin bench deadline --budget 500us --rounds 9",
	NULL,
};

const struct opt_command cmd_bench_usage = {
	CLI_COMMAND(bench),
	.usage = "[OPTIONS] [BENCH|all]",
	.examples = examples,
	.options = options,
};

static int (*const benches[BENCH_NR])(struct bench_run *run, struct tocsin_err *err) = {
#define X(name, rounds, text) [BENCH_##name] = bench_##name,
#include "bench_list.def"
#undef X
};

static int run_print(const struct bench_run *run, bool is_first)
{
	struct out o;
	int r;

	out_init(&o, STDOUT_FILENO);
	if (!is_first && !wanted.is_json)
		out_add(&o, "\n");
	if (wanted.is_json)
		bench_report_json(&o, run);
	else
		bench_report_text(&o, run);
	r = out_write(&o);
	out_done(&o);
	return r;
}

/* Return: the exit status. */
static int bench_one(enum bench_id id, bool is_first)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) struct bench_run *run = malloc(sizeof(*run));
	struct tocsin_err err = {0};
	char why[64];
	int r;

	r = run ? bench_init(run, id) : -ENOMEM;
	if (!r) {
		run->rounds = wanted.rounds ? (unsigned)wanted.rounds : bench_rounds(id);
		run->budget_ns = wanted.budget_ns;
		if (out_style_get(STDERR_FILENO).is_terminal)
			(void)fprintf(stderr, "measuring %s, %u rounds...\n", bench_name(id),
				      run->rounds);
		r = benches[id](run, &err);
	}
	if (r) {
		if (!err.nr_causes)
			tocsin_err_add(&err, "%s", tocsin_errno_text(r, why, sizeof(why)));
		if (r == -EPERM || r == -EACCES)
			(void)doctor_explain_failure(r, &err); /* returns r */
		tocsin_err_add(&err, "cannot measure '%s'", bench_name(id));
		return cli_fail(CLI_FAILED, &err);
	}
	r = run_print(run, is_first);
	if (r) {
		cli_error("cannot write to standard output: %s",
			  tocsin_errno_text(r, why, sizeof(why)));
		return CLI_FAILED;
	}
	if (wanted.svg && id == BENCH_percpu) {
		r = bench_percpu_svg(run, wanted.svg);
		if (r) {
			cli_error("cannot write '%s': %s", wanted.svg,
				  tocsin_errno_text(r, why, sizeof(why)));
			return CLI_FAILED;
		}
	}
	return wanted.is_check && bench_is_over(run) ? CLI_NO : CLI_OK;
}

static int unknown(const char *name)
{
	struct tocsin_nearest nearest;
	char names[400];

	tocsin_nearest_init(&nearest, name);
	tocsin_nearest_offer(&nearest, "all");
	for (int id = 0; id < BENCH_NR; id++)
		tocsin_nearest_offer(&nearest, bench_name((enum bench_id)id));
	(void)tocsin_nearest_text(&nearest, names, sizeof(names));
	return cli_usage(&cmd_bench_usage, "unknown bench '%.80s'%s%s", name,
			 names[0] ? ", nearest is " : "", names);
}

int cmd_bench(int argc, char **argv)
{
	int operands, after_dashes, status, worst = CLI_OK;
	bool is_all, known;

	status = cli_parse(&cmd_bench_usage, argc, argv, &operands, &after_dashes);
	if (status >= 0)
		return status;
	if (argc - operands > 1)
		return cli_usage(&cmd_bench_usage, "one bench at a time, or 'all'");
	is_all = known = operands == argc || strcmp(argv[operands], "all") == 0;
	for (int id = 0; id < BENCH_NR && !is_all; id++)
		known |= strcmp(argv[operands], bench_name((enum bench_id)id)) == 0;
	if (!known)
		return unknown(argv[operands]);
	if (wanted.svg && !is_all && strcmp(argv[operands], "percpu") != 0)
		return cli_usage(&cmd_bench_usage, "--svg is of 'percpu' only");
	for (int id = 0; id < BENCH_NR; id++) {
		if (!is_all && strcmp(argv[operands], bench_name((enum bench_id)id)) != 0)
			continue;
		status = bench_one((enum bench_id)id, !is_all || id == 0);
		if (status > worst)
			worst = status;
	}
	return worst;
}
