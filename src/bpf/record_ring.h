/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_RECORD_RING_H
#define TOCSIN_BPF_RECORD_RING_H

/*
 * Writing records to the ring of this CPU. The layout is that of the rings of traced programs
 * (abi/ring.h), and so is the reader; the protocol is another, since a program in the kernel cannot
 * be begun again as a restartable sequence is.
 *
 * No other CPU writes here, but an interrupt or NMI may come at any instruction, with a tracepoint
 * of its own, and on kernels where such programs can be preempted another thread of this CPU may. A
 * record is made in three steps:
 *
 *	claim    compare-and-exchange `reserved`: its upper 61 bits are the position behind the last
 *		 record that is being made, its lower three the number of writers in the middle of
 *		 one. One exchange moves the position and adds the writer.
 *	fill     the claimed bytes are this writer's alone
 *	release  compare-and-exchange `reserved` again, to take the writer off. A writer that is the
 *		 only one stores `head` before, up to all that was claimed.
 *
 * So:
 *
 *  - A writer that came in between has bytes of its own, behind those of the one it interrupted;
 *    neither can spoil the other's.
 *  - `head` is stored only by a writer that read in `reserved` that it is alone: then all that is
 *    claimed below what it read is filled, except its own, which is. Nobody else can store `head`
 *    before it has taken itself off. What is claimed after that reading makes the exchange fail,
 *    and the store is done again with the new position. So whenever no writer is in the middle of
 *    a record, `head` equals what was claimed: nothing stays behind unpublished, and `head` never
 *    goes back. The linearisation point of a record is the store of `head` that passes it.
 *  - This holds for any order in which writers of one CPU go on and end, not only for that of
 *    interrupts.
 *  - The clock is read between reading `reserved` and the exchange: a record that came in between
 *    makes the exchange fail, and the clock is read again. So the order of positions is that of the
 *    clock readings. (bpf_ktime_get_ns() itself may go back by some ns when the kernel's time
 *    keeping changes its rate; the collector straightens that out.)
 *
 * Epoch (ring/slow.c): stored between claim and release by whoever wrote an extended record. A
 * record is compact only when no other writer is in the middle of one as it claims: so every record
 * before it has stored its epoch, and the word is that of the last of them.
 *
 * Groups of an overwriting ring: `entered` is raised by compare-and-exchange before the claim, so
 * before the first byte of the group is written, and never goes back. first[] is stored behind the
 * claim and before the release, so before `head` reaches the group.
 *
 * A record that passes the end of the data is put together in the slack behind it, and what is
 * behind the end is copied to the beginning before the release: readers map the data twice in a
 * row and see it whole.
 *
 * A claim is tried 16 times; after that, or with seven writers, the record is counted as lost.
 */

#include "kernel.h"

#include "../abi/control.h"
#include "../abi/record_kernel.h"

#define barrier_compiler() asm volatile("" ::: "memory")
#define INLINE             static __always_inline

/* Tests put a tracepoint here that is recorded too; numbers are places in the protocol. */
#ifndef RECORD_POINT
#	define RECORD_POINT(n)
#endif

#define CLAIM_TRIES   16
#define RELEASE_TRIES 64

/* Key: CPU. Value: the map of its ring. A CPU without one loses its events, counted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__uint(map_flags, BPF_F_MMAPABLE);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, RING_HEADER_BYTES + RING_BYTES_MIN + KERNEL_RING_SLACK);
		});
} rings SEC(".maps");

/* Set before loading. */
const volatile __u64 data_mask = RING_BYTES_MIN - 1;
const volatile __u32 group_shift; /* overwriting rings: log2 of a group's bytes; else 0 */
const volatile __u32 nr_groups = 1;

/* Written by anybody, rarely. */
__u64 losses[KERNEL_LOSS_NR] SEC(".data.losses") = {0};

INLINE void lose(enum kernel_loss which)
{
	__sync_fetch_and_add(&losses[which], 1);
}

/* What ring_claim() gives. */
struct claim {
	void *ring; /* NULL: the record is lost, and counted */
	__u64 pos;  /* masked: place in the data */
	__u32 bytes;
	__u32 head_bytes;
};

INLINE struct kernel_ring_state *ring_state(void *ring)
{
	return ring + KERNEL_RING_STATE_AT;
}

/* Where the payload begins. */
INLINE void *claim_payload(const struct claim *c)
{
	return c->ring + RING_HEADER_BYTES + c->pos + c->head_bytes;
}

/* Raise `entered`; it never goes back. */
INLINE void group_enter(struct ring_header *h, __u64 entered)
{
	for (int i = 0; i < CLAIM_TRIES; i++) {
		__u64 was = *(volatile __u64 *)&h->entered;

		if (was >= entered || __sync_val_compare_and_swap(&h->entered, was, entered) == was)
			return;
	}
}

/* The number of groups begun below a position. */
INLINE __u64 groups_begun(__u64 pos)
{
	return (pos + (1ull << group_shift) - 1) >> group_shift;
}

