/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACEE_TRACEE_H
#define TOCSIN_TRACEE_TRACEE_H

/*
 * libtocsin: what runs inside a traced program. tracee.c has the essay.
 *
 * Nothing here waits, starts a thread, opens a socket or handles a signal. What an event may reach
 * is signal-safe and keeps errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/control.h"
#include "../ring/ring.h"
#include "tocsin/event.h"
#include "tocsin/probe.h"
#include "tocsin/tracing.h"

#define TRACEE_TLS __attribute__((tls_model("initial-exec")))

/* An arena that this process was given, see control.h. */
struct tracee_arena {
	struct arena *head; /* NULL: none */
	int fd;
	uint64_t inode;
	uint64_t device;
};

/* A ring of the ring table, as the process itself knows it; the table may be scribbled over. */
struct tracee_ring {
	struct ring_header *ring; /* NULL: the place is free */
	int fd;                   /* -1: in the arena */
	uint64_t inode;
};

/* Zeroed by fork(). */
struct tracee_wiped {
	uint32_t holder;        /* of the lock: thread id, 0: open */
	uint32_t chains_holder; /* of that of chains.c */
};

struct tracee {
	struct tracee_wiped *wiped;
	struct control_page *page; /* NULL: this process cannot be traced; else constant */
	struct ring_writer *rings; /* its `owner` is `tracee` when the page is this process's own */
	uint32_t pid;              /* whose page it is */
	int page_fd;               /* -1: the page is in the arena */
	uint64_t page_offset;      /* in its file */
	uint64_t page_inode;
	uint64_t page_device;
	struct tracee_arena arena;
	/* Private copies of what the page says, for who writes must not believe the page. */
	uint32_t class_bytes;
	uint32_t nr_classes;
	uint32_t nr_patches;
	uint32_t attended;
	int cancel;      /* the holder's state of cancellation before it took the lock */
	bool is_frozen;  /* no system call any more, see tocsin_freeze() */
	bool is_stopped; /* nor the clock, see tocsin_stop() */
	uint32_t class_hash[CONTROL_CLASSES];
	uint32_t class_at[CONTROL_CLASSES]; /* in page->classes */
	struct tracee_ring ring[CONTROL_RINGS];
};

extern struct tracee tracee __attribute__((visibility("hidden")));
/* = tracee.rings, by itself: one load less in the fast path. */
extern struct ring_writer *tracee_rings __attribute__((visibility("hidden")));

/** tracee_own() - is the page this process's own, and not one that it inherited by fork()? */
static inline bool tracee_own(void)
{
	return tracee.rings &&
	       __atomic_load_n(&tracee.rings->owner, __ATOMIC_ACQUIRE) == (void *)&tracee;
}

/**
 * tracee_begin() - make this process's page if it has none; after this tracee_own() holds.
 *
 * Return: 0, -ENODEV this process cannot be traced, -EDEADLK interrupted itself. Signal-safe: yes.
 */
int tracee_begin(void);

/**
 * tracee_lock() - the slow paths' lock: making pages and rings, describing classes.
 *
 * Not for fast paths. Threads of one process wait for one another (a few system calls long, by
 * yielding); a signal handler in the thread that holds it is refused. A child of fork() finds it
 * open.
 *
 * Return: 0, or -EDEADLK. Signal-safe: yes.
 */
int tracee_lock(void);
void tracee_unlock(void);

/** tracee_lock_is_mine() - does this thread hold the lock: has a handler interrupted its holder?
 * One system call. */
bool tracee_lock_is_mine(void);

/** tracee_gettid() - the calling thread, 4 ns. Signal-safe: yes. */
uint32_t tracee_gettid(void);

/** tracee_count() - add to a loss counter of the page, if there is one. Signal-safe: yes. */
void tracee_count(enum control_loss loss, uint64_t nr);

/** tracee_wake() - tell a collector that waits. Signal-safe: yes. */
void tracee_wake(void);

/** tracee_init() - what the constructor does; before that nothing works. Once. */
void tracee_init(void);

/* ---- page.c ---- */

/** page_make() - a page for this process, at the place of an inherited one. With the lock held. */
int page_make(void);

/**
 * page_allocate() - memory for a part of the page, so that touching it is no SIGBUS.
 *
 * Where the program has closed the descriptor nothing is done: the first touch allocates then.
 *
 * Return: 0, or -ENOSPC and what else fallocate() says. Signal-safe: yes.
 */
int page_allocate(uint64_t at, uint64_t bytes);

/** page_fd_is() - is @fd still that file? The program may have closed it and opened another. */
bool page_fd_is(int fd, uint64_t device, uint64_t inode);

/** page_fd_high() - move a descriptor out of the program's way. Return: the new one, or @fd. */
int page_fd_high(int fd);

/** page_fd_min() - the lowest descriptor for our files. */
int page_fd_min(void);

/**
 * tracee_clock_of() - which clock rings get
 * @is_invariant: the CPU says that its counter runs at one rate, always
 * @sources: the kernel's clock sources, separated by spaces; empty or NULL: not to be read here
 * @wish: TOCSIN_CLOCK of the environment, or NULL
 *
 * Return: enum control_clock.
 */
uint32_t tracee_clock_of(bool is_invariant, const char *sources, const char *wish);

/** tracee_clock_choose() - as tracee_clock_of(), of this machine. Opens and reads one file. */
uint32_t tracee_clock_choose(void);

/** arena_find() - the arena that this process was started with, if any. */
void arena_find(void);

