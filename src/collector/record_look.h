/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RECORD_LOOK_H
#define TOCSIN_COLLECTOR_RECORD_LOOK_H

/* Looking at processes that can be recorded, without touching them; and at traces that a killed
 * recording left. */

#include "discover.h"

/* One reason of the library's. */
struct record_loss_words {
	const char *name, *sentence;
};
extern const struct record_loss_words record_library_losses[];

struct record_seen_event {
	const char *provider, *name; /* lent, any bytes */
	unsigned level;
	bool is_on;
};

struct record_seen {
	pid_t pid;
	const char *comm;
	uint32_t library;  /* version, as in the control page */
	const char *state; /* "idle", "recorded", "flight", or "left" by a killed recording */
	uint32_t owner;    /* process that records it; 0: none */
	const struct record_seen_event *event;
	uint32_t nr_events, nr_on;
	unsigned nr_rings;
	uint64_t ring_bytes;          /* of all */
	uint64_t lost;                /* in its life, of whatever kind */
	const uint64_t *library_lost; /* of these, by the library: TRACEE_LOSS_NR counters */
};

typedef int (*record_look_fn)(void *arg, const struct record_seen *seen);

/**
 * record_look() - tell about a process, or all.
 * @pid: 0: all that we may look into
 *
 * Return: how many, or as discover_process().
 */
int record_look(pid_t pid, record_look_fn fn, void *arg, struct discover_blind *ret_blind,
		struct tocsin_err *err);

struct record_recovered {
	unsigned nr_traces, nr_files;
	uint64_t nr_packets;
	uint64_t cut_bytes;    /* places that nothing was written to */
	uint64_t broken_bytes; /* packets that were cut, and what was behind them */
	unsigned nr_removed;   /* files that were being made */
};

/**
 * record_recover() - make the files of a trace, or of a folder of chunks, end with whole packets.
 *
 * Return: 0, -ENOENT no trace of a recording, -errno; @err has the sentence.
 * Thread-safe: yes. Signal-safe: no.
 */
int record_recover(const char *dir, struct record_recovered *ret, struct tocsin_err *err);

#endif