/* The head of a record at the claim's place. */
INLINE void head_put(const struct claim *c, __u32 id, __u64 now)
{
	__u64 *at = c->ring + RING_HEADER_BYTES + c->pos;
	__u64 words = (__u64)(c->bytes / 8) << 16;

	if (c->head_bytes == RING_EXTENDED_BYTES) {
		at[0] = RING_ID_EXTENDED | words | (__u64)id << 32;
		at[1] = now;
	} else {
		at[0] = id | words | now << 32;
	}
}

/* One try. Return: 0 claimed, 1 no room, 2 again. */
INLINE int claim_try(struct claim *c, __u32 id, __u32 payload)
{
	struct ring_header *h = c->ring;
	struct kernel_ring_state *st = ring_state(c->ring);
	__u64 was = *(volatile __u64 *)&st->reserved, now, begun = 0, begins = 0;
	__u64 pos = was & ~KERNEL_RING_WRITERS;

	if ((was & KERNEL_RING_WRITERS) == KERNEL_RING_WRITERS)
		return 2;
	now = bpf_ktime_get_ns();
	c->head_bytes = !(was & KERNEL_RING_WRITERS) && now >> 32 == *(volatile __u32 *)&h->epoch
				? RING_COMPACT_BYTES
				: RING_EXTENDED_BYTES;
	RECORD_POINT(1);
	if (group_shift) {
		begun = groups_begun(pos);
		begins = groups_begun(pos + payload + c->head_bytes);
		if (begins != begun) {
			c->head_bytes = RING_EXTENDED_BYTES;
			begins = groups_begun(pos + payload + c->head_bytes);
			group_enter(h, begins);
		}
	} else if (pos + payload + c->head_bytes - *(volatile __u64 *)&h->tail > data_mask + 1) {
		return 1;
	}
	c->bytes = payload + c->head_bytes;
	if (__sync_val_compare_and_swap(&st->reserved, was, was + c->bytes + 1) != was)
		return 2;
	RECORD_POINT(2);
	c->pos = pos & data_mask;
	if (c->head_bytes == RING_EXTENDED_BYTES)
		*(volatile __u32 *)&h->epoch = (__u32)(now >> 32);
	if (begins != begun)
		*(volatile __u64 *)&h
			 ->first[(begins - 1) & (nr_groups - 1) & (RING_GROUPS_MAX - 1)] = pos;
	if (was & KERNEL_RING_WRITERS)
		__sync_fetch_and_add(&st->nested, 1);
	head_put(c, id, now);
	return 0;
}

/*
 * Claim room for a record on this CPU. @payload: bytes, a multiple of 8, at most RING_PAYLOAD_MAX.
 * The caller fills claim_payload() and calls claim_release(). Return: false: it is lost, counted.
 */
INLINE bool ring_claim(struct claim *c, __u32 id, __u32 payload)
{
	__u32 cpu = bpf_get_smp_processor_id(), zero = 0;
	void *map = bpf_map_lookup_elem(&rings, &cpu);
	int r = 2;

	c->ring = map ? bpf_map_lookup_elem(map, &zero) : NULL;
	if (!c->ring) {
		lose(KERNEL_LOSS_NO_RING);
		return false;
	}
	for (int i = 0; i < CLAIM_TRIES && r == 2; i++)
		r = claim_try(c, id, payload);
	if (r == 0)
		return true;
	if (r == 1)
		__sync_fetch_and_add(&((struct ring_header *)c->ring)->lost, 1);
	else
		lose(KERNEL_LOSS_DEEP);
	return false;
}

INLINE void head_store(struct ring_header *h, __u64 head)
{
#ifdef __TARGET_ARCH_x86
	barrier_compiler(); /* stores are seen in their order */
	*(volatile __u64 *)&h->head = head;
#else
	(void)__sync_lock_test_and_set(&h->head, head); /* a full barrier */
#endif
}

/* The record is whole. */
INLINE void claim_release(const struct claim *c)
{
	struct kernel_ring_state *st = ring_state(c->ring);
	__u64 end = c->pos + c->bytes;

	RECORD_POINT(3);
	if (end > data_mask + 1) {
		__u32 over = (__u32)(end - (data_mask + 1));

		if (over <= RING_RECORD_MAX)
			bpf_probe_read_kernel(c->ring + RING_HEADER_BYTES, over,
					      c->ring + RING_HEADER_BYTES + data_mask + 1);
	}
	for (int i = 0; i < RELEASE_TRIES; i++) {
		__u64 was = *(volatile __u64 *)&st->reserved;

		RECORD_POINT(4);
		if ((was & KERNEL_RING_WRITERS) == 1)
			head_store(c->ring, was - 1);
		RECORD_POINT(5);
		if (__sync_val_compare_and_swap(&st->reserved, was, was - 1) == was)
			return;
	}
	/* As many interrupts in a row: the next record publishes this one. */
	__sync_fetch_and_sub(&st->reserved, 1);
}

#endif
