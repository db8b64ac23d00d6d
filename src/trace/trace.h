/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACE_TRACE_H
#define TOCSIN_TRACE_TRACE_H

/*
 * Events of any number of traces and streams, one after the other in the order of time.
 *
 *   trace_open() ... while ((state = trace_next(t, &e)) == TRACE_EVENT || ...) ... trace_close()
 *
 * A step costs O(log streams); memory does not grow with the length of the traces.
 */

#include "../base/err.h"
#include "../ctf/read_peek.h"
#include "../ctf/read_plan.h"

struct trace;

/* What a step came to. */
enum trace_state {
	TRACE_EVENT, /* an event */
	TRACE_LOSS,  /* events are missing here */
	TRACE_WAIT,  /* nothing new; only when following */
	TRACE_END,   /* that was all */
	TRACE_CUT,   /* a stream ends within a packet: all before it was whole */
	TRACE_BAD,   /* bytes that make no sense; trace_next() goes on behind them, if it can */
};

struct trace_event {
	enum trace_state state;
	int64_t t_ns;                   /* since 1970 */
	const char *name;               /* of the event; TRACE_LOSS: "lost" */
	const struct plan_event *class; /* TRACE_EVENT */
	unsigned stream;                /* number of its stream file, from 0 */
	uint64_t packet;                /* its packet: byte of the file */
	/* TRACE_LOSS */
	uint64_t nr_lost;
	uint64_t nr_lost_packets; /* lost as a whole; how many events were in them nobody knows */
	int64_t lost_begin_ns, lost_end_ns; /* between these */
	/* TRACE_CUT, TRACE_BAD: the sentence, with file and byte */
	const char *wrong;
};

enum trace_reader {
	TRACE_READER_AUTO, /* our own, and babeltrace2's library for what that does not read */
	TRACE_READER_OWN,
	TRACE_READER_BABELTRACE2,
};

struct trace_options {
	int64_t from_ns, to_ns; /* inclusive; INT64_MIN and INT64_MAX: all */
	bool is_following;      /* the traces may still be written */
	enum trace_reader reader;
	const char *plugin; /* TRACE_READER_BABELTRACE2: its source, `PLUGIN.CLASS`, lent; NULL: the
			       one that knows best */
};

struct trace_stats {
	uint64_t events;
	uint64_t lost;
	uint64_t lost_packets;
	uint64_t cut; /* streams that ended within a packet */
	uint64_t bad; /* places that made no sense, and files that could not be read */
	unsigned streams;
	unsigned traces;
};

/**
 * trace_open() - open traces.
 * @paths: directories, each a trace or with traces somewhere below; or what a plugin of babeltrace2
 *         reads: a file, the URL of a live session; lent
 * @nr:    how many
 * @err:   what is wrong, on failure
 * @ret_trace: to be given to trace_close()
 *
 * A directory that is reached in two ways is read once.
 *
 * A live session is followed, whatever @options says.
 *
 * Return: 0, or -ENOENT no trace there, -EBADMSG or -ENOTSUP metadata that cannot be read, -errno,
 * -ENOMEM. Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
int trace_open(const char *const *paths, size_t nr, const struct trace_options *options,
	       struct tocsin_err *err, struct trace **ret_trace);

/**
 * trace_next() - the next event in the order of time; of equal times, that of the earlier stream.
 * @ret_event: valid until the next call; nothing for TRACE_END and TRACE_WAIT
 *
 * Return: an enum trace_state, or -ENOMEM, -errno.
 * Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
int trace_next(struct trace *t, const struct trace_event **ret_event);

/**
 * trace_values() - contexts and fields of the event at hand, in the order of enum plan_scope.
 *
 * The values, and texts in them, are valid until the next trace_next().
 *
 * Return: 0, or -ENOMEM. Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
int trace_values(struct trace *t, const struct ctf_values **ret_values);

/**
 * trace_peek() - some numbers of the event at hand.
 * @p: made for its class
 *
 * Return: 0, or -EBADMSG. Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
int trace_peek(struct trace *t, const struct peek *p, uint64_t ret[PEEK_MAX]);

/** trace_packet_values() - the context of the packet that the event at hand is in. As above. */
int trace_packet_values(struct trace *t, const struct ctf_values **ret_values);

/** trace_dir() - the directory that a stream belongs to. */
const char *trace_dir(const struct trace *t, unsigned stream);

/** trace_stream_name() - the name of a stream's file. */
const char *trace_stream_name(const struct trace *t, unsigned stream);

/** trace_meta() - the metadata that a stream belongs to. */
const struct meta *trace_meta(const struct trace *t, unsigned stream);

struct trace_stats trace_get_stats(const struct trace *t);

/** trace_progress() - how much of the files was read, in bytes; and of how much. */
uint64_t trace_progress(const struct trace *t, uint64_t *ret_total);

/**
 * trace_each_class() - call a function for each event class that there is, in no order.
 *
 * Return: the first that is not 0, or 0.
 */
typedef int trace_class_fn(const struct plan_event *class, const struct plan_stream *stream,
			   void *context);
int trace_each_class(const struct trace *t, trace_class_fn *fn, void *context);

/** trace_close() - @t may be NULL. Return: NULL. */
struct trace *trace_close(struct trace *t);

#endif
