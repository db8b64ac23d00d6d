// SPDX-License-Identifier: MIT
/*
 * From bindings to the kernel half's tables.
 *
 * Each binding becomes a rule of a point: of a tracepoint that has a program of its own
 * (abi/monitor_points.def), or of a place. The rules of a point stand side by side, in the order of
 * the monitors and of their events; a place that several bindings name is attached once. All rules
 * are made before anything is loaded, so a binding that cannot work fails early, and only programs
 * that have rules are loaded.
 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../collector/attach.h"
#include "bind.h"

#define NO_POINT (-1)

static const struct known_point {
	const char *name; /* group:name */
	const char *values;
} known[MONITOR_P_NR] = {
#define X(NAME, group, name, values) {#group ":" #name, values},
#include "../abi/monitor_points.def"
#undef X
};

static const char *const built_in[] = {"thread", "process", "cpu", "prio", "rt", "user"};

/* A place that the collector attaches. */
struct spot {
	char text[BIND_POINT_MAX];
	struct place place; /* owned */
	bool is_end;
	uint8_t args;                             /* that rules want */
	char field[MONITOR_ARGS][BIND_FIELD_MAX]; /* of a tracepoint, by name */
	struct attachment attachment;
};

struct bound {
	struct monitor_rule rule;
	int point; /* enum monitor_point_id; MONITOR_P_NR + number of a spot */
};

struct monitor_run {
	struct monitor_kernel *kernel;
	struct monitor_run_options o;
	struct bound *rule; /* owned, as those below */
	size_t nr_rules;
	struct spot *spot;
	size_t nr_spots;
	uint32_t *first; /* rule of each point */
	int64_t realtime_ns;
	struct tocsin_err *err;
	const struct spot *placing;
	uint32_t inputs; /* of the monitor whose rules are made: that an event has, a bit each */
};

/* ---- values of a point */

struct values {
	struct monitor_run *r;
	int point;
};

static int built_in_value(const char *field, unsigned *ret)
{
	for (unsigned i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++)
		if (strcmp(built_in[i], field) == 0) {
			*ret = MONITOR_V_THREAD + i;
			return 0;
		}
	return -ENOENT;
}

static int known_value(const struct known_point *p, const char *field, unsigned *ret)
{
	size_t len = strlen(field);
	unsigned i = 0;

	for (const char *at = p->values; *at; at += strspn(at, " "), i++) {
		size_t n = strcspn(at, " ");

		if (n == len && memcmp(at, field, n) == 0) {
			*ret = i;
			return 0;
		}
		at += n;
	}
	return built_in_value(field, ret);
}

static int spot_value(struct spot *s, const char *field, unsigned *ret)
{
	bool is_record = s->place.kind == PLACE_TRACEPOINT;

	if (strcmp(field, "ret") == 0 && s->is_end)
		field = "arg0";
	if (strncmp(field, "arg", 3) == 0 && field[3] >= '0' && field[3] < '0' + MONITOR_ARGS &&
	    !field[4]) {
		*ret = (unsigned)(field[3] - '0');
		if (s->field[*ret][0])
			return -E2BIG;
		s->args |= (uint8_t)(1u << *ret);
		return 0;
	}
	if (!is_record || built_in_value(field, ret) == 0)
		return built_in_value(field, ret);
	for (unsigned i = MONITOR_ARGS; i-- > 0;) {
		if (strcmp(s->field[i], field) == 0) {
			*ret = i;
			return 0;
		}
		if (s->field[i][0] || (s->args >> i & 1))
			continue;
		(void)snprintf(s->field[i], sizeof(s->field[i]), "%s", field);
		*ret = i;
		return 0;
	}
	return -E2BIG;
}

static int value_find(void *context, const char *field, unsigned *ret)
{
	struct values *v = context;

	return v->point < MONITOR_P_NR
		       ? known_value(&known[v->point], field, ret)
		       : spot_value(&v->r->spot[v->point - MONITOR_P_NR], field, ret);
}

/* ---- points of bindings */

