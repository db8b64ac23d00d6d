/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RECORD_INTERNAL_H
#define TOCSIN_COLLECTOR_RECORD_INTERNAL_H

/* What the parts of a recording share: record.c (the loop), record_session.c (what is written into
 * control pages), record_process.c (what is read from them), record_drain.c (rings to files). */

#include "../ring/reader.h"
#include "control_file.h"
#include "discover.h"
#include "kernel_clock.h"
#include "record.h"
#include "record_behind.h"
#include "timebase.h"

#define RECORD_RINGS_MAX    (4 * CONTROL_RINGS) /* of one process in its life */
#define RECORD_EXTENT_BYTES (512 * 1024)        /* fits the cache between stepping and writing */

struct record_ring {
	uint32_t place;                   /* in the process's table */
	uint64_t file_offset, file_bytes; /* as the table says */
	bool is_open;                     /* else the place is not in use, or was no good */
	bool is_done;                     /* nothing more is read from it */
	struct ring_reader reader;
	struct ctf_ring_stream stream;
	uint64_t behind; /* of the stream: where its next window begins */
	unsigned chunk;  /* that the stream is in */
	int class_id;    /* of the stream */
	unsigned nr_files;
	uint64_t lost_before;   /* the ring's own count when the recording began */
	uint64_t lost;          /* since then */
	uint64_t lost_else;     /* events that were read and not written */
	uint64_t lost_in_files; /* of both, told in files that are closed */
	struct kernel_clock_stream kernel_stream;
};

struct record_process {
	struct record_process *next;
	unsigned number;
	pid_t pid, ns_pid;
	uint64_t start_ticks;
	char comm[32];
	char command[256]; /* its words, joined by blanks; "": it was gone */
	int pid_fd;
	struct control_file page;
	uint32_t library, clock;
	bool is_owner; /* we hold the session */
	bool is_ended;
	uint64_t ended_ns; /* when that was seen; 0: not yet */
	bool is_done;      /* ended, and all read */
	bool is_inherited; /* it began with our session, taken over from its parent */
	bool is_kernel;    /* no process at all, but the kernel half: no pid, no page */

	/* Classes: copies, checked. */
	uint32_t nr_classes, class_bytes;
	struct control_class **class;
	bool is_silent;                 /* its descriptions make no sense: no more are read */
	struct control_session session; /* as we wrote it */
	uint8_t layout_number;
	bool is_calling; /* see session_call() */
	struct record_shape *shape;

	uint64_t place_inode[CONTROL_RINGS], place_offset[CONTROL_RINGS]; /* that were looked at */
	struct record_ring **ring; /* RECORD_RINGS_MAX, those that were given up included */
	uint32_t nr_rings;
	bool has_looked; /* at the ring table, with this wake */

	uint32_t heirs;            /* that its page has announced so far, since we have it */
	uint32_t heirs_before;     /* before */
	uint32_t wake;             /* last seen */
	const uint32_t *wake_word; /* mapped for futex_waitv() only; NULL: not */
	uint64_t library_lost[TRACEE_LOSS_NR], library_lost_before[TRACEE_LOSS_NR];
	uint64_t nr_unpatched_ever; /* most patched sites that should have been on and were not */
};

struct record_kernel_part;

struct record_arena {
	int fd; /* -1: none */
	uint64_t bytes;
	uint32_t nr_places; /* all before it were seen */
	uint8_t *seen;      /* ARENA_PLACES, 1 each: its page is a process */
	const uint32_t *wake_word;
	uint32_t wake;
};

struct recorder {
	const struct record_options *opts;
	record_say_fn say;
	void *say_arg;
	struct timebase tb;
	bool has_tb;
	struct record_trace *trace;
	struct record_behind *behind;
	struct record_process *processes, **tail;
	struct record_arena arena;
	struct record_kernel_part *kernel; /* NULL: no kernel events */
	struct record_stats stats;
	unsigned nr_processes;
	uint64_t nr_heirs, nr_heirs_found; /* announced by processes that are done; found */
	uint64_t session_id;
	uint64_t begun_ns, chunk_ns, scanned_ns;
	uint64_t chunk_bytes;
	uint64_t interval_ns; /* of draining */
	bool is_stopping;
};

