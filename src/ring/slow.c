// SPDX-License-Identifier: MIT
/*
 * The slow path of a writer: every case, decided exactly.
 *
 * The fast section gives up without a word: a ring that is missing or full, a cached limit that is
 * passed, a new upper half of the clock, an abort, no rseq at all. Here the record starts again,
 * in three steps:
 *
 *	1. read the ring of the running index, then its head
 *	2. decide, outside any section: is there room (the tail, once), does a group begin, what
 *	   time is it, does the header need its long form
 *	3. one section verifies that ring and head are still those, copies and commits
 *
 * Step 3 fails when anything came in between, and all of it starts again; after
 * TOCSIN_RSEQ_ABORT_LIMIT rounds the record goes to the side ring. A debugger that steps through a
 * section aborts it each time, so this is what lets a stepped program go on.
 *
 * Linearisation: a record exists with the store of `head`. A loss exists with the addition to
 * `lost`, in a section too, so that ring_retire() has seen either.
 *
 * Epoch. A compact record has only the lower half of its time, and is read as having the upper half
 * of the record before. Writers use the compact form when ring.epoch equals their upper half E.
 * That word is stored after a record with E has been committed here, outside the section: so
 * whenever it is E, the ring holds such a record, the first of which was extended, and since times
 * do not go back a reader that adds up is right. A store that is late, or lost with its thread, or
 * of an older epoch, costs extended records and nothing else. Storing it before the commit would
 * be wrong: after an abort in between the next compact record is read 2^32 ticks off.
 *
 * Limit. The fast section compares with a cache: for discarding rings tail + data_bytes, or before
 * that tail + watermark; for overwriting rings the end of the group. It is stored by anyone,
 * unordered: tails and heads only grow, so a late store is too small, never too large.
 *
 * Groups of an overwriting ring: `entered` is raised before the first byte of a new group is
 * written, with a full fence between (pairs with the reader's check after its copy [B]). Raised for
 * a group that is then begun by somebody else, or not at once, it makes a reader drop a group too
 * early, never too late. first[] is stored in the section before the commit: an entry is valid only
 * for groups that the head has reached.
 *
 * Without an invariant counter the vDSO's clock is read in step 2, in place of the counter: after
 * the head; so an unchanged head in step 3 says that no record is younger. Every record of such a
 * process goes this way.
 *
 * Beside a fork() in a handler that interrupted this code: the child goes on with the parent's
 * ring in a register. Its section sees the wiped pointer and starts again; the stores of epoch,
 * limit and entered may come twice and are harmless.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../abi/control.h"
#include "../percpu/rseq.h"
#include "inject.h"
#include "ring.h"
#include "side.h"

#define WAIT_SLICE_NS 10000000u /* of a blocking ring: a wake-up that was missed costs so much */

enum next {
	NEXT_DONE,  /* the record is there */
	NEXT_LOST,  /* it is counted */
	NEXT_AGAIN, /* something came in between */
	NEXT_WAITED,
	NEXT_SIDE,
};

struct ring_process ring_process;

static bool may_call(struct ring_writer *w)
{
	return !ring_process.hooks.may_call || ring_process.hooks.may_call(w);
}

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t ring_clock(void)
{
	if (ring_process.clock == CONTROL_CLOCK_TSC) {
#if defined(__x86_64__)
		uint32_t low, high;

		__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
		return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
		uint64_t t;

		__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(t) : : "memory");
		return t;
#endif
	}
	return monotonic_ns();
}

void ring_init(uint32_t clock, const struct ring_hooks *hooks)
{
	ring_process.hooks = *hooks;
	ring_process.clock = clock;
	ring_process.area = tocsin_rseq.area;
	ring_process.index = tocsin_rseq.area + (intptr_t)tocsin_rseq.index_offset;
	/* A clock that is not one instruction cannot be read inside a section. */
	ring_process.fast = clock == CONTROL_CLOCK_TSC ? tocsin_rseq.area : 0;
}

/*
 * Wait until the reader has moved the tail, which was @tail, or the record's time is over.
 * Return: false at once where another writer has waited in vain since the reader last moved.
 */
