// SPDX-License-Identifier: MIT
/*
 * `tocsin bench monitor`: what a step of a model costs, and how fast events are replayed.
 *
 * Models are the shipped ones, walked along edges that they have, so nothing is violated: wwnr,
 * whose edges have nothing to test; request, with bounds of two clocks; reply, a formula. A step is
 * in memory before the next begins, as it is in a program that goes on with other work. Replay
 * steps a string of events of many instances in turn, each event with its time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../abi/monitor.h"
#include "../automata/model.h"
#include "../automata/shipped.h"
#include "../automata/step.h"
#include "../base/cleanup.h"
#include "bench_monitor_kernel.h"
#include "bench_percpu.h"
#include "bench_run.h"
#include "tocsin/monitor.h"

#define WALK      4096 /* events, again and again */
#define INSTANCES 1024
#define EVENTS    (1u << 20)

struct replayed {
	uint64_t time_ns;
	uint32_t event, instance;
};

static struct model *plain, *bounded, *formula;
static uint32_t plain_walk[WALK], bounded_walk[WALK];
static struct automaton_instance one;
static struct automaton_instance many[INSTANCES];
static struct replayed *string;
static struct tocsin_monitor *monitors[3]; /* of the plain one */
static uint32_t plain_start;
static uint64_t violations; /* there must be none */

static void quiet(void *context, const struct tocsin_diag *diag)
{
	(void)context;
	(void)diag; /* the shipped models are tested to have nothing to say */
}

static int shipped_read(const char *file, struct model **ret)
{
	const struct model_sink sink = {.say = quiet};
	const struct model_options options = {.jiffy_ns = 4000000};

	for (const struct shipped_model *s = shipped_models; s->file; s++)
		if (strcmp(s->file, file) == 0)
			return model_read(file, s->text, s->len, &options, &sink, ret);
	return -ENOENT;
}

/* Events that are good one after the other, and lead back to where they begin. */
static void walk_make(const struct model *m, uint32_t *walk)
{
	const struct automaton_table *t = &m->table;
	uint32_t state = t->initial, event = 0;

	for (unsigned i = 0; i < WALK; i++) {
		do /* every state of these models has an edge */
			event = (event + 1) % t->nr_events;
		while (!t->cell[state][event]);
		walk[i] = event;
		state = t->cell[state][event] & AUTOMATON_PLAIN
				? t->cell[state][event] & (AUTOMATON_STATES - 1u)
				: t->edge[t->cell[state][event] - 1].next;
	}
}

static inline void in_memory(void)
{
	__asm__ __volatile__("" : : : "memory");
}

static void loop_empty(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++) {
		__asm__ __volatile__("" : : "r"(plain_walk[i % WALK]));
		in_memory();
	}
}

static void loop_alone(unsigned turns)
{
	const struct automaton_table *t = &plain->table;

	one = (struct automaton_instance){.state = t->initial};
	for (unsigned i = 0; i < turns; i++) {
		violations += automaton_step(t, &one, plain_walk[i % WALK], i + 1, NULL) !=
			      AUTOMATON_STEPPED;
		in_memory();
		if (i % WALK == WALK - 1)
			one.state = t->initial;
	}
}

/* Through tocsin/monitor.h: a call of a function, as a program has it. */
static void loop_monitor(struct tocsin_monitor *m, unsigned turns)
{
	for (unsigned i = 0; i < turns; i++) {
		if (i % WALK == 0) { /* as the walk begins: started, and in the initial state */
			(void)tocsin_monitor_forget(m, 1);
			(void)tocsin_monitor_reclaim(m);
			(void)tocsin_monitor_event(m, plain_start, 1, 1, NULL);
		}
		violations += tocsin_monitor_event(m, plain_walk[i % WALK], 1, i + 1, NULL) !=
			      TOCSIN_MONITOR_STEPPED;
	}
}

static void loop_unshared(unsigned turns)
{
	loop_monitor(monitors[0], turns);
}

static void loop_locked(unsigned turns)
{
	loop_monitor(monitors[1], turns);
}

static void loop_object(unsigned turns)
{
	loop_monitor(monitors[2], turns);
}

static void loop_bounded(unsigned turns)
{
	const struct automaton_table *t = &bounded->table;

	one = (struct automaton_instance){.state = t->initial};
	for (unsigned i = 0; i < turns; i++) {
		violations += automaton_step(t, &one, bounded_walk[i % WALK], i + 1, NULL) !=
			      AUTOMATON_STEPPED;
		in_memory();
		if (i % WALK == WALK - 1) {
			one.state = t->initial;
			one.deadline_ns = 0;
		}
	}
}

