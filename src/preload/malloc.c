// SPDX-License-Identifier: MIT
/*
 * libtocsin-malloc: what a program allocates and frees, for programs that nobody can rebuild.
 *
 * Each function calls the allocator behind it, libc's or jemalloc's or whose comes next, and emits
 * what was asked and what came of it. A free is told before it is done and everything else after,
 * so that an address is never told as allocated twice: another thread cannot get it in between.
 * (realloc() frees and allocates in one; its event comes after, and the old address may have been
 * given to another thread before.)
 *
 * Early calls. ld.so, libc and constructors allocate before anybody has looked for the allocator,
 * and dlsym(), which looks, may allocate itself. What is asked for meanwhile comes from a small
 * array and stays there: free() of it does nothing, realloc() copies it out.
 *
 * Who allocates by himself. A program that defines malloc() is before us in the order of symbols,
 * for its libraries too; the runtimes of sanitizers watch the same calls and depend on their order.
 * Both are left alone: everything is passed on, nothing is recorded, and that is said.
 *
 * reallocarray() is libc's and calls realloc(), so it is traced as that.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload.h"

#define EARLY_BYTES 65536
#define EARLY_ALIGN 16

/* What is here of ours is called by its own name only from outside. */
PRELOAD_API void *traced_malloc(size_t size) __asm__("malloc");
PRELOAD_API void traced_free(void *p) __asm__("free");
PRELOAD_API void *traced_calloc(size_t nr, size_t size) __asm__("calloc");
PRELOAD_API void *traced_realloc(void *p, size_t size) __asm__("realloc");
PRELOAD_API void *traced_memalign(size_t align, size_t size) __asm__("memalign");
PRELOAD_API void *traced_aligned_alloc(size_t align, size_t size) __asm__("aligned_alloc");
PRELOAD_API int traced_posix_memalign(void **p, size_t align,
				      size_t size) __asm__("posix_memalign");
PRELOAD_API void *traced_valloc(size_t size) __asm__("valloc");
PRELOAD_API void *traced_pvalloc(size_t size) __asm__("pvalloc");

/* Ours, whoever else has the name. */
extern __typeof__(traced_malloc) own_malloc __attribute__((alias("malloc"), visibility("hidden")));

enum state {
	STATE_NEW,
	STATE_SEARCHING,
	STATE_FOUND, /* the functions below can be called */
	STATE_READY, /* and events emitted */
};