static int known_find(const char *point)
{
	for (int i = 0; i < MONITOR_P_NR; i++)
		if (strcmp(known[i].name, point) == 0)
			return i;
	return NO_POINT;
}

/* `group:name` alone is a tracepoint; `return:` and `sysexit:` are the other ends of `func:` and
 * `syscall:`. */
static int spot_read(struct spot *s, struct tocsin_err *err)
{
	static const char *const kinds[] = {"func:", "usdt:", "syscall:", "tracepoint:"};
	char text[BIND_POINT_MAX + 16];
	struct tocsin_diag diag;
	bool is_place = strchr(s->text, '/') != NULL;
	int r;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		is_place |= strncmp(s->text, kinds[i], strlen(kinds[i])) == 0;
	s->is_end = strncmp(s->text, "return:", 7) == 0 || strncmp(s->text, "sysexit:", 8) == 0;
	if (s->is_end)
		(void)snprintf(text, sizeof(text), "%s:%s", s->text[0] == 'r' ? "func" : "syscall",
			       strchr(s->text, ':') + 1);
	else
		(void)snprintf(text, sizeof(text), "%s%s", is_place ? "" : "tracepoint:", s->text);
	r = place_read(text, &s->place, &diag);
	return r == -EINVAL ? tocsin_err_fail(r, err, "'%s': %s", s->text, diag.text) : r;
}

