// SPDX-License-Identifier: MIT
/*
 * Calling the callbacks of a site.
 *
 * Protection is paid once: where the thread is in a read-side section already, its own or that of a
 * callback which it is in, no other is begun. A section begun here is marked as the library's
 * (TOCSIN_RCU_TRACING), and the place of the in-tracing flag remembers that it owns it. So when a
 * callback was left by longjmp(), the next call that finds its frame gone can end the section; and
 * a section that the program itself has opened since takes the mark away for as long as it is open,
 * so that this never ends that.
 */
#include <errno.h>

#include "tocsin/rcu.h"
#include "tracee.h"

#define OWNS_SLOT    1u
#define OWNS_COUNTED 2u

/* The first section of a thread, a thread without a slot, or the rest of a callback that was left
 * before there was a flag. */
static __attribute__((noinline, cold)) bool section_begin_slow(struct tocsin_tracing_place *place)
{
	struct tocsin_rcu_slot *slot = tocsin_rcu_slot;
	uint64_t token;

	if (tracee.is_frozen && !slot)
		return false; /* it would make system calls */
	token = tocsin_rcu_read_lock_slow();
	slot = tocsin_rcu_slot;
	if (token == TOCSIN_RCU_OUTSIDE) {
		__atomic_store_n(&slot->mark, slot->mark | TOCSIN_RCU_TRACING, __ATOMIC_RELAXED);
		place->owns = OWNS_SLOT;
	} else {
		place->section = token;
		place->owns = OWNS_COUNTED;
	}
	return true;
}

/* Is a section marked as the library's that of a callback which this thread is in? */
static bool is_in_callback(const struct tocsin_tracing_place *place)
{
	for (const struct tocsin_tracing_place *p = tocsin_tracing.place; p != place; p++)
		if (p->tracer & TOCSIN_TRACER_PROBES && p->owns)
			return true;
	return false;
}

/* Return: false: there can be no protection. */
static inline bool section_begin(struct tocsin_tracing_place *place)
{
	struct tocsin_rcu_slot *slot = tocsin_rcu_slot;
	uint64_t mark = slot ? __atomic_load_n(&slot->mark, __ATOMIC_RELAXED) : 0;
	uint64_t period;

	if (__builtin_expect(mark > TOCSIN_RCU_OUTSIDE, 0) &&
	    (!(mark & TOCSIN_RCU_TRACING) || is_in_callback(place)))
		return true; /* in one already */
	if (__builtin_expect(mark == 0, 0))
		return section_begin_slow(place);
	/* As tocsin_rcu_read_lock(). */
	period = __atomic_load_n(&tocsin_rcu_period, __ATOMIC_ACQUIRE);
	TOCSIN_RCU_INJECT();
	__atomic_store_n(&slot->mark, period | TOCSIN_RCU_TRACING, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	place->owns = OWNS_SLOT;
	return true;
}

static inline void section_end(struct tocsin_tracing_place *place)
{
	struct tocsin_rcu_slot *slot = tocsin_rcu_slot;
	uint32_t owns = place->owns;

	if (!owns)
		return;
	place->owns = 0;
	if (owns == OWNS_COUNTED)
		tocsin_rcu_read_unlock_slow(place->section);
	else if (__atomic_load_n(&slot->mark, __ATOMIC_RELAXED) & TOCSIN_RCU_TRACING)
		__atomic_store_n(&slot->mark, TOCSIN_RCU_OUTSIDE, __ATOMIC_RELEASE);
}

void tracing_forget(uint32_t at)
{
	struct tocsin_tracing *t = &tocsin_tracing;

	for (uint32_t i = at; i < t->depth && i < TOCSIN_TRACING_DEPTH; i++) {
		section_end(&t->place[i]);
		t->place[i].tracer = 0;
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->depth = at;
}

void chains_run(const struct tocsin_site *site, const void *payload, size_t bytes)
{
	int at = tocsin_tracing_begin(TOCSIN_TRACER_PROBES, TOCSIN_TRACER_PROBES);
	struct tocsin_tracing_place *place;
	const struct chain *chain;
	struct tocsin_record record;
	uintptr_t frame;
	int saved;

	if (at < 0)
		return; /* counted there */
	saved = errno;
	place = &tocsin_tracing.place[at];
	frame = place->frame;
	if (__builtin_expect(!section_begin(place), 0)) {
		tracee_count(TRACEE_LOSS_TRACING_FROZEN, 1);
		tocsin_tracing_end(at);
		return;
	}
	chain = __atomic_load_n(&site->probes, __ATOMIC_ACQUIRE); /* [P] */
	record = (struct tocsin_record){.size = sizeof(record),
					.bytes = (uint32_t)bytes,
					.cls = site->cls,
					.payload = payload};
	for (uint32_t i = 0; chain && i < chain->nr; i++) {
		__atomic_load_n(&chain->entry[i].fn, __ATOMIC_ACQUIRE)(&record,
								       chain->entry[i].data);
		/* A callback that switched stacks may have been taken for one that was left. */
		if (__builtin_expect(place->tracer != TOCSIN_TRACER_PROBES || place->frame != frame,
				     0)) {
			errno = saved;
			return;
		}
	}
	section_end(place);
	tocsin_tracing_end(at);
	errno = saved;
}
