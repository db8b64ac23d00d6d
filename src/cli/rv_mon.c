// SPDX-License-Identifier: MIT
/*
 * `tocsin rv mon` of shipped models: what `tocsin monitor run MODEL -a` does, in the kernel half,
 * said as the kernel's tool says it. Nothing is printed without --trace; reactors are those that a
 * process can be: nop, and printk, which writes to the kernel's log.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "../collector/doctor.h"
#include "../collector/rv_lock.h"
#include "../monitor/bind.h"
#include "../monitor/run.h"
#include "../report/violated_kernel.h"
#include "cli.h"
#include "monitor_models.h"
#include "rv.h"

#define INSTANCES_MAX 65536
#define TICK_MS       500
#define LINES_AT_ONCE                                                                             \
	4096 /* events may come as fast as they are read: then they are written, and signals seen \
	      */
#define REACTORS "nop printk"

struct mon {
	struct monitor_models models;
	struct monitor_run *run;
	struct pid_set pids;
	int lock[MONITOR_MAX];
	size_t nr_locks;
	int signal_fd, log_fd; /* -1: none */
	bool is_container, has_id;
	uint64_t nr_lines;
	struct out out;
};

/* What is about this process. @tid: in whose context it was; of what is about others it says
 * nothing.
 */
static bool is_hidden(const struct model *m, uint64_t key, uint64_t tid)
{
	uint64_t self = (uint64_t)getpid();

	if (rv_wanted.is_self)
		return false;
	if (m->scope == MODEL_TASK || m->scope == MODEL_PROCESS)
		return key == self;
	return tid == self;
}

static const char *type_of(const struct mon *mon, const char *type, const struct model *m,
			   char *buf, size_t len)
{
	if (!mon->is_container)
		return type;
	(void)snprintf(buf, len, "%s_%s", type, m->name);
	return buf;
}

/* A set of states, or of atoms, as numbers or names. */
static const char *set_text(const struct model *m, uint64_t set, bool has_names, char *buf,
			    size_t len)
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, len);
	for (int i = 0; i < 64; i++) {
		if (!(set >> i & 1))
			continue;
		if (has_names && i < m->nr_events)
			tocsin_text_add(&t, "%s%s", t.used ? "," : "", m->event[i].name);
		else if (!has_names)
			tocsin_text_add(&t, "%s%d", t.used ? "," : "", i);
	}
	if (!t.used)
		tocsin_text_add(&t, "none");
	return buf;
}

static int on_step(void *context, const struct stepped *s)
{
	char type[MODEL_NAME_MAX + 8], from[128], atoms[128], to[128];
	const struct model *m = s->model;
	struct mon *mon = context;
	struct rv_line line = {.comm = s->comm,
			       .pid = s->tid,
			       .cpu = s->cpu,
			       .type = type_of(mon, "event", m, type, sizeof(type)),
			       .has_id = kernel_has_id(m),
			       .id = s->key};

	if (is_hidden(m, s->key, s->tid))
		return 0;
	if (m->kind == AUTOMATON_GRAPH) {
		line.state = m->state[s->from].name;
		line.event = m->event[s->event].name;
		line.next = m->state[s->to].name;
		line.is_final = m->state[s->to].is_final;
	} else {
		line.state = set_text(m, s->from_set, false, from, sizeof(from));
		line.event = set_text(m, s->atoms, true, atoms, sizeof(atoms));
		line.next = set_text(m, s->to_set, false, to, sizeof(to));
	}
	rv_line_print(&mon->out, &line, mon->has_id);
	return ++mon->nr_lines % LINES_AT_ONCE ? 0 : -EINTR;
}

static void error_print(struct mon *mon, const struct violated *v)
{
	char type[MODEL_NAME_MAX + 8], atoms[128], env[256];
	const struct model *m = v->model;
	bool is_state = v->state >= 0 && v->state < m->nr_states;
	bool is_event = v->event >= 0 && v->event < m->nr_events;
	struct rv_line line = {.comm = v->comm,
			       .pid = v->tid,
			       .cpu = v->cpu < 0 ? 0 : (unsigned)v->cpu,
			       .type = type_of(mon, "error", m, type, sizeof(type)),
			       .has_id = kernel_has_id(m),
			       .id = v->key,
			       .state = is_state ? m->state[v->state].name : "none",
			       .event = is_event ? m->event[v->event].name : "none",
			       .env = env};
	struct tocsin_text t;

	if (m->kind == AUTOMATON_FORMULA)
		line.event = set_text(m, v->atoms, true, atoms, sizeof(atoms));
	tocsin_text_init(&t, env, sizeof(env));
	if (m->kind == AUTOMATON_GRAPH)
		kernel_env_text(&t, v);
	rv_line_print(&mon->out, &line, mon->has_id);
}

