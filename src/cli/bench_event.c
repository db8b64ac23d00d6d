// SPDX-License-Identifier: MIT
/*
 * `tocsin bench event`: what events and sections cost a program that is linked with libtocsin.
 *
 * Each round is a run of tocsin-bench-event, which measures itself; then one of tocsin-bench-lttng
 * under a session of LTTng's, where that is installed: a snapshot session, in which nothing is
 * written to disk, as here.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "bench_program.h"
#include "bench_run.h"

#define TEXT_MAX 4096

static void add(struct bench_run *run, enum bench_value value, const char *text, const char *name)
{
	double v = bench_program_value(text, name);

	if (v >= 0)
		bench_add(run, value, v);
}

/* The figures that have bars. */
static void add_ratios(struct bench_run *run, const char *text)
{
	double clock_ns = bench_program_value(text, "clock_ns");
	double event16_ns = bench_program_value(text, "event_16_ns");
	double disabled_ns = bench_program_value(text, "disabled_ns");
	double loop_ns = bench_program_value(text, "empty_loop_ns");
	double section_ns = bench_program_value(text, "section_ns");
	double gettime_ns = bench_program_value(text, "gettime_ns");

	if (clock_ns > 0 && event16_ns > 0)
		bench_add(run, BENCH_V_event16_over_clock, event16_ns / clock_ns);
	if (loop_ns > 0 && disabled_ns > 0)
		bench_add(run, BENCH_V_disabled_over_loop, disabled_ns / loop_ns);
	if (section_ns > 0 && gettime_ns > 0)
		bench_add(run, BENCH_V_section_over_clocks_ns, section_ns - 2 * gettime_ns);
}

static int round_own(struct bench_run *run, const char *path, double *ret_event16_ns)
{
	const char *const argv[] = {path, "event", NULL};
	char text[TEXT_MAX] = {0};

	if (bench_program_run(argv, -1, text, sizeof(text)) != 0)
		return -EIO;
	add(run, BENCH_V_clock_ns, text, "clock_ns");
	add(run, BENCH_V_event_8_ns, text, "event_8_ns");
	add(run, BENCH_V_event_16_ns, text, "event_16_ns");
	add(run, BENCH_V_event_64_ns, text, "event_64_ns");
	add(run, BENCH_V_event_1k_ns, text, "event_1k_ns");
	add(run, BENCH_V_event_text_ns, text, "event_text_ns");
	add(run, BENCH_V_disabled_ns, text, "disabled_ns");
	add(run, BENCH_V_empty_loop_ns, text, "empty_loop_ns");
	add(run, BENCH_V_section_ns, text, "section_ns");
	add(run, BENCH_V_gettime_ns, text, "gettime_ns");
	add(run, BENCH_V_probe_extra_ns, text, "probe_extra_ns");
	add(run, BENCH_V_probe_extra_inside_ns, text, "probe_extra_inside_ns");
	add(run, BENCH_V_recursion_guard_ns, text, "recursion_guard_ns");
	add(run, BENCH_V_patched_disabled_ns, text, "patched_disabled_ns");
	add(run, BENCH_V_toggle_us, text, "toggle_us");
	add(run, BENCH_V_two_thread_scaling, text, "two_thread_scaling");
	add_ratios(run, text);
	if (bench_program_value(text, "no_rseq") > 0)
		bench_note(run, "without restartable sequences: see tocsin doctor");
	*ret_event16_ns = bench_program_value(text, "event_16_ns");
	return 0;
}

/* ---- LTTng */

struct lttng {
	char home[64];
	bool is_running;
};

static void lttng_remove(const char *home)
{
	const char *const argv[] = {"rm", "-rf", home, NULL};

	(void)bench_program_run(argv, -1, NULL, 0); /* in /tmp, if it stays */
}

/* Ends the daemon that we started, which wrote its process id into our directory. */
static void lttng_stop(struct lttng *l)
{
	const char *const destroy[] = {"lttng", "destroy", "tocsin-bench", NULL};
	char path[128];
	FILE *f;
	int pid = 0;

	(void)bench_program_run(destroy, -1, NULL, 0);         /* the daemon ends below */
	(void)snprintf(path, sizeof(path), "%s/pid", l->home); /* fits */
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &pid) == 1 && pid > 1)
		(void)kill(pid, SIGTERM); /* gone already: as good */
	if (f)
		(void)fclose(f); /* only read */
	lttng_remove(l->home);
}

static int lttng_start(struct lttng *l)
{
	char pid_option[160];
	const char *const daemon[] = {"lttng-sessiond", "--daemonize", "--no-kernel", pid_option,
				      NULL};
	const char *const create[] = {"lttng", "create", "tocsin-bench", "--snapshot", NULL};
	const char *const event[] = {"lttng", "enable-event", "-u", "tocsin_bench:event", NULL};
	const char *const start[] = {"lttng", "start", "tocsin-bench", NULL};

	(void)snprintf(l->home, sizeof(l->home), "/tmp/tocsin-bench-XXXXXX"); /* fits */
	if (!mkdtemp(l->home))
		return -errno;
	(void)snprintf(pid_option, sizeof(pid_option), "--pidfile=%s/pid", l->home); /* fits */
	if (setenv("LTTNG_HOME", l->home, 1) || setenv("LTTNG_UST_REGISTER_TIMEOUT", "-1", 1) ||
	    bench_program_run(daemon, -1, NULL, 0)) {
		lttng_remove(l->home);
		return -ENOENT;
	}
	if (bench_program_run(create, -1, NULL, 0) || bench_program_run(event, -1, NULL, 0) ||
	    bench_program_run(start, -1, NULL, 0)) {
		lttng_stop(l);
		return -EIO;
	}
	l->is_running = true;
	return 0;
}

static void round_lttng(struct bench_run *run, const char *path, double event16_ns)
{
	const char *const argv[] = {path, NULL};
	char text[TEXT_MAX] = {0};
	double ns;

	if (bench_program_run(argv, run->cpu, text, sizeof(text)) != 0)
		return;
	ns = bench_program_value(text, "lttng_event16_ns");
	if (ns <= 0)
		return;
	bench_add(run, BENCH_V_lttng_event16_ns, ns);
	if (event16_ns > 0)
		bench_add(run, BENCH_V_lttng_over_tocsin, ns / event16_ns);
}

int bench_event(struct bench_run *run, struct tocsin_err *err)
{
	char own[PATH_MAX], other[PATH_MAX];
	struct lttng lttng = {0};
	int r = bench_program_find("tocsin-bench-event", own, sizeof(own));

	if (r)
		return tocsin_err_fail(r, err, "the program 'tocsin-bench-event' is not installed");
	if (bench_program_find("tocsin-bench-lttng", other, sizeof(other)))
		bench_note(
			run,
			"not measured: LTTng-UST (Debian: liblttng-ust-dev when tocsin is built)");
	else if (lttng_start(&lttng))
		bench_note(
			run,
			"not measured: LTTng-UST, no session could be started (Debian: lttng-tools)");
	for (unsigned i = 0; i < run->rounds && !r; i++) {
		double event16_ns = 0;

		r = round_own(run, own, &event16_ns);
		if (!r && lttng.is_running)
			round_lttng(run, other, event16_ns);
	}
	if (lttng.is_running)
		lttng_stop(&lttng);
	return r ? tocsin_err_fail(r, err, "'tocsin-bench-event' failed") : 0;
}
