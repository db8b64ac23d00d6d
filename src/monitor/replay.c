// SPDX-License-Identifier: MIT
/*
 * Replay: each class of events gets its rules when its first event comes, once; from then on an
 * event costs a look at the class, the few numbers that its rules want, and the steps.
 *
 * Time is the trace's. Before an event is looked at, what was to expire until then has expired, so
 * a clock that passes its bound between two events is a violation at that instant and not at the
 * next event. Behind the last event of a trace nothing is known, and nothing expires.
 */
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "bind.h"

#define VALUE_PROCESS (MONITOR_VALUES - 1) /* of the packet */
#define VALUE_CPU     (MONITOR_VALUES - 2)
#define VALUE_PEEKED  (MONITOR_VALUES - 3)
#define NO_VALUE      0xff

struct bound_rule {
	struct monitor_rule rule;
	const struct where *when; /* evaluated here, not by the rule; NULL */
	bool has_pid;             /* instances are told apart by process too */
};

/* What is done with events of a class. */
struct bound_class {
	const struct plan_event *class;
	struct bound_rule *rule; /* owned */
	unsigned nr;
	struct peek peek;
	bool is_slow; /* values are looked up by name, in all that are decoded */
	char name[VALUE_PEEKED][BIND_FIELD_MAX];
	uint8_t thread, process, cpu; /* values; NO_VALUE */
};

struct replay_monitor {
	const struct model *model;
	struct bind_list binds;
	struct tracks *tracks;
	uint64_t bound; /* a bit each: events that some class stands for */
};

/* The packet that a stream is in. */
struct packet {
	uint64_t packet;
	int64_t pid, cpu;
};

struct replay {
	struct trace *trace;
	struct replay_options o;
	struct replay_monitor *monitor;
	size_t nr;
	struct bound_class **class; /* by the pointer of the class, open addressing */
	size_t nr_classes, mask;
	struct packet *packet;
	unsigned nr_packets;
	uint64_t due_ns; /* the earliest of all monitors */
	int64_t now;
	struct replay_stats stats;
	struct tocsin_err *err; /* while a class is bound */
};

/* ---- binding a class */

struct resolve {
	struct bound_class *c;
	const struct plan_event *class;
};

/* `arg0`, where no field is called so, is the first number of the payload. */
static const char *field_of(const struct meta_type *type, const char *name)
{
	const char *first = NULL;

	if (strcmp(name, "arg0") != 0)
		return name;
	for (unsigned i = 0; type && i < type->nr_members; i++) {
		const struct meta_member *m = &type->member[i];

		if (strcmp(m->name, name) == 0)
			return name;
		if (!first && (m->type->kind == META_INT || m->type->kind == META_ENUM))
			first = m->name;
	}
	return first ?: name;
}

/* A value by its name: peeked at; else, where that cannot be, looked up each time. */
static int value_add(struct resolve *r, const char *field, unsigned *ret)
{
	struct bound_class *c = r->c;
	const char *name = field_of(r->class->meta->payload, field);
	unsigned before = c->peek.nr;
	int e = peek_add(&c->peek, name, ret);

	if (e == 0 && *ret >= VALUE_PEEKED)
		return -E2BIG;
	if (e == 0 && c->peek.nr > before)
		(void)snprintf(c->name[*ret], sizeof(c->name[*ret]), "%s", name);
	if (e == -ENOTSUP) {
		c->is_slow = true;
		for (*ret = 0; *ret < VALUE_PEEKED && c->name[*ret][0]; (*ret)++)
			if (strcmp(c->name[*ret], name) == 0)
				return 0;
		if (*ret == VALUE_PEEKED)
			return -E2BIG;
		(void)snprintf(c->name[*ret], sizeof(c->name[*ret]), "%s", name);
		c->peek.nr = *ret + 1 > c->peek.nr ? *ret + 1 : c->peek.nr;
		e = 0;
	}
	return e;
}

