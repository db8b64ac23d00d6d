// SPDX-License-Identifier: MIT
/*
 * Instances lie in one array that grows; a hash table of open addressing holds their places.
 *
 * The stepper is told to keep an instance as it is when it violates (AUTOMATON_KEEP), so that what
 * it was can be told; what the policy wants is done here afterwards.
 *
 * Deadlines wait in a binary heap, one entry an instance as a rule: an entry that comes up early,
 * because the instance has got a later deadline meanwhile, is put back. Only a deadline before the
 * one that waits needs an entry of its own; the other is dropped when it comes up.
 */
#include "track.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../automata/step.h"
#include "../base/cleanup.h"

struct past {
	uint64_t t_ns;
	uint64_t atoms;
	uint8_t from; /* state of the table */
	uint8_t event;
};

struct track {
	struct automaton_instance in;
	struct track_key key;
	uint32_t nr_past;  /* ever; the newest is past[(nr_past - 1) % VIOLATED_PAST] */
	uint64_t queued;   /* when the heap brings it up; 0: not in it */
	uint64_t since_ns; /* when its state was entered */
	uint64_t levels;   /* atoms that are true until they are cleared */
	int64_t pid, tid;  /* who stepped it last */
	struct past past[VIOLATED_PAST];
};

struct place {
	struct track_key key;
	uint32_t track; /* its number + 1; 0: free */
};

struct due {
	uint64_t when;
	uint32_t track;
};

struct tracks {
	struct tracks_options o;
	struct automaton_table *table; /* a copy that keeps */
	struct track *track;
	uint32_t nr, capacity;
	struct place *place;
	uint32_t mask;
	struct due *due;
	uint32_t nr_due, due_capacity;
	struct tracks_stats stats;
	struct monitor_covered *covered;
};

int tracks_open(const struct tracks_options *options, struct tracks **ret)
{
	struct tracks *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->o = *options;
	t->mask = 1023;
	t->place = calloc(t->mask + 1, sizeof(*t->place));
	t->table = malloc(sizeof(*t->table));
	if (options->has_coverage)
		t->covered = calloc(1, sizeof(*t->covered));
	if (!t->place || !t->table || (options->has_coverage && !t->covered)) {
		(void)tracks_close(t); /* always NULL */
		return -ENOMEM;
	}
	*t->table = options->model->table;
	t->table->policy = AUTOMATON_KEEP;
	*ret = t;
	return 0;
}

struct tracks *tracks_close(struct tracks *t)
{
	if (t) {
		free(t->track);
		free(t->place);
		free(t->due);
		free(t->table);
		free(t->covered);
		free(t);
	}
	return NULL;
}

struct tracks_stats tracks_stats(const struct tracks *t)
{
	struct tracks_stats stats = t->stats;

	stats.instances = t->nr;
	return stats;
}

const struct monitor_covered *tracks_covered(const struct tracks *t)
{
	return t->covered;
}

/* ---- instances by key */

static inline uint32_t hash(struct track_key key)
{
	uint64_t h = (key.key ^ (uint64_t)key.pid << 40) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 32);
}

static inline struct place *place_of(const struct tracks *t, struct track_key key)
{
	uint32_t at = hash(key) & t->mask;

	while (t->place[at].track &&
	       (t->place[at].key.key != key.key || t->place[at].key.pid != key.pid))
		at = (at + 1) & t->mask;
	return &t->place[at];
}

static int places_grow(struct tracks *t)
{
	struct place *old = t->place;
	uint32_t nr = t->mask + 1;

	t->place = calloc(2 * (size_t)nr, sizeof(*t->place));
	if (!t->place) {
		t->place = old;
		return -ENOMEM;
	}
	t->mask = 2 * nr - 1;
	for (uint32_t i = 0; i < nr; i++)
		if (old[i].track)
			*place_of(t, old[i].key) = old[i];
	free(old);
	return 0;
}

