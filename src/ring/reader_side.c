// SPDX-License-Identifier: MIT
/*
 * Reading side rings (side.c has the rules of its writers).
 *
 * The reader walks the slots in the order of their numbers. A slot whose tag is that of its number
 * (pairs with the writer's store [D]) has a whole record; an extent is a run of them. At one that
 * is not whole the reader waits, without waiting: it ends, and remembers since when. After a while,
 * or at once when no writer is left, it steps over: the next whole slot says where its record
 * begins. Each number that was stepped over is one record, so the count is exact. The tail does not
 * pass what was stepped over as long as its writer may still come: the space is not used again, and
 * a writer that was only slow spoils nothing; its record stays counted as skipped.
 *
 * Overwriting side rings: writers move the tail. The reader copies a run, then looks at the tail
 * (pairs with the writer's fence [F]): what it has passed is gone, and the numbers say how many.
 */
#include <string.h>
#include <time.h>

#include "inject.h"
#include "reader_internal.h"

#define PATIENCE_NS 200000000ULL

/* A place of the ring: units of 8 bytes and number of the next record, modulo 2^32. */
struct place {
	uint32_t units;
	uint32_t number;
};

static struct place place_of(uint64_t packed)
{
	return (struct place){.units = (uint32_t)(packed >> 32), .number = (uint32_t)packed};
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t position(const struct ring_reader *r)
{
	return r->cursor * 8;
}

/* Is record @number whole? Return: true, and its place and length. */
static bool is_whole(const struct ring_reader *r, uint32_t number, uint32_t *ret_start,
		     uint32_t *ret_units)
{
	const struct ring_slot *slot = &r->slots[number & (r->nr_slots - 1)];

	if (__atomic_load_n(&slot->tag, __ATOMIC_ACQUIRE) != ring_slot_tag(number)) /* [D] */
		return false;
	*ret_start = __atomic_load_n(&slot->start, __ATOMIC_RELAXED);
	*ret_units = __atomic_load_n(&slot->units, __ATOMIC_RELAXED);
	return true;
}

/* How many units of whole records lie at the cursor, at most @max_units unless the first is longer?
 * Return: RING_CORRUPT_NOT, with 0 if the first is not whole. */
static enum ring_corrupt whole_run(const struct ring_reader *r, struct place head,
				   uint64_t max_units, struct place *ret_end)
{
	struct place at = {.units = (uint32_t)r->cursor, .number = r->number};
	uint32_t start, units, taken = 0;

	while (at.number != head.number && is_whole(r, at.number, &start, &units)) {
		if (start != at.units || units < RING_EXTENDED_BYTES / 8 ||
		    units > head.units - at.units)
			return RING_CORRUPT_SLOT;
		if (taken && taken + units > max_units)
			break;
		taken += units;
		at.units += units;
		at.number++;
	}
	*ret_end = at;
	return RING_CORRUPT_NOT;
}

/* Step over records that are not whole, up to the next one that is, or to the head if nobody is
 * left. Return: SKIPPED, CORRUPT, or END: not yet. */
static enum ring_read skip(struct ring_reader *r, struct place head, struct ring_extent *extent)
{
	struct place to = head;
	uint32_t units;

	if (!r->is_final && (!r->stuck_since_ns || r->stuck_number != r->number)) {
		r->stuck_since_ns = now_ns();
		r->stuck_number = r->number;
	}
	r->is_stuck = true;
	if (!r->is_final && now_ns() - r->stuck_since_ns < PATIENCE_NS)
		return RING_READ_END;
	for (to.number = r->number + 1; to.number != head.number; to.number++)
		if (is_whole(r, to.number, &to.units, &units))
			break;
	if (to.number == head.number) {
		if (!r->is_final)
			return RING_READ_END; /* nothing waits behind it */
		to.units = head.units;
	}
	if (to.units - (uint32_t)r->cursor > head.units - (uint32_t)r->cursor)
		return ring_is_corrupt(r, RING_CORRUPT_SLOT, position(r));
	*extent = (struct ring_extent){
		.position = position(r),
		.bytes = (uint64_t)(to.units - (uint32_t)r->cursor) * 8,
		.gone = to.number - r->number,
		.lost = ring_reader_lost(r),
		.time_last = r->time,
		.end_number = to.number,
	};
	r->skipped += extent->gone;
	r->cursor = to.units;
	r->number = to.number;
	r->stuck_since_ns = 0;
	r->is_stuck = false;
	return RING_READ_SKIPPED;
}

/*
 * Overwriting: has the tail passed the cursor? To be asked after the head was loaded: then a tail
 * that has not passed the cursor says that the head is within the ring's length of it.
 * Return: MORE: it has not.
 */
static enum ring_read follow_tail(struct ring_reader *r, struct ring_extent *extent)
{
	struct place to = place_of(__atomic_load_n(&r->ring->tail, __ATOMIC_ACQUIRE));

