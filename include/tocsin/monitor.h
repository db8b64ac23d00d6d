/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_MONITOR_H
#define TOCSIN_MONITOR_H

/*
 * Models of what a program may do, stepped inside it by its own calls: a violation is a call of a
 * function of the program, in the thread and at the place where it happened.
 *
 *	tocsin monitor check lock.dot --compile lock.model          once, when the program is built
 *
 *	struct tocsin_monitor_opts opts = {.size = sizeof(opts), .model = bytes, .model_bytes = len,
 *					   .scope = TOCSIN_MONITOR_OBJECT, .max_instances = 1000,
 *					   .history = 8, .violated = complain};
 *	struct tocsin_monitor *locks;
 *	int err = tocsin_monitor_new(&opts, &locks);
 *	int take = tocsin_monitor_number(locks, TOCSIN_MONITOR_EVENTS, "take");
 *	...
 *	tocsin_monitor_event(locks, (uint32_t)take, (uintptr_t)lock, 0, NULL);
 *	...
 *	tocsin_monitor_forget(locks, (uintptr_t)lock);
 *	tocsin_monitor_reclaim(locks);
 *
 * What a model may say is in docs/formats/model.md, how this is used in
 * docs/howto/monitor-in-process.md. The stepper is that of the kernel half and of `tocsin monitor
 * replay`.
 *
 * Instances are kept in a table of <tocsin/keyed.h>: all memory is taken at the start; no step
 * calls malloc, and what has no room is -ENOSPC and counted. A step takes the lock of its instance,
 * so each event is stepped exactly once, in some order; with TOCSIN_MONITOR_UNSHARED the program
 * promises that no two threads have events for an instance, or ask for tocsin_monitor_expire(), at
 * a time, and there is no lock.
 *
 * Signals: an event from a handler is stepped, unless the handler has interrupted a step of its own
 * thread: then it is not, which is -EBUSY and counted. A handler that interrupts a step makes other
 * threads that have events for that instance wait until it returns; one that leaves a step by
 * siglongjmp() leaves its thread without steps, and shut what it held.
 *
 * Time without an event violates a bound when the next event comes, or when tocsin_monitor_expire()
 * is called: nothing here has a thread or a timer.
 *
 * In the child of fork() monitors go on with a copy; an instance that another thread was stepping
 * at that moment may be half changed there. Not in a vfork() child, see <tocsin/percpu.h>. C11 and
 * C++17.
 */

#include <stddef.h>
#include <stdint.h>

#include "tocsin/rseq.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tocsin_monitor;

/* Which events are of one instance. */
enum tocsin_monitor_scope {
	TOCSIN_MONITOR_GLOBAL = 0, /* all; keys are not looked at */
	TOCSIN_MONITOR_THREAD = 1, /* those of one thread; keys are not looked at */
	TOCSIN_MONITOR_OBJECT = 2  /* those with one key */
};

/* What happens to an instance after a violation. */
enum tocsin_monitor_after {
	TOCSIN_MONITOR_AS_COMPILED = 0,
	TOCSIN_MONITOR_RESET = 1, /* it waits for the next start */
	TOCSIN_MONITOR_KEEP = 2,  /* it stays in its state */
	TOCSIN_MONITOR_FREEZE = 3 /* it sees nothing more, until it is forgotten */
};

/* What a step came to. */
enum tocsin_monitor_result {
	TOCSIN_MONITOR_STEPPED = 0,
	TOCSIN_MONITOR_IGNORED = 1, /* not started yet, or frozen */
	TOCSIN_MONITOR_STARTED = 2,
	TOCSIN_MONITOR_BAD_EVENT = 3, /* violations from here on: no edge for the event */
	TOCSIN_MONITOR_BAD_GUARD = 4, /* edges, but their guards were false */
	TOCSIN_MONITOR_BAD_TIME = 5,  /* a bound has passed */
	TOCSIN_MONITOR_BAD_RULE = 6   /* the formula is false, whatever follows */
};

#define TOCSIN_MONITOR_UNSHARED 1u /* no two threads at one instance at a time: no locks */

#define TOCSIN_MONITOR_HISTORY_MAX 64
#define TOCSIN_MONITOR_ARGS        8
#define TOCSIN_MONITOR_TIME        UINT32_MAX /* as an event: time has passed */

/* The values that come with an event, by the number of the model's input. */
struct tocsin_monitor_args {
	int64_t value[TOCSIN_MONITOR_ARGS];
};

/* An event that an instance has seen. */
struct tocsin_monitor_past {
	uint64_t time_ns; /* 0: the model has no clock, and none was read */
	uint64_t state;   /* before it: a number, 0 not started; of a formula a set of bits */
	uint64_t atoms;   /* of a formula: a bit each */
	uint32_t event;   /* of a graph, or TOCSIN_MONITOR_TIME */
	uint32_t result;  /* enum tocsin_monitor_result */
};

struct tocsin_monitor_violation {
	struct tocsin_monitor *monitor;
	uint64_t key;           /* of a thread: a number of the library's own; global: 0 */
	const char *event_name; /* "": time, a formula, or a model without names */
	const char *state_name; /* of a graph: before the event; "": as above, or not started */
	uint64_t deadline_ns;   /* of TOCSIN_MONITOR_BAD_TIME, where it was known before; else 0 */
	uint32_t result;        /* enum tocsin_monitor_result, what is wrong */
	uint32_t nr_past;       /* events of this instance, at most opts.history + 1 */
	const struct tocsin_monitor_past *past; /* oldest first; the last is the violation */
};