/* The kernel calls the id of a thread `pid`, other tracers `tid`. */
static int value_alias(struct resolve *r, const char *name, unsigned *ret)
{
	size_t len = strlen(name);
	char other[BIND_FIELD_MAX];

	if (len < 3 || len >= sizeof(other) || strcmp(name + len - 3, "pid") != 0)
		return -ENOENT;
	(void)snprintf(other, sizeof(other), "%s", name);
	other[len - 3] = 't';
	return value_add(r, other, ret);
}

static int value_first(struct resolve *r, const char *const *names, unsigned *ret)
{
	int e = -ENOENT;

	while (e == -ENOENT && *names)
		e = value_add(r, *names++, ret);
	return e;
}

static int resolve(void *context, const char *field, unsigned *ret)
{
	static const char *const threads[] = {"$tid", "$vtid", "thread", NULL};
	static const char *const processes[] = {"$pid", "$vpid", "process", NULL};
	static const char *const cpus[] = {"$cpu", "$cpu_id", NULL};
	struct resolve *r = context;
	int e;

	if (strlen(field) >= BIND_FIELD_MAX)
		return -ENOENT;
	if (strcmp(field, "thread") == 0)
		return value_first(r, threads, ret);
	if (strcmp(field, "process") == 0 || strcmp(field, "cpu") == 0) {
		bool is_cpu = strcmp(field, "cpu") == 0;

		e = value_first(r, is_cpu ? cpus : processes, ret);
		if (e == -ENOENT) {
			*ret = is_cpu ? VALUE_CPU : VALUE_PROCESS;
			e = 0;
		}
		return e;
	}
	e = value_add(r, field, ret);
	return e == -ENOENT ? value_alias(r, field, ret) : e;
}

static uint8_t value_optional(struct resolve *r, const char *name)
{
	unsigned value;

	return resolve(r, name, &value) == 0 ? (uint8_t)value : NO_VALUE;
}

/* `group:name` is the whole name of an event, or, of kernel traces, its last part. */
static bool is_point(const char *point, const char *name)
{
	const char *colon = strchr(point, ':');

	return strcmp(point, name) == 0 || (colon && strcmp(colon + 1, name) == 0);
}

static int rule_add(struct replay *p, struct resolve *where, unsigned monitor, const struct bind *b)
{
	struct replay_monitor *m = &p->monitor[monitor];
	const struct bind_values values = {.value = resolve, .context = where};
	struct bound_class *c = where->c;
	struct bound_rule *more = reallocarray(c->rule, c->nr + 1, sizeof(*more));
	struct bind plain = *b;
	struct tocsin_err ignored = {0};
	int r;

	if (!more)
		return -ENOMEM;
	c->rule = more;
	more[c->nr] = (struct bound_rule){.has_pid = m->model->scope == MODEL_OBJECT};
	r = bind_rule(m->model, b, &values, &more[c->nr].rule, b->when ? &ignored : p->err);
	if (r == -ENOTSUP || (r == -E2BIG && b->when)) {
		plain.when = NULL;
		more[c->nr].when = b->when;
		c->is_slow = true;
		r = bind_rule(m->model, &plain, &values, &more[c->nr].rule, p->err);
	} else if (r < 0 && b->when) {
		r = bind_rule(m->model, b, &values, &more[c->nr].rule, p->err); /* say it */
	}
	if (r < 0)
		return r;
	more[c->nr].rule.monitor = (uint16_t)monitor;
	more[c->nr].rule.is_last = 1;
	if (c->nr && m->model->kind == AUTOMATON_FORMULA &&
	    more[c->nr - 1].rule.monitor == monitor &&
	    more[c->nr - 1].rule.key == more[c->nr].rule.key)
		more[c->nr - 1].rule.is_last = 0;
	c->nr++;
	m->bound |= 1ULL << b->event;
	return 0;
}