/** arena_claim() - an extent. Return: its offset, or 0: no room, or the descriptor is gone. */
uint64_t arena_claim(uint64_t bytes);

/* ---- classes.c ---- */

/** classes_apply() - enable bytes of classes from @first on, by the rules of the session. */
void classes_apply(uint32_t first);

/**
 * classes_add_site() - describe the class of a site, or find the description that there is, and
 * show the site its enable byte.
 *
 * Return: 0, or -ENOSPC, -EINVAL (both counted), -ENOENT a question about no class that is known.
 * With the lock held.
 */
int classes_add_site(struct tocsin_site *site);

/* ---- rings.c ---- */

extern const struct ring_hooks rings_hooks;

/** rings_attend() - answer a roll call: renew rings that do not fit the session. */
void rings_attend(void);

/** rings_make_all() - rings for every index that may come up. Return: 0, -ENOMEM, -ENOSPC,
 * -EDEADLK. */
int rings_make_all(void);

/** rings_forget() - in a child of fork(): close what it inherited. With the lock held. */
void rings_forget(void);

/* ---- section.c ---- */

/** section_publish() - the place of threads' section slots into the page, once there is a section.
 */
void section_publish(void);

/* ---- context.c ---- */

/**
 * context_put() - write the contexts of @mask in front of a payload.
 * @payload: TOCSIN_HEADROOM bytes before it are writable
 *
 * Return: how many bytes before @payload they begin, a multiple of 8.
 */
size_t context_put(uint32_t mask, unsigned char *payload);

/* A context by itself, for filters. */
struct context_value {
	uint64_t number;
	const char *text; /* NULL: the number */
};
void context_get(enum control_context which, struct context_value *ret_value);

/* ---- fields.c ---- */

struct fields {
	const struct tocsin_class *cls;
	const unsigned char *payload;
	size_t bytes;
	uint16_t at[TOCSIN_FIELDS_MAX]; /* of fields; UINT16_MAX: not in the payload */
};

/** fields_walk() - where each field begins. Signal-safe: yes. */
void fields_walk(struct fields *in);

/** fields_load() - the value of field @i, which is in the payload. Signal-safe: yes. */
void fields_load(const struct fields *in, unsigned i, struct tocsin_value *v);

/* ---- chains.c ---- */

/* The byte that `on` of a site with probes points to, beside the bits of CONTROL_ON_*. */
#define TRACEE_ON_PROBES 0x40

struct chain_entry {
	tocsin_probe_fn fn;
	void *data;
};

/* The callbacks of sites that have the same, in their order. Never changes once it is published. */
struct chain {
	struct chain *next; /* of all that are in use, or of all that wait to be unmapped */
	uint64_t set;       /* bit n: probe n */
	uint32_t nr;
	bool is_used;
	bool is_stale; /* one of its probes was unregistered */
	struct chain_entry entry[TOCSIN_PROBES_MAX];
};

/** chains_add_module() - a module has come: its sites get the callbacks that match. */
void chains_add_module(struct tocsin_module *module);

/** chains_ring_on() - the enable byte, in the page, of a site with probes. Signal-safe: yes. */
static inline uint8_t chains_ring_on(const struct tocsin_site *site)
{
	return tracee.page && site->id < CONTROL_CLASSES
		       ? *(volatile uint8_t *)&tracee.page->enable[site->id]
		       : 0;
}

/** chains_run() - call the callbacks of a site. Keeps errno. Signal-safe: yes. */
void chains_run(const struct tocsin_site *site, const void *payload, size_t bytes);

/* ---- patch.c ---- */

/** patch_open() - for patch_write(). Return: a descriptor to close, or -EPERM, -EACCES, -errno. */
int patch_open(void);

/** patch_write() - arm a site or not. Return: 1 changed, 0 it was so, -EBUSY somebody else has
 * changed that byte, -EIO. Signal-safe: yes. */
int patch_write(int fd, const struct tocsin_patch *patch, bool is_armed);

/** patch_fence() - from here on all threads run what was written. Return: false: not known. */
bool patch_fence(void);

/** patch_add_module() - say where the patched sites of a module are, for good. */
void patch_add_module(const struct tocsin_module *module);

/** patch_update() - arm sites that are wanted, disarm others. Return: 0, or -errno: one that is
 * wanted could not be armed. Signal-safe: yes. */
int patch_update(const struct tocsin_module *module);

/* ---- tracing.c ---- */

/** tracing_forget() - give up place @at and those above it, whose frames are gone. */
void tracing_forget(uint32_t at);

/* ---- where.c ---- */

enum where {
	WHERE_INSIDE,  /* called by what has the flag */
	WHERE_TRAP,    /* in the handler of a trap that this caused */
	WHERE_HANDLER, /* in the handler of a signal that came while it ran */
	WHERE_LEFT,    /* its frame is gone */
};

/**
 * where_is() - how code at @frame came about, seen from a frame that set a flag before.
 *
 * Some 0.1 us a page of stack between the two. Signal-safe: yes.
 */
enum where where_is(uintptr_t frame, uintptr_t flagged);

/* ---- filter.c ---- */

/**
 * filter_passes() - does a record pass filter @nr of the page?
 * @area:    CONTROL_FILTER_BYTES of filters; may be anything at all
 * @cls:     describes @payload
 *
 * A filter that is not there, or is malformed, passes everything: better too much than a silent
 * loss. Signal-safe: yes.
 */
bool filter_passes(const uint8_t *area, unsigned nr, const struct tocsin_class *cls,
		   const unsigned char *payload, size_t bytes);

#endif
