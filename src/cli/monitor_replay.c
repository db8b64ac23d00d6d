// SPDX-License-Identifier: MIT
/* `tocsin monitor replay`: the verdict of models over traces. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../ctf/read_map.h"
#include "../monitor/replay.h"
#include "../report/violated.h"
#include "cli.h"
#include "monitor_models.h"

#define POLL_MS         50
#define HOLD_NS         INT64_C(2000000000) /* as the iterator holds events back */
#define INSTANCES_MAX   (1u << 22)
#define SECOND_NS       INT64_C(1000000000)
#define OUT_FLUSH_BYTES 65536

struct replaying {
	struct monitor_models models;
	struct trace *trace;
	struct replay *replay;
	struct out out;
	uint64_t nr_violations;
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
	(void)number;
	is_interrupted = 1;
}

static int signals_catch(void)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt}, ignore = {.sa_handler = SIG_IGN};

	if (sigaction(SIGINT, &interrupt, NULL) < 0 || sigaction(SIGTERM, &interrupt, NULL) < 0 ||
	    sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	return ctf_map_guard();
}

static int say(void *context, const struct violated *v)
{
	struct replaying *p = context;

	p->nr_violations++;
	monitor_say(&p->out, v);
	if (monitor_wanted.count && p->nr_violations >= monitor_wanted.count)
		return -ECANCELED;
	return p->out.len >= OUT_FLUSH_BYTES || monitor_wanted.follow ? out_write(&p->out) : 0;
}

/* Nothing new has come: what was to expire until then has. */
static int wait(struct replaying *p)
{
	struct timespec ts = {0};
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail */
	r = replay_time(p->replay, ts.tv_sec * SECOND_NS + ts.tv_nsec - HOLD_NS);
	if (r == 0)
		r = out_write(&p->out);
	(void)poll(NULL, 0, POLL_MS); /* a signal ends it early */
	return r;
}

static int events_take(struct replaying *p)
{
	const struct trace_event *e;
	int state, r = 0;

	while (!is_interrupted && r == 0) {
		state = trace_next(p->trace, &e);
		if (state < 0)
			return state;
		if (state == TRACE_END)
			break;
		if (state == TRACE_EVENT)
			r = replay_event(p->replay, e);
		else if (state == TRACE_WAIT)
			r = wait(p);
		else if (state == TRACE_CUT || state == TRACE_BAD)
			cli_error("%s", e->wrong);
	}
	return r == -ECANCELED ? 0 : r;
}

/* What the models wait for in vain. */
static void unbound_say(const struct replaying *p)
{
	const struct model *m;
	size_t at = 0;
	int event;

	while ((event = replay_unbound(p->replay, &at, &m)) >= 0)
		cli_error("%s: no event of the trace is '%s'%s%s%s", m->name, m->event[event].name,
			  m->event[event].points[0] ? " (" : "", m->event[event].points,
			  m->event[event].points[0] ? ")" : ": bind it with --bind");
}

static void summaries_say(struct replaying *p)
{
	struct replay_stats stats = replay_stats(p->replay);
	struct trace_stats read = trace_get_stats(p->trace);

	for (size_t i = 0; i < p->models.nr; i++) {
		const struct tracks *tracks = replay_tracks(p->replay, i);
		struct tracks_stats s = tracks_stats(tracks);
		struct monitor_summary sum = {.model = p->models.item[i],
					      .steps = s.steps,
					      .violations = s.violations,
					      .instances = s.instances,
					      .covered = tracks_covered(tracks)};

		monitor_sum(&p->out, &sum);
		if (s.full)
			cli_error("%s: %llu events found no room for another instance "
				  "(--max-instances)",
				  p->models.item[i]->name, (unsigned long long)s.full);
	}
	if (read.lost || read.lost_packets)
		cli_error("the trace lacks %llu events%s: what follows from them is not known",
			  (unsigned long long)read.lost,
			  read.lost_packets ? " and whole packets" : "");
	if (stats.unread)
		cli_error("%llu events could not be read", (unsigned long long)stats.unread);
}

static int status_of(const struct replaying *p)
{
	struct trace_stats read = trace_get_stats(p->trace);
	bool is_full = false;

	for (size_t i = 0; i < p->models.nr; i++)
		is_full |= tracks_stats(replay_tracks(p->replay, i)).full != 0;
	if (read.bad)
		return CLI_USAGE;
	if (monitor_wanted.is_strict && (read.lost || read.lost_packets || read.cut || is_full))
		return CLI_LOST;
	return p->nr_violations ? CLI_NO : CLI_OK;
}

static int replay_all(struct replaying *p)
{
	const struct opt_strings *bind = &monitor_wanted.bind;
	TOCSIN_CLEANUP(tocsin_free_voidp) bool *used = calloc(bind->nr + 1, sizeof(*used));
	struct replay_options o = {.bind = bind->item,
				   .nr_binds = bind->nr,
				   .bind_used = used,
				   .max_instances =
					   (uint32_t)monitor_wanted.max_instances ?: INSTANCES_MAX,
				   .has_coverage = monitor_wanted.has_coverage,
				   .say = say,
				   .context = p};
	struct tocsin_err err = {0};
	char why[64];
	int r, status = monitor_policy(&o.policy);

	if (status >= 0 || !used)
		return used ? status : CLI_FAILED;
	r = replay_open(p->models.item, p->models.nr, p->trace, &o, &p->replay, &err);
	if (r < 0)
		return cli_fail(r == -ENOMEM ? CLI_FAILED : CLI_USAGE, &err);
	status = monitor_binds_unused(&p->models, used);
	if (status >= 0)
		return status;
	if (!monitor_wanted.follow)
		unbound_say(p);
	r = signals_catch();
	r = r ?: events_take(p);
	summaries_say(p);
	if (r == 0)
		r = out_write(&p->out);
	if (r == 0 || r == -EPIPE)
		return status_of(p);
	cli_error("cannot replay the trace: %s", tocsin_errno_text(r, why, sizeof(why)));
	return CLI_FAILED;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int monitor_replay(char **words, size_t nr, char **command)
{
	const struct trace_options o = {
		.from_ns = INT64_MIN, .to_ns = INT64_MAX, .is_following = monitor_wanted.follow};
	struct replaying p = {0};
	struct tocsin_err err = {0};
	size_t nr_models = 0;
	int status;

	if (command)
		return cli_usage(&cmd_monitor_usage, "'replay' runs no command");
	while (nr_models < nr && !is_folder(words[nr_models]))
		nr_models++;
	if (!nr_models)
		return cli_usage(&cmd_monitor_usage, "no model");
	if (nr_models == nr)
		return cli_usage(&cmd_monitor_usage, "no trace: '%.80s' is no directory",
				 words[nr - 1]);
	out_init(&p.out, STDOUT_FILENO);
	status = monitor_models_get(words, nr_models, &p.models);
	if (status < 0 && trace_open((const char *const *)words + nr_models, nr - nr_models, &o,
				     &err, &p.trace) < 0)
		status = cli_fail(CLI_USAGE, &err);
	if (status < 0)
		status = replay_all(&p);
	(void)replay_close(p.replay); /* both always NULL */
	(void)trace_close(p.trace);
	monitor_models_done(&p.models);
	out_done(&p.out);
	return status;
}
