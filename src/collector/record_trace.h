/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RECORD_TRACE_H
#define TOCSIN_COLLECTOR_RECORD_TRACE_H

/*
 * The trace that a recording writes: one directory, or a row of them with --rotate. Knows what
 * there is to say in metadata: clocks, and lists of events that processes share.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/control.h"
#include "../base/err.h"
#include "../ctf/class.h"
#include "../ctf/ring_stream.h"
#include "timebase.h"

struct record_trace;

/* clang-format off */
#define EVENT(name, id)           struct record_event_##name {
#define FIELD(event, KIND, name)  ctf_type_##KIND name;
#define END(event)                };
#include "record_trace.def"
#undef EVENT
#undef FIELD
#undef END
enum record_event {
#define EVENT(name, id)           RECORD_EVENT_##name,
#define FIELD(event, KIND, name)
#define END(event)
#include "record_trace.def"
#undef EVENT
#undef FIELD
#undef END
};
/* clang-format on */

struct record_trace_options {
	const char *dir;
	const char *version; /* of tocsin */
	const char *command; /* for the environment, "" without */
	bool is_ctf2;
	bool is_chunked; /* the directory holds chunks */
	bool is_zstd;    /* of finished chunks */
	uint64_t keep;   /* finished chunks; 0: all */
};

/**
 * record_trace_open() - make the directory and the first trace.
 * @opts: lent until record_trace_close()
 * @tb:   clock of the rings, lent; NULL: they are on CLOCK_MONOTONIC
 *
 * Return: 0, -EEXIST not empty, -errno; @err has the sentence.
 * Thread-safe: per object. Signal-safe: no.
 */
int record_trace_open(const struct record_trace_options *opts, const struct timebase *tb,
		      struct tocsin_err *err, struct record_trace **ret_trace);

/**
 * record_trace_rotate() - begin the next chunk; streams of the last one may still be written to and
 * closed.
 * record_trace_rotated() - they are closed: the last chunk is complete.
 *
 * Return: 0, or -errno: the old chunk goes on.
 */
int record_trace_rotate(struct record_trace *t);
void record_trace_rotated(struct record_trace *t);

/** record_trace_chunk() - number of the chunk, from 1: files of another one are of no use. */
unsigned record_trace_chunk(const struct record_trace *t);

/* --- lists of events --- */

/* What a process can emit: descriptions by class id, and contexts by layout. Shared by processes
 * that do not contradict one another. */
struct record_shape;

/**
 * record_trace_shape() - the list that has at least these.
 * @have:    the list so far, NULL: none yet
 * @layout:  masks of contexts
 * @class:   checked, copied; the ids are 0 .. @nr - 1
 *
 * Return: 0, or -ENOMEM. The list is another one than @have when that contradicts, and is owned by
 * the trace.
 */
int record_trace_shape(struct record_trace *t, struct record_shape *have, const uint32_t *layout,
		       uint32_t nr_layouts, const struct control_class *const *class, uint32_t nr,
		       struct record_shape **ret_shape);

/** record_shape_class() - the description with the id of a record, and its contexts. Return: NULL:
 * there is none. */
const struct control_class *record_shape_class(const struct record_shape *shape, uint32_t record_id,
					       uint32_t *ret_contexts);

/** record_trace_stream_class() - number of the stream class of a list on a clock (a line of the
 * time base; UINT_MAX: CLOCK_MONOTONIC). Return: > 0, or -ENOMEM. */
int record_trace_stream_class(struct record_trace *t, struct record_shape *shape, unsigned clock);

/** record_trace_redraw() - clocks or lists have changed: metadata is written before the next
 * packet.
 */
void record_trace_redraw(struct record_trace *t);

/* --- streams --- */

/** record_trace_stream_open() - make a file of a ring; fills in the trace's part of @id. Return: 0,
 * or -errno. */
int record_trace_stream_open(struct record_trace *t, struct ctf_ring_stream *s, const char *name,
			     struct ctf_ring_identity *id, uint64_t first);

/** record_trace_stream_put() - ctf_ring_stream_put(), behind metadata that knows it. Return: as
 * that. */
int record_trace_stream_put(struct record_trace *t, struct ctf_ring_stream *s,
			    const struct ctf_ring_packet *packet);

/** record_trace_say() - an event of the session's own stream, now. @values: struct
 * record_event_NAME. Return: 0, or -errno: it is kept, or counted as lost. */
int record_trace_say(struct record_trace *t, enum record_event event, const void *values);

/** record_trace_tick() - write what waits, now and then. Return: 0, or -errno. */
int record_trace_tick(struct record_trace *t);

/** record_trace_close() - metadata and own stream; NULL is fine. @ret_r: what failed. Return: NULL.
 */
struct record_trace *record_trace_close(struct record_trace *t, int *ret_r);

int64_t record_trace_realtime_offset(const struct record_trace *t);

#endif