/* One line of the log a call; the priority is that of a warning, as the kernel's reactor has it. */
static int log_write(const struct mon *mon, const struct violated *v)
{
	char text[512];
	struct tocsin_text t;

	tocsin_text_init(&t, text, sizeof(text) - 1);
	tocsin_text_add(&t, "<4>");
	kernel_reaction_text(&t, v);
	text[t.used++] = '\n';
	return write(mon->log_fd, text, t.used) < 0 ? -errno : 0;
}

static int on_violation(void *context, const struct violated *v)
{
	struct mon *mon = context;
	int e = mon->log_fd >= 0 ? log_write(mon, v) : 0;
	char why[64];

	if (e)
		cli_error("cannot write to the kernel's log: %s",
			  tocsin_errno_text(e, why, sizeof(why)));
	if (rv_wanted.is_trace && !is_hidden(v->model, v->key, (uint64_t)v->tid))
		error_print(mon, v);
	return 0;
}

static int model_get(struct mon *mon, const struct rv_monitor *m)
{
	struct monitor_said said = {0};

	for (const struct shipped_model *s = shipped_models; s->file; s++)
		if (strncmp(s->file, m->name, strlen(m->name)) == 0 &&
		    s->file[strlen(m->name)] == '.')
			return monitor_model_shipped(s, &said, &mon->models.item[mon->models.nr++]);
	cli_error("monitor %s does not exist", m->name);
	return CLI_NO;
}

static int model_add(struct mon *mon, const struct rv_monitor *m)
{
	int status, lock;
	char why[64];

	if (mon->nr_locks == MONITOR_MAX)
		return cli_usage(&cmd_rv_usage, "more than %d monitors", MONITOR_MAX);
	lock = rv_lock_take(m->name);
	if (lock == -EBUSY) {
		cli_error("monitor %s (tocsin) is already enabled", m->name);
		return CLI_NO;
	}
	if (lock < 0) {
		cli_error("cannot enable monitor %s: %s", m->name,
			  tocsin_errno_text(lock, why, sizeof(why)));
		return CLI_NO;
	}
	mon->lock[mon->nr_locks++] = lock;
	status = model_get(mon, m);
	if (status < 0)
		mon->has_id |= kernel_has_id(mon->models.item[mon->models.nr - 1]);
	return status;
}

static int models_get(struct mon *mon, const struct rv_monitors *all, const struct rv_monitor *m)
{
	int status = -1;

	mon->models.item = calloc(all->nr, sizeof(struct model *));
	mon->is_container = m->is_container;
	if (!mon->models.item)
		return CLI_FAILED;
	if (!m->is_container)
		return model_add(mon, m);
	for (size_t i = 0; i < all->nr && status < 0; i++)
		if (strcmp(all->item[i].container, m->name) == 0)
			status = model_add(mon, &all->item[i]);
	return status;
}

static int reactor_open(struct mon *mon)
{
	char why[64];

	if (!rv_wanted.reactor || strcmp(rv_wanted.reactor, "nop") == 0)
		return -1;
	if (strcmp(rv_wanted.reactor, "printk") != 0)
		return rv_reactor_fail(REACTORS);
	mon->log_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (mon->log_fd >= 0)
		return -1;
	cli_error("cannot open the kernel's log: %s", tocsin_errno_text(errno, why, sizeof(why)));
	return CLI_NO;
}

static int pids_read(struct mon *mon)
{
	for (size_t i = 0; i < rv_wanted.pid.nr; i++) {
		const char *word = rv_wanted.pid.item[i];
		uint64_t pid;

		if (tocsin_parse_u64(word, &pid) || !pid || pid > INT_MAX)
			return cli_usage(&cmd_rv_usage, "'%.40s' is no process id", word);
		if (!process_exists((pid_t)pid))
			return cli_usage(&cmd_rv_usage, "there is no process %s", word);
		if (pid_set_add(&mon->pids, (pid_t)pid))
			return CLI_FAILED;
	}
	return -1;
}

static void losses_say(const struct mon *mon)
{
	static const char *const text[] = {
#define X(NAME, name, strict, text) text,
#include "../abi/monitor_losses.def"
#undef X
	};
	uint64_t loss[MONITOR_LOSS_NR];

	monitor_run_losses(mon->run, loss);
	for (unsigned i = 0; i < MONITOR_LOSS_NR; i++)
		if (loss[i])
			cli_error("%llu %s", (unsigned long long)loss[i], text[i]);
}