static int class_bind(struct replay *p, struct bound_class *c)
{
	struct resolve where = {.c = c, .class = c->class};
	int r = 0;

	peek_init(&c->peek, &c->class->body);
	for (unsigned m = 0; m < p->nr && r == 0; m++)
		for (size_t i = 0; i < p->monitor[m].binds.nr && r == 0; i++)
			if (is_point(p->monitor[m].binds.item[i].point, c->class->meta->name))
				r = rule_add(p, &where, m, &p->monitor[m].binds.item[i]);
	if (r == 0 && c->nr) {
		c->thread = value_optional(&where, "thread");
		c->process = value_optional(&where, "process");
		c->cpu = value_optional(&where, "cpu");
	}
	return r;
}

/* ---- classes by pointer */

static size_t class_hash(const struct plan_event *class)
{
	return (size_t)((uintptr_t) class * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

static struct bound_class **class_place(const struct replay *p, const struct plan_event *class)
{
	size_t at = class_hash(class) & p->mask;

	while (p->class[at] && p->class[at] -> class != class)
		at = (at + 1) & p->mask;
	return &p->class[at];
}

static int classes_grow(struct replay *p)
{
	size_t mask = p->class ? 2 * p->mask + 1 : 255;
	struct bound_class **old = p->class;
	size_t nr = old ? p->mask + 1 : 0;

	p->class = calloc(mask + 1, sizeof(*p->class));
	if (!p->class) {
		p->class = old;
		return -ENOMEM;
	}
	p->mask = mask;
	for (size_t i = 0; i < nr; i++)
		if (old[i])
			*class_place(p, old[i]->class) = old[i];
	free(old);
	return 0;
}

static __attribute__((noinline)) int class_new(struct replay *p, const struct plan_event *class,
					       struct bound_class **ret)
{
	struct bound_class *c = calloc(1, sizeof(*c));

	if (!c || (2 * (p->nr_classes + 1) > p->mask && classes_grow(p) < 0)) {
		free(c);
		return -ENOMEM;
	}
	c->class = class;
	*class_place(p, class) = c;
	p->nr_classes++;
	*ret = c;
	return class_bind(p, c);
}

/* ---- opening */

static int class_early(const struct plan_event *class, const struct plan_stream *stream,
		       void *context)
{
	struct bound_class *c;

	(void)stream;
	return class_new(context, class, &c);
}

static int monitor_open(struct replay *p, size_t i, const struct model *m)
{
	const struct tracks_options o = {.model = m,
					 .policy = p->o.policy,
					 .max = p->o.max_instances,
					 .say = p->o.say,
					 .context = p->o.context,
					 .has_coverage = p->o.has_coverage};
	int r;

	p->monitor[i].model = m;
	p->nr = i + 1;
	r = bind_model(m, p->o.bind, p->o.nr_binds, p->o.bind_used, &p->monitor[i].binds, p->err);
	return r < 0 ? r : tracks_open(&o, &p->monitor[i].tracks);
}

int replay_open(struct model *const *models, size_t nr, struct trace *trace,
		const struct replay_options *options, struct replay **ret, struct tocsin_err *err)
{
	struct replay *p = calloc(1, sizeof(*p));
	int r = p ? 0 : -ENOMEM;

	if (r == 0) {
		p->trace = trace;
		p->o = *options;
		p->err = err;
		p->due_ns = ~UINT64_C(0);
		p->now = 1; /* 0 is no time to a stepper */
		p->monitor = calloc(nr, sizeof(*p->monitor));
		r = p->monitor ? classes_grow(p) : -ENOMEM;
	}
	for (size_t i = 0; i < nr && r == 0; i++)
		r = monitor_open(p, i, models[i]);
	if (r == 0)
		r = trace_each_class(trace, class_early, p);
	if (r < 0) {
		(void)replay_close(p); /* always NULL */
		return r;
	}
	p->err = NULL;
	*ret = p;
	return 0;
}

struct replay *replay_close(struct replay *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; p->monitor && i < p->nr; i++) {
		bind_list_done(&p->monitor[i].binds);
		(void)tracks_close(p->monitor[i].tracks); /* always NULL */
	}
	for (size_t i = 0; p->class && i <= p->mask; i++)
		if (p->class[i]) {
			free(p->class[i] -> rule);
			free(p->class[i]);
		}
	free(p->class);
	free(p->monitor);
	free(p->packet);
	free(p);
	return NULL;
}

int replay_unbound(const struct replay *p, size_t *i, const struct model **ret_model)
{
	for (; *i < p->nr * AUTOMATON_EVENTS; (*i)++) {
		const struct replay_monitor *m = &p->monitor[*i / AUTOMATON_EVENTS];
		int event = (int)(*i % AUTOMATON_EVENTS);

		if (event < m->model->nr_events && !(m->bound >> event & 1)) {
			(*i)++;
			*ret_model = m->model;
			return event;
		}
	}
	return -1;
}

struct replay_stats replay_stats(const struct replay *p)
{
	return p->stats;
}

const struct tracks *replay_tracks(const struct replay *p, size_t model)
{
	return p->monitor[model].tracks;
}

/* ---- values of an event */

static int64_t packet_number(const struct ctf_values *values, const char *const *names)
{
	for (; *names; names++) {
		const struct ctf_value *v = where_value(values, *names);

		if (v && v->type->kind == META_INT)
			return v->i;
	}
	return -1;
}

static __attribute__((noinline)) int packet_look(struct replay *p, const struct trace_event *e)
{
	static const char *const pids[] = {"pid", "vpid", "tgid", NULL};
	static const char *const cpus[] = {"cpu", "cpu_id", NULL};
	const struct ctf_values *values;
	int r = trace_packet_values(p->trace, &values);

	if (r < 0)
		return r;
	p->packet[e->stream] = (struct packet){.packet = e->packet,
					       .pid = packet_number(values, pids),
					       .cpu = packet_number(values, cpus)};
	return 0;
}

static inline int packet_at(struct replay *p, const struct trace_event *e, struct packet *ret)
{
	int r = 0;

	if (__builtin_expect(e->stream >= p->nr_packets, 0)) {
		struct packet *more = reallocarray(p->packet, e->stream + 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->packet = more;
		while (p->nr_packets <= e->stream)
			more[p->nr_packets++].packet = UINT64_MAX;
	}
	if (__builtin_expect(p->packet[e->stream].packet != e->packet, 0))
		r = packet_look(p, e);
	*ret = p->packet[e->stream];
	return r;
}

static int values_slow(struct replay *p, const struct bound_class *c, uint64_t *value,
		       const struct ctf_values **all)
{
	int r = trace_values(p->trace, all);

	for (unsigned i = 0; i < VALUE_PEEKED && r == 0; i++) {
		const struct ctf_value *v = c->name[i][0] ? where_value(*all, c->name[i]) : NULL;

		value[i] = v && !v->is_text ? v->u : 0;
	}
	return r;
}

/* ---- stepping */

struct atoms {
	uint64_t pulse, set, clear;
};

static int rule_apply(struct replay *p, const struct bound_rule *b,
		      const struct monitor_values *values, struct atoms *atoms,
		      const struct track_event *how, const struct ctf_values *all)
{
	const struct monitor_rule *rule = &b->rule;
	struct tracks *tracks = p->monitor[rule->monitor].tracks;
	bool holds = monitor_holds(rule, values) && (!b->when || where_holds(b->when, all));
	const __u64 *value = values->v;
	struct track_key key = {.key = rule->scope == MODEL_GLOBAL ? 0 : value[rule->key],
				.pid = b->has_pid && how->pid > 0 ? (uint32_t)how->pid : 0};
	struct automaton_inputs inputs;
	struct track_event with = *how;
	int r;

	if (rule->how != MONITOR_STEP) {
		uint64_t bit = holds ? 1ULL << rule->event : 0;

		atoms->pulse |= rule->how == MONITOR_PULSE ? bit : 0;
		atoms->set |= rule->how == MONITOR_SET ? bit : 0;
		atoms->clear |= rule->how == MONITOR_CLEAR ? bit : 0;
		if (!rule->is_last)
			return 0;
		r = tracks_observe(tracks, key, atoms->pulse, atoms->set, atoms->clear, how);
		*atoms = (struct atoms){0};
		return r;
	}
	if (!holds)
		return 0;
	if (rule->nr_inputs) {
		memset(&inputs, 0, sizeof(inputs));
		for (unsigned i = 0; i < rule->nr_inputs && i < MONITOR_INPUTS; i++)
			inputs.value[rule->input[i]] =
				(int64_t)value[rule->from[i] & (MONITOR_VALUES - 1)];
		with.inputs = &inputs;
	}
	return tracks_event(tracks, key, rule->event, &with);
}

static void due_look(struct replay *p)
{
	p->due_ns = ~UINT64_C(0);
	for (size_t i = 0; i < p->nr; i++) {
		uint64_t due = tracks_due_ns(p->monitor[i].tracks);

		p->due_ns = due < p->due_ns ? due : p->due_ns;
	}
}

/* Of all monitors, in the order of time. */
static __attribute__((noinline)) int expire(struct replay *p, uint64_t now)
{
	int r = 0;

	while (r == 0 && p->due_ns <= now) {
		uint64_t at = p->due_ns;

		for (size_t i = 0; i < p->nr && r == 0; i++)
			r = tracks_expire(p->monitor[i].tracks, at);
		due_look(p);
	}
	return r;
}

int replay_time(struct replay *p, int64_t t_ns)
{
	if (t_ns > p->now)
		p->now = t_ns;
	return (uint64_t)p->now >= p->due_ns ? expire(p, (uint64_t)p->now) : 0;
}

static int class_apply(struct replay *p, const struct bound_class *c, const struct trace_event *e)
{
	const struct ctf_values *all = NULL;
	union {
		struct monitor_values values;
		uint64_t peeked[PEEK_MAX];
	} at;
	uint64_t *value = at.peeked;
	struct atoms atoms = {0};
	struct packet packet;
	struct track_event how = {.now = (uint64_t)p->now};
	int r = packet_at(p, e, &packet);

	if (r < 0)
		return r;
	r = c->is_slow ? values_slow(p, c, value, &all) : trace_peek(p->trace, &c->peek, value);
	if (r == -EBADMSG) {
		p->stats.unread++;
		return 0;
	}
	value[VALUE_PROCESS] = (uint64_t)packet.pid;
	value[VALUE_CPU] = (uint64_t)packet.cpu;
	how.tid = c->thread != NO_VALUE ? (int64_t)value[c->thread] : -1;
	how.pid = c->process != NO_VALUE ? (int64_t)value[c->process] : -1;
	how.cpu = c->cpu != NO_VALUE ? (int64_t)value[c->cpu] : -1;
	p->stats.bound++;
	for (unsigned i = 0; i < c->nr && r == 0; i++) {
		r = rule_apply(p, &c->rule[i], &at.values, &atoms, &how, all);
		if (tracks_due_ns(p->monitor[c->rule[i].rule.monitor].tracks) < p->due_ns)
			due_look(p);
	}
	return r;
}

int replay_event(struct replay *p, const struct trace_event *e)
{
	struct bound_class *c;
	int r = 0;

	p->stats.events++;
	if (__builtin_expect(e->t_ns > p->now, 1))
		p->now = e->t_ns;
	else if (e->t_ns < p->now)
		p->stats.late++;
	if (__builtin_expect((uint64_t)p->now >= p->due_ns, 0))
		r = expire(p, (uint64_t)p->now);
	c = *class_place(p, e->class);
	if (__builtin_expect(!c, 0) && r == 0)
		r = class_new(p, e->class, &c);
	if (r < 0 || !c->nr)
		return r;
	return class_apply(p, c, e);
}