/* Return: 1 here it is, 0 there is no room, -ENOMEM. */
static int track_new(struct tracks *t, struct track_key key, struct track **ret)
{
	struct place *p;

	if (t->nr == t->o.max) {
		t->stats.full++;
		return 0;
	}
	if (t->nr == t->capacity) {
		uint32_t capacity = t->capacity ? 2 * t->capacity : 256;
		struct track *more = reallocarray(t->track, capacity, sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->track = more;
		t->capacity = capacity;
	}
	if (2 * (t->nr + 1) > t->mask && places_grow(t) < 0)
		return -ENOMEM;
	p = place_of(t, key);
	*p = (struct place){.key = key, .track = t->nr + 1};
	*ret = &t->track[t->nr++];
	**ret = (struct track){.key = key};
	return 1;
}

/* ---- deadlines */

static int due_push(struct tracks *t, uint64_t when, uint32_t track)
{
	uint32_t at = t->nr_due;

	if (t->nr_due == t->due_capacity) {
		uint32_t capacity = t->due_capacity ? 2 * t->due_capacity : 256;
		struct due *more = reallocarray(t->due, capacity, sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->due = more;
		t->due_capacity = capacity;
	}
	t->nr_due++;
	while (at > 0 && when < t->due[(at - 1) / 2].when) {
		t->due[at] = t->due[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	t->due[at] = (struct due){.when = when, .track = track};
	return 0;
}

static struct due due_pop(struct tracks *t)
{
	struct due top = t->due[0], last = t->due[--t->nr_due];
	uint32_t at = 0;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= t->nr_due)
			break;
		if (child + 1 < t->nr_due && t->due[child + 1].when < t->due[child].when)
			child++;
		if (last.when <= t->due[child].when)
			break;
		t->due[at] = t->due[child];
		at = child;
	}
	t->due[at] = last;
	return top;
}

uint64_t tracks_due_ns(const struct tracks *t)
{
	return t->nr_due ? t->due[0].when : ~UINT64_C(0);
}

static inline int due_watch(struct tracks *t, struct track *k)
{
	uint64_t when = k->in.deadline_ns;

	if (__builtin_expect(!when || (k->queued && k->queued <= when), 1))
		return 0;
	k->queued = when;
	return due_push(t, when, (uint32_t)(k - t->track));
}

/* ---- violations */

static void past_tell(const struct track *k, struct violated *v)
{
	uint32_t nr = k->nr_past < VIOLATED_PAST ? k->nr_past : VIOLATED_PAST;

	for (uint32_t i = 0; i < nr; i++) {
		const struct past *p = &k->past[(k->nr_past - nr + i) % VIOLATED_PAST];

		v->past[i] =
			(struct violated_past){.t_ns = p->t_ns,
					       .from = (int16_t)(p->from - 1),
					       .event = (int16_t)(p->event == 0xff ? -1 : p->event),
					       .atoms = p->atoms};
	}
	v->nr_past = nr;
}

static void policy_apply(const struct tracks *t, struct track *k)
{
	if (t->o.policy == AUTOMATON_KEEP)
		return;
	k->in = (struct automaton_instance){
		.flags = t->o.policy == AUTOMATON_FREEZE ? AUTOMATON_FROZEN : 0};
	k->nr_past = 0;
}

static __attribute__((noinline)) int violate(struct tracks *t, struct track *k,
					     enum automaton_result why, int event, uint64_t now,
					     const struct track_event *how)
{
	bool is_graph = t->table->kind == AUTOMATON_GRAPH;
	struct violated v = {.model = t->o.model,
			     .why = why,
			     .t_ns = now,
			     .realtime_ns = t->o.realtime_ns,
			     .state = is_graph ? (int)(k->in.state & (AUTOMATON_STATES - 1)) - 1
					       : -1,
			     .event = event,
			     .key = k->key.key,
			     .pid = how ? how->pid : k->pid,
			     .tid = how ? how->tid : k->tid,
			     .cpu = how ? how->cpu : -1,
			     .in = k->in,
			     .nr_before = t->stats.violations};

	if (v.pid < 0 && k->key.pid)
		v.pid = k->key.pid;
	if (how && how->comm)
		(void)snprintf(v.comm, sizeof(v.comm), "%s", how->comm);
	if (!is_graph && k->nr_past)
		v.atoms = k->past[(k->nr_past - 1) % VIOLATED_PAST].atoms;
	past_tell(k, &v);
	t->stats.violations++;
	policy_apply(t, k);
	return t->o.say(t->o.context, &v);
}

int tracks_expire(struct tracks *t, uint64_t now)
{
	int r = 0;

	while (r == 0 && t->nr_due && t->due[0].when <= now) {
		struct due d = due_pop(t);
		struct track *k = &t->track[d.track];

		if (k->queued == d.when)
			k->queued = 0;
		if (!k->in.deadline_ns)
			continue;
		if (k->in.deadline_ns > d.when) {
			r = due_watch(t, k);
			continue;
		}
		if (automaton_expire(t->table, &k->in, k->in.deadline_ns) == AUTOMATON_BAD_TIME)
			r = violate(t, k, AUTOMATON_BAD_TIME, -1, d.when, NULL);
	}
	return r;
}

/* ---- steps */

static inline void past_note(struct track *k, uint64_t now, uint64_t from, unsigned event,
			     uint64_t atoms)
{
	k->past[k->nr_past++ % VIOLATED_PAST] = (struct past){
		.t_ns = now, .atoms = atoms, .from = (uint8_t)from, .event = (uint8_t)event};
}

static void cover(struct tracks *t, struct track *k, uint64_t from, unsigned event, uint64_t now)
{
	struct monitor_covered_cell *c = &t->covered->cell[from & 63][event & 63];
	uint64_t ns = k->since_ns && from ? now - k->since_ns : 0;

	c->count++;
	c->sum_ns += ns;
	c->max_ns = ns > c->max_ns ? ns : c->max_ns;
	if (k->in.state != from)
		k->since_ns = now;
	t->covered->state[k->in.state & 63]++;
}

int tracks_event(struct tracks *t, struct track_key key, unsigned event,
		 const struct track_event *how)
{
	struct place *p = place_of(t, key);
	enum automaton_result result;
	struct track *k;
	uint64_t from;
	int r;

	if (__builtin_expect(!p->track, 0)) {
		if (t->table->has_start && !t->table->event_flags[event & (AUTOMATON_EVENTS - 1)])
			return 0;
		r = track_new(t, key, &k);
		if (r <= 0)
			return r;
	} else {
		k = &t->track[p->track - 1];
	}
	from = k->in.state;
	if (!from && !(t->table->event_flags[event & (AUTOMATON_EVENTS - 1)] & AUTOMATON_START))
		from = t->table->initial; /* it starts, and is stepped from there */
	result = automaton_step(t->table, &k->in, event, how->now, how->inputs);
	if (__builtin_expect(result == AUTOMATON_IGNORED, 0))
		return 0;
	t->stats.steps++;
	past_note(k, how->now, from, event, 0);
	k->pid = how->pid;
	k->tid = how->tid;
	if (__builtin_expect(t->covered != NULL, 0))
		cover(t, k, from, event, how->now);
	if (__builtin_expect(result >= AUTOMATON_BAD_EVENT, 0))
		return violate(t, k, result, (int)event, how->now, how);
	return due_watch(t, k);
}

int tracks_observe(struct tracks *t, struct track_key key, uint64_t pulse, uint64_t set,
		   uint64_t clear, const struct track_event *how)
{
	struct place *p = place_of(t, key);
	enum automaton_result result;
	struct track *k;
	uint64_t atoms;
	int r = 1;

	if (!p->track)
		r = track_new(t, key, &k);
	else
		k = &t->track[p->track - 1];
	if (r <= 0)
		return r;
	k->levels = (k->levels & ~clear) | set;
	atoms = k->levels | pulse;
	result = automaton_observe(t->table, &k->in, atoms, how->now);
	if (result == AUTOMATON_IGNORED)
		return 0;
	t->stats.steps++;
	past_note(k, how->now, 0, 0xff, atoms);
	k->pid = how->pid;
	k->tid = how->tid;
	if (result >= AUTOMATON_BAD_EVENT)
		return violate(t, k, result, -1, how->now, how);
	return due_watch(t, k);
}
