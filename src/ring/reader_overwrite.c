// SPDX-License-Identifier: MIT
/*
 * Reading overwriting rings while they are written to: copy, then check.
 *
 * Group by group (abi/ring.h): the bytes of a group are copied, and then `entered` is looked at. It
 * is raised before the first byte of a new group is written (pairs with the writer's fence [B]), so
 * if the group was not yet among those that may be destroyed, the copy is good; all records are
 * stepped over in the copy, which nobody changes any more. Else the reader was lapped: it says how
 * many bytes are gone and goes on with the oldest group that is safe.
 *
 * While group e is the newest entered, its writers may be anywhere in it, and its end lies on the
 * beginning of group e - groups + 1, whose first record may begin a little before its own bound. So
 * groups e - groups + 2 to e are safe: one of `groups` is the price of never looking at a head that
 * is too late.
 */
#include <string.h>

#include "inject.h"
#include "reader_internal.h"

#define LAPS_MAX 1000

static uint64_t oldest_safe(const struct ring_reader *r, uint64_t head)
{
	uint64_t entered = __atomic_load_n(&r->ring->entered, __ATOMIC_ACQUIRE);
	uint64_t reached = ring_group_count(head, r->group_bytes);

	if (entered < reached) /* never, but for a process that scribbles */
		entered = reached;
	return entered + 1 > r->groups ? entered + 1 - r->groups : 0;
}

/* Where group @g begins. Return: false: the index cannot be right. */
static bool group_start(const struct ring_reader *r, uint64_t g, uint64_t *ret_start)
{
	uint64_t start = ring_peek(&r->ring->first[g & (r->groups - 1)]);
	uint64_t bound = g * r->group_bytes;

	if (start > bound || bound - start >= RING_RECORD_MAX || start % 8)
		return false;
	*ret_start = start;
	return true;
}

/* Begin at group @g, or say that it went by in the meantime. Return: LAPPED, CORRUPT, or MORE:
 * nothing is gone, since everything before it had been read. */
static enum ring_read place(struct ring_reader *r, uint64_t g, struct ring_extent *extent)
{
	bool was_placed = r->is_placed;
	uint64_t from = r->cursor, start = 0, head;
	bool is_right = group_start(r, g, &start);

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	head = __atomic_load_n(&r->ring->head, __ATOMIC_ACQUIRE); /* it went on: @g may be young */
	if (oldest_safe(r, head) > g) {
		/* The entry may be that of a later group; the next call begins there. An honest
		 * process cannot be so fast many times in a row. */
		if (++r->laps > LAPS_MAX)
			return ring_is_corrupt(r, RING_CORRUPT_GROUP, from);
		*extent = (struct ring_extent){.position = from, .lost = ring_reader_lost(r)};
		return RING_READ_LAPPED;
	}
	if (!is_right || start > head || (was_placed && start < from))
		return ring_is_corrupt(r, RING_CORRUPT_GROUP, from);
	r->laps = 0;
	r->cursor = start;
	r->group = g;
	r->is_placed = true;
	r->has_time = false; /* the group says it itself */
	*extent = (struct ring_extent){
		.position = from,
		.gone = start - from,
		.lost = ring_reader_lost(r),
	};
	return start > from ? RING_READ_LAPPED : RING_READ_MORE;
}

/* Copy @bytes from the cursor on and check. Return: true: the copy is good. */
static bool copy_checked(struct ring_reader *r, uint64_t head, uint64_t bytes)
{
	RING_POINT(19);
	memcpy(r->copy, r->data + (r->cursor & (r->data_bytes - 1)), bytes);
	RING_POINT(17);
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* [B] */
	return oldest_safe(r, head) <= r->group;
}

/* Return: as ring_next_overwrite(), or MORE with an extent without events: look again. */
static enum ring_read next_once(struct ring_reader *r, uint64_t max_bytes,
				struct ring_extent *extent)
{
	uint64_t head = __atomic_load_n(&r->ring->head, __ATOMIC_ACQUIRE); /* [A] */
	uint64_t stop = r->is_bound ? r->bound : head;
	uint64_t newest, oldest, end;
	enum ring_corrupt corrupt;
	enum ring_read state;

	if (head < r->cursor || head < stop || head % 8)
		return ring_is_corrupt(r, RING_CORRUPT_HEAD, r->cursor);
	if (stop <= r->cursor)
		return RING_READ_END;
	oldest = oldest_safe(r, head);
	if (!r->is_placed || oldest > r->group) {
		state = place(r, oldest, extent);
		if (state != RING_READ_MORE)
			return state;
	}
	newest = ring_group_count(head, r->group_bytes) - 1;
	for (end = head; r->group < newest; r->group++) {
		bool is_right = group_start(r, r->group + 1, &end);

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (oldest_safe(r, head) > r->group)
			return place(r, oldest_safe(r, head), extent);
		if (!is_right || end > head || end < r->cursor)
			return ring_is_corrupt(r, RING_CORRUPT_GROUP, r->cursor);
		if (end > r->cursor)
			break; /* else the last call read this group to its end */
		end = head;
	}
	if (stop < end)
		end = stop;
	if (end <= r->cursor || end - r->cursor > r->copy_bytes)
		return ring_is_corrupt(r, RING_CORRUPT_GROUP, r->cursor);
	*extent = (struct ring_extent){.position = r->cursor, .lost = ring_reader_lost(r)};
	if (!copy_checked(r, head, end - r->cursor))
		return place(r, oldest_safe(r, head), extent);
	corrupt = ring_scan(r, r->copy, end - r->cursor, max_bytes, extent);
	r->cursor += extent->bytes;
	if (corrupt) {
		r->corrupt = corrupt; /* what is whole before it is handed out first */
		r->corrupt_at = r->cursor;
		if (!extent->events)
			return RING_READ_CORRUPT;
	}
	return RING_READ_MORE;
}

enum ring_read ring_next_overwrite(struct ring_reader *r, uint64_t max_bytes,
				   struct ring_extent *extent)
{
	enum ring_read state;

	for (unsigned i = 0; i < LAPS_MAX; i++) {
		state = next_once(r, max_bytes, extent);
		if (state != RING_READ_MORE || extent->events)
			return state;
	}
	return ring_is_corrupt(r, RING_CORRUPT_GROUP, r->cursor);
}