static int spot_find(struct monitor_run *r, const char *point)
{
	struct spot *more;
	int e;

	for (size_t i = 0; i < r->nr_spots; i++)
		if (strcmp(r->spot[i].text, point) == 0)
			return MONITOR_P_NR + (int)i;
	more = reallocarray(r->spot, r->nr_spots + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->spot = more;
	more[r->nr_spots] = (struct spot){0};
	(void)snprintf(more[r->nr_spots].text, sizeof(more->text), "%s", point);
	e = spot_read(&more[r->nr_spots], r->err);
	return e < 0 ? e : MONITOR_P_NR + (int)r->nr_spots++;
}

static int rule_keep(struct monitor_run *r, const struct bound *b)
{
	struct bound *more = reallocarray(r->rule, r->nr_rules + 1, sizeof(*more));

	if (r->nr_rules == MONITOR_RULES)
		return tocsin_err_fail(-E2BIG, r->err, "more than %d bindings", MONITOR_RULES);
	if (!more)
		return -ENOMEM;
	r->rule = more;
	more[r->nr_rules++] = *b;
	return 0;
}

/* Which of the event's two tasks is it about? */
static int task_of(struct monitor_run *r, const struct model *m, const struct bind *b,
		   struct bound *bound)
{
	const char *key = b->key[0] ? b->key : "thread";
	bool is_wake = bound->point == MONITOR_P_SCHED_WAKEUP ||
		       bound->point == MONITOR_P_SCHED_WAKING ||
		       bound->point == MONITOR_P_NEED_RESCHED;

	if (m->scope != MODEL_TASK)
		return 0;
	if (bound->point == MONITOR_P_SCHED_SWITCH && strcmp(key, "next_pid") == 0) {
		bound->rule.flags |= MONITOR_RULE_OTHER;
		return 0;
	}
	if (strcmp(key, is_wake ? "pid" : "thread") == 0 ||
	    (bound->point == MONITOR_P_SCHED_SWITCH && strcmp(key, "prev_pid") == 0))
		return 0;
	return tocsin_err_fail(-EINVAL, r->err,
			       "'%s': key=%s is none of the tasks that '%s' can follow there",
			       b->point, key, m->name);
}

static int rule_make(struct monitor_run *r, uint16_t monitor, const struct bind *b)
{
	const struct model *m = r->o.model[monitor];
	struct bound bound = {.point = known_find(b->point)};
	struct values v = {.r = r};
	const struct bind_values values = {.value = value_find, .context = &v};
	int e;

	if (bound.point == NO_POINT)
		bound.point = spot_find(r, b->point);
	if (bound.point < 0)
		return bound.point;
	v.point = bound.point;
	e = bind_rule(m, b, &values, &bound.rule, r->err);
	e = e ?: task_of(r, m, b, &bound);
	bound.rule.monitor = monitor;
	bound.rule.is_last = 1;
	if (!m->table.has_start || bound.rule.how != MONITOR_STEP || m->table.event_flags[b->event])
		bound.rule.flags |= MONITOR_RULE_STARTS;
	for (unsigned i = 0; i < bound.rule.nr_inputs && !e; i++)
		r->inputs |= 1u << bound.rule.input[i];
	return e ?: rule_keep(r, &bound);
}

static int monitor_rules(struct monitor_run *r, uint16_t monitor)
{
	const struct model *m = r->o.model[monitor];
	struct bind_list binds TOCSIN_CLEANUP(bind_list_done) = {0};
	uint64_t bound = 0;
	int e;

	r->inputs = 0;
	e = bind_model(m, r->o.bind, r->o.nr_binds, r->o.bind_used, &binds, r->err);

	if (m->scope == MODEL_NO_SCOPE && !e)
		return tocsin_err_fail(
			-EINVAL, r->err,
			"the model '%s' does not say its scope: tocsin_scope = \"task\"", m->name);
	for (size_t i = 0; i < binds.nr && !e; i++) {
		e = rule_make(r, monitor, &binds.item[i]);
		if (e)
			(void)tocsin_err_fail(e, r->err, "cannot bind '%s' of '%s'",
					      m->event[binds.item[i].event].name, m->name);
		bound |= 1ULL << binds.item[i].event;
	}
	for (int i = 0; i < m->nr_vars && !e && bound; i++)
		if (m->var[i].kind == MODEL_INPUT && !(r->inputs >> (m->var[i].code & 0x0f) & 1))
			return tocsin_err_fail(-EINVAL, r->err,
					       "'%s' cannot run: none of its events has '%s' here",
					       m->name, m->var[i].name);
	if (!e && !bound)
		return tocsin_err_fail(-EINVAL, r->err,
				       "no event of '%s' is bound: give --bind %s=PLACE", m->name,
				       m->nr_events ? m->event[0].name : "EVENT");
	return e;
}

/* ---- into the kernel half */

/* By point; the order of those of one point stays. */
static int rules_sort(struct monitor_run *r)
{
	size_t nr_points = MONITOR_P_NR + r->nr_spots, at = 0;
	struct bound *sorted = calloc(r->nr_rules + 1, sizeof(*sorted));

	r->first = calloc(nr_points + 1, sizeof(*r->first));
	if (!sorted || !r->first) {
		free(sorted);
		return -ENOMEM;
	}
	for (size_t p = 0; p < nr_points; p++) {
		r->first[p] = (uint32_t)at;
		for (size_t i = 0; i < r->nr_rules; i++)
			if ((size_t)r->rule[i].point == p)
				sorted[at++] = r->rule[i];
	}
	r->first[nr_points] = (uint32_t)at;
	for (size_t i = 1; i < at; i++) {
		struct monitor_rule *a = &sorted[i - 1].rule, *b = &sorted[i].rule;

		/* Of a formula, those with one key make one valuation. */
		if (sorted[i - 1].point == sorted[i].point && a->monitor == b->monitor &&
		    a->how != MONITOR_STEP && a->key == b->key && a->flags == b->flags)
			a->is_last = 0;
	}
	free(r->rule);
	r->rule = sorted;
	return 0;
}

static int kernel_load(struct monitor_run *r)
{
	size_t nr = r->o.nr_models;
	TOCSIN_CLEANUP(tocsin_free_voidp)
	struct monitor_state *state = calloc(nr, sizeof(*state));
	TOCSIN_CLEANUP(tocsin_free_voidp)
	const struct automaton_table **table = calloc(nr, sizeof(*table));
	bool point[MONITOR_P_NR];
	struct monitor_kernel_config cfg = {.nr_monitors = (uint32_t)nr,
					    .table = table,
					    .state = state,
					    .point = point,
					    .max_instances = r->o.max_instances,
					    .ring_bytes = r->o.ring_bytes,
					    .all = r->o.all,
					    .follow = r->o.follow,
					    .has_coverage = r->o.has_coverage,
					    .has_stacks = r->o.has_stacks,
					    .has_trace = r->o.stepped != NULL,
					    .has_self = r->o.has_self};

	if (!state || !table)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		const struct model *m = r->o.model[i];

		table[i] = &m->table;
		state[i] = (struct monitor_state){
			.policy = (uint8_t)r->o.policy,
			.kind = (uint8_t)m->kind,
			.scope = (uint8_t)m->scope,
			.rate = r->o.rate,
			.needs_time = m->table.nr_clocks || m->kind == AUTOMATON_FORMULA ||
				      r->o.has_coverage || r->o.stepped != NULL};
	}
	for (unsigned i = 0; i < MONITOR_P_NR; i++)
		point[i] = r->first[i + 1] > r->first[i];
	return monitor_kernel_open(&cfg, &r->kernel, r->err);
}

