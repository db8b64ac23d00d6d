// SPDX-License-Identifier: MIT
/*
 * A watch's trace, item by item. A violation is an event, with its causes and spells in the events
 * behind it; a summary is one with its sections, their causes and the counters behind it. What does
 * not belong any more ends the item, and waits for the next call.
 *
 * An item's texts and lists are in an arena that the next item starts anew.
 */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "load_event.h"

#define ARENA_MAX    ((size_t)64 << 20) /* of one item: a hostile trace ends here */
#define CAUSES_MAX   4096               /* of one violation or section */
#define SECTIONS_MAX 4096
#define PARTS_MAX    (4 * CAUSES_MAX) /* events that make up one violation */

struct load {
	struct trace *trace;
	const struct trace_event *event; /* at hand */
	bool is_waiting;                 /* it was not taken yet */
	struct trace_packets packets;
	struct arena arena;
	struct load_item item;
	/* the item's parts, owned */
	struct violation violation;
	struct watch_event_process process;
	struct watch_summary summary;
	struct sink_losses sinks;
	struct cause *cause;
	size_t cause_capacity;
	struct spell *spell;
	size_t spell_capacity;
};

static void load_closep(struct load **l)
{
	(void)load_close(*l); /* always NULL */
}

int load_open(const char *const *paths, size_t nr, const struct trace_options *options,
	      struct tocsin_err *err, struct load **ret_load)
{
	struct load *l TOCSIN_CLEANUP(load_closep) = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return tocsin_err_fail(-ENOMEM, err, "cannot read traces: out of memory");
	l->arena.limit_bytes = ARENA_MAX;
	r = trace_open(paths, nr, options, err, &l->trace);
	if (r == 0)
		*ret_load = tocsin_take_ptr(&l);
	return r;
}

struct load *load_close(struct load *l)
{
	if (!l)
		return NULL;
	l->trace = trace_close(l->trace);
	trace_packets_done(&l->packets);
	arena_done(&l->arena);
	free(l->cause);
	free(l->spell);
	free(l);
	return NULL;
}

int load_values(struct load *l, const struct ctf_values **ret_values)
{
	return trace_values(l->trace, ret_values);
}

int load_who(struct load *l, struct trace_who *ret_who)
{
	return trace_who(&l->packets, l->trace, l->event, ret_who);
}

const struct trace *load_trace(const struct load *l)
{
	return l->trace;
}

/* ---- the event at hand */

/* Return: an enum trace_state, or -errno. */
static int peek(struct load *l)
{
	int state;

	if (l->is_waiting)
		return (int)l->event->state;
	state = trace_next(l->trace, &l->event);
	l->is_waiting = state >= 0 && state != TRACE_END && state != TRACE_WAIT;
	return state;
}

static bool is_of_watch(const struct load *l)
{
	const struct meta_env *domain =
		meta_env_find(trace_meta(l->trace, l->event->stream), "domain");

	return domain && domain->text && strcmp(domain->text, "watch") == 0;
}

/* Its class if it is one of a watch's events, else -1. */
static int class_peek(const struct load *l)
{
	return l->event->state == TRACE_EVENT && is_of_watch(l) ? load_class_find(l->event->name)
								: -1;
}

static int event_take(struct load *l, int class, union trace_any *ret)
{
	const struct ctf_values *values;
	int r = trace_values(l->trace, &values);

	l->is_waiting = false;
	return r < 0 ? r : load_event_read((enum trace_class) class, values, &l->arena, ret);
}

/* The clock of a watch's trace is CLOCK_MONOTONIC, and its offset is to 1970. */
static int64_t offset_of(const struct load *l)
{
	const struct meta_clock *clock = trace_meta(l->trace, l->event->stream)->clock;

	if (!clock || clock->frequency_hz != 1000000000)
		return 0;
	return clock->offset_s * 1000000000 + (int64_t)clock->offset_ticks;
}

/* ---- parts */

/* Room for one more. Return: 0, -ENOMEM, -E2BIG. */
static int part_add(void **items, size_t *capacity, size_t nr, size_t bytes)
{
	size_t more = *capacity ? 2 * *capacity : 16;
	void *grown;

	if (nr < *capacity)
		return 0;
	if (nr >= CAUSES_MAX)
		return -E2BIG;
	grown = reallocarray(*items, more, bytes);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*capacity = more;
	return 0;
}

