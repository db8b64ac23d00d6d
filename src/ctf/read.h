/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_H
#define TOCSIN_CTF_READ_H

/*
 * Reading a trace directory: its metadata, and each stream file by itself. trace/ puts the streams
 * in order of time.
 *
 *   ctf_reader   a directory with `metadata`
 *   ctf_input    one stream file, read packet by packet, event by event
 *
 * Packets are found by their sizes, one behind the other; nothing is remembered of those passed, so
 * memory does not grow with a trace.
 */

#include <string.h>

#include "../base/err.h"
#include "read_clock.h"
#include "read_map.h"
#include "read_plan.h"

/* What a step in a stream came to, from good to bad. */
enum ctf_step {
	CTF_EVENT, /* here is one */
	CTF_LOSS,  /* events are missing here: input->loss says how many */
	CTF_WAIT,  /* nothing yet; ask again later (only when following) */
	CTF_END,   /* the stream is over */
	CTF_CUT,   /* it ends within a packet: what was before is whole; input->wrong says where */
	CTF_BAD, /* input->wrong says what and where; the next step goes on behind it, if it can */
};

struct ctf_reader;

struct ctf_loss {
	uint64_t nr_events;
	uint64_t nr_packets; /* gone as a whole */
	int64_t begin_ns;    /* when it happened, at the earliest */
	int64_t end_ns;      /* and at the latest */
};

/* What part of a trace is wanted. */
struct ctf_range {
	int64_t from_ns, to_ns; /* since 1970, both inclusive */
};

#define CTF_WRONG_LEN 384

struct ctf_input {
	/* The event at hand; valid until the next step. */
	int64_t t_ns;
	const struct plan_event *event;
	uint64_t body_bits; /* where its contexts begin in the packet */

	const uint8_t *base; /* of the packet */
	uint64_t at;         /* behind the event: byte of the packet; or bit, see is_bits */
	uint64_t end;        /* of the content, in the same unit */
	uint64_t ticks;      /* the clock */
	struct ctf_clock clock;
	struct ctf_range range;           /* that is wanted */
	const struct plan_stream *stream; /* its class; NULL: no packet yet */
	uint64_t quick_end; /* end, or 0 where there is no quick way: see ctf_input_quick() */
	bool is_bits;
	bool is_open; /* within a packet */

	struct ctf_reader *reader; /* lent */
	struct plan_state state;
	struct ctf_map map;
	char *name;             /* of the file, owned */
	uint64_t offset;        /* of the packet in the file */
	uint64_t next_offset;   /* of the one behind it */
	uint64_t context_bits;  /* where the packet's context begins */
	uint64_t end_bits;      /* of the content */
	uint64_t seen_lost;     /* events, by the packets so far */
	uint64_t seen_sequence; /* of the packet before */
	int64_t seen_end_ns;    /* of the packet before */
	bool has_sequence;
	bool has_seen;     /* any packet */
	bool is_over;      /* no further step */
	bool is_asked;     /* the metadata was read again for what is not known here */
	unsigned nr_slots; /* that state.slot has */
	struct ctf_loss loss;
	char wrong[CTF_WRONG_LEN];
	struct ctf_input *next;
};

struct ctf_reader_options {
	struct ctf_range range;
	bool is_following; /* the trace may still be written */
};

/**
 * ctf_reader_open() - read a trace's metadata and find its streams.
 * @dir:  the trace directory
 * @ret_reader: to be given to ctf_reader_close()
 * @err:  what is wrong and where, on failure
 *
 * Return: 0, or -ENOENT no trace, -EBADMSG, -ENOTSUP of a kind that is not read, -errno, -ENOMEM.
 * Thread-safe: no. Signal-safe: no. Since: 0.1.
 */
int ctf_reader_open(const char *dir, const struct ctf_reader_options *options,
		    struct tocsin_err *err, struct ctf_reader **ret_reader);

/** ctf_reader_close() - @r may be NULL. Return: NULL. */
struct ctf_reader *ctf_reader_close(struct ctf_reader *r);

/** ctf_reader_dir() - as it was opened. */
const char *ctf_reader_dir(const struct ctf_reader *r);

/** ctf_reader_meta() - what the metadata says now. */
const struct meta *ctf_reader_meta(const struct ctf_reader *r);