static struct {
	void *(*malloc)(size_t size);
	void (*free)(void *p);
	void *(*calloc)(size_t nr, size_t size);
	void *(*realloc)(void *p, size_t size);
	void *(*memalign)(size_t align, size_t size);
	void *(*aligned_alloc)(size_t align, size_t size);
	int (*posix_memalign)(void **p, size_t align, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
	int state;   /* enum state; rises only */
	bool is_off; /* passed on only; before FOUND */
} next;

/* ---- before the allocator is known */

static struct {
	_Alignas(EARLY_ALIGN) unsigned char bytes[EARLY_BYTES];
	size_t used;
} early;

/* In front of each piece of it. */
struct early_head {
	_Alignas(EARLY_ALIGN) size_t size;
};

static bool is_early(const void *p)
{
	return (uintptr_t)p - (uintptr_t)early.bytes < EARLY_BYTES;
}

/* Zeroed, as nothing in it is used twice. */
static void *early_take(size_t size)
{
	size_t bytes, at;

	if (size > EARLY_BYTES - sizeof(struct early_head)) {
		errno = ENOMEM;
		return NULL;
	}
	bytes = sizeof(struct early_head) + ((size + EARLY_ALIGN - 1) & ~(size_t)(EARLY_ALIGN - 1));
	at = __atomic_load_n(&early.used, __ATOMIC_RELAXED);
	do {
		if (bytes > EARLY_BYTES - at) {
			errno = ENOMEM;
			return NULL;
		}
	} while (!__atomic_compare_exchange_n(&early.used, &at, at + bytes, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	*(struct early_head *)(void *)(early.bytes + at) = (struct early_head){.size = size};
	return early.bytes + at + sizeof(struct early_head);
}

static size_t early_size(const void *p)
{
	return ((const struct early_head *)p)[-1].size;
}

static void search(void)
{
	int expected = STATE_NEW;

	if (!__atomic_compare_exchange_n(&next.state, &expected, STATE_SEARCHING, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
		return;
		/* Two types of pointer that POSIX makes one. */
#define FIND(function) *(void **)(void *)&next.function = preload_next(#function)
	FIND(malloc);
	FIND(free);
	FIND(calloc);
	FIND(realloc);
	FIND(memalign);
	FIND(aligned_alloc);
	FIND(posix_memalign);
	FIND(valloc);
	FIND(pvalloc);
#undef FIND
	next.is_off = preload_sanitizer() != NULL;
	__atomic_store_n(&next.state, STATE_FOUND,
			 __ATOMIC_RELEASE); /* pairs with is_found() [A] */
}

/*
 * Constructors of the program's libraries run before ours: what they allocate is to be recorded
 * too. libtocsin's own constructor allocates, and then it is too early: once more, later. Without
 * libc's environment there is no telling that there is a recording.
 */
static void register_early(void)
{
	static bool is_registering;

	if (!environ || __atomic_exchange_n(&is_registering, true, __ATOMIC_ACQUIRE))
		return;
	if (__atomic_load_n(&next.state, __ATOMIC_RELAXED) == STATE_FOUND) {
		tocsin_module_init_();
		if (tocsin_module_.begin[0]->on != &tocsin_off_)
			__atomic_store_n(&next.state, STATE_READY, __ATOMIC_RELEASE); /* [A] */
		else
			tocsin_module_done_();
	}
	__atomic_store_n(&is_registering, false, __ATOMIC_RELEASE);
}

static __attribute__((noinline, cold)) bool find(void)
{
	search();
	if (__atomic_load_n(&next.state, __ATOMIC_ACQUIRE) == STATE_FOUND)
		register_early();
	return __atomic_load_n(&next.state, __ATOMIC_ACQUIRE) >= STATE_FOUND;
}

/* Is the allocator known? Looks for it if nobody has. */
static inline bool is_found(void)
{
	/* pairs with search() and register_early() [A] */
	return __builtin_expect(__atomic_load_n(&next.state, __ATOMIC_ACQUIRE) == STATE_READY, 1) ||
	       find();
}

__attribute__((constructor(102))) static void look_around(void)
{
	const char *why = NULL;

	(void)find(); /* the module is registered now, or cannot be */
	tocsin_module_init_();
	__atomic_store_n(&next.state, STATE_READY, __ATOMIC_RELEASE);
	if (next.is_off)
		why = preload_sanitizer();
	else if (dlsym(RTLD_DEFAULT, "malloc") != (void *)(uintptr_t)own_malloc)
		why = "the program has an allocator of its own";
	if (!why)
		return;
	preload_say("malloc is not traced", why);
	tocsin_event_level(TOCSIN_LEVEL_WARNING, "malloc", "not_traced", TF_STR("why", why));
}

/* ---- what is traced */

#define CALLER()        TF_PTR("caller", __builtin_return_address(0))
#define EMIT(name, ...) PRELOAD_EMIT(TOCSIN_TRACER_MALLOC, "malloc", name, __VA_ARGS__)

/* A jump, so that a sanitizer sees who called, which tells it whose leaks are none. */
#define UNLESS_OFF(call)                              \
	do {                                          \
		if (__builtin_expect(next.is_off, 0)) \
			return call;                  \
	} while (0)

void *traced_malloc(size_t size)
{
	void *p;

	if (!is_found())
		return early_take(size);
	UNLESS_OFF(next.malloc(size));
	p = next.malloc(size);
	EMIT("malloc", TF_U64("size", size), TF_PTR("address", p), CALLER());
	return p;
}

void traced_free(void *p)
{
	if (is_early(p) || !is_found())
		return;
	if (__builtin_expect(!next.is_off, 1))
		EMIT("free", TF_PTR("address", p), CALLER());
	next.free(p);
}

void *traced_calloc(size_t nr, size_t size)
{
	size_t bytes;
	void *p;

	if (!is_found()) {
		if (__builtin_mul_overflow(nr, size, &bytes)) {
			errno = ENOMEM;
			return NULL;
		}
		return early_take(bytes);
	}
	UNLESS_OFF(next.calloc(nr, size));
	p = next.calloc(nr, size);
	EMIT("calloc", TF_U64("nr", nr), TF_U64("size", size), TF_PTR("address", p), CALLER());
	return p;
}

void *traced_realloc(void *old, size_t size)
{
	void *p;

	if (!is_found() || is_early(old)) {
		p = traced_malloc(size);
		if (p && old)
			memcpy(p, old, early_size(old) < size ? early_size(old) : size);
		return p;
	}
	UNLESS_OFF(next.realloc(old, size));
	p = next.realloc(old, size);
	EMIT("realloc", TF_PTR("old", old), TF_U64("size", size), TF_PTR("address", p), CALLER());
	return p;
}

/* All that align are one event: what was asked, and what came of it. */
#define EMIT_ALIGNED(align, size, p)                                                         \
	EMIT("memalign", TF_U64("align", align), TF_U64("size", size), TF_PTR("address", p), \
	     CALLER())

void *traced_memalign(size_t align, size_t size)
{
	void *p;

	if (!is_found() || !next.memalign) {
		errno = ENOMEM;
		return NULL;
	}
	UNLESS_OFF(next.memalign(align, size));
	p = next.memalign(align, size);
	EMIT_ALIGNED(align, size, p);
	return p;
}

void *traced_aligned_alloc(size_t align, size_t size)
{
	void *p;

	if (!is_found() || !next.aligned_alloc) {
		errno = ENOMEM;
		return NULL;
	}
	UNLESS_OFF(next.aligned_alloc(align, size));
	p = next.aligned_alloc(align, size);
	EMIT_ALIGNED(align, size, p);
	return p;
}

int traced_posix_memalign(void **ret, size_t align, size_t size)
{
	int r;

	if (!is_found() || !next.posix_memalign)
		return ENOMEM;
	UNLESS_OFF(next.posix_memalign(ret, align, size));
	r = next.posix_memalign(ret, align, size);
	EMIT_ALIGNED(align, size, r ? NULL : *ret);
	return r;
}

#define PAGE_ALIGN 4096

void *traced_valloc(size_t size)
{
	void *p;

	if (!is_found() || !next.valloc) {
		errno = ENOMEM;
		return NULL;
	}
	UNLESS_OFF(next.valloc(size));
	p = next.valloc(size);
	EMIT_ALIGNED(PAGE_ALIGN, size, p);
	return p;
}

void *traced_pvalloc(size_t size)
{
	void *p;

	if (!is_found() || !next.pvalloc) {
		errno = ENOMEM;
		return NULL;
	}
	UNLESS_OFF(next.pvalloc(size));
	p = next.pvalloc(size);
	EMIT_ALIGNED(PAGE_ALIGN, size, p);
	return p;
}
