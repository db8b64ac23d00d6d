/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RECORD_H
#define TOCSIN_COLLECTOR_RECORD_H

/*
 * A recording: takes the sessions of processes, drains their rings into a trace, and gives the
 * sessions back. record.c has the way of it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../abi/control.h"
#include "../base/err.h"
#include "record_trace.h"

struct recorder;

#define RECORD_RULES_MAX                               \
	(sizeof(((struct control_session *)0)->rule) / \
	 sizeof(((struct control_session *)0)->rule[0]))

/* What a process is asked to do. */
struct record_wish {
	struct control_rule rule[RECORD_RULES_MAX]; /* the enable byte: 1 on, 0 off */
	uint32_t nr_rules;
	uint32_t contexts; /* mask */
	uint32_t mode;     /* enum control_mode */
	uint32_t block_ns;
	uint64_t ring_bytes, side_bytes; /* 0: the library's default */
	const void *filters;             /* CONTROL_FILTER_BYTES, or NULL */
	bool is_inherited;               /* children of fork() are recorded too */
};

/** record_wish_rule() - add a rule. @glob: "provider:name", or "provider" for all of it. Return: 0,
 * -E2BIG there are too many, -ENAMETOOLONG. */
int record_wish_rule(struct record_wish *wish, const char *glob, unsigned level, bool is_on);

struct kernel_wish;

/* Kernel events. */
struct record_kernel_options {
	const struct kernel_wish *wish; /* lent; NULL: none */
	uint32_t contexts;              /* mask */
	uint64_t ring_bytes;            /* of each CPU's ring, a power of two */
	bool is_overwriting;
	bool is_all;    /* of every process, else of those that record_add() was given */
	bool with_self; /* of this process too */
};

struct record_options {
	struct record_trace_options trace;
	struct record_wish wish;
	struct record_kernel_options kernel;
	uint64_t rotate_bytes, rotate_ns; /* 0: no */
	bool is_all;                      /* every process, also later ones */
};

struct record_stats {
	uint64_t processes; /* so far */
	uint64_t alive;     /* now */
	uint64_t events, bytes;
	uint64_t lost;         /* by full rings */
	uint64_t lost_disk;    /* written nowhere */
	uint64_t lost_corrupt; /* in records that make no sense, as far as they can be counted */
	uint64_t lost_library; /* by the library, see tracee_losses.def */
	uint64_t lost_kernel;  /* by the kernel half besides its rings, see kernel_losses.def */
	uint64_t kernel_events, kernel_lost; /* of `events` and `lost`, those of the kernel half */
	uint64_t lapped_bytes;               /* overwritten before they were read */
	uint64_t corrupt_rings;
	uint64_t missed_children; /* that ended before they were found, known after record_stop() */
	uint64_t missed_rings;    /* that their process gave up before they were opened */
	uint64_t denied;          /* processes that may not be looked into */
	uint64_t classes, classes_on; /* that processes have described, and those wished for */
	uint64_t chunks;
	int disk_failure; /* -errno: writing fails just now; 0: it does not */
	int last_disk_failure;
};

/* What happened to a process, for people. @what as in docs/formats/trace.md. */
typedef void (*record_say_fn)(void *arg, pid_t pid, const char *comm, const char *what,
			      const char *text);

/**
 * record_open() - make the trace; nothing is recorded yet.
 * @opts: lent until record_close()
 * @say:  told about processes, may be NULL
 *
 * Return: 0, or -errno; @err has the sentence.
 * Thread-safe: per object. Signal-safe: no.
 */
int record_open(const struct record_options *opts, record_say_fn say, void *arg,
		struct tocsin_err *err, struct recorder **ret_rec);

/**
 * record_add() - record a process from now on.
 *
 * What a killed collector left in its rings comes first.
 *
 * Return: 0, -ESRCH no such process, -ENOENT it has no libtocsin, -EACCES, -EPROTO, -EBUSY it is
 * being recorded, -ENOSPC it has had too many sets of contexts, -errno; @err has the sentence.
 */
int record_add(struct recorder *rec, pid_t pid, struct tocsin_err *err);

/** record_add_kernel() - kernel events of a process, and nothing else: it is about to become a
 * command. Return: 0, or -errno; @err has the sentence. */
int record_add_kernel(struct recorder *rec, pid_t pid, struct tocsin_err *err);

/**
 * record_snapshot() - write what is in the rings of a process's flight recorder now.
 *
 * The process and its recorder go on as if nothing had been.
 *
 * Return: 0, -ENOENT it has none running, or as record_add().
 */
int record_snapshot(struct recorder *rec, pid_t pid, struct tocsin_err *err);

/**
 * record_flight() - switch the flight recorder of a process on (or off) and leave it alone.
 * @wish: its mode must be CONTROL_MODE_OVERWRITE; NULL: off
 *
 * Return: as record_add().
 */
int record_flight(const struct record_wish *wish, pid_t pid, struct tocsin_err *err);

/**
 * record_kernel_flight() - switch the machine's flight recorder of kernel events on (or off).
 * @opts:   is_overwriting must be true; NULL: off
 * @pid:    whose events, unless is_all; lent
 * @follow: and those of the processes that they make
 *
 * It goes on when this process ends, until it is switched off or the machine stops.
 *
 * Return: 0, -EEXIST it is on already, -ENOENT it is not, or as record_open().
 */
int record_kernel_flight(const struct record_kernel_options *opts, const pid_t *pid, size_t nr,
			 bool follow, struct tocsin_err *err);

/** record_snapshot_kernel() - as record_snapshot(), of kernel events. Return: 0, -ENOENT none runs,
 * -errno. */
int record_snapshot_kernel(struct recorder *rec, struct tocsin_err *err);

/**
 * record_arena() - a place for the control pages and rings of programs that are about to be
 * started.
 * @ret_fd: lent; they inherit it, and find its number in the environment variable ARENA_ENV
 *
 * Return: 0, or -errno: they are recorded all the same, once they are found.
 */
int record_arena(struct recorder *rec, uint64_t bytes, int *ret_fd);

/** record_go() - the processes are there: kernel events from now on. */
void record_go(struct recorder *rec);

/** record_poll() - drain what is there, look after processes. Return: 0, or -errno: it cannot go
 * on. A disk that takes nothing is not that: see the stats. */
int record_poll(struct recorder *rec);

/** record_wait() - until there may be something to do; at most @most_ns. */
void record_wait(struct recorder *rec, uint64_t most_ns);

/** record_alive() - is any process left, or may one come? */
bool record_alive(const struct recorder *rec);

/** record_stop() - switch events off, drain, give the sessions back. Return: 0, or what failed. */
int record_stop(struct recorder *rec);

void record_get_stats(const struct recorder *rec, struct record_stats *ret);

/**
 * record_discard_empty() - remove a trace in which no event was recorded, when its recording has
 * failed to begin: whoever mends the cause can say the same command again.
 * @dir: lent; with what is no part of such a trace it stays, as do traces with events
 */
void record_discard_empty(const char *dir);

/** record_close() - finish the trace. NULL is fine. @ret_r: 0, or what could not be written.
 * Return: NULL. */
struct recorder *record_close(struct recorder *rec, int *ret_r);

#endif