static int cause_take(struct load *l, struct violation *v, const struct trace_cause *e)
{
	int r = part_add((void **)&l->cause, &l->cause_capacity, v->nr_causes, sizeof(*l->cause));

	if (r < 0)
		return r == -E2BIG ? 0 : r; /* the item is partial then, and says so */
	l->cause[v->nr_causes] = (struct cause){0};
	load_cause(e, &l->cause[v->nr_causes++]);
	return 0;
}

static int spell_take(struct load *l, struct violation *v, const struct trace_spell *e)
{
	int r = part_add((void **)&l->spell, &l->spell_capacity, v->nr_spells, sizeof(*l->spell));

	if (r < 0)
		return r == -E2BIG ? 0 : r;
	load_spell(e, &l->spell[v->nr_spells++]);
	return 0;
}

static int stack_take(struct load *l, struct violation *v, const struct trace_user_stack *e)
{
	struct named_stack *stack;

	if (e->number != v->number)
		return 0; /* of one that was not written whole */
	stack = load_user_stack(e, &l->arena);
	if (!stack)
		return -ENOMEM;
	if (e->spell < 0)
		v->stack = stack;
	else if ((uint32_t)e->spell < v->nr_spells)
		l->spell[e->spell].user_stack = stack;
	return 0;
}

/* ---- a violation */

static bool is_part(const struct load *l, unsigned stream, int64_t t_ns)
{
	int class = class_peek(l);

	return (class == TRACE_CLASS_cause || class == TRACE_CLASS_spell ||
		class == TRACE_CLASS_user_stack) &&
	       l->event->stream == stream && l->event->t_ns == t_ns;
}

static int part_take(struct load *l, struct violation *v)
{
	int class = class_peek(l), r;
	union trace_any e;

	r = event_take(l, class, &e);
	if (r < 0)
		return r;
	if (class == TRACE_CLASS_cause)
		return cause_take(l, v, &e.cause);
	return class == TRACE_CLASS_spell ? spell_take(l, v, &e.spell)
					  : stack_take(l, v, &e.user_stack);
}

/* The causes, spells and user stacks behind the event of a violation. */
static int parts_take(struct load *l, struct violation *v, uint32_t causes, uint32_t spells)
{
	unsigned stream = l->event->stream;
	int64_t t_ns = l->event->t_ns;
	int r = 0;

	/* Behind all that were told of, only stacks can be its own. */
	for (unsigned nr = 0; r == 0 && nr < PARTS_MAX; nr++) {
		r = peek(l);
		if (r != TRACE_EVENT || !is_part(l, stream, t_ns) ||
		    (v->nr_causes + v->nr_spells >= causes + (uint64_t)spells &&
		     class_peek(l) != TRACE_CLASS_user_stack))
			break;
		r = part_take(l, v);
	}
	l->item.is_partial = v->nr_causes != causes || v->nr_spells != spells;
	v->cause = l->cause;
	v->spell = l->spell;
	return r < 0 ? r : 0;
}

static int violation_take(struct load *l, int class)
{
	struct violation *v = &l->violation;
	uint32_t causes, spells;
	const char *section;
	union trace_any e;
	int r;

	*v = (struct violation){.realtime_offset_ns = offset_of(l)};
	r = event_take(l, class, &e);
	if (r < 0)
		return r;
	if (class == TRACE_CLASS_fired) {
		load_fired(&e.fired, v);
		section = e.fired.section;
		causes = 0;
		spells = e.fired.spells;
	} else {
		load_violation(&e.violation, v);
		section = e.violation.section;
		causes = e.violation.causes;
		spells = e.violation.spells;
	}
	v->section = arena_text(&l->arena, section, strlen(section)); /* the model's is not const */
	if (!v->section)
		return -ENOMEM;
	l->item.violation = v;
	r = parts_take(l, v, causes, spells);
	return r < 0 ? r : LOAD_VIOLATION;
}

/* ---- a summary */

static struct section_summary *section_find(struct watch_summary *summary, const char *name)
{
	for (unsigned i = summary->nr_sections; i-- > 0;)
		if (strcmp(summary->section[i].name, name) == 0)
			return &summary->section[i];
	return NULL;
}