static void loop_formula(unsigned turns)
{
	one = (struct automaton_instance){0};
	for (unsigned i = 0; i < turns; i++) {
		violations += automaton_observe(&formula->table, &one, i % 4 == 0 ? 1 : i % 4,
						i + 1) >= AUTOMATON_BAD_EVENT;
		in_memory();
	}
}

static unsigned replay_at;

static void replay_restart(void)
{
	for (unsigned i = 0; i < INSTANCES; i++)
		many[i] = (struct automaton_instance){.state = plain->table.initial};
	replay_at = 0;
}

/* One slice of the string; all instances go on from where they were. */
static void loop_replay(unsigned turns)
{
	const struct automaton_table *t = &plain->table;

	for (unsigned i = 0; i < turns; i++) {
		const struct replayed *e;

		if (replay_at == EVENTS)
			replay_restart();
		e = &string[replay_at++];
		violations += automaton_step(t, &many[e->instance], e->event, e->time_ns, NULL) >=
			      AUTOMATON_BAD_EVENT;
	}
}

/* Instances take turns at random; each walks its own way, which ends where it began. */
static int string_make(void)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) uint32_t *step = calloc(INSTANCES, sizeof(*step));
	uint64_t seed = 88172645463325252;

	string = malloc(EVENTS * sizeof(*string));
	if (!step || !string)
		return -ENOMEM;
	for (unsigned i = 0; i < EVENTS; i++) {
		uint32_t k;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		k = (uint32_t)(seed >> 32) % INSTANCES;
		string[i] = (struct replayed){
			.time_ns = 1000 + i, .event = plain_walk[step[k]++ % WALK], .instance = k};
	}
	return 0;
}

static int monitors_make(void)
{
	static const uint32_t scope[] = {TOCSIN_MONITOR_GLOBAL, TOCSIN_MONITOR_GLOBAL,
					 TOCSIN_MONITOR_OBJECT};
	int r = 0;

	for (unsigned i = 0; i < 3 && r == 0; i++) {
		const struct tocsin_monitor_opts opts = {
			.size = sizeof(opts),
			.model = &plain->table,
			.model_bytes = sizeof(plain->table),
			.scope = scope[i],
			.flags = i == 1 ? 0 : TOCSIN_MONITOR_UNSHARED,
			.max_instances = INSTANCES,
		};

		r = tocsin_monitor_new(&opts, &monitors[i]);
	}
	while (plain_start < plain->table.nr_events && !plain->table.event_flags[plain_start])
		plain_start++;
	return r;
}

static int prepare(void)
{
	int r = shipped_read("wwnr.dot", &plain);

	r = r ?: shipped_read("request.dot", &bounded);
	r = r ?: shipped_read("reply.ltl", &formula);
	if (r < 0)
		return r;
	walk_make(plain, plain_walk);
	walk_make(bounded, bounded_walk);
	r = monitors_make();
	return r ?: string_make();
}

static void round_measure(struct bench_run *run)
{
	double replay;

	bench_add(run, BENCH_V_monitor_loop_ns, bench_percpu_time(loop_empty));
	bench_add(run, BENCH_V_step_alone_ns, bench_percpu_time(loop_alone));
	bench_add(run, BENCH_V_step_ns_inprocess, bench_percpu_time(loop_unshared));
	bench_add(run, BENCH_V_step_locked_ns, bench_percpu_time(loop_locked));
	bench_add(run, BENCH_V_step_object_ns, bench_percpu_time(loop_object));
	bench_add(run, BENCH_V_step_bounded_ns, bench_percpu_time(loop_bounded));
	bench_add(run, BENCH_V_observe_ns, bench_percpu_time(loop_formula));
	replay_restart();
	replay = bench_percpu_time(loop_replay);
	bench_add(run, BENCH_V_replay_event_ns, replay);
	bench_add(run, BENCH_V_replay_events_per_s, 1e9 / replay);
}

int bench_monitor(struct bench_run *run, struct tocsin_err *err)
{
	int r = prepare();

	for (unsigned i = 0; i < run->rounds && r == 0; i++)
		round_measure(run);
	for (unsigned i = 0; i < run->rounds && r == 0; i++)
		r = bench_monitor_kernel(run, err);
	if (r == 0)
		bench_add(run, BENCH_V_monitor_violations, (double)violations);
	if (r == 0)
		bench_add(run, BENCH_V_bytes_per_instance, (double)sizeof(struct monitor_slot));
	if (r < 0)
		(void)tocsin_err_fail(r, err, "cannot measure monitors");
	for (unsigned i = 0; i < 3; i++)
		monitors[i] = tocsin_monitor_free(monitors[i]);
	plain = model_free(plain);
	bounded = model_free(bounded);
	formula = model_free(formula);
	free(string);
	string = NULL;
	return r;
}
