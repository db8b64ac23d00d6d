// SPDX-License-Identifier: MIT
/*
 * The order of time: a heap of streams, the one whose item is the earliest on top. A step takes the
 * next item of the top stream and lets it sink; while one stream has a run of events before those
 * of all others, that is two comparisons.
 *
 * Each stream in the heap stands at an item not yet given out, but for the top one between two
 * calls: its item is the one that the caller has.
 */
#include "trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../ctf/read.h"
#include "find.h"
#include "foreign.h"
#include "internal.h"

_Static_assert((int)TRACE_EVENT == CTF_EVENT && (int)TRACE_LOSS == CTF_LOSS &&
		       (int)TRACE_WAIT == CTF_WAIT && (int)TRACE_END == CTF_END &&
		       (int)TRACE_CUT == CTF_CUT && (int)TRACE_BAD == CTF_BAD,
	       "the states of a stream are those of a trace");

static bool is_before(const struct source *a, const struct source *b)
{
	return a->t_ns != b->t_ns ? a->t_ns < b->t_ns : a->index < b->index;
}

static inline void heap_sink(struct trace *t, size_t at)
{
	struct source **heap = t->heap, *s = heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= t->nr_heap)
			break;
		if (child + 1 < t->nr_heap && is_before(heap[child + 1], heap[child]))
			child++;
		if (!is_before(heap[child], s))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = s;
}

/* After a change of what is below the top, or of the top. */
static inline void limit_set(struct trace *t)
{
	const struct source *next = t->nr_heap > 1 ? t->heap[1] : NULL;

	if (t->nr_heap > 2 && is_before(t->heap[2], next))
		next = t->heap[2];
	if (!next)
		t->limit_ns = INT64_MAX;
	else if (t->heap[0]->index < next->index || next->t_ns == INT64_MIN)
		t->limit_ns = next->t_ns;
	else
		t->limit_ns = next->t_ns - 1;
}