static int section_add(struct load *l, const struct trace_summary_section *e)
{
	struct watch_summary *summary = &l->summary;
	struct section_summary *s;

	if (summary->nr_sections >= SECTIONS_MAX)
		return 0;
	if (!summary->section) {
		summary->section = arena_array(&l->arena, SECTIONS_MAX, sizeof(*s));
		if (!summary->section)
			return -ENOMEM;
	}
	s = &summary->section[summary->nr_sections++];
	load_section(e, s);
	if (e->causes) {
		uint32_t nr = e->causes < CAUSES_MAX ? e->causes : CAUSES_MAX;

		s->cause = arena_array(&l->arena, nr, sizeof(*s->cause));
		if (!s->cause)
			return -ENOMEM;
		s->nr_causes = nr; /* room; cut to what came in the end */
	}
	return 0;
}

static void section_cause_add(struct load *l, const struct trace_summary_cause *e)
{
	struct section_summary *s = section_find(&l->summary, e->section);

	if (s && e->index < s->nr_causes)
		load_section_cause(e, &s->cause[e->index]);
}

static void loss_add(struct load *l, const struct trace_loss *e)
{
	for (unsigned i = 0; i < LOSS_NR; i++)
		if (strcmp(loss_text[i].name, e->name) == 0)
			l->summary.loss[i] = e->count;
	for (unsigned i = 0; i < SINK_NR; i++)
		if (strcmp(sink_text[i].name, e->name) == 0)
			l->sinks.count[i] = e->count;
}

static int summary_part_take(struct load *l, int class)
{
	union trace_any e;
	int r = event_take(l, class, &e);

	if (r < 0)
		return r;
	if (class == TRACE_CLASS_summary_section)
		return section_add(l, &e.summary_section);
	if (class == TRACE_CLASS_summary_cause)
		section_cause_add(l, &e.summary_cause);
	else
		loss_add(l, &e.loss);
	return 0;
}

static int summary_take(struct load *l)
{
	unsigned stream = l->event->stream;
	union trace_any e;
	int r = event_take(l, TRACE_CLASS_summary, &e);

	l->summary = (struct watch_summary){
		.duration_ns = e.summary.duration_ns,
		.records_lost = e.summary.records_lost,
		.throttle_known = e.summary.throttle_known,
	};
	l->sinks = (struct sink_losses){0};
	while (r == 0) {
		int class;

		r = peek(l);
		if (r != TRACE_EVENT || l->event->stream != stream)
			break;
		class = class_peek(l);
		if (class != TRACE_CLASS_summary_section && class != TRACE_CLASS_summary_cause &&
		    class != TRACE_CLASS_loss)
			break;
		r = summary_part_take(l, class);
	}
	if (r < 0)
		return r;
	l->item.summary = &l->summary;
	l->item.sinks = &l->sinks;
	return LOAD_SUMMARY;
}

/* ---- */

static int process_take(struct load *l)
{
	union trace_any e;
	int r = event_take(l, TRACE_CLASS_process, &e);

	if (r < 0)
		return r;
	load_process(&e.process, &l->process);
	l->process.head.t_ns = (uint64_t)(l->event->t_ns - l->item.realtime_offset_ns);
	l->item.process = &l->process;
	return LOAD_PROCESS;
}

static int event_give(struct load *l, int state)
{
	l->is_waiting = false;
	l->item.event = l->event;
	return state;
}

int load_next(struct load *l, const struct load_item **ret_item)
{
	int class, r;

	*ret_item = &l->item;
	r = peek(l);
	if (r < 0)
		return r;
	arena_done(&l->arena);
	l->item = (struct load_item){0};
	if (r == TRACE_END || r == TRACE_WAIT) {
		r = LOAD_END;
	} else if (r != TRACE_EVENT) {
		r = event_give(l, LOAD_GAP);
	} else {
		l->item.realtime_offset_ns = offset_of(l);
		class = class_peek(l);
		r = class == TRACE_CLASS_fired || class == TRACE_CLASS_violation
			    ? violation_take(l, class)
		    : class == TRACE_CLASS_process ? process_take(l)
		    : class == TRACE_CLASS_summary ? summary_take(l)
						   : event_give(l, LOAD_OTHER);
	}
	if (r >= 0)
		l->item.state = (enum load_state)r;
	return r;
}