struct tocsin_monitor_opts {
	size_t size;       /* sizeof(struct tocsin_monitor_opts), as the caller was compiled */
	const void *model; /* what --compile wrote; copied; need not be aligned */
	size_t model_bytes;
	uint32_t scope;         /* enum tocsin_monitor_scope */
	uint32_t after;         /* enum tocsin_monitor_after */
	uint32_t history;       /* events that are remembered of each instance, 0 to 64 */
	uint32_t flags;         /* TOCSIN_MONITOR_UNSHARED or 0 */
	uint64_t max_instances; /* 1 to 2^26; not looked at when global */
	/* Called in the thread whose event or call found it, after the step, with nothing held: it
	 * may use the monitor, longjmp() or abort(). What it is given is its own until it returns.
	 * NULL: the result of the call says it. */
	void (*violated)(void *arg, const struct tocsin_monitor_violation *violation);
	void *arg;
};

struct tocsin_monitor_stats {
	uint64_t instances;  /* there now */
	uint64_t removed;    /* forgotten, and not reclaimed yet */
	uint64_t violations; /* found */
	uint64_t refused;    /* events not stepped: -ENOSPC */
	uint64_t busy;       /* events not stepped: -EBUSY */
	uint64_t bytes;      /* of memory */
};

/**
 * tocsin_monitor_new() - a monitor of a compiled model, which is checked: it may be hostile.
 * @opts:        lent
 * @ret_monitor: to be given to tocsin_monitor_free()
 *
 * Return: 0, -EINVAL an option is out of range, -E2BIG @opts has fields that this library does not
 * know, -EBADMSG @opts->model is not a compiled model, or is damaged, -EPROTONOSUPPORT it is of
 * another version, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API int tocsin_monitor_new(const struct tocsin_monitor_opts *opts,
				  struct tocsin_monitor **ret_monitor);

/** tocsin_monitor_free() - nobody may use it any more. @monitor may be NULL. Return: NULL.
 * Thread-safe: no. Signal-safe: no. Since: 0.1. */
TOCSIN_API struct tocsin_monitor *tocsin_monitor_free(struct tocsin_monitor *monitor);

enum tocsin_monitor_names {
	TOCSIN_MONITOR_EVENTS = 0, /* of a formula: its atoms */
	TOCSIN_MONITOR_INPUTS = 1
};

/**
 * tocsin_monitor_number() - the number of an event or an input, by its name in the model's text.
 * @names: enum tocsin_monitor_names
 *
 * Return: 0 or more, -ENOENT there is none. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API int tocsin_monitor_number(const struct tocsin_monitor *monitor, uint32_t names,
				     const char *name);

/**
 * tocsin_monitor_event() - step.
 * @event:  of a formula: the one atom that is true
 * @key:    of the instance
 * @now_ns: of one clock that does not go back; an earlier one than the instance has seen counts as
 *          that. 0: CLOCK_MONOTONIC, which is read only for models with clocks or bounds,
 *          and for a history
 * @args:   lent; NULL: all are 0
 *
 * A violation calls opts.violated before this returns.
 *
 * Return: enum tocsin_monitor_result, or -EINVAL there is no such event, -ENOSPC no room for
 * another instance, -EBUSY the caller is a handler that interrupted a step of this thread.
 * Thread-safe: yes. Signal-safe: yes, if opts.violated is; see above. Since: 0.1.
 */
TOCSIN_API int tocsin_monitor_event(struct tocsin_monitor *monitor, uint32_t event, uint64_t key,
				    uint64_t now_ns, const struct tocsin_monitor_args *args);

/**
 * tocsin_monitor_observe() - the same for a formula, with a bit for each atom that is true.
 *
 * Return: as tocsin_monitor_event(); -EINVAL: also of a graph. Thread-safe: yes. Signal-safe: as
 * there. Since: 0.1.
 */
TOCSIN_API int tocsin_monitor_observe(struct tocsin_monitor *monitor, uint64_t atoms, uint64_t key,
				      uint64_t now_ns);

/**
 * tocsin_monitor_expire() - has a bound passed in some instance by now?
 * @now_ns: as for an event
 *
 * Looks at every instance; each whose bound has passed is a violation, said once.
 *
 * Return: how many, or -EBUSY. Thread-safe: yes. Signal-safe: as opts.violated. Since: 0.1.
 */
TOCSIN_API long tocsin_monitor_expire(struct tocsin_monitor *monitor, uint64_t now_ns);

/**
 * tocsin_monitor_forget() - remove the instance of a key; in the scope of threads, the caller's
 * own; the global one begins anew.
 *
 * Return: 0, -ENOENT there is none, -EBUSY. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API int tocsin_monitor_forget(struct tocsin_monitor *monitor, uint64_t key);

/**
 * tocsin_monitor_reclaim() - remove the instances of threads that have ended, wait for a grace
 * period, and make room of what was removed.
 *
 * Return: as tocsin_keyed_reclaim(). Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
TOCSIN_API long tocsin_monitor_reclaim(struct tocsin_monitor *monitor);

/** tocsin_monitor_get_stats() - counts. Thread-safe: yes. Signal-safe: yes. Since: 0.1. */
TOCSIN_API void tocsin_monitor_get_stats(struct tocsin_monitor *monitor,
					 struct tocsin_monitor_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif
