/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PROBE_H
#define TOCSIN_PROBE_H

/*
 * Probes: functions of the program that its own sites call, beside the ring. C11 and C++17.
 *
 *	static void on_slow(const struct tocsin_record *record, void *data)
 *	{
 *		struct tocsin_value ms;
 *
 *		if (tocsin_record_find(record, "ms", &ms) == 0 && ms.u > 100)
 *			atomic_fetch_add((atomic_uint *)data, 1);
 *	}
 *	int id = tocsin_probe_register("server:*", on_slow, &slow, 0);
 *	...
 *	tocsin_probe_unregister(id);
 *
 * Callbacks run in the thread that reached the site, inside an RCU read-side section (tocsin/rcu.h)
 * that is begun only where the thread is in none, after the record went to the ring if it is
 * recorded. Where a site has no probe nothing is paid: the enable byte alone decides.
 *
 * In a callback. It may do what the place of the site may do: what a handler can reach must be
 * signal-safe. errno is kept. It may emit events: they are recorded, but call no callback (see
 * tocsin/tracing.h; counted). It may register and unregister, itself too. It may be left by
 * longjmp() or an exception; what then waits for it, see tocsin_probe_unregister(), waits until
 * its thread reaches a site again no deeper in its stack, or ends. It must not switch stacks.
 *
 * Sections (tocsin/section.h) call no callbacks.
 */

#include <stddef.h>
#include <stdint.h>

#include "tocsin/event.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TOCSIN_PROBES_MAX 64 /* registered at a time */

/* An event in the hands of a callback; all of it is lent until the callback returns. */
struct tocsin_record {
	uint32_t size; /* of this struct: later versions append */
	uint32_t bytes;
	const struct tocsin_class *cls; /* provider, name, level, and the descriptions of fields */
	const void *payload; /* as docs/formats/control.md, "Payload", without contexts */
};

enum tocsin_value_kind {
	TOCSIN_VALUE_NONE = 0,
	TOCSIN_VALUE_SIGNED = 1,
	TOCSIN_VALUE_UNSIGNED = 2, /* bool and pointers too */
	TOCSIN_VALUE_FLOAT = 3,
	TOCSIN_VALUE_TEXT = 4,    /* `at`, zero-terminated, of `nr` bytes */
	TOCSIN_VALUE_ELEMENTS = 5 /* `nr` elements of type `elem` from `at` on, aligned */
};

/* A field's value. */
struct tocsin_value {
	uint32_t kind; /* enum tocsin_value_kind */
	uint32_t elem; /* TOCSIN_VALUE_ELEMENTS: enum tocsin_type */
	union {
		int64_t s;
		uint64_t u;
		double f;
	};
	const void *at;
	size_t nr;
};

typedef void (*tocsin_probe_fn)(const struct tocsin_record *record, void *data);

/* With the program or library that the callback is in; the macro below gives it. */
TOCSIN_API int tocsin_probe_register_in(struct tocsin_module *module, const char *sites,
					tocsin_probe_fn fn, void *data, int priority);

/**
 * tocsin_probe_register() - have a function called at sites.
 * @sites:    "provider:name" with * and ?, \ before a character that stands for itself; copied
 * @fn:       called with @data for each event there, of any thread
 * @data:     the caller's, valid until unregistered
 * @priority: larger ones are called first; of the same those first that came first
 *
 * Sites of libraries that are loaded later are found too. Of the library that calls it the probe is
 * unregistered when that is unloaded.
 *
 * From the return on every site that is reached calls @fn; it may be called before that.
 *
 * Return: an id > 0, or -EINVAL an empty or too long pattern (above 127 bytes), -ENOSPC
 * TOCSIN_PROBES_MAX are registered, -ENOMEM, -EACCES or -EPERM a patched site is off and this
 * process may not write to its own code (it is not dumpable any more, or frozen), -ENODEV the
 * library has no memory that fork() wipes (Linux < 4.14). Callable anywhere: threads, handlers,
 * constructors, callbacks. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
#define tocsin_probe_register(sites, fn, data, priority) \
	tocsin_probe_register_in(&tocsin_module_, sites, fn, data, priority)

/**
 * tocsin_probe_unregister() - have it called no more, and wait until no call is under way.
 * @id: of tocsin_probe_register()
 *
 * Called in a callback or in a section of tocsin/rcu.h it cannot wait, as it would wait for itself.
 * The callback is then detached: calls that begin from now on do not happen, those under way
 * finish. What @data points to may be freed once tocsin_probe_barrier() has returned 0 elsewhere,
 * or by tocsin_rcu_call(). The same holds in a handler that interrupted such a wait.
 *
 * Return: 0 no call can still be under way; -EINPROGRESS detached, but calls may be under way;
 * -ENOENT there is no such probe; -ENOSYS detached, and the kernel cannot tell, see
 * tocsin_rcu_synchronize(). Thread-safe: yes. Signal-safe: yes, though it waits. Since: 0.1.
 */
TOCSIN_API int tocsin_probe_unregister(int id);

/**
 * tocsin_probe_unregister_for() - the same, waiting no longer than a while.
 * @timeout_ns: 0: only detach, do not wait
 * @ret_tid:    on -ETIMEDOUT only: a thread that is in a callback or section; may be NULL
 *
 * Return: as above, or -ETIMEDOUT detached, but calls may be under way.
 * Thread-safe: yes. Signal-safe: yes, though it waits. Since: 0.1.
 */
TOCSIN_API int tocsin_probe_unregister_for(int id, uint64_t timeout_ns, int32_t *ret_tid);

/**
 * tocsin_probe_barrier() - wait until calls of whatever was unregistered before have ended.
 *
 * Return: 0, -EINPROGRESS or -ENOSYS as tocsin_probe_unregister().
 * Thread-safe: yes. Signal-safe: yes, though it waits. Since: 0.1.
 */
TOCSIN_API int tocsin_probe_barrier(void);

/**
 * tocsin_record_field() - a field by its number.
 * @index:     0 .. record->cls->nr_fields - 1
 * @ret_value: what it points to is lent as the record is
 *
 * Return: 0, -ENOENT no such field, -EBADMSG the payload ends before it.
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API int tocsin_record_field(const struct tocsin_record *record, unsigned index,
				   struct tocsin_value *ret_value);

/** tocsin_record_find() - the same by its name. Return: as above. */
TOCSIN_API int tocsin_record_find(const struct tocsin_record *record, const char *name,
				  struct tocsin_value *ret_value);

#ifdef __cplusplus
}
#endif

#endif
