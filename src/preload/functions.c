// SPDX-License-Identifier: MIT
/*
 * libtocsin-functions: entries and exits of functions in programs built with
 * -finstrument-functions, without a change of their source.
 *
 * The compiler calls the two functions below in each function; libc has empty ones, before which
 * ours stand. Each thread keeps a stack of the functions that it is in, in its own memory. It gives
 * the depth, which is in each event, and pairs an exit with its entry: one that was left by
 * longjmp() has no exit, and is dropped as its caller ends.
 *
 * TOCSIN_FUNCTION_DEPTH is how many functions deep events go. With TOCSIN_FUNCTION_MIN (ns), there
 * is one event a call, as it ends, if it took that long: `functions:call`. Both are read as the
 * constructor runs.
 *
 * Names are found by who reads the trace: `functions:object` says which file lies where. It is
 * emitted once for each 4 KiB of code in use, so a file is told more than once; _dl_find_object(),
 * which says it, takes no lock.
 *
 * The entry is raised in two steps, as a handler may come in between and use the stack itself.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

#define NOT_TRACED __attribute__((no_instrument_function))
#define DEPTH_MAX  256
#define PAGES      4096

PRELOAD_API NOT_TRACED void traced_enter(void *function,
					 void *site) __asm__("__cyg_profile_func_enter");
PRELOAD_API NOT_TRACED void traced_exit(void *function,
					void *site) __asm__("__cyg_profile_func_exit");

struct call {
	void *function;
	uint64_t start_ns; /* with a least duration */
};

static __thread struct {
	uint32_t tid; /* 0: not yet asked for */
	uint32_t depth;
	struct call call[DEPTH_MAX];
} here __attribute__((tls_model("initial-exec")));

static struct {
	uint32_t depth;
	uint64_t min_ns;
	char program[PATH_MAX];
} settings = {.depth = DEPTH_MAX};

static uintptr_t told[PAGES]; /* pages of code whose object was told, by their number; relaxed */

NOT_TRACED static uint64_t number_get(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t n = 0;

	if (!text || !*text)
		return otherwise;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (unsigned)(*text - '0'), &n)) {
			preload_say(name, "no number, so all calls are traced");
			return otherwise;
		}
	}
	return n;
}

NOT_TRACED static void child(void)
{
	here.tid = 0;
}

__attribute__((constructor(102))) NOT_TRACED static void begin(void)
{
	int saved = errno;
	uint64_t depth = number_get("TOCSIN_FUNCTION_DEPTH", DEPTH_MAX);
	ssize_t n = readlink("/proc/self/exe", settings.program, sizeof(settings.program) - 1);

	settings.program[n > 0 ? n : 0] = '\0';
	settings.depth = depth < DEPTH_MAX ? (uint32_t)depth : DEPTH_MAX;
	settings.min_ns = number_get("TOCSIN_FUNCTION_MIN", 0);
	(void)pthread_atfork(NULL, NULL, child); /* without: children's events have its number */
	errno = saved;
}

NOT_TRACED static inline uint32_t tid_get(void)
{
	if (__builtin_expect(!here.tid, 0))
		here.tid = (uint32_t)syscall(SYS_gettid);
	return here.tid;
}

NOT_TRACED static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static __attribute__((noinline, cold)) NOT_TRACED void object_tell(void *function)
{
	uintptr_t page = (uintptr_t)function >> 12;
	struct dl_find_object found;
	const char *path;

	if (!tocsin_event_enabled("functions", "object"))
		return; /* a recording that begins later is told */
	__atomic_store_n(&told[page % PAGES], page, __ATOMIC_RELAXED);
	if (_dl_find_object(function, &found))
		return; /* code made at run time */
	path = found.dlfo_link_map->l_name;
	PRELOAD_EMIT(TOCSIN_TRACER_FUNCTIONS, "functions", "object",
		     TF_X64("base", (uint64_t)found.dlfo_link_map->l_addr),
		     TF_PTR("begin", found.dlfo_map_start), TF_PTR("end", found.dlfo_map_end),
		     TF_STRN("path", *path ? path : settings.program, 1024));
}

NOT_TRACED static inline void object_look(void *function)
{
	uintptr_t page = (uintptr_t)function >> 12;

	if (__builtin_expect(__atomic_load_n(&told[page % PAGES], __ATOMIC_RELAXED) != page, 0))
		object_tell(function);
}

void traced_enter(void *function, void *site)
{
	uint32_t depth = here.depth;
	int saved = errno;

	(void)site; /* the caller is the function before */
	here.depth = depth + 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__builtin_expect(depth >= settings.depth, 0))
		return;
	here.call[depth].function = function;
	if (settings.min_ns) {
		here.call[depth].start_ns = now_ns();
		return;
	}
	object_look(function);
	PRELOAD_EMIT(TOCSIN_TRACER_FUNCTIONS, "functions", "enter", TF_PTR("function", function),
		     TF_U32("tid", tid_get()), TF_U32("depth", depth));
	errno = saved;
}

/* Of the innermost entry of that function; what is above it was left without an exit. */
NOT_TRACED static inline uint32_t depth_find(void *function)
{
	for (uint32_t at = here.depth; at-- > 0;) {
		if (at >= settings.depth)
			return at; /* not kept: it will be the last one */
		if (__builtin_expect(here.call[at].function == function, 1))
			return at;
	}
	return UINT32_MAX; /* entered before this library was there */
}

void traced_exit(void *function, void *site)
{
	uint32_t depth = depth_find(function);
	int saved = errno;

	(void)site;
	if (depth == UINT32_MAX)
		return;
	if (depth < settings.depth && settings.min_ns) {
		uint64_t ns = now_ns() - here.call[depth].start_ns;

		if (ns >= settings.min_ns) {
			object_look(function);
			PRELOAD_EMIT(TOCSIN_TRACER_FUNCTIONS, "functions", "call",
				     TF_PTR("function", function), TF_U32("tid", tid_get()),
				     TF_U32("depth", depth), TF_U64("ns", ns));
		}
	} else if (depth < settings.depth) {
		PRELOAD_EMIT(TOCSIN_TRACER_FUNCTIONS, "functions", "exit",
			     TF_PTR("function", function), TF_U32("tid", tid_get()),
			     TF_U32("depth", depth));
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	here.depth = depth;
	errno = saved;
}
