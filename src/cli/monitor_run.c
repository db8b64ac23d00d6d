// SPDX-License-Identifier: MIT
/* `tocsin monitor run`: models held against what the kernel and programs do. */
#include "../monitor/run.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/parse.h"
#include "../collector/doctor.h"
#include "../report/violated.h"
#include "cli.h"
#include "monitor_models.h"
#include "watch_child.h"

#define TICK_MS       250
#define INSTANCES_MAX 65536
#define RATE          100

struct running {
	struct monitor_models models;
	struct monitor_run *run;
	struct pid_set pids;
	struct child child;
	bool has_child, is_over;
	int signal_fd;
	int reaction;    /* signal to who violated; 0: none */
	int signal;      /* that ended it, 0: none */
	uint64_t end_ns; /* 0: none */
	uint64_t nr_violations;
	struct out out;
};

static int say(void *context, const struct violated *v)
{
	struct running *r = context;

	if (monitor_wanted.count && r->nr_violations >= monitor_wanted.count)
		return 0;
	r->nr_violations++;
	monitor_say(&r->out, v);
	/* One that has gone meanwhile needs none; ourselves and init are nobody's offender. */
	if (r->reaction && v->pid > 1 && v->pid != getpid() &&
	    kill((pid_t)v->pid, r->reaction) < 0 && errno != ESRCH)
		cli_error("cannot signal process %lld: %s", (long long)v->pid, strerror(errno));
	return out_write(&r->out);
}

static int reaction_read(int *ret)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {{"STOP", SIGSTOP}, {"CONT", SIGCONT}, {"TERM", SIGTERM}, {"KILL", SIGKILL},
		     {"INT", SIGINT},   {"ABRT", SIGABRT}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}};

	for (size_t i = 0; monitor_wanted.signal && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, monitor_wanted.signal) == 0)
			*ret = names[i].number;
	return monitor_wanted.signal && !*ret
		       ? cli_usage(&cmd_monitor_usage, "--signal does not know '%.40s'",
				   monitor_wanted.signal)
		       : -1;
}

static int signals_open(struct running *r)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	if (sigaction(SIGPIPE, &ignore, NULL)) /* a closed pipe is a result of writing to it */
		return -errno;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signal_fd < 0 ? -errno : 0;
}

static bool is_over(struct running *r)
{
	if (r->end_ns && clock_now_ns() >= r->end_ns)
		return true;
	if (monitor_wanted.count && r->nr_violations >= monitor_wanted.count)
		return true;
	if (r->has_child)
		return child_reap(&r->child);
	return !monitor_run_alive(r->run);
}

static int timeout_ms(const struct running *r)
{
	uint64_t now = clock_now_ns();

	if (!r->end_ns || r->end_ns > now + TICK_MS * UINT64_C(1000000))
		return TICK_MS;
	return r->end_ns <= now ? 0 : (int)((r->end_ns - now + 999999) / 1000000);
}

static int loop(struct running *r)
{
	struct signalfd_siginfo info;
	int e = 0;

	while (!e && !r->signal && !is_over(r)) {
		struct pollfd p[] = {{.fd = monitor_run_fd(r->run), .events = POLLIN},
				     {.fd = r->signal_fd, .events = POLLIN},
				     {.fd = r->has_child ? r->child.pid_fd : -1, .events = POLLIN}};

		if (poll(p, 3, timeout_ms(r)) < 0 && errno != EINTR)
			return -errno;
		e = monitor_run_poll(r->run);
		if (p[1].revents && read(r->signal_fd, &info, sizeof(info)) == sizeof(info))
			r->signal = (int)info.ssi_signo;
	}
	return e;
}

/* The command ends with what watches it, and gets the time that it takes. */
static void child_end(struct running *r)
{
	struct pollfd p = {.fd = r->child.pid_fd, .events = POLLIN};

	if (!r->has_child || child_reap(&r->child))
		return;
	(void)kill(r->child.pid, r->signal ?: SIGTERM);
	(void)kill(r->child.pid, SIGCONT); /* one that is stopped would not see it */
	while (!child_reap(&r->child) && (poll(&p, 1, -1) >= 0 || errno == EINTR))
		;
}

static void losses_say(struct running *r, bool *ret_strict)
{
	static const struct {
		const char *text;
		bool is_strict;
	} rows[] = {
#define X(NAME, name, strict, text) {text, strict},
#include "../abi/monitor_losses.def"
#undef X
	};
	uint64_t loss[MONITOR_LOSS_NR];

	monitor_run_losses(r->run, loss);
	for (unsigned i = 0; i < MONITOR_LOSS_NR; i++) {
		if (!loss[i])
			continue;
		cli_error("%llu %s", (unsigned long long)loss[i], rows[i].text);
		*ret_strict |= rows[i].is_strict;
	}
}

static int summaries_say(struct running *r)
{
	TOCSIN_CLEANUP(tocsin_free_voidp)
	struct monitor_covered *covered =
		monitor_wanted.has_coverage ? malloc(sizeof(*covered)) : NULL;

	for (size_t i = 0; i < r->models.nr; i++) {
		struct monitor_state state;
		struct monitor_summary sum = {.model = r->models.item[i], .covered = covered};
		int e = monitor_run_counts(r->run, i, &state, covered);

		if (e < 0)
			return e;
		sum.steps = state.steps;
		sum.violations = state.violations;
		sum.unsaid = state.unsaid;
		sum.instances = state.instances;
		if (state.violations > r->nr_violations)
			r->nr_violations = state.violations;
		monitor_sum(&r->out, &sum);
	}
	return out_write(&r->out);
}

