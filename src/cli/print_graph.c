// SPDX-License-Identifier: MIT
/*
 * `tocsin print --graph`.
 *
 * Each event has its thread and its depth, so that nothing needs to be remembered to indent a line:
 * what is remembered is when the functions that a thread is in have begun. An entry is held back
 * until the thread's next event, so that a call that calls nothing is one line.
 *
 * Calls of a least duration are told as they end, inner before outer. They are kept until one ends
 * that nothing encloses, and written in the order in which they began.
 */
#include "print_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../elf/elf_file.h"
#include "../trace/where.h"

#define DEPTH_MAX 1024
#define INDENT    2

struct object {
	int64_t pid;
	uint64_t base, begin, end;
	char *path;           /* owned */
	struct elf_file *elf; /* NULL: not opened yet, or it cannot be */
	bool is_opened;
};

struct done {
	uint64_t function, ns;
	int64_t begin_ns, pid;
	unsigned depth;
};

struct thread {
	int64_t tid, pid;
	int64_t begin_ns[DEPTH_MAX];
	bool is_open[DEPTH_MAX];
	bool is_held; /* an entry, of `held` */
	unsigned held_depth;
	uint64_t held;
	struct done *done; /* owned */
	size_t nr_done, room;
};

struct graph {
	struct out *out;
	struct object *object; /* owned, as are the threads */
	size_t nr_objects;
	struct thread **thread;
	size_t nr_threads;
	bool has_head;
};

struct graph *graph_new(struct out *out)
{
	struct graph *g = calloc(1, sizeof(*g));

	if (g)
		g->out = out;
	return g;
}

struct graph *graph_free(struct graph *g)
{
	if (!g)
		return NULL;
	for (size_t i = 0; i < g->nr_objects; i++) {
		free(g->object[i].path);
		(void)elf_file_free(g->object[i].elf); /* always NULL */
	}
	for (size_t i = 0; i < g->nr_threads; i++) {
		free(g->thread[i]->done);
		free(g->thread[i]);
	}
	free(g->object);
	free(g->thread);
	free(g);
	return NULL;
}

static uint64_t number(const struct ctf_values *values, const char *name)
{
	const struct ctf_value *v = where_value(values, name);

	return v && !v->is_text ? v->u : 0;
}

/* ---- names */

