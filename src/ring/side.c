// SPDX-License-Identifier: MIT
/*
 * The side ring: what writes when restartable sections cannot, and what is longer than they take.
 *
 * An ordinary ring of many writers: reserve, copy, commit, with nothing held in between, so a
 * handler that interrupts a writer can write too, and a writer that dies in the middle stops nobody
 * but itself. It never shares a counter with the indexed rings.
 *
 * `head` packs where free space begins (units of 8 bytes) and the number of the next record, so
 *that one compare-and-swap reserves both the space and a slot, whose tag says when the record is
 *whole.
 *
 * Invariants: between tail and head, records lie in the order of their numbers, without gaps;
 * number n has slot n % slots; space and slot of a record are not used again before the tail has
 * passed it; the tail passes only whole records. So nobody ever writes where a late writer still
 * may. A record whose writer died keeps its space for ever: readers step over it (they know where
 * the next one begins) and count it, but the tail stays; when the ring has gone round once
 * everything else is counted as lost. Taking the space back by a time-out would let a writer that
 * was only slow spoil another's record.
 *
 * Linearisation: reserved with the exchange of `head`; there with the store of the slot's tag; lost
 * with the addition to `lost`.
 *
 * Time: the clock is read after `head`, and the exchange succeeds only if head is still that, so
 * numbers and times have one order. All records are extended: there is no epoch to agree on.
 *
 * Overwriting: the writer that finds no room moves the tail itself, one whole record at a time,
 * before it reserves. A reader copies, then looks whether the tail has passed it.
 *
 *	beside                    reserve         copy, tag      drop oldest     read
 *	reserve                   exchange loses  other space    head unchanged  below head only
 *	copy, tag                                 other space    not whole: no   tag with acquire
 *	drop oldest                                              exchange loses  tail checked after
 */
#include "side.h"

#include <errno.h>
#include <string.h>

#include "inject.h"

static uint32_t units_of(uint64_t packed)
{
	return (uint32_t)(packed >> 32);
}

static uint32_t number_of(uint64_t packed)
{
	return (uint32_t)packed;
}

static uint64_t advanced(uint64_t packed, uint32_t units)
{
	return (uint64_t)(uint32_t)(units_of(packed) + units) << 32 |
	       (uint32_t)(number_of(packed) + 1);
}