static int rules_write(struct monitor_run *r)
{
	int e = 0;

	for (size_t i = 0; i < r->nr_rules && !e; i++)
		e = monitor_kernel_rule(r->kernel, (uint32_t)i, &r->rule[i].rule);
	for (uint32_t p = 0; p < MONITOR_P_NR && !e; p++) {
		const struct monitor_point point = {
			.first = (uint16_t)r->first[p],
			.nr = (uint16_t)(r->first[p + 1] - r->first[p])};

		e = monitor_kernel_point(r->kernel, p, &point);
	}
	return e ? tocsin_err_fail(e, r->err, "cannot write the rules: %s", strerror(-e)) : 0;
}

/* ---- places, through the collector's attach code */

static int on_set_probe(void *context, uint32_t cookie, const struct watch_probe *probe)
{
	struct monitor_run *r = context;
	size_t spot = (size_t)(r->placing - r->spot);
	struct monitor_point point = {
		.first = (uint16_t)r->first[MONITOR_P_NR + spot],
		.nr = (uint16_t)(r->first[MONITOR_P_NR + spot + 1] - r->first[MONITOR_P_NR + spot]),
		.nr_args = MONITOR_ARGS};

	if (cookie >= MONITOR_PLACES)
		return -E2BIG;
	memcpy(point.arg, probe->arg, sizeof(point.arg));
	return monitor_kernel_point(r->kernel, MONITOR_P_NR + cookie, &point);
}

static int on_silence(void *context, uint32_t cookie)
{
	const struct monitor_run *r = context;
	const struct monitor_point silent = {.is_silent = 1};

	return monitor_kernel_point(r->kernel, MONITOR_P_NR + cookie, &silent);
}

static int on_uprobes(void *context, const struct watch_uprobes *u, struct watch_link **ret_link,
		      struct tocsin_err *err)
{
	return monitor_kernel_attach_uprobes(((struct monitor_run *)context)->kernel, u, ret_link,
					     err);
}

static int on_tracepoint(void *context, enum watch_program program, const char *category,
			 const char *name, uint32_t cookie, struct watch_link **ret_link,
			 struct tocsin_err *err)
{
	(void)program; /* there is one for all */
	return monitor_kernel_attach_tracepoint(((struct monitor_run *)context)->kernel, category,
						name, cookie, ret_link, err);
}

static int spots_attach(struct monitor_run *r)
{
	const struct attach_kernel k = {.kernel = r,
					.set_probe = on_set_probe,
					.silence_probe = on_silence,
					.attach_uprobes = on_uprobes,
					.attach_tracepoint = on_tracepoint};
	const struct attach_targets targets = {.pids = r->o.pids,
					       .open = r->o.all || r->o.follow,
					       .program = r->o.program,
					       .program_pid = r->o.program_pid,
					       .force = r->o.force};
	uint32_t cookie = 1;
	int e = 0;

	for (size_t i = 0; i < r->nr_spots && !e; i++) {
		struct spot *s = &r->spot[i];
		struct attach_values what = {
			.place = &s->place, .is_end = s->is_end, .args = s->args};

		for (unsigned a = 0; a < MONITOR_ARGS; a++)
			what.field[a] = s->field[a][0] ? s->field[a] : NULL;
		r->placing = s;
		e = attach_values(&k, &what, &targets, &cookie, &s->attachment, r->err);
		if (e)
			(void)tocsin_err_fail(e, r->err, "cannot attach '%s'", s->text);
	}
	return e;
}