/* --- record.c --- */

/** record_process_end() - nothing more is read: losses, files. @what: as docs/formats/trace.md has
 * it. Return: 0, or -errno of the disk. */
int record_process_end(struct recorder *rec, struct record_process *p, const char *what);

/** record_process_link() - the recording owns it from now on. */
void record_process_link(struct recorder *rec, struct record_process *p);

/* --- record_flight.c --- */

/** record_snapshot_rings() - copy what is in a process's rings now. Return: 0, or -errno. */
int record_snapshot_rings(struct recorder *rec, struct record_process *p);

/* --- record_losses.c --- */

/** record_process_tell_losses() - of one that is done. */
void record_process_tell_losses(struct recorder *rec, struct record_process *p);

/** record_tell_missed() - children that made a page with our session and were gone before we came:
 * their events are lost, and nobody knows how many. */
void record_tell_missed(struct recorder *rec);

/* --- record_session.c --- */

/** session_take() - own a process's session and switch its events on. @ret_continued: a killed
 * collector's. Return: 0, -EBUSY, -ENOSPC, -errno. */
int session_take(struct recorder *rec, struct record_process *p, bool *ret_continued,
		 struct tocsin_err *err);

/** session_count_on() - how many of the classes from @first on are to be recorded, into the stats.
 */
void session_count_on(struct recorder *rec, const struct record_process *p, uint32_t first);

/** session_enable() - set the enable bytes of classes from @first on. */
int session_enable(struct recorder *rec, struct record_process *p, uint32_t first);

/** record_patch() - switch patched sites as the enable bytes are now; counts what cannot be. */
void record_patch(struct record_process *p);

/** session_silence() - all off. session_release() - and nobody's. */
int session_silence(struct record_process *p);
int session_release(struct record_process *p);

/**
 * session_call() - have the process renew rings that do not fit the session, if there are any.
 * session_answered() - has it? To be asked now and then: a process that reaches no site does not.
 */
int session_call(struct recorder *rec, struct record_process *p);
bool session_answered(struct recorder *rec, struct record_process *p);

/** session_make() - a session as @wish has it, that no process has had before. */
void session_make(struct control_session *s, const struct record_wish *wish, uint64_t id);

/* --- record_process.c --- */

/** process_new() - of what was found. Takes its page. Return: 0, -ENOMEM, -errno. */
int record_process_new(struct recorder *rec, struct discovered *found, struct record_process **ret);
void record_process_free(struct record_process *p);

/** record_process_refresh() - classes and rings that came. Return: 0, or -errno. */
int record_process_refresh(struct recorder *rec, struct record_process *p);

/** record_process_heirs() - read how many children took over its session. Return: are there more
 * than at the last look? */
bool record_process_heirs(struct record_process *p);

/** record_process_losses() - read the library's counters. */
void record_process_losses(struct record_process *p);

/** record_process_has_ended() - a look, without waiting. */
bool record_process_has_ended(struct record_process *p);

/** record_say() - to the trace and to the caller. */
void record_say(struct recorder *rec, const struct record_process *p, const char *what,
		const char *text);

/* --- record_drain.c --- */

/** record_drain() - one pass over a ring. @limit: bytes. Return: bytes read, or -errno. */
int64_t record_drain(struct recorder *rec, struct record_process *p, struct record_ring *ring,
		     uint64_t limit);

/** record_ring_discard() - count what is left and cannot be written. */
void record_ring_discard(struct recorder *rec, struct record_ring *ring);

/** record_ring_close() - tell the last losses and close the file. */
int record_ring_close(struct recorder *rec, struct record_ring *ring);

#endif
