// SPDX-License-Identifier: MIT
/*
 * tocsin-bench-rivals: what `tocsin bench percpu` compares with and does not want in its own
 * process.
 *
 *	tocsin-bench-rivals malloc|urcu_memb|urcu_bp|urcu_mb|urcu_signal|urcu_qsbr [PART]
 *
 * Prints what one pair of calls takes, in ns. Allocators come by LD_PRELOAD, since they cannot be
 * had by dlopen() (their thread-local storage must be there at the start); liburcu by linking,
 * which would make it a library of the tool. PART: of the path of the library that malloc() must
 * come from, lest libc's is measured when the loader did not find the other.
 *
 * Exit status: 0, 2 wrong usage, 3 not to be had here.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_percpu.h"

#ifdef __clang_analyzer__ /* finds fault with liburcu's headers */
#	undef TOCSIN_HAS_URCU
#	define TOCSIN_HAS_URCU 0
#endif
#if TOCSIN_HAS_URCU
#	define _LGPL_SOURCE /* its inline functions, as ours are */
#	include <urcu/urcu-bp.h>
#	include <urcu/urcu-mb.h>
#	include <urcu/urcu-memb.h>
#	include <urcu/urcu-qsbr.h>
#	if TOCSIN_HAS_URCU_SIGNAL
#		include <urcu/urcu-signal.h>
#	endif
#endif

#define ITEM_BYTES 64

static void *volatile held;

static inline void malloc_pair(void)
{
	char *item = malloc(ITEM_BYTES);

	held = item; /* an allocation that nobody sees may be left out */
	*item = 1;
	free(item);
}

BENCH_PERCPU_LOOP(malloc_pair_ns, malloc_pair());

#if TOCSIN_HAS_URCU
/* Each flavour: a pair, its loop, and the thread registered for it. */
#	define FLAVOUR(name)                                                   \
		static inline void urcu_##name##_pair(void)                     \
		{                                                               \
			urcu_##name##_read_lock();                              \
			urcu_##name##_read_unlock();                            \
		}                                                               \
		BENCH_PERCPU_LOOP(urcu_##name##_pair_ns, urcu_##name##_pair()); \
		static double measure_##name(void)                              \
		{                                                               \
			double ns;                                              \
                                                                                \
			urcu_##name##_register_thread();                        \
			ns = bench_percpu_urcu_##name##_pair_ns(NULL);          \
			urcu_##name##_unregister_thread();                      \
			return ns;                                              \
		}                                                               \
		_Static_assert(1, "takes the semicolon")

FLAVOUR(memb);
FLAVOUR(bp);
FLAVOUR(mb);
FLAVOUR(qsbr);
#	if TOCSIN_HAS_URCU_SIGNAL
FLAVOUR(signal);
#	endif
#endif

static const struct {
	const char *what;
	double (*measure)(void);
} flavours[] = {
#if TOCSIN_HAS_URCU
	{"urcu_memb", measure_memb},
	{"urcu_bp", measure_bp},
	{"urcu_mb", measure_mb},
	{"urcu_qsbr", measure_qsbr},
#	if TOCSIN_HAS_URCU_SIGNAL
	{"urcu_signal", measure_signal},
#	endif
#endif
	{NULL, NULL},
};

/* Is malloc() from a library with @part in its path? */
static int malloc_is_of(const char *part)
{
	void *(*function)(size_t) = malloc;
	void *address;
	Dl_info info;

	memcpy(&address, &function, sizeof(address));
	return dladdr(address, &info) && info.dli_fname && strstr(info.dli_fname, part);
}

static double measure(const char *what, const char *part)
{
	if (strcmp(what, "malloc") == 0)
		return part && !malloc_is_of(part) ? BENCH_NOT_HERE
						   : bench_percpu_malloc_pair_ns(NULL);
	for (size_t i = 0; flavours[i].what; i++)
		if (strcmp(what, flavours[i].what) == 0)
			return flavours[i].measure();
	return BENCH_NOT_HERE;
}

int main(int argc, char **argv)
{
	double ns;

	if (argc < 2) {
		(void)fprintf(stderr, "tocsin-bench-rivals: started by 'tocsin bench percpu'\n");
		return 2;
	}
	ns = measure(argv[1], argc > 2 ? argv[2] : NULL);
	if (ns < 0)
		return 3;
	return printf("%.4f\n", ns) > 0 ? 0 : 3;
}
