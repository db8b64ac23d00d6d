// SPDX-License-Identifier: MIT
/*
 * The in-tracing flag, where it is found set: see include/tocsin/tracing.h.
 *
 * A thread's places are a stack: who begins later is further in, in handlers too. Only a place
 * whose tracer is one that the new one does not trace asks where the two are to one another. Places
 * outside of an asynchronous handler are those of another stack, so the search ends there.
 *
 * Handlers may come between any two instructions: `depth` is raised before a place is filled in and
 * lowered after it was emptied, so a handler takes the next, and leaves all as it found it.
 */
#include "tracee.h"

__thread struct tocsin_tracing tocsin_tracing __attribute__((tls_model("initial-exec")));

static int take(uint32_t at, uint32_t tracer, uintptr_t frame)
{
	struct tocsin_tracing *t = &tocsin_tracing;

	if (at >= TOCSIN_TRACING_DEPTH) {
		tracee_count(TRACEE_LOSS_TRACING_DEEP, 1);
		return -1;
	}
	t->depth = at + 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->place[at].frame = frame;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->place[at].tracer = tracer;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return (int)at;
}

int tocsin_tracing_begin_nested(uint32_t tracer, uint32_t not_traced, uintptr_t frame)
{
	struct tocsin_tracing *t = &tocsin_tracing;

	for (uint32_t i = t->depth; i-- > 0;) {
		/* Where there is no room, those that are left over make some. */
		bool is_full = t->depth >= TOCSIN_TRACING_DEPTH;
		enum where where;

		if (!(t->place[i].tracer & not_traced) && !(is_full && t->place[i].tracer))
			continue;
		where = where_is(frame, t->place[i].frame);
		if (where == WHERE_LEFT) {
			tracing_forget(i);
			continue;
		}
		if (!(t->place[i].tracer & not_traced))
			continue;
		if (where == WHERE_HANDLER)
			break;
		tracee_count(where == WHERE_TRAP ? TRACEE_LOSS_TRACING_TRAP
						 : TRACEE_LOSS_TRACING_INSIDE,
			     1);
		return -1;
	}
	return take(t->depth, tracer, frame);
}

void tocsin_tracing_end_nested(int place)
{
	struct tocsin_tracing *t = &tocsin_tracing;

	if (place < 0 || place >= TOCSIN_TRACING_DEPTH)
		return;
	/* What began inside and was left by longjmp() goes with it. */
	if (t->depth > (uint32_t)place + 1)
		tracing_forget((uint32_t)place + 1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->place[place].tracer = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (t->depth > (uint32_t)place)
		t->depth = (uint32_t)place;
}