/**
 * ctf_reader_take() - the next stream file that was not yet taken; in the order of their names.
 *
 * With is_following, ctf_reader_look() finds files that came later.
 *
 * Return: the input, owned by the reader, or NULL.
 */
struct ctf_input *ctf_reader_take(struct ctf_reader *r);

/** ctf_reader_look() - look for new files. Return: 0, or -errno. */
int ctf_reader_look(struct ctf_reader *r);

/** ctf_reader_refused() - a file of the directory that could not be opened: a sentence, once each;
 * NULL: no more. */
const char *ctf_reader_refused(struct ctf_reader *r);

/**
 * ctf_input_step() - to the next event, loss or end.
 *
 * Return: an enum ctf_step, or -ENOMEM, -errno.
 * Thread-safe: per reader. Signal-safe: no. Since: 0.1.
 */
int ctf_input_step(struct ctf_input *in);

/**
 * ctf_input_quick() - a step that meets the next event of the packet, in the record layout of a
 * ring, in the wanted range: what nearly all steps are.
 * @is_fixed: only if it is of a class of fixed size, which takes no call
 *
 * Return: true: as ctf_input_step() with CTF_EVENT; false: nothing was done, call that.
 * Thread-safe: per reader. Signal-safe: no.
 */
static inline __attribute__((always_inline)) bool ctf_input_quick(struct ctf_input *in,
								  bool is_fixed)
{
	const struct plan_stream *stream = in->stream;
	uint64_t at = (in->at + 7) & ~(uint64_t)7, head, id, ticks, end;
	int64_t t_ns;

	if (at + sizeof(head) > in->quick_end)
		return false;
	memcpy(&head, in->base + at, sizeof(head));
	id = head & 0xffff;
	at += sizeof(head);
	if (id >= stream->nr_by_id)
		return false;
	end = at + stream->quick_bytes[id];
	if (!is_fixed && stream->quick_bytes[id] == PLAN_NOT_QUICK) {
		const struct plan_event *event = stream->by_id[id];

		if (!event || !event->body.skip ||
		    plan_end(&event->body, &in->state, at, in->quick_end, &end) < 0)
			return false;
	}
	ticks = (in->ticks & ~(uint64_t)UINT32_MAX) | head >> 32;
	if (end > in->quick_end || ticks < in->ticks || !ctf_clock_has(&in->clock, ticks))
		return false;
	t_ns = ctf_clock_ns(&in->clock, ticks);
	if ((uint64_t)t_ns - (uint64_t)in->range.from_ns >
	    (uint64_t)in->range.to_ns - (uint64_t)in->range.from_ns)
		return false;
	in->at = end;
	in->ticks = ticks;
	in->t_ns = t_ns;
	in->event = stream->by_id[id];
	in->body_bits = at * 8;
	return true;
}

/**
 * ctf_input_values() - contexts and payload of the event at hand.
 * @scratch: memory for them, where it is needed; the caller's
 * @ret_values: valid until the next step, or the next call for another event of the class
 *
 * Return: 0, -ENOMEM, -EIO the file has changed: it was found to be whole before.
 */
int ctf_input_values(struct ctf_input *in, struct ctf_values *scratch,
		     const struct ctf_values **ret_values);

/** ctf_input_packet_values() - header and context of the packet at hand, appended to @values.
 * Return: as above. */
int ctf_input_packet_values(struct ctf_input *in, struct ctf_values *values);

/** ctf_input_end() - let go of the file: further steps come to CTF_END. What was lent from it is
 * gone. */
void ctf_input_end(struct ctf_input *in);

/** ctf_input_bytes() - how far in its file, and how long that is: for progress. */
uint64_t ctf_input_bytes(const struct ctf_input *in, uint64_t *ret_total);

/* ---- within ctf/ */

/** ctf_reader_again() - read the metadata again if it has changed. Return: 1 it has, 0, -errno. */
int ctf_reader_again(struct ctf_reader *r);

/** ctf_reader_plan() - the newest one. */
const struct plan_trace *ctf_reader_plan(const struct ctf_reader *r);

const struct ctf_reader_options *ctf_reader_options(const struct ctf_reader *r);

#endif