static int status_of(const struct running *r, int e, bool is_lost)
{
	char why[64];

	if (e && e != -EPIPE) {
		cli_error("monitoring ends: %s", tocsin_errno_text(e, why, sizeof(why)));
		return r->has_child ? CLI_WATCH_FAILED : CLI_FAILED;
	}
	if (monitor_wanted.is_strict && is_lost)
		return CLI_LOST;
	if (monitor_wanted.fail_on_violation && r->nr_violations)
		return CLI_NO;
	if (r->has_child && r->child.ended && !r->signal)
		return child_status(&r->child);
	return CLI_OK;
}

static int armed(struct running *r)
{
	struct tocsin_err err = {0};
	bool is_lost = false;
	int e;

	for (size_t i = 0; monitor_run_note(r->run, i); i++)
		(void)fprintf(stderr, "%s\n", monitor_run_note(r->run, i));
	monitor_run_arm(r->run, true);
	(void)fprintf(stderr, "armed: %zu monitor%s\n", r->models.nr, r->models.nr == 1 ? "" : "s");
	r->end_ns = monitor_wanted.duration_ns ? clock_now_ns() + monitor_wanted.duration_ns : 0;
	if (r->has_child) {
		e = child_go(&r->child, &err);
		if (e)
			return cli_fail(e == -ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_RUN, &err);
	}
	e = loop(r);
	monitor_run_arm(r->run, false);
	child_end(r);
	if (!e)
		e = monitor_run_poll(r->run);
	if (!e)
		e = summaries_say(r);
	losses_say(r, &is_lost);
	return status_of(r, e, is_lost);
}

static int failure_say(const struct running *r, int e, struct tocsin_err *err)
{
	if (e == -EPERM || e == -EACCES)
		(void)doctor_explain_failure(e, err); /* returns e */
	(void)cli_fail(CLI_FAILED, err);
	if (e == -ENOENT || e == -EINVAL || e == -ESRCH || e == -ENOTUNIQ || e == -ENOEXEC ||
	    e == -E2BIG)
		return CLI_USAGE;
	return r->has_child ? CLI_WATCH_FAILED : CLI_FAILED;
}

static int run(struct running *r)
{
	const struct opt_strings *bind = &monitor_wanted.bind;
	TOCSIN_CLEANUP(tocsin_free_voidp) bool *used = calloc(bind->nr + 1, sizeof(*used));
	struct monitor_run_options o = {
		.model = r->models.item,
		.nr_models = r->models.nr,
		.bind = bind->item,
		.nr_binds = bind->nr,
		.bind_used = used,
		.pids = r->pids,
		.all = monitor_wanted.all,
		.follow = monitor_wanted.follow,
		.force = monitor_wanted.force,
		.program = r->has_child ? r->child.path : NULL,
		.program_pid = r->has_child ? r->child.pid : 0,
		.max_instances = (uint32_t)monitor_wanted.max_instances ?: INSTANCES_MAX,
		.ring_bytes = 4u << 20,
		.rate = monitor_wanted.rate ?: RATE,
		.has_coverage = monitor_wanted.has_coverage,
		.has_stacks = monitor_wanted.has_stacks,
		.say = say,
		.context = r,
	};
	struct tocsin_err err = {0};
	int e, status = used ? monitor_policy(&o.policy) : CLI_FAILED;

	if (status >= 0)
		return status;
	e = monitor_run_open(&o, &r->run, &err);
	if (e)
		return failure_say(r, e, &err);
	status = monitor_binds_unused(&r->models, used);
	return status < 0 ? armed(r) : status;
}

static int targets_read(struct running *r, char **command)
{
	struct tocsin_err err = {0};
	int e;

	for (size_t i = 0; i < monitor_wanted.pid.nr; i++) {
		uint64_t pid;

		if (tocsin_parse_u64(monitor_wanted.pid.item[i], &pid) || !pid || pid > INT_MAX)
			return cli_usage(&cmd_monitor_usage, "'%s' is no process id",
					 monitor_wanted.pid.item[i]);
		if (!process_exists((pid_t)pid))
			return cli_usage(&cmd_monitor_usage, "there is no process %s",
					 monitor_wanted.pid.item[i]);
		if (pid_set_add(&r->pids, (pid_t)pid))
			return CLI_FAILED;
	}
	if (!command && !r->pids.nr && !monitor_wanted.all)
		return cli_usage(&cmd_monitor_usage,
				 "no process to watch: give -p PID, -- CMD, or -a for all");
	if (!command)
		return -1;
	e = child_find(&r->child, command[0], &err);
	if (e)
		return cli_fail(e == -ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_RUN, &err);
	e = child_start(&r->child, command, &err);
	if (e)
		return cli_fail(CLI_WATCH_FAILED, &err);
	r->has_child = true;
	return pid_set_add(&r->pids, r->child.pid) ? CLI_WATCH_FAILED : -1;
}

int monitor_run_command(char **words, size_t nr, char **command)
{
	struct running r = {.signal_fd = -1};
	int status;

	if (!nr)
		return cli_usage(&cmd_monitor_usage, "no model");
	out_init(&r.out, STDOUT_FILENO);
	status = reaction_read(&r.reaction);
	if (status < 0)
		status = monitor_models_get(words, nr, &r.models);
	if (status < 0 && signals_open(&r))
		status = CLI_FAILED;
	if (status < 0)
		status = targets_read(&r, command);
	if (status < 0)
		status = run(&r);
	(void)monitor_run_close(r.run); /* always NULL */
	if (r.has_child)
		child_done(&r.child);
	pid_set_done(&r.pids);
	monitor_models_done(&r.models);
	out_done(&r.out);
	if (r.signal_fd >= 0)
		(void)close(r.signal_fd);
	return status;
}
