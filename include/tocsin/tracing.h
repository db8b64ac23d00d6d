/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACING_H
#define TOCSIN_TRACING_H

/*
 * The in-tracing flag: what keeps a tracer from tracing itself. C11 and C++17.
 *
 * A tracer is code that runs because the program reached some place, and that may reach such a
 * place itself: a callback of tocsin/probe.h, a wrapper of malloc(). It brackets its work:
 *
 *	int place = tocsin_tracing_begin(TOCSIN_TRACER_MALLOC, TOCSIN_TRACER_ALL);
 *	if (place >= 0) {
 *		... what may call malloc() ...
 *		tocsin_tracing_end(place);
 *	}
 *
 * The second argument says which tracers it does not trace: TOCSIN_TRACER_ALL (the safe choice), or
 * its own bit alone where it is to trace the others.
 *
 * There is one flag a stack: that of the thread, and that of each signal handler in it. So a
 * handler that arrives while its thread is in a tracer is traced; but a handler of a trap that the
 * tracer itself caused (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS) is not, as it is the
 * tracer's own doing. Which of the two a handler is, is read from the kernel's signal frame, which
 * takes a microsecond and is done only where a flag is found set (src/tracee/where.c, x86-64; on
 * other machines everything nested counts as the tracer's own).
 *
 * A tracer may be left by longjmp(), an exception or pthread_exit(). Its flag then stands until the
 * thread begins again at the same depth of its stack or further out, which shows that the frame is
 * gone; until then deeper ones are taken for its own. A tracer must not switch stacks
 * (swapcontext()) between begin and end.
 *
 * What is refused is counted by reason: docs/formats/control.md, `tocsin ps`.
 */

#include <stdint.h>

#ifndef TOCSIN_API
#	define TOCSIN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Tracers. Bits from TOCSIN_TRACER_USER on are programs' own. */
#define TOCSIN_TRACER_PROBES    0x0001u /* callbacks of sites */
#define TOCSIN_TRACER_MALLOC    0x0002u
#define TOCSIN_TRACER_THREADS   0x0004u
#define TOCSIN_TRACER_IO        0x0008u
#define TOCSIN_TRACER_DL        0x0010u
#define TOCSIN_TRACER_FUNCTIONS 0x0020u
#define TOCSIN_TRACER_USER      0x10000u
#define TOCSIN_TRACER_ALL       0xffffffffu

/* Tracers of one thread that can be inside one another, handlers in handlers included. */
#define TOCSIN_TRACING_DEPTH 8

/* Layout of the fast path: part of the ABI. */
struct tocsin_tracing_place {
	uintptr_t frame;  /* of the function that began */
	uint64_t section; /* the library's */
	uint32_t tracer;  /* its bit; 0: the place is being taken or given up */
	uint32_t owns;    /* the library's */
};

struct tocsin_tracing {
	uint32_t depth; /* places in use; raised before a place is filled in */
	uint32_t reserved;
	struct tocsin_tracing_place place[TOCSIN_TRACING_DEPTH];
};

TOCSIN_API extern __thread struct tocsin_tracing tocsin_tracing
	__attribute__((tls_model("initial-exec")));

TOCSIN_API int tocsin_tracing_begin_nested(uint32_t tracer, uint32_t not_traced, uintptr_t frame);
TOCSIN_API void tocsin_tracing_end_nested(int place);

/**
 * tocsin_tracing_begin() - set the flag of a tracer on this stack.
 * @tracer:     TOCSIN_TRACER_*, one bit
 * @not_traced: refuse when one of these is at work on this stack; contains @tracer
 *
 * Return: a place for tocsin_tracing_end(), or -1: refused, and counted.
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline __attribute__((always_inline, unused)) int tocsin_tracing_begin(uint32_t tracer,
									      uint32_t not_traced)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	struct tocsin_tracing *t = &tocsin_tracing;

	if (__builtin_expect(t->depth != 0, 0))
		return tocsin_tracing_begin_nested(tracer, not_traced, frame);
	t->depth = 1;
	/* A handler that comes here finds place 0 taken by nobody, and takes the next. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->place[0].frame = frame;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->place[0].tracer = tracer;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return 0;
}

/**
 * tocsin_tracing_end() - clear it.
 * @place: what tocsin_tracing_begin() returned, not -1
 *
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
static inline __attribute__((always_inline, unused)) void tocsin_tracing_end(int place)
{
	struct tocsin_tracing *t = &tocsin_tracing;

	if (__builtin_expect(t->depth != 1 || place != 0, 0)) {
		tocsin_tracing_end_nested(place);
		return;
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->place[0].tracer = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->depth = 0;
}

#ifdef __cplusplus
}
#endif

#endif
