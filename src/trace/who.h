/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACE_WHO_H
#define TOCSIN_TRACE_WHO_H

/*
 * Whose event it is. Tracers say it in different places: the packet (Tocsin's rings, LTTng's CPUs),
 * the contexts of the stream or the event (`tid`, LTTng's `vtid`; behind Babeltrace's CTF sink a
 * structure `ctx` in the payload), or the fields of the event itself.
 */

#include "trace.h"

/* What is known of a packet without looking at its events. */
struct trace_packet {
	uint64_t packet; /* UINT64_MAX: nothing yet */
	int64_t pid;     /* -1: not known */
	int64_t cpu;
};

/* The last packet of each stream, so that its head is read once. Zeroed: empty. */
struct trace_packets {
	struct trace_packet *item; /* owned */
	unsigned nr;
};

/**
 * trace_packet_of() - the packet that the event at hand is in.
 *
 * Return: 0, or -ENOMEM. Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int trace_packet_of(struct trace_packets *packets, struct trace *t, const struct trace_event *e,
		    struct trace_packet *ret_packet);

void trace_packets_done(struct trace_packets *packets);

struct trace_who {
	int64_t pid, tid, cpu;        /* -1: not known */
	const struct ctf_value *comm; /* NULL: not known; lent until the next trace_next() */
};

/**
 * trace_who() - whose event the one at hand is: as its contexts say, else its packet, else its
 * fields.
 *
 * Return: 0, or -ENOMEM. Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int trace_who(struct trace_packets *packets, struct trace *t, const struct trace_event *e,
	      struct trace_who *ret_who);

/** trace_who_is_context() - is this the structure `ctx` that stands for contexts? */
bool trace_who_is_context(const struct ctf_value *v);

#endif