static int processes_watch(struct monitor_run *r)
{
	int e = 0;

	for (size_t i = 0; i < r->o.pids.nr && !e; i++)
		e = monitor_kernel_watch(r->kernel, (uint32_t)r->o.pids.pid[i]);
	return e ? tocsin_err_fail(e, r->err, "cannot watch a process: %s", strerror(-e)) : 0;
}

int monitor_run_check(struct model *model, struct tocsin_err *err)
{
	struct monitor_run *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->o = (struct monitor_run_options){.model = &model, .nr_models = 1, .all = true};
	r->err = err;
	e = monitor_rules(r, 0);
	(void)monitor_run_close(r); /* always NULL */
	return e;
}

int monitor_run_open(const struct monitor_run_options *o, struct monitor_run **ret,
		     struct tocsin_err *err)
{
	struct monitor_run *r = calloc(1, sizeof(*r));
	int e = r ? 0 : -ENOMEM;

	if (r) {
		r->o = *o;
		r->err = err;
		r->realtime_ns = clock_realtime_offset_ns();
	}
	if (!e && o->nr_models > MONITOR_MAX)
		e = tocsin_err_fail(-E2BIG, err, "more than %d monitors", MONITOR_MAX);
	for (size_t i = 0; i < o->nr_models && !e; i++)
		e = monitor_rules(r, (uint16_t)i);
	e = e ?: rules_sort(r);
	e = e ?: kernel_load(r);
	e = e ?: rules_write(r);
	e = e ?: processes_watch(r);
	e = e ?: spots_attach(r);
	e = e ?: monitor_kernel_attach(r->kernel, err);
	if (e) {
		(void)monitor_run_close(r); /* always NULL */
		return e;
	}
	*ret = r;
	return 0;
}

struct monitor_run *monitor_run_close(struct monitor_run *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->nr_spots; i++) {
		attachment_done(&r->spot[i].attachment);
		place_done(&r->spot[i].place);
	}
	(void)monitor_kernel_close(r->kernel); /* always NULL */
	free(r->rule);
	free(r->spot);
	free(r->first);
	free(r);
	return NULL;
}

/* ---- while it runs */

void monitor_run_arm(struct monitor_run *r, bool is_armed)
{
	monitor_kernel_arm(r->kernel, is_armed);
}

int monitor_run_fd(struct monitor_run *r)
{
	return monitor_kernel_fd(r->kernel);
}

static void path_tell(const struct monitor_event *e, struct violated *v)
{
	for (int i = MONITOR_PATH - 1; i >= 0; i--) {
		uint16_t entry = (uint16_t)(e->path[i / 4] >> 16 * (i % 4));

		if (entry & 0xff)
			v->past[v->nr_past++] =
				(struct violated_past){.from = (int16_t)((entry >> 8) - 1),
						       .event = (int16_t)((entry & 0xff) - 1)};
	}
}

static const char *const *frames_tell(const uint64_t *address, unsigned nr,
				      char text[MONITOR_STACK][24],
				      const char *frame[MONITOR_STACK])
{
	for (unsigned i = 0; i < nr && i < MONITOR_STACK; i++) {
		(void)snprintf(text[i], 24, "0x%llx", (unsigned long long)address[i]);
		frame[i] = text[i];
	}
	return frame;
}