bool ring_wait(struct ring_writer *w, struct ring_header *ring, uint64_t tail,
	       uint64_t *deadline_ns)
{
	uint64_t now = monotonic_ns();
	struct timespec slice = {0};

	if (!may_call(w))
		return false;
	if (__atomic_load_n(&ring->gave_up_at, __ATOMIC_RELAXED) == tail + 1)
		return false;
	if (!*deadline_ns)
		*deadline_ns = now + ring->block_ns;
	if (now >= *deadline_ns) {
		__atomic_store_n(&ring->gave_up_at, tail + 1, __ATOMIC_RELAXED);
		return false;
	}
	if (ring_process.hooks.wake)
		ring_process.hooks.wake(w);
	slice.tv_nsec = *deadline_ns - now < WAIT_SLICE_NS ? (long)(*deadline_ns - now)
							   : (long)WAIT_SLICE_NS;
	/* pairs with the reader's fence between tail and blocked [E] */
	__atomic_fetch_add(&ring->blocked, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&ring->tail, __ATOMIC_SEQ_CST) == tail)
		(void)syscall(SYS_futex, &ring->tail, FUTEX_WAIT, (uint32_t)tail, &slice, NULL, 0);
	__atomic_fetch_sub(&ring->blocked, 1, __ATOMIC_SEQ_CST);
	return true;
}

#if TOCSIN_RSEQ_ARCH
#	include "exact.h"

/* A record on its way. */
struct attempt {
	struct ring_writer *w;
	uint32_t id;
	const void *payload;
	uint64_t bytes;
	uint64_t deadline_ns; /* of waiting for room; 0: did not wait yet */
};

/* Say that group @group is about to be begun, before anything of it is written. */
static void enter_group(struct ring_header *ring, uint64_t group)
{
	__u64 seen = __atomic_load_n(&ring->entered, __ATOMIC_RELAXED);

	while (seen < group + 1 &&
	       !__atomic_compare_exchange_n(&ring->entered, &seen, group + 1, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the reader's fence [B] */
	RING_POINT(12);
}

/* The record does not fit above @tail. */
static enum next ring_is_full(struct attempt *a, struct ring_header *ring, uint64_t tail)
{
	struct ring_exact x = {.ring = ring};

	if (ring->mode == RING_BLOCK && ring_wait(a->w, ring, tail, &a->deadline_ns))
		return NEXT_WAITED;
	if (ring_exact_lose(a->w, &x) != TOCSIN_RSEQ_DONE)
		return NEXT_AGAIN;
	__atomic_store_n(&ring->lost_clock, ring_clock(), __ATOMIC_RELAXED);
	return NEXT_LOST;
}

/* The cached limit behind a record, and the watermark that it may have passed. */
static void set_limit(struct attempt *a, struct ring_header *ring, uint64_t head, uint64_t tail)
{
	uint64_t limit = __atomic_load_n(&ring->limit, __ATOMIC_RELAXED);
	uint64_t mark = ring->watermark;
	bool was_passed = head > limit;

	if (ring->mode == RING_OVERWRITE) {
		uint64_t group_bytes = ring->data_bytes / ring->groups;

		limit = ring_group_count(head, group_bytes) * group_bytes;
	} else {
		limit = tail + (mark && head - tail < mark ? mark : ring->data_bytes);
	}
	__atomic_store_n(&ring->limit, limit, __ATOMIC_RELAXED);
	if (ring->mode != RING_OVERWRITE && was_passed && mark && head - tail >= mark) {
		__atomic_fetch_add(&ring->wakes, 1, __ATOMIC_RELAXED);
		if (ring_process.hooks.wake)
			ring_process.hooks.wake(a->w);
	}
}

/* Header words of the record; the long form if @is_first or the epoch is new. */
static void fill_header(const struct attempt *a, struct ring_exact *x, uint64_t time, bool is_first)
{
	uint32_t epoch = (uint32_t)(time >> 32);

	if (is_first || a->id >= RING_ID_EXTENDED ||
	    __atomic_load_n(&x->ring->epoch, __ATOMIC_RELAXED) != epoch) {
		x->header_bytes = RING_EXTENDED_BYTES;
		x->header[0] = RING_ID_EXTENDED | (uint64_t)a->id << 32;
		x->header[1] = time;
	} else {
		x->header_bytes = RING_COMPACT_BYTES;
		x->header[0] = a->id | time << 32;
	}
	x->header[0] |= (a->bytes + x->header_bytes) / 8 << 16;
	x->new_head = x->head + x->header_bytes + a->bytes;
}

/* Steps 1 to 3 of the essay, once, in @ring. */
static enum next write_once(struct attempt *a, struct ring_header *ring)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE); /* [C] */
	struct ring_exact x = {
		.ring = ring, .head = head, .payload = a->payload, .bytes = a->bytes};
	uint64_t group = 0, time;
	bool is_first = false;

	RING_POINT(10);
	if (ring->mode == RING_OVERWRITE) {
		uint64_t group_bytes = ring->data_bytes / ring->groups;

		group = ring_group_count(head + RING_EXTENDED_BYTES + a->bytes, group_bytes);
		is_first = group > ring_group_count(head, group_bytes);
		group--;
	}
	time = ring_clock(); /* after the head */
	fill_header(a, &x, time, is_first);
	if (ring->mode != RING_OVERWRITE && x.new_head > tail + ring->data_bytes)
		return ring_is_full(a, ring, tail);
	if (is_first)
		enter_group(ring, group);
	x.first = is_first ? &ring->first[group % ring->groups] : &x.nowhere;
	x.to = (char *)ring + RING_HEADER_BYTES + (head & ring->mask);
	if (ring_exact_commit(a->w, &x) != TOCSIN_RSEQ_DONE)
		return NEXT_AGAIN;
	RING_POINT(11);
	if (x.header_bytes == RING_EXTENDED_BYTES)
		__atomic_store_n(&ring->epoch, (uint32_t)(time >> 32), __ATOMIC_RELAXED);
	set_limit(a, ring, x.new_head, tail);
	return NEXT_DONE;
}