static void heap_add(struct trace *t, struct source *s)
{
	size_t at = t->nr_heap++;

	while (at > 0 && is_before(s, t->heap[(at - 1) / 2])) {
		t->heap[at] = t->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	t->heap[at] = s;
	limit_set(t);
}

static void heap_drop_top(struct trace *t)
{
	t->heap[0] = t->heap[--t->nr_heap];
	t->is_running &= t->nr_heap > 0;
	if (t->nr_heap) {
		heap_sink(t, 0);
		limit_set(t);
	}
}

/* To the stream's next item. What is wrong has the time of what came before. Return: 0, or -errno.
 */
int trace_source_step(struct source *s)
{
	int step = s->foreign ? foreign_step(s->foreign) : ctf_input_step(s->input);

	if (__builtin_expect(step < 0, 0))
		return step;
	s->state = step;
	if (step <= CTF_LOSS)
		s->t_ns = s->input->t_ns;
	return 0;
}

/* What waits is followed: a live session is, whether or not anybody asked for that. */
static void source_wait(struct trace *t)
{
	t->nr_waiting++;
	t->options.is_following = true;
	t->is_running = false;
}

/* Takes a stream that has just been stepped into the heap, or among those that wait. */
void trace_source_place(struct trace *t, struct source *s)
{
	if (s->state == TRACE_WAIT)
		source_wait(t);
	else if (s->state != TRACE_END)
		heap_add(t, s);
}

/* The top has stepped: to where does it belong now? */
static int top_settle(struct trace *t)
{
	struct source *s = t->heap[0];

	if (s->state == TRACE_WAIT || s->state == TRACE_END) {
		heap_drop_top(t);
		if (s->state == TRACE_WAIT)
			source_wait(t);
	} else if (s->t_ns > t->limit_ns) {
		heap_sink(t, 0);
		limit_set(t);
	}
	return 0;
}

/* The item that the caller had is done with: on to the next. Return: 0, or -errno. */
static int top_advance(struct trace *t)
{
	int r = trace_source_step(t->heap[0]);

	return r < 0 ? r : top_settle(t);
}

/* ---- streams */

/* @what: its reader or foreign, and its input. */
static int source_add(struct trace *t, const struct source *what)
{
	struct source *s = calloc(1, sizeof(*s));
	struct source **sources, **heap;
	int r;

	if (!s)
		return -ENOMEM;
	sources = reallocarray(t->source, t->nr_sources + 1, sizeof(struct source *));
	t->source = sources ?: t->source;
	heap = sources ? reallocarray(t->heap, t->nr_sources + 1, sizeof(struct source *)) : NULL;
	t->heap = heap ?: t->heap;
	if (!heap) {
		free(s);
		return -ENOMEM;
	}
	*s = *what;
	s->index = (unsigned)t->nr_sources;
	t->source[t->nr_sources++] = s;
	r = trace_source_step(s);
	if (r == 0)
		trace_source_place(t, s);
	return r;
}

int trace_reader_take(struct trace *t, struct ctf_reader *reader)
{
	struct source s = {.reader = reader};
	int r = 0;

	while (r == 0 && (s.input = ctf_reader_take(reader)))
		r = source_add(t, &s);
	return r;
}

static int reader_add(struct trace *t, const char *dir, struct tocsin_err *err)
{
	const struct ctf_reader_options options = {
		.range = {t->options.from_ns, t->options.to_ns},
		.is_following = t->options.is_following,
	};
	struct ctf_reader **readers =
		reallocarray(t->reader, t->nr_readers + 1, sizeof(struct ctf_reader *));
	int r;

	if (!readers)
		return -ENOMEM;
	t->reader = readers;
	r = ctf_reader_open(dir, &options, err, &t->reader[t->nr_readers]);
	if (r < 0)
		return r;
	return trace_reader_take(t, t->reader[t->nr_readers++]);
}

static int foreign_add(struct trace *t, const char *input, struct tocsin_err *err)
{
	const struct ctf_range range = {t->options.from_ns, t->options.to_ns};
	struct source s = {0};
	size_t nr = t->nr_sources;
	int r = foreign_open(input, t->options.plugin, range, err, &s.foreign);

	if (r < 0)
		return r;
	s.input = foreign_input(s.foreign);
	r = source_add(t, &s);
	if (t->nr_sources == nr)
		s.foreign = foreign_close(s.foreign);
	t->nr_foreign += t->nr_sources > nr;
	return r;
}

/* What our own reader does not know is for the other one, if there is one. */
int trace_dir_add(struct trace *t, const char *dir, struct tocsin_err *err)
{
	struct tocsin_err others = {0};
	int r;

	if (t->options.reader == TRACE_READER_BABELTRACE2)
		return foreign_add(t, dir, err);
	r = reader_add(t, dir, err);
	if (r == -ENOTSUP && t->options.reader == TRACE_READER_AUTO &&
	    foreign_add(t, dir, &others) == 0)
		r = 0;
	return r;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A file, or a URL; or with --reader a directory without a trace that we know. */
static bool is_for_foreign(const struct trace_options *o, const char *path)
{
	if (o->reader == TRACE_READER_OWN || is_directory(path))
		return false;
	return access(path, F_OK) == 0 || strstr(path, "://");
}

static void trace_closep(struct trace **t)
{
	(void)trace_close(*t); /* always NULL */
}

int trace_open(const char *const *paths, size_t nr, const struct trace_options *options,
	       struct tocsin_err *err, struct trace **ret_trace)
{
	struct trace *t TOCSIN_CLEANUP(trace_closep) = calloc(1, sizeof(*t));
	int r = t ? 0 : -ENOMEM;

	if (t)
		t->options = *options;
	for (size_t i = 0; i < nr && r == 0; i++)
		r = is_for_foreign(options, paths[i]) ? foreign_add(t, paths[i], err)
						      : trace_dirs_add(&t->dirs, paths[i], err);
	for (; r == 0 && t->nr_dirs < t->dirs.nr; t->nr_dirs++)
		r = trace_dir_add(t, t->dirs.path[t->nr_dirs], err);
	if (r == 0 && options->is_following)
		r = trace_follow_roots(t, paths, nr);
	if (r == -ENOMEM)
		return tocsin_err_fail(r, err, "cannot read traces: out of memory");
	if (r == 0)
		*ret_trace = tocsin_take_ptr(&t);
	return r;
}

struct trace *trace_close(struct trace *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->nr_sources; i++) {
		(void)foreign_close(t->source[i]->foreign); /* always NULL */
		free(t->source[i]);
	}
	for (size_t i = 0; i < t->nr_readers; i++)
		t->reader[i] = ctf_reader_close(t->reader[i]);
	ctf_values_done(&t->scratch);
	ctf_values_done(&t->packet_values);
	trace_dirs_done(&t->dirs);
	trace_follow_done(t);
	free(t->source);
	free(t->reader);
	free(t->heap);
	free(t);
	return NULL;
}

/* ---- items */

static int refused_next(struct trace *t)
{
	for (size_t i = 0; i < t->nr_readers; i++) {
		t->event.wrong = ctf_reader_refused(t->reader[i]);
		if (t->event.wrong) {
			t->event.state = TRACE_BAD;
			t->event.name = "bad";
			t->stats.bad++;
			return TRACE_BAD;
		}
	}
	return TRACE_END;
}

/* Everything but an event. */
static int item_give(struct trace *t, const struct source *s)
{
	const struct ctf_input *in = s->input;
	struct trace_event *e = &t->event;

	t->values = NULL;
	t->has_packet_values = false;
	e->t_ns = s->t_ns;
	e->packet = in->offset;
	e->class = NULL;
	if (s->state == TRACE_LOSS) {
		e->name = "lost";
		e->nr_lost = in->loss.nr_events;
		e->nr_lost_packets = in->loss.nr_packets;
		e->lost_begin_ns = in->loss.begin_ns;
		e->lost_end_ns = in->loss.end_ns;
		t->stats.lost += e->nr_lost;
		t->stats.lost_packets += e->nr_lost_packets;
	} else {
		e->name = s->state == TRACE_CUT ? "cut" : "bad";
		e->wrong = in->wrong;
		t->stats.cut += s->state == TRACE_CUT;
		t->stats.bad += s->state == TRACE_BAD;
	}
	return s->state;
}

/* Between the items: nothing is with the caller. Return: TRACE_EVENT go on with the top, else what
 * to say, or -errno. */
static int trace_pause(struct trace *t)
{
	int r = refused_next(t);

	if (r != TRACE_END)
		return r;
	if (t->options.is_following)
		return trace_follow(t);
	return t->nr_heap ? TRACE_EVENT : TRACE_END;
}

static inline void event_give(struct trace *t, const struct ctf_input *in)
{
	t->values = NULL;
	t->has_packet_values = false;
	t->event.t_ns = in->t_ns;
	t->event.packet = in->offset;
	t->event.class = in->event;
	t->event.name = in->event->name;
	t->stats.events++;
}

/* The top's item goes to the caller. */
static int top_give(struct trace *t)
{
	const struct source *s = t->heap[0];

	t->event.state = (enum trace_state)s->state;
	t->event.stream = s->index;
	if (__builtin_expect(s->state != TRACE_EVENT, 0))
		return item_give(t, s);
	event_give(t, s->input);
	return TRACE_EVENT;
}

/* To the next item, whatever it is. */
static __attribute__((noinline)) int item_next(struct trace *t)
{
	int r = t->is_given ? top_advance(t) : 0;

	t->is_given = t->is_quick = false;
	if (r < 0)
		return r;
	if (!t->is_running) {
		r = trace_pause(t);
		if (r != TRACE_EVENT)
			return r;
		t->is_running = !t->options.is_following;
	}
	r = top_give(t);
	t->is_given = true;
	t->is_quick = t->is_running && r == TRACE_EVENT;
	return r;
}

/* The top has stepped to an event that comes behind one of another stream. */
static __attribute__((noinline)) int turn_next(struct trace *t)
{
	heap_sink(t, 0);
	limit_set(t);
	t->is_quick = t->heap[0]->state == TRACE_EVENT;
	return top_give(t);
}

/* An event, of no fixed size, of the same stream again. */
static __attribute__((noinline)) int varying_next(struct trace *t)
{
	struct source *s = t->heap[0];

	if (!ctf_input_quick(s->input, false))
		return item_next(t);
	s->t_ns = s->input->t_ns;
	if (s->t_ns > t->limit_ns)
		return turn_next(t);
	event_give(t, s->input);
	return TRACE_EVENT;
}

/*
 * Mostly it is the next event of the stream that the event before came from, and nothing else has
 * changed. What is not so is left to others, with calls at the end only: so there is nothing here
 * to be put aside for them.
 */
int trace_next(struct trace *t, const struct trace_event **ret_event)
{
	struct source *s;

	*ret_event = &t->event;
	if (__builtin_expect(!t->is_quick, 0))
		return item_next(t);
	s = t->heap[0];
	if (!ctf_input_quick(s->input, true))
		return varying_next(t);
	s->t_ns = s->input->t_ns;
	if (s->t_ns > t->limit_ns)
		return turn_next(t);
	event_give(t, s->input);
	return TRACE_EVENT;
}

static int source_values(struct trace *t, const struct source *s)
{
	if (!s->foreign)
		return ctf_input_values(s->input, &t->scratch, &t->values);
	t->values = &t->scratch;
	return foreign_values(s->foreign, &t->scratch);
}

int trace_values(struct trace *t, const struct ctf_values **ret_values)
{
	static const struct ctf_values none;
	int r = 0;

	if (!t->values) {
		t->values = &none;
		if (t->is_given && t->heap[0]->state == TRACE_EVENT)
			r = source_values(t, t->heap[0]);
	}
	*ret_values = t->values;
	if (r < 0)
		t->values = NULL;
	return r;
}

int trace_peek(struct trace *t, const struct peek *p, uint64_t ret[PEEK_MAX])
{
	const struct ctf_input *in = t->heap[0]->input;

	return peek_run(p, in->base, in->body_bits, in->end_bits, ret);
}

int trace_packet_values(struct trace *t, const struct ctf_values **ret_values)
{
	int r = 0;

	if (!t->has_packet_values) {
		t->packet_values.nr = 0;
		if (t->is_given)
			r = t->heap[0]->foreign
				    ? foreign_packet_values(t->heap[0]->foreign, &t->packet_values)
				    : ctf_input_packet_values(t->heap[0]->input, &t->packet_values);
		t->has_packet_values = r == 0;
	}
	*ret_values = &t->packet_values;
	return r;
}

const char *trace_dir(const struct trace *t, unsigned stream)
{
	const struct source *s = t->source[stream];

	return s->foreign ? foreign_dir(s->foreign) : ctf_reader_dir(s->reader);
}

const char *trace_stream_name(const struct trace *t, unsigned stream)
{
	return t->source[stream]->input->name;
}

const struct meta *trace_meta(const struct trace *t, unsigned stream)
{
	const struct source *s = t->source[stream];

	return s->foreign ? foreign_meta(s->foreign) : ctf_reader_meta(s->reader);
}

struct trace_stats trace_get_stats(const struct trace *t)
{
	struct trace_stats stats = t->stats;

	stats.streams = (unsigned)t->nr_sources;
	stats.traces = (unsigned)(t->nr_readers + t->nr_foreign);
	return stats;
}

uint64_t trace_progress(const struct trace *t, uint64_t *ret_total)
{
	uint64_t done = 0, total = 0, of;

	for (size_t i = 0; i < t->nr_sources; i++) {
		if (t->source[i]->foreign) /* nobody knows */
			continue;
		done += ctf_input_bytes(t->source[i]->input, &of);
		total += of;
	}
	*ret_total = total;
	return done;
}

int trace_each_class(const struct trace *t, trace_class_fn *fn, void *context)
{
	int r = 0;

	for (size_t i = 0; i < t->nr_readers; i++) {
		const struct plan_trace *plan = ctf_reader_plan(t->reader[i]);

		for (unsigned k = 0; k < plan->nr_streams; k++)
			for (unsigned n = 0; n < plan->stream[k].nr_events && r == 0; n++)
				r = fn(&plan->stream[k].event[n], &plan->stream[k], context);
	}
	for (size_t i = 0; i < t->nr_sources && r == 0; i++)
		if (t->source[i]->foreign)
			r = foreign_each_class(t->source[i]->foreign, fn, context);
	return r;
}