/* What waits, or a part of it. */
static int some_read(struct mon *mon, bool *ret_more)
{
	int e = monitor_run_poll(mon->run);

	*ret_more = e == -EINTR;
	return *ret_more || !e ? out_write(&mon->out) : e;
}

static int loop(struct mon *mon)
{
	struct pollfd p[] = {{.fd = monitor_run_fd(mon->run), .events = POLLIN},
			     {.fd = mon->signal_fd, .events = POLLIN}};
	bool has_more = false;
	int e;

	if (rv_wanted.is_trace)
		rv_header_print(&mon->out, mon->has_id);
	e = out_write(&mon->out);
	monitor_run_arm(mon->run, true);
	while (!e && !p[1].revents && monitor_run_alive(mon->run)) {
		if (poll(p, 2, has_more ? 0 : TICK_MS) < 0 && errno != EINTR)
			e = -errno;
		e = e ?: some_read(mon, &has_more);
	}
	monitor_run_arm(mon->run, false);
	do {
		e = e ?: some_read(mon, &has_more);
	} while (!e && has_more);
	return e;
}

static int unused_say(const struct opt_strings *s, const bool *used, const char *what)
{
	for (size_t i = 0; i < s->nr; i++)
		if (!used[i])
			return cli_usage(&cmd_rv_usage, "no %s of the monitor is '%.80s'", what,
					 s->item[i]);
	return -1;
}

static int params_set(struct mon *mon)
{
	const struct opt_strings *param = &rv_wanted.param;
	TOCSIN_CLEANUP(tocsin_free_voidp) bool *used = calloc(param->nr + 1, sizeof(*used));
	struct tocsin_err err = {0};

	if (!used)
		return CLI_FAILED;
	for (size_t i = 0; i < mon->models.nr; i++)
		if (bind_params(mon->models.item[i], param->item, param->nr, used, &err) < 0)
			return cli_fail(CLI_NO, &err);
	return unused_say(param, used, "parameter");
}

static int run(struct mon *mon)
{
	TOCSIN_CLEANUP(tocsin_free_voidp)
	bool *used = calloc(rv_wanted.bind.nr + 1, sizeof(*used));
	const struct monitor_run_options o = {.model = mon->models.item,
					      .nr_models = mon->models.nr,
					      .bind = rv_wanted.bind.item,
					      .nr_binds = rv_wanted.bind.nr,
					      .bind_used = used,
					      .policy = AUTOMATON_RESET,
					      .pids = mon->pids,
					      .all = !mon->pids.nr,
					      .max_instances = INSTANCES_MAX,
					      .ring_bytes = 16u << 20,
					      .has_self = rv_wanted.is_self,
					      .say = on_violation,
					      .stepped = rv_wanted.is_trace ? on_step : NULL,
					      .context = mon};
	struct tocsin_err err = {0};
	char why[64];
	int e = used ? monitor_run_open(&o, &mon->run, &err) : -ENOMEM, status;

	if (e == -EPERM || e == -EACCES)
		(void)doctor_explain_failure(e, &err); /* returns e */
	if (e)
		return cli_fail(CLI_NO, &err);
	status = unused_say(&rv_wanted.bind, used, "event");
	if (status >= 0)
		return status;
	e = loop(mon);
	losses_say(mon);
	if (!e || e == -EPIPE)
		return CLI_OK;
	cli_error("monitoring ends: %s", tocsin_errno_text(e, why, sizeof(why)));
	return CLI_NO;
}

int rv_mon_models(const struct rv_monitors *all, const struct rv_monitor *m)
{
	struct mon mon = {.signal_fd = rv_signals(), .log_fd = -1};
	int status = mon.signal_fd < 0 ? CLI_FAILED : models_get(&mon, all, m);

	out_init(&mon.out, STDOUT_FILENO);
	if (status < 0)
		status = reactor_open(&mon);
	if (status < 0)
		status = pids_read(&mon);
	if (status < 0)
		status = params_set(&mon);
	if (status < 0 && rv_wanted.is_verbose)
		(void)fprintf(stderr, "my pid is %d\n", (int)getpid());
	if (status < 0)
		status = run(&mon);
	(void)monitor_run_close(mon.run); /* always NULL */
	for (size_t i = 0; i < mon.nr_locks; i++)
		(void)close(mon.lock[i]);
	if (mon.log_fd >= 0)
		(void)close(mon.log_fd);
	if (mon.signal_fd >= 0)
		(void)close(mon.signal_fd);
	pid_set_done(&mon.pids);
	monitor_models_done(&mon.models);
	out_done(&mon.out);
	return status;
}