/* Drop the oldest record, number and place in @tail. Return: false: its writer is not done. */
static bool drop_oldest(struct ring_header *side, __u64 tail)
{
	struct ring_slot *slot = &ring_slots(side)[number_of(tail) & (side->slots - 1)];
	uint64_t tag = __atomic_load_n(&slot->tag, __ATOMIC_ACQUIRE); /* [D] */
	uint32_t units = __atomic_load_n(&slot->units, __ATOMIC_RELAXED);

	RING_POINT(16);
	if (tag != ring_slot_tag(number_of(tail)))
		return __atomic_load_n(&side->tail, __ATOMIC_ACQUIRE) != tail;
	/* Fails when another writer dropped it; either way the tail has moved. Nothing of what
	 * follows is written before the tail says so: a full fence, pairs with the reader's [F]. */
	(void)__atomic_compare_exchange_n(&side->tail, &tail, advanced(tail, units), false,
					  __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

/*
 * Make sure that a record of @units fits, as of some moment at which the head was *@ret_head.
 * Return: false: it is full.
 */
static bool find_room(struct ring_writer *w, struct ring_header *side, uint32_t units,
		      __u64 *ret_head)
{
	uint64_t deadline_ns = 0;

	for (;;) {
		/* In this order: a tail that is read first is not beyond the head. */
		__u64 tail = __atomic_load_n(&side->tail, __ATOMIC_ACQUIRE); /* [C] */
		__u64 head = __atomic_load_n(&side->head, __ATOMIC_ACQUIRE);
		uint32_t used = units_of(head) - units_of(tail);

		if (used + units <= side->data_bytes / 8 &&
		    number_of(head) - number_of(tail) < side->slots) {
			*ret_head = head;
			return true;
		}
		if (__atomic_load_n(&side->tail, __ATOMIC_ACQUIRE) != tail)
			continue;
		if (side->mode == RING_OVERWRITE
			    ? drop_oldest(side, tail)
			    : side->mode == RING_BLOCK && ring_wait(w, side, tail, &deadline_ns))
			continue;
		return false;
	}
}

/* Tell the collector when a record took the unread bytes over the watermark. */
static void check_watermark(struct ring_writer *w, struct ring_header *side, uint64_t head,
			    uint32_t units)
{
	uint32_t mark = side->watermark / 8;
	uint32_t before = units_of(head) - units_of(__atomic_load_n(&side->tail, __ATOMIC_RELAXED));

	if (side->mode == RING_OVERWRITE || !mark || before >= mark || before + units < mark)
		return;
	__atomic_fetch_add(&side->wakes, 1, __ATOMIC_RELAXED);
	if (ring_process.hooks.wake)
		ring_process.hooks.wake(w);
}

static int write_record(struct ring_writer *w, struct ring_header *side, uint32_t id,
			const void *payload, size_t bytes)
{
	uint32_t units = (uint32_t)((bytes + RING_EXTENDED_BYTES) / 8);
	uint64_t time, words[2];
	__u64 head;
	struct ring_slot *slot;
	char *to;

	do {
		if (!find_room(w, side, units, &head)) {
			__atomic_fetch_add(&side->lost, 1, __ATOMIC_RELAXED);
			__atomic_store_n(&side->lost_clock, ring_clock(), __ATOMIC_RELAXED);
			return -ENOSPC;
		}
		RING_POINT(13);
		time = ring_clock(); /* after the head */
	} while (!__atomic_compare_exchange_n(&side->head, &head, advanced(head, units), false,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	RING_POINT(14);
	words[0] = RING_ID_EXTENDED | (uint64_t)units << 16 | (uint64_t)id << 32;
	words[1] = time;
	to = (char *)side + RING_HEADER_BYTES + ((uint64_t)units_of(head) * 8 & side->mask);
	memcpy(to, words, sizeof(words));
	memcpy(to + sizeof(words), payload, bytes);
	slot = &ring_slots(side)[number_of(head) & (side->slots - 1)];
	__atomic_store_n(&slot->start, units_of(head), __ATOMIC_RELAXED);
	__atomic_store_n(&slot->units, units, __ATOMIC_RELAXED);
	RING_POINT(15);
	__atomic_store_n(&slot->tag, ring_slot_tag(number_of(head)), __ATOMIC_RELEASE); /* [D] */
	check_watermark(w, side, head, units);
	return 0;
}

/* Return: the side ring, with this thread among its users, or NULL. */
static struct ring_header *use_side(struct ring_writer *w)
{
	for (;;) {
		struct ring_header *side = __atomic_load_n(&w->side, __ATOMIC_ACQUIRE);

		if (!side) {
			if (!ring_process.hooks.missing ||
			    ring_process.hooks.missing(w, RING_INDEX_SIDE))
				return NULL;
			side = __atomic_load_n(&w->side, __ATOMIC_ACQUIRE);
			if (!side)
				return NULL;
		}
		/* pairs with ring_retire(): either it sees this user, or we see it gone */
		__atomic_fetch_add(&side->users, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&w->side, __ATOMIC_SEQ_CST) == side)
			return side;
		if (__atomic_load_n(&w->made, __ATOMIC_RELAXED))
			__atomic_fetch_sub(&side->users, 1, __ATOMIC_SEQ_CST);
	}
}

int ring_write_side(struct ring_writer *w, uint32_t id, const void *payload, size_t bytes)
{
	struct ring_header *side;
	int saved = errno, r = -ENOSPC;

	side = ring_process.clock ? use_side(w) : NULL;
	if (!side) {
		if (ring_process.hooks.lost)
			ring_process.hooks.lost(w);
	} else if (bytes > RING_SIDE_PAYLOAD_MAX) {
		__atomic_fetch_add(&side->lost, 1, __ATOMIC_RELAXED);
		r = -EMSGSIZE;
	} else {
		r = write_record(w, side, id, payload, bytes);
	}
	/* A child that a handler forked in the middle of this is nobody's user. */
	if (side && __atomic_load_n(&w->made, __ATOMIC_RELAXED))
		__atomic_fetch_sub(&side->users, 1, __ATOMIC_SEQ_CST);
	errno = saved;
	return r;
}
