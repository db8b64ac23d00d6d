/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_PLAN_H
#define TOCSIN_CTF_READ_PLAN_H

/*
 * Metadata compiled into something that decodes: for each head, context and event a flat list of
 * steps, without a type in sight, and for events of whole bytes a second, shorter list that only
 * finds their end.
 */

#include "read_meta.h"

#define PLAN_OPS_MAX       (1u << 20) /* steps of a whole trace */
#define PLAN_EVENT_OPS_MAX (1u << 16) /* of one event */
#define PLAN_VALUES_MAX    (1u << 22) /* values of one event */
#define PLAN_SHARED        64         /* slots whose values outlive an event: those of heads */
#define PLAN_LOCAL_MAX     4096       /* slots within one event */
#define PLAN_NO_SLOT       UINT32_MAX
#define PLAN_NOT_QUICK     ((uint64_t)1 << 62) /* bytes that no packet has */

/* Where in an event a value stands. */
enum plan_scope {
	SCOPE_PACKET_HEADER,
	SCOPE_PACKET_CONTEXT,
	SCOPE_EVENT_HEADER,
	SCOPE_STREAM_CONTEXT, /* of every event of the stream */
	SCOPE_EVENT_CONTEXT,  /* of this event */
	SCOPE_PAYLOAD,
	SCOPE_NR,
};

/*
 * One value. Those of a structure, array, sequence or variant stand behind it, @nr_below of them,
 * so that the next one beside it is at + 1 + nr_below. A variant has one below it: the option
 * taken. The six scopes are structures too.
 */
struct ctf_value {
	const char *name;             /* NULL: an element of an array */
	const struct meta_type *type; /* that it was declared with */
	uint32_t nr_below;
	uint16_t name_len;
	uint8_t scope; /* enum plan_scope */
	bool is_text;  /* text and len, no terminator; also arrays of characters */
	size_t len;    /* bytes of text; or elements of an array */
	union {
		uint64_t u;
		int64_t i;
		double f;
		const char *text; /* lent from the trace */
	};
};

struct ctf_values {
	struct ctf_value *item; /* owned */
	size_t nr;
	size_t capacity;
};

void ctf_values_done(struct ctf_values *v);

struct plan_op;
struct plan_skip;
struct plan_fill;
struct plan_option;

struct plan {
	struct plan_op *op; /* owned, as are the other two; ends with PLAN_END */
	unsigned nr_ops;
	struct plan_option *option;
	unsigned nr_options;
	bool is_bytes;          /* nothing in it is smaller than a byte */
	struct plan_skip *skip; /* of an event of whole bytes: how to find its end; else NULL */
	bool is_fixed;          /* its size is always fixed_bytes */
	uint64_t fixed_bytes;
	struct plan_fill *fill;  /* of an event that always has the same values; else NULL */
	struct ctf_values ready; /* ... these: filled in by plan_fill_run(), valid until the next */
};

struct plan_event {
	const struct meta_event *meta;
	const char *name; /* meta's */
	struct plan body; /* contexts and payload */
};

enum plan_header {
	PLAN_HEADER_ANY,
	PLAN_HEADER_TOCSIN, /* the record header of a ring, little endian */
	PLAN_HEADER_NONE,   /* events have none: there is one class, and no time */
};

struct plan_stream {
	const struct meta_stream *meta;
	const struct meta_clock *clock; /* NULL: none, time is 0 */
	enum plan_header header_kind;
	struct plan context;      /* of a packet */
	struct plan header;       /* of an event */
	struct plan_event *event; /* owned; sorted by id */
	unsigned nr_events;
	struct plan_event **by_id; /* owned; events of small ids */
	uint64_t *quick_bytes;     /* owned; of events of fixed size; PLAN_NOT_QUICK of others */
	uint64_t nr_by_id;
};

struct plan_trace {
	struct plan packet_header;
	struct plan_stream *stream; /* owned */
	unsigned nr_streams;
	unsigned nr_slots; /* that a decoder must have */
};

/**
 * plan_make() - compile the metadata.
 * @meta: lent until plan_done()
 * @err:  what cannot be read, on failure
 *
 * Return: 0, or -EBADMSG a reference to nothing, -ENOTSUP, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no.
 */
int plan_make(const struct meta *meta, struct plan_trace *ret_plan, struct tocsin_err *err);

void plan_done(struct plan_trace *plan);

/** plan_event_find() - the event class of an id, or NULL. */
const struct plan_event *plan_event_find(const struct plan_stream *s, uint64_t id);

/* A place in a packet, and what has been read on the way there. */
struct plan_state {
	const uint8_t *base; /* the packet, lent */
	uint64_t at_bits;    /* from there */
	uint64_t end_bits;   /* of the content */
	uint64_t *slot;      /* as many as the trace's plan says */
	uint64_t clock;      /* ticks; numbers that are times move it forward */
	bool is_time_set;    /* one did */
	uint64_t role[ROLE_NR];
	uint32_t has_role;   /* bit 1 << role */
	const uint8_t *uuid; /* 16 bytes of a packet's header; NULL: there are none */
	const char *wrong;   /* on failure: what is wrong at at_bits */
};

/**
 * plan_run() - read what the plan says, from @st->at_bits on.
 * @values: gets them, behind what it holds; NULL: nobody wants them
 *
 * Return: 0, or -EBADMSG (st->wrong says what), -ENOMEM.
 * Thread-safe: per object. Signal-safe: no.
 */
int plan_run(const struct plan *plan, struct plan_state *st, struct ctf_values *values);

/**
 * plan_end() - where an event of whole bytes ends.
 * @at:  byte of the packet where its contexts begin
 * @end: end of the content in bytes
 *
 * Return: 0, or -EBADMSG; st->wrong says what and st->at_bits where.
 */
int plan_end(const struct plan *plan, struct plan_state *st, uint64_t at, uint64_t end,
	     uint64_t *ret_end);

/**
 * plan_fill_run() - the values of an event with plan->fill, into plan->ready.
 * @base: the packet
 * @at:   byte of it where the event's contexts begin
 * @end:  end of the content in bytes
 *
 * Return: 0, or -EBADMSG it is not whole. Thread-safe: per plan. Signal-safe: no.
 */
int plan_fill_run(const struct plan *plan, const uint8_t *base, uint64_t at, uint64_t end);

/** plan_clock_step() - the time that a counter of @bits shows, when it showed @clock before. */
static inline uint64_t plan_clock_step(uint64_t clock, uint64_t value, unsigned bits)
{
	uint64_t mask, next;

	if (bits >= 64)
		return value;
	mask = (UINT64_C(1) << bits) - 1;
	next = (clock & ~mask) | (value & mask);
	return next < clock ? next + mask + 1 : next;
}

#endif
