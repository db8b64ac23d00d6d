// SPDX-License-Identifier: MIT
/* The figures of a bench, each beside its floor and its bar. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../report/json_text.h"
#include "bench_run.h"

/* A run whose floors vary by more than this is worth repeating. */
#define NOISY 0.10

static const struct value {
	enum bench_id bench;
	enum bench_role role;
	const char *name;
	const char *unit;
	enum bench_summary summary;
	double bar;
	enum bench_value floor;
	const char *text;
} values[] = {
#define X(bench_, role_, name_, unit_, summary_, bar_, floor_, text_)               \
	{BENCH_##bench_, BENCH_##role_,  #name_,          unit_, BENCH_##summary_, \
	 BENCH_BAR_##bar_, BENCH_V_##floor_, text_},
#define BENCH_BAR_NO_BAR BENCH_NO_BAR
#include "bench_values.def"
#undef X
};
