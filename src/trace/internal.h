/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACE_INTERNAL_H
#define TOCSIN_TRACE_INTERNAL_H

/* Between trace.c and follow.c. */

#include "../ctf/read.h"
#include "find.h"
#include "foreign.h"
#include "trace.h"

/* Directories in which traces may appear while they are followed. */
struct trace_roots {
	char **path; /* owned, as is the list */
	size_t nr;
	int64_t woke_ns;   /* when what waits was looked at last */
	int64_t looked_ns; /* ... and for new traces */
	int64_t chunk_ns;  /* when the newest chunk was found; 0: none */
	size_t nr_old;     /* readers before it: their chunks are complete */
	char wrong[512];   /* a new trace that cannot be read; "": nothing to say */
	char given[512];   /* what the caller has of it */
};

struct source {
	struct ctf_input *input; /* lent from its reader, or foreign */
	struct ctf_reader *reader;
	struct foreign *foreign; /* owned; NULL: it is the reader's */
	int64_t t_ns;            /* of its item */
	unsigned index;
	int state; /* enum trace_state of its item; TRACE_WAIT, TRACE_END: not in the heap */
};

struct trace {
	struct source **heap; /* owned array */
	size_t nr_heap;
	int64_t limit_ns; /* up to here the top's items come before those of all others */
	struct trace_event event;
	bool is_given;          /* the top's item is with the caller */
	bool is_running;        /* there is nothing to look after but the top */
	bool is_quick;          /* ... and its item is an event, which the caller has */
	struct source **source; /* owned, as each of them */
	size_t nr_sources;
	struct ctf_reader **reader; /* owned, as each of them */
	size_t nr_readers;
	size_t nr_foreign;
	size_t nr_waiting;
	struct trace_dirs dirs;
	size_t nr_dirs;           /* of these, that have a reader */
	struct trace_roots roots; /* when following */
	struct trace_options options;
	struct ctf_values scratch, packet_values;
	const struct ctf_values *values; /* NULL: not yet asked for */
	bool has_packet_values;
	struct trace_stats stats;
};

/** trace_source_step() - to the stream's next item. Return: 0, or -errno. */
int trace_source_step(struct source *s);

/** trace_source_place() - take a stream that was just stepped into the heap, or among those that
 * wait. */
void trace_source_place(struct trace *t, struct source *s);

/** trace_reader_take() - the streams of a reader that are new. Return: 0, or -errno. */
int trace_reader_take(struct trace *t, struct ctf_reader *reader);

/** trace_dir_add() - a trace. Return: 0, or what trace_open() returns. */
int trace_dir_add(struct trace *t, const char *dir, struct tocsin_err *err);

/* ---- follow.c */

/** trace_follow_roots() - remember where traces may appear. Return: 0, -ENOMEM. */
int trace_follow_roots(struct trace *t, const char *const *paths, size_t nr);
void trace_follow_done(struct trace *t);

/** trace_follow() - nothing is with the caller: look for what is new. Return: TRACE_EVENT go on
 * with the top, TRACE_WAIT, TRACE_END, TRACE_BAD t->event says what, or -errno. */
int trace_follow(struct trace *t);

#endif