static int step_tell(const struct monitor_run *r, const struct monitor_step *e)
{
	struct stepped s = {.event = -1,
			    .from_set = e->from,
			    .to_set = e->to,
			    .atoms = e->atoms,
			    .key = e->key,
			    .pid = e->pid,
			    .tid = e->tid,
			    .cpu = e->cpu};

	if (e->monitor >= r->o.nr_models || !r->o.stepped)
		return 0;
	s.model = r->o.model[e->monitor];
	if (s.model->kind == AUTOMATON_GRAPH) {
		s.from = (int)(e->from & (AUTOMATON_STATES - 1)) - 1;
		s.to = (int)(e->to & (AUTOMATON_STATES - 1)) - 1;
		s.event = e->event;
		if (s.from < 0 || s.to < 0 || s.from >= s.model->nr_states ||
		    s.to >= s.model->nr_states || s.event >= s.model->nr_events)
			return 0; /* no such step: the tables are the kernel half's own */
	}
	memcpy(s.comm, e->comm, sizeof(s.comm) - 1);
	return r->o.stepped(r->o.context, &s);
}

static int on_event(void *context, const struct monitor_event *e)
{
	char user_text[MONITOR_STACK][24], kernel_text[MONITOR_STACK][24];
	const char *user[MONITOR_STACK], *kernel[MONITOR_STACK];
	struct monitor_run *r = context;
	struct violated v = {.why = (enum automaton_result)e->why,
			     .t_ns = e->t_ns,
			     .realtime_ns = r->realtime_ns,
			     .state = -1,
			     .event = -1,
			     .atoms = e->atoms,
			     .key = e->key,
			     .pid = e->pid,
			     .tid = e->tid,
			     .cpu = e->cpu,
			     .in = e->in,
			     .nr_before = e->before,
			     .nr_unsaid = e->unsaid};

	if (e->type == MONITOR_EV_STEP)
		return step_tell(r, (const struct monitor_step *)e);
	if (e->type == MONITOR_EV_GONE) {
		(void)monitor_kernel_forget(r->kernel, e->pid); /* what cannot be read stays */
		return 0;
	}
	if (e->monitor >= r->o.nr_models)
		return 0;
	v.model = r->o.model[e->monitor];
	if (v.model->kind == AUTOMATON_GRAPH) {
		v.state = (int)(e->in.state & (AUTOMATON_STATES - 1)) - 1;
		v.event = e->event == 0xff ? -1 : e->event;
		path_tell(e, &v);
	}
	memcpy(v.comm, e->comm, sizeof(v.comm) - 1);
	v.nr_user = e->nr_user < MONITOR_STACK ? e->nr_user : MONITOR_STACK;
	v.nr_kernel = e->nr_kernel < MONITOR_STACK ? e->nr_kernel : MONITOR_STACK;
	v.user = frames_tell((const uint64_t *)e->user, v.nr_user, user_text, user);
	v.kernel = frames_tell((const uint64_t *)e->kernel, v.nr_kernel, kernel_text, kernel);
	return r->o.say(r->o.context, &v);
}

int monitor_run_poll(struct monitor_run *r)
{
	return monitor_kernel_consume(r->kernel, on_event, r);
}

bool monitor_run_alive(const struct monitor_run *r)
{
	if (r->o.all || r->o.follow || !r->o.pids.nr)
		return true;
	for (size_t i = 0; i < r->o.pids.nr; i++)
		if (process_exists(r->o.pids.pid[i]))
			return true;
	return false;
}

int monitor_run_counts(struct monitor_run *r, size_t model, struct monitor_state *ret,
		       struct monitor_covered *covered)
{
	int e = monitor_kernel_state(r->kernel, (uint32_t)model, ret);

	return e ?: covered ? monitor_kernel_covered(r->kernel, (uint32_t)model, covered) : 0;
}

void monitor_run_losses(struct monitor_run *r, uint64_t loss[MONITOR_LOSS_NR])
{
	monitor_kernel_losses(r->kernel, loss);
}

const char *monitor_run_note(const struct monitor_run *r, size_t i)
{
	for (size_t s = 0; s < r->nr_spots; s++) {
		if (i < r->spot[s].attachment.nr_notes)
			return r->spot[s].attachment.note[i].text;
		i -= r->spot[s].attachment.nr_notes;
	}
	return NULL;
}