static int object_add(struct graph *g, const struct ctf_values *values, int64_t pid)
{
	const struct ctf_value *path = where_value(values, "path");
	struct object o = {.pid = pid,
			   .base = number(values, "base"),
			   .begin = number(values, "begin"),
			   .end = number(values, "end")};
	struct object *more;

	if (!path || !path->is_text)
		return 0; /* an event of somebody else's with that name */
	for (size_t i = 0; i < g->nr_objects; i++)
		if (g->object[i].pid == pid && g->object[i].begin == o.begin &&
		    strlen(g->object[i].path) == path->len &&
		    !memcmp(g->object[i].path, path->text, path->len))
			return 0;
	more = realloc(g->object, (g->nr_objects + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	g->object = more;
	o.path = strndup(path->text, path->len);
	if (!o.path)
		return -ENOMEM;
	more[g->nr_objects++] = o;
	return 0;
}

/* The newest that lies there: files come and go. */
static struct object *object_at(struct graph *g, uint64_t address, int64_t pid)
{
	for (size_t i = g->nr_objects; i-- > 0;) {
		struct object *o = &g->object[i];

		if (o->pid == pid && address >= o->begin && address < o->end)
			return o;
	}
	return NULL;
}

static void add_name(struct graph *g, uint64_t function, int64_t pid)
{
	struct object *o = object_at(g, function, pid);
	struct tocsin_err err = {0};
	struct elf_func func;

	if (o && !o->is_opened) {
		o->is_opened = true;
		if (elf_file_open(o->path, &o->elf, &err))
			o->elf = NULL; /* gone, or elsewhere: addresses, then */
	}
	if (o && o->elf && elf_func_at(o->elf, function - o->base, &func, &err) == 0 &&
	    func.name[0]) {
		out_add_clean(g->out, func.name);
	} else if (o) {
		const char *slash = strrchr(o->path, '/');

		out_add_clean(g->out, slash ? slash + 1 : o->path);
		out_add(g->out, "+0x%" PRIx64, function - o->base);
	} else {
		out_add(g->out, "0x%" PRIx64, function);
	}
}

/* ---- lines */

static void line_begin(struct graph *g, int64_t ns, int64_t tid, unsigned depth)
{
	if (!g->has_head)
		out_add(g->out, "%12s  %7s  %s\n", "time", "thread", "function");
	g->has_head = true;
	if (ns < 0)
		out_add(g->out, "%12s", "");
	else if (ns < 100000)
		out_add(g->out, "%9.3f us", (double)ns / 1e3);
	else if (ns < 100000000)
		out_add(g->out, "%9.3f ms", (double)ns / 1e6);
	else
		out_add(g->out, "%9.3f s ", (double)ns / 1e9);
	out_add(g->out, "  %7" PRId64 "  %*s", tid, (int)depth * INDENT, "");
}

static void line_open(struct graph *g, struct thread *t)
{
	if (!t->is_held)
		return;
	t->is_held = false;
	line_begin(g, -1, t->tid, t->held_depth);
	add_name(g, t->held, t->pid);
	out_add(g->out, "() {\n");
}

static void line_leaf(struct graph *g, const struct thread *t, uint64_t function, unsigned depth,
		      int64_t ns)
{
	line_begin(g, ns, t->tid, depth);
	add_name(g, function, t->pid);
	out_add(g->out, "();\n");
}

static void enter(struct graph *g, struct thread *t, uint64_t function, unsigned depth,
		  int64_t now_ns)
{
	line_open(g, t);
	t->begin_ns[depth] = now_ns;
	t->is_open[depth] = true;
	t->is_held = true;
	t->held = function;
	t->held_depth = depth;
}

/* What was left without an exit has ended by now, nobody knows when. */
static void leave(struct graph *g, struct thread *t, uint64_t function, unsigned depth,
		  int64_t now_ns)
{
	int64_t ns = t->is_open[depth] ? now_ns - t->begin_ns[depth] : -1;
	bool is_leaf = t->is_held && t->held_depth == depth && t->held == function;

	if (!is_leaf)
		line_open(g, t);
	t->is_held = false;
	for (unsigned i = depth; i < DEPTH_MAX && t->is_open[i]; i++)
		t->is_open[i] = false;
	if (is_leaf) {
		line_leaf(g, t, function, depth, ns);
		return;
	}
	line_begin(g, ns, t->tid, depth);
	out_add(g->out, "} /* ");
	add_name(g, function, t->pid);
	out_add(g->out, " */\n");
}

/* ---- calls of a least duration */

static int done_compare(const void *a, const void *b)
{
	const struct done *x = a, *y = b;

	if (x->begin_ns != y->begin_ns)
		return x->begin_ns < y->begin_ns ? -1 : 1;
	return x->depth < y->depth ? -1 : x->depth > y->depth;
}

static void done_flush(struct graph *g, struct thread *t)
{
	if (t->nr_done)
		qsort(t->done, t->nr_done, sizeof(*t->done), done_compare);
	for (size_t i = 0; i < t->nr_done; i++)
		line_leaf(g, t, t->done[i].function, t->done[i].depth, (int64_t)t->done[i].ns);
	t->nr_done = 0;
}

static int done_add(struct graph *g, struct thread *t, const struct done *d)
{
	if (t->nr_done == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct done *more = realloc(t->done, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->done = more;
		t->room = room;
	}
	t->done[t->nr_done++] = *d;
	if (d->depth == 0)
		done_flush(g, t);
	return 0;
}

/* ---- events */

static struct thread *thread_get(struct graph *g, int64_t tid, int64_t pid)
{
	struct thread **more, *t;

	for (size_t i = 0; i < g->nr_threads; i++)
		if (g->thread[i]->tid == tid && g->thread[i]->pid == pid)
			return g->thread[i];
	more = realloc(g->thread, (g->nr_threads + 1) * sizeof(*more));
	if (!more)
		return NULL;
	g->thread = more;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->tid = tid;
	t->pid = pid;
	g->thread[g->nr_threads++] = t;
	return t;
}

int graph_event(struct graph *g, struct trace *trace, struct trace_packets *packets,
		const struct trace_event *e)
{
	const struct ctf_values *values;
	struct trace_who who;
	struct thread *t;
	struct done d;
	int r;

	if (e->state != TRACE_EVENT || strncmp(e->name, "functions:", 10) != 0)
		return 0;
	r = trace_who(packets, trace, e, &who);
	if (r == 0)
		r = trace_values(trace, &values);
	if (r < 0)
		return r;
	if (!strcmp(e->name, "functions:object"))
		return object_add(g, values, who.pid) ?: 1;
	d = (struct done){.function = number(values, "function"),
			  .ns = number(values, "ns"),
			  .depth = (unsigned)number(values, "depth")};
	if (d.depth >= DEPTH_MAX)
		return 0; /* not ours */
	d.begin_ns = e->t_ns - (int64_t)d.ns;
	t = thread_get(g, (int64_t)number(values, "tid"), who.pid);
	if (!t)
		return -ENOMEM;
	if (!strcmp(e->name, "functions:enter"))
		enter(g, t, d.function, d.depth, e->t_ns);
	else if (!strcmp(e->name, "functions:exit"))
		leave(g, t, d.function, d.depth, e->t_ns);
	else if (!strcmp(e->name, "functions:call"))
		return done_add(g, t, &d) ?: 1;
	return 1;
}

void graph_end(struct graph *g)
{
	for (size_t i = 0; i < g->nr_threads; i++) {
		line_open(g, g->thread[i]);
		done_flush(g, g->thread[i]);
	}
}