	if ((int32_t)(to.number - r->number) <= 0)
		return RING_READ_MORE;
	if (r->is_bound && (int32_t)(to.number - place_of(r->bound).number) > 0)
		to = place_of(r->bound);
	*extent = (struct ring_extent){
		.position = position(r),
		.bytes = (uint64_t)(to.units - (uint32_t)r->cursor) * 8,
		.gone = to.number - r->number,
		.lost = ring_reader_lost(r),
		.end_number = to.number,
	};
	r->cursor = to.units;
	r->number = to.number;
	return RING_READ_LAPPED;
}

/* Overwriting: copy what @run says. Return: true: the tail has not come near it. */
static bool copy_checked(struct ring_reader *r, uint64_t bytes)
{
	memcpy(r->copy, r->data + (r->cursor * 8 & (r->data_bytes - 1)), bytes);
	RING_POINT(17);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* [F] */
	return (int32_t)(place_of(__atomic_load_n(&r->ring->tail, __ATOMIC_RELAXED)).number -
			 r->number) <= 0;
}

enum ring_read ring_next_side(struct ring_reader *r, uint64_t max_bytes, struct ring_extent *extent)
{
	uint64_t lost = ring_reader_lost(r);
	struct place head = place_of(__atomic_load_n(&r->ring->head, __ATOMIC_ACQUIRE));
	struct place end = {0};
	const unsigned char *data = r->data + (r->cursor * 8 & (r->data_bytes - 1));
	enum ring_corrupt corrupt;
	enum ring_read state;
	uint64_t bytes;

	if (r->is_bound) {
		head = place_of(r->bound);
		if ((int32_t)(head.number - r->number) <= 0)
			return RING_READ_END;
	}
	state = r->mode == RING_OVERWRITE ? follow_tail(r, extent) : RING_READ_MORE;
	if (state != RING_READ_MORE)
		return state;
	if (head.number - r->number > r->nr_slots ||
	    head.units - (uint32_t)r->cursor > r->data_bytes / 8)
		return ring_is_corrupt(r, RING_CORRUPT_HEAD, position(r));
	if (head.number == r->number)
		return RING_READ_END;
	corrupt = whole_run(r, head, max_bytes / 8, &end);
	bytes = (uint64_t)(end.units - (uint32_t)r->cursor) * 8;
	if (!corrupt && !bytes) {
		/* Not whole, or its slot has been taken over meanwhile. */
		state = r->mode == RING_OVERWRITE ? follow_tail(r, extent) : RING_READ_MORE;
		return state == RING_READ_MORE ? skip(r, head, extent) : state;
	}
	*extent = (struct ring_extent){.position = position(r), .lost = lost};
	if (r->mode == RING_OVERWRITE) {
		if (corrupt || !copy_checked(r, bytes)) {
			state = follow_tail(r, extent);
			return state == RING_READ_MORE
				       ? ring_is_corrupt(r, RING_CORRUPT_SLOT, position(r))
				       : state;
		}
		data = r->copy;
	}
	if (!corrupt)
		corrupt = ring_scan(r, data, bytes, UINT64_MAX, extent);
	if (!corrupt && extent->events != end.number - r->number)
		corrupt = RING_CORRUPT_SLOT;
	if (corrupt)
		return ring_is_corrupt(r, corrupt, position(r) + extent->bytes);
	r->cursor = end.units;
	r->number = end.number;
	r->stuck_since_ns = 0;
	extent->end_number = end.number;
	return RING_READ_MORE;
}

void ring_release_side(struct ring_reader *r, const struct ring_extent *upto)
{
	struct place end = {
		.units = (uint32_t)((upto->position + upto->bytes) / 8),
		.number = upto->end_number,
	};
	uint32_t start, units;

	if (end.number - r->freed_number > r->nr_slots)
		return; /* not an extent of this reader's, or an old one */
	while (r->freed_number != end.number) {
		if (!r->is_final) {
			if (!is_whole(r, r->freed_number, &start, &units))
				break; /* its writer may still come */
			if (units > end.units - r->freed_units)
				break; /* scribbled over: the process loses this ring */
			r->freed_units += units;
		}
		r->freed_number++;
	}
	if (r->freed_number == end.number)
		r->freed_units = end.units;
	__atomic_store_n(&r->ring->tail, (uint64_t)r->freed_units << 32 | r->freed_number,
			 __ATOMIC_RELEASE);
}
