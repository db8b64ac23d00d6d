/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_RING_H
#define TOCSIN_RING_RING_H

/*
 * Writing records to rings; runs inside the traced program.
 *
 * A record is written by ring_write(): the whole of it (index, ring, limit, clock, header, payload)
 * in one restartable section whose only commit is the store of the new head. Whatever does not fit
 * that (first record, full ring, new upper half of the clock, new group, no rseq) goes to
 * ring_write_slow(), which knows every case and decides it exactly; slow.c has the essay.
 *
 * Memory: struct ring_writer lies in pages that fork() wipes, so a child sees no rings and makes
 * its own. Rings that were published are never unmapped while the process lives: a thread may still
 * hold the address in its slow path. ring_retire() gives their memory back.
 *
 * Everything here keeps errno, takes no lock, allocates nothing and makes no system call except,
 * in slow paths: what the hooks do, and FUTEX_WAIT in rings made with RING_BLOCK.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/ring.h"
#include "tocsin/rseq.h"

#define RING_INDEXES    512 /* threads with a higher index write to the side ring */
#define RING_INDEX_SIDE (-1)

/* The rings of a process, zeroed by fork(). ring_writer_new() makes one. */
struct ring_writer {
	/* By index. NULL: none. Stored with release, loaded inside the section. */
	struct ring_header *ring[RING_INDEXES];
	struct ring_header *side;
	void *owner;   /* the caller's, zeroed by fork() too */
	uint32_t made; /* 1; 0 in a child */
};

/* What the owner of the process's rings does for the slow path. Signal-safe, all of them. */
struct ring_hooks {
	/*
	 * There is no ring for @index (RING_INDEX_SIDE: no side ring). Make one and publish it by
	 * ring_publish(), or do nothing.
	 *
	 * Return: 0 look again, else the record goes to the side ring, or is lost if that is
	 * missing.
	 */
	int (*missing)(struct ring_writer *w, int index);
	/* A ring of the collector's passed its watermark. May be NULL. */
	void (*wake)(struct ring_writer *w);
	/* A record was lost for which there is not even a side ring: count it. May be NULL. */
	void (*lost)(struct ring_writer *w);
	/* May system calls be made: to wait for room (RING_BLOCK), to register a thread? NULL:
	 * they may. */
	bool (*may_call)(struct ring_writer *w);
};

/* Set by ring_init(), constant from then on. */
struct ring_process {
	intptr_t fast; /* = area where the fast path can be taken, else 0 */
	intptr_t area; /* operands of sections, once TOCSIN_RSEQ_AREA() was applied; 0: no rseq */
	intptr_t index;
	uint32_t clock; /* enum control_clock; 0: not yet initialised, nothing can be written */
	struct ring_hooks hooks;
};

extern struct ring_process ring_process __attribute__((visibility("hidden")));

/**
 * ring_init() - after rseq_init(): decide what this process's records are written with.
 * @clock: enum control_clock. CONTROL_CLOCK_TSC must be invariant and the same on all CPUs; with
 *         CONTROL_CLOCK_MONOTONIC every record takes the slow path
 * @hooks: copied
 *
 * Thread-safe: no. Signal-safe: yes.
 */
void ring_init(uint32_t clock, const struct ring_hooks *hooks);

/** ring_clock() - now, on the clock of records. Thread-safe: yes. Signal-safe: yes. */
uint64_t ring_clock(void);

/**
 * ring_writer_new() - pages for the pointers, wiped in a child by the kernel.
 *
 * Return: 0, or -ENOMEM, -EINVAL (no MADV_WIPEONFORK: Linux < 4.14).
 * Thread-safe: yes. Signal-safe: yes.
 */
int ring_writer_new(struct ring_writer **ret_writer);

/* How to make a ring; words as in struct ring_header. */
struct ring_params {
	uint32_t kind;      /* enum ring_kind */
	uint32_t mode;      /* enum ring_mode */
	uint32_t index;     /* 0 for side rings */
	uint32_t watermark; /* bytes, 0: never wake */
	uint64_t
		data_bytes; /* power of two, RING_BYTES_MIN .. _MAX, side: RING_SIDE_BYTES_MIN .. */
	uint64_t block_ns;
	int fd;          /* -1: a memfd of its own; else the file, of sufficient size */
	int fd_min;      /* a memfd gets at least this number, 0: any */
	uint64_t offset; /* in @fd, multiple of RING_HEADER_BYTES; ring_bytes() long */
};

