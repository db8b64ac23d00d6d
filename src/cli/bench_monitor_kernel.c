// SPDX-License-Identifier: MIT
/*
 * A step in the kernel half: a child calls prctl(2) with an option that nobody knows, which raises
 * a tracepoint; once with a program on it that does nothing, once with a monitor of two states. The
 * difference is what the monitor adds. The least of some hundred slices counts, as in the other
 * benches of short things.
 */
#include "bench_monitor_kernel.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../monitor/run.h"
#include "cli.h"

#define OPTION        0x70000001 /* of prctl(2), that nobody knows */
#define CALLS         2000
#define SLICES        100
#define INSTANCES_MAX 65536

static const char text[] =
	"digraph ping { tocsin_scope = \"task\"; tocsin_event = \"ping: task:task_prctl_unknown\";"
	" \"__init_a\" -> a; a [label = \"a\"]; b [label = \"b\"];"
	" a -> b [label = \"ping\"]; b -> a [label = \"ping\"]; }";

static void quiet(void *context, const struct tocsin_diag *diag)
{
	(void)context;
	(void)diag; /* there is nothing to say about it */
}

static int nothing(void *context, const struct violated *v)
{
	(void)context;
	(void)v; /* every event has an edge */
	return 0;
}

/* In the child, when it is told to: the least of its slices, in ns a call. */
static void call(int go_fd, int out_fd)
{
	double least = 0;
	char c;

	if (read(go_fd, &c, 1) != 1)
		_exit(1);
	for (int s = 0; s < SLICES; s++) {
		uint64_t start = clock_now_ns();
		double ns;

		for (int i = 0; i < CALLS; i++)
			(void)prctl(OPTION, 0, 0, 0, 0); /* refused: that is its event */
		ns = (double)(clock_now_ns() - start) / CALLS;
		least = s && least < ns ? least : ns;
	}
	_exit(write(out_fd, &least, sizeof(least)) == sizeof(least) ? 0 : 1);
}

struct caller {
	pid_t pid;
	int go[2], out[2];
};

static int caller_start(struct caller *c)
{
	int r = cli_pipe_pair(c->go, c->out);

	if (r < 0)
		return r;
	c->pid = fork();
	if (c->pid == 0) {
		(void)close(c->go[1]);
		call(c->go[0], c->out[1]);
	}
	return c->pid < 0 ? -errno : 0;
}

static int caller_time(struct caller *c, double *ret)
{
	int r = write(c->go[1], "", 1) == 1 ? 0 : -errno;

	(void)close(c->out[1]);
	if (r == 0 && read(c->out[0], ret, sizeof(*ret)) != sizeof(*ret))
		r = -EIO;
	(void)kill(c->pid, SIGKILL); /* it has ended, or must */
	(void)waitpid(c->pid, NULL, 0);
	(void)close(c->go[0]);
	(void)close(c->go[1]);
	(void)close(c->out[0]);
	return r;
}

static int with_empty(double *ret, struct tocsin_err *err)
{
	struct monitor_kernel *k = NULL;
	struct caller c;
	int r = monitor_kernel_open_empty(&k, err);

	if (r < 0)
		return r;
	r = caller_start(&c);
	r = r ?: caller_time(&c, ret);
	(void)monitor_kernel_close(k); /* always NULL */
	return r;
}

static int with_monitor(struct model *m, double *ret, struct tocsin_err *err)
{
	struct monitor_run_options o = {.model = &m,
					.nr_models = 1,
					.max_instances = INSTANCES_MAX,
					.ring_bytes = 65536,
					.say = nothing};
	struct monitor_run *run = NULL;
	struct caller c;
	int r = caller_start(&c);

	if (r < 0)
		return r;
	r = pid_set_add(&o.pids, c.pid);
	r = r ?: monitor_run_open(&o, &run, err);
	if (r == 0)
		monitor_run_arm(run, true);
	r = r ?: caller_time(&c, ret);
	(void)kill(c.pid, SIGKILL);   /* where it was never told to go */
	(void)monitor_run_close(run); /* always NULL */
	pid_set_done(&o.pids);
	return r;
}

int bench_monitor_kernel(struct bench_run *run, struct tocsin_err *err)
{
	const struct model_sink sink = {.say = quiet};
	const struct model_options options = {.jiffy_ns = 4000000};
	double empty = 0, step = 0;
	struct model *m = NULL;
	int r = model_read("ping.dot", text, sizeof(text) - 1, &options, &sink, &m);

	r = r ?: with_empty(&empty, err);
	r = r ?: with_monitor(m, &step, err);
	(void)model_free(m); /* always NULL */
	if (r == -EPERM || r == -EACCES) {
		bench_note(run,
			   "step_ns_bpf: not measured, that takes the privilege to load programs");
		if (err)
			err->nr_causes = 0;
		return 0;
	}
	if (r < 0)
		return r;
	bench_add(run, BENCH_V_step_ns_bpf, step - empty);
	bench_add(run, BENCH_V_instances_max, INSTANCES_MAX);
	return 0;
}
