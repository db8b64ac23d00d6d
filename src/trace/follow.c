// SPDX-License-Identifier: MIT
/*
 * Traces that are still being written. A stream that has nothing yet is not in the heap; it is
 * looked at again every WAKE_NS, as are the directories for new streams. Streams reach the disk at
 * different times, so an event is held back until it is HOLD_NS old while any stream waits: what
 * comes later than that is given out late.
 *
 * A recording in chunks (`tocsin record --rotate`) is a directory in which one trace after the
 * other appears. The chunk before is complete then, but for what has not reached the disk: it ends,
 * and its files are let go, HOLD_NS later.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/cleanup.h"
#include "internal.h"

#define HOLD_NS 2000000000ll
#define WAKE_NS 20000000ll
#define LOOK_NS 200000000ll /* between two looks for new traces */

static int64_t now_ns(void)
{
	struct timespec ts = {0};

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail */
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- new traces */

int trace_follow_roots(struct trace *t, const char *const *paths, size_t nr)
{
	struct trace_roots *roots = &t->roots;

	roots->path = calloc(nr ?: 1, sizeof(*roots->path));
	if (!roots->path)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		if (!trace_dirs_is_root(paths[i]))
			continue;
		roots->path[roots->nr] = strdup(paths[i]);
		if (!roots->path[roots->nr])
			return -ENOMEM;
		roots->nr++;
	}
	return 0;
}

void trace_follow_done(struct trace *t)
{
	for (size_t i = 0; i < t->roots.nr; i++)
		free(t->roots.path[i]);
	free(t->roots.path);
}

static bool is_chunk(const char *path)
{
	const char *name = strrchr(path, '/');

	return strncmp(name ? name + 1 : path, "chunk_", 6) == 0;
}

/* One that is gone again by now (--keep) is none. */
static int dir_take(struct trace *t, const char *path, int64_t now)
{
	struct tocsin_err err = {0};
	size_t nr = t->nr_readers;
	int r = trace_dir_add(t, path, &err);

	if (r == 0 && is_chunk(path)) {
		t->roots.nr_old = nr;
		t->roots.chunk_ns = now;
	}
	if (r < 0 && r != -ENOMEM && r != -ENOENT)
		(void)tocsin_err_text(&err, t->roots.wrong, sizeof(t->roots.wrong));
	return r == -ENOMEM ? r : 0;
}

static int roots_look(struct trace *t, int64_t now)
{
	int r = 0;

	for (size_t i = 0; i < t->roots.nr && r == 0; i++) {
		r = trace_dirs_add(&t->dirs, t->roots.path[i], NULL);
		if (r < 0 && r != -ENOMEM)
			r = 0; /* it is gone, with all that was in it: what is open is read on */
	}
	for (; r == 0 && t->nr_dirs < t->dirs.nr && !t->roots.wrong[0]; t->nr_dirs++)
		r = dir_take(t, t->dirs.path[t->nr_dirs], now);
	return r;
}

/* Streams of complete chunks end when nothing more has come of them. */
static void old_end(struct trace *t)
{
	for (size_t i = 0; i < t->nr_sources; i++) {
		struct source *s = t->source[i];
		size_t k = 0;

		if (s->state != TRACE_WAIT || !s->reader)
			continue;
		while (k < t->roots.nr_old && t->reader[k] != s->reader)
			k++;
		if (k == t->roots.nr_old)
			continue;
		ctf_input_end(s->input);
		s->state = TRACE_END;
		t->nr_waiting--;
	}
}

/* ---- what there is */

/* Looks at what waits, and for new files. Return: 0, or -errno. */
static int wake(struct trace *t)
{
	int r = 0;

	for (size_t i = 0; i < t->nr_sources && r == 0; i++) {
		struct source *s = t->source[i];

		if (s->state != TRACE_WAIT)
			continue;
		r = trace_source_step(s);
		t->nr_waiting--;
		if (r == 0)
			trace_source_place(t, s);
	}
	for (size_t i = 0; i < t->nr_readers && r == 0; i++) {
		r = ctf_reader_look(t->reader[i]);
		if (r == 0)
			r = trace_reader_take(t, t->reader[i]);
	}
	return r;
}

static int all_look(struct trace *t, int64_t now)
{
	struct trace_roots *roots = &t->roots;
	int r = wake(t);

	roots->woke_ns = now;
	if (r < 0 || (now - roots->looked_ns < LOOK_NS && now >= roots->looked_ns))
		return r;
	roots->looked_ns = now;
	r = roots_look(t, now);
	if (r == 0 && roots->chunk_ns && now - roots->chunk_ns > HOLD_NS) {
		old_end(t);
		roots->chunk_ns = 0;
	}
	return r;
}

static int wrong_give(struct trace *t)
{
	struct trace_roots *roots = &t->roots;

	memcpy(roots->given, roots->wrong, sizeof(roots->given));
	roots->wrong[0] = '\0';
	t->event = (struct trace_event){.state = TRACE_BAD, .name = "bad", .wrong = roots->given};
	t->stats.bad++;
	return TRACE_BAD;
}

int trace_follow(struct trace *t)
{
	struct trace_roots *roots = &t->roots;
	int64_t now = now_ns();
	int r = 0;

	if (!t->nr_heap || now - roots->woke_ns >= WAKE_NS || now < roots->woke_ns)
		r = all_look(t, now);
	if (r < 0)
		return r;
	if (roots->wrong[0])
		return wrong_give(t);
	if (!t->nr_heap || (t->nr_waiting && t->heap[0]->t_ns > now - HOLD_NS))
		return t->nr_heap || t->nr_waiting || roots->nr ? TRACE_WAIT : TRACE_END;
	return TRACE_EVENT;
}