/* Return: the ring of the running index, or NULL: there will be none. */
static struct ring_header *current_ring(struct ring_writer *w)
{
	struct ring_header *ring;
	int index = rseq_index();

	if (index < 0 && may_call(w) && rseq_thread_register() == 0)
		index = rseq_index();
	if (index < 0 || index >= RING_INDEXES)
		return NULL;
	ring = __atomic_load_n(&w->ring[index], __ATOMIC_ACQUIRE);
	if (!ring && ring_process.hooks.missing && ring_process.hooks.missing(w, index) == 0) {
		index = rseq_index();
		if (index >= 0 && index < RING_INDEXES)
			ring = __atomic_load_n(&w->ring[index], __ATOMIC_ACQUIRE);
	}
	return ring;
}

/* Return: NEXT_DONE, NEXT_LOST, or NEXT_SIDE. */
static enum next write_indexed(struct attempt *a)
{
	struct ring_header *ring = NULL;
	enum next next = NEXT_AGAIN;
	unsigned rounds = 0;

	while (rounds < TOCSIN_RSEQ_ABORT_LIMIT && (next == NEXT_AGAIN || next == NEXT_WAITED)) {
		ring = current_ring(a->w);
		if (!ring)
			return NEXT_SIDE;
		next = write_once(a, ring);
		rounds += next == NEXT_AGAIN;
	}
	if (rounds)
		__atomic_fetch_add(&ring->retries, rounds, __ATOMIC_RELAXED);
	if (next != NEXT_AGAIN)
		return next;
	__atomic_fetch_add(&ring->gave_up, 1, __ATOMIC_RELAXED);
	return NEXT_SIDE;
}
#endif

int ring_write_slow(struct ring_writer *w, uint32_t id, const void *payload, size_t bytes)
{
	int saved = errno, r = -ENOSPC;
	enum next next = NEXT_SIDE;

#if TOCSIN_RSEQ_ARCH
	struct attempt a = {.w = w, .id = id, .payload = payload, .bytes = bytes};

	if (ring_process.area && bytes <= RING_PAYLOAD_MAX)
		next = write_indexed(&a);
#endif
	if (next == NEXT_SIDE)
		r = ring_write_side(w, id, payload, bytes);
	else if (next == NEXT_DONE)
		r = 0;
	errno = saved;
	return r;
}