/** ring_bytes() - size of such a ring with its header, or 0: no such size. Signal-safe: yes. */
uint64_t ring_bytes(const struct ring_params *params);

struct ring_made {
	struct ring_header *ring;
	int fd;         /* the memfd, or @fd of the parameters */
	uint64_t inode; /* of the file */
};

/**
 * ring_make() - allocate, seal (a memfd of its own), map and fill in a ring.
 * @ret_made: the mapping, for ring_publish() or ring_unmake(), and the descriptor, CLOEXEC
 *
 * All memory of the ring is allocated here; so a full memory is an error now, not a SIGBUS later.
 *
 * Return: 0, or -EINVAL parameters, -EFBIG the process's limit of file sizes (RLIMIT_FSIZE) forbids
 * it, -ENOMEM, -ENOSPC, -EMFILE, -ENOSYS and what else the system calls say.
 * Thread-safe: yes. Signal-safe: yes.
 */
int ring_make(const struct ring_params *params, struct ring_made *ret_made);

/** ring_unmake() - take back a ring that was not published: unmap it, close a memfd of its own. */
void ring_unmake(const struct ring_params *params, struct ring_made *made);

/**
 * ring_publish() - let writers of its index use a ring.
 *
 * Return: 0, or -EEXIST there is one already: ring_unmake() this one.
 * Thread-safe: yes. Signal-safe: yes.
 */
int ring_publish(struct ring_writer *w, int index, struct ring_header *ring);

/**
 * ring_retire() - no more records into the ring of @index; another may be published afterwards.
 *
 * On return all that was written to an indexed ring is below its head, and its state says so. (A
 * side ring may be written to until its count of users is 0.) The mapping stays; when the collector
 * has read it, ring_give_back() frees the memory under it.
 *
 * Return: the ring, or NULL: there was none. Thread-safe: yes. Signal-safe: yes.
 */
struct ring_header *ring_retire(struct ring_writer *w, int index);

/** ring_give_back() - free the memory of a retired ring of an own memfd; late stragglers see zeros.
 */
int ring_give_back(struct ring_header *ring, int fd);

/**
 * ring_write_slow() - what ring_write() does, in every case.
 *
 * Return, arguments, safety: as ring_write().
 */
int ring_write_slow(struct ring_writer *w, uint32_t id, const void *payload, size_t bytes);

/** ring_write_side() - straight to the side ring. As ring_write(). */
int ring_write_side(struct ring_writer *w, uint32_t id, const void *payload, size_t bytes);

#if TOCSIN_RSEQ_ARCH
#	include "fast.h"
#endif

/**
 * ring_write() - write one record to the ring of the running index.
 * @w:       the process's rings
 * @id:      of the event
 * @payload: staged in memory that is certainly present, such as the stack; aligned to 8; zeros
 *           where it is padded
 * @bytes:   a multiple of 8, up to RING_SIDE_PAYLOAD_MAX. Constants up to 64 are unrolled
 *
 * Return: 0 it is there, and whole; -ENOSPC it is lost, and counted; -EMSGSIZE too long, and
 * counted as lost. Thread-safe: yes. Signal-safe: yes; a handler's record comes before the one it
 * interrupted, with an earlier time.
 */
static inline __attribute__((always_inline)) int ring_write(struct ring_writer *w, uint32_t id,
							    const void *payload, size_t bytes)
{
#if TOCSIN_RSEQ_ARCH
	intptr_t fast = ring_process.fast;

	if (__builtin_expect(fast && id < RING_ID_EXTENDED && bytes <= RING_PAYLOAD_MAX, 1) &&
	    __builtin_expect(ring_write_fast(fast, w, id, payload, bytes), 1))
		return 0;
#endif
	return ring_write_slow(w, id, payload, bytes);
}

#endif
