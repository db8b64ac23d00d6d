// SPDX-License-Identifier: MIT
/* `tocsin bench preload`: what tracing by libraries before a program's own costs it. Each round is
 * a run of tocsin-bench-preload as it is, and one with the library. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "bench_program.h"
#include "bench_run.h"
#include "record_preload.h"

#define TEXT_MAX 4096

/* Return: the figure, -1: it failed. */
static double value_of(const struct bench_run *run, const char *const argv[], const char *library,
		       const char *name)
{
	char text[TEXT_MAX] = {0};
	int r;

	if (library && setenv("LD_PRELOAD", library, 1))
		return -1;
	r = bench_program_run(argv, run->cpu, text, sizeof(text));
	if (library)
		(void)unsetenv("LD_PRELOAD"); /* the name is no secret */
	return r == 0 ? bench_program_value(text, name) : -1;
}

static int round_malloc(struct bench_run *run, const char *program, const char *library)
{
	const char *const plain[] = {program, NULL}, *const traced[] = {program, "traced", NULL};
	double plain_ns = value_of(run, plain, NULL, "malloc_pair_ns");
	double traced_ns = value_of(run, traced, library, "malloc_pair_ns");

	if (plain_ns <= 0 || traced_ns <= 0)
		return -EIO;
	bench_add(run, BENCH_V_malloc_pair_plain_ns, plain_ns);
	bench_add(run, BENCH_V_malloc_pair_traced_ns, traced_ns);
	bench_add(run, BENCH_V_malloc_pair_added_ns, traced_ns - plain_ns);
	return 0;
}

static int round_functions(struct bench_run *run, const char *program, const char *library)
{
	const char *const traced[] = {program, "traced", NULL};
	double ns = value_of(run, traced, library, "function_pair_ns");

	if (ns <= 0)
		return -EIO;
	bench_add(run, BENCH_V_function_pair_ns, ns);
	return 0;
}

int bench_preload(struct bench_run *run, struct tocsin_err *err)
{
	char program[PATH_MAX], library[PATH_MAX], functions[PATH_MAX];
	int r = bench_program_find("tocsin-bench-preload", program, sizeof(program));

	if (r == 0)
		r = record_preload_find("malloc", library, sizeof(library));
	if (r == 0)
		r = record_preload_find("functions", functions, sizeof(functions));
	if (r)
		return tocsin_err_fail(r, err,
				       "'tocsin-bench-preload' or a library of --trace is not "
				       "installed");
	for (unsigned i = 0; i < run->rounds && !r; i++) {
		r = round_malloc(run, program, library);
		if (r == 0)
			r = round_functions(run, program, functions);
	}
	return r ? tocsin_err_fail(r, err, "'tocsin-bench-preload' failed") : 0;
}
