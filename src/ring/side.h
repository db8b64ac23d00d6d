/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_SIDE_H
#define TOCSIN_RING_SIDE_H

/* What writer's slow path, side ring and maker share. */

#include "ring.h"

/* ring_wait() - wait in a blocking ring until its tail is no longer @tail, at most until the
 * deadline, which the first call sets. Return: false: count the record as lost. Signal-safe: yes.
 */
bool ring_wait(struct ring_writer *w, struct ring_header *ring, uint64_t tail,
	       uint64_t *deadline_ns);

/* ring_slots() - a side ring's slots in a mapping of ring_make()'s. */
static inline struct ring_slot *ring_slots(struct ring_header *ring)
{
	return (struct ring_slot *)((char *)ring + RING_HEADER_BYTES + 2 * ring->data_bytes);
}

#endif
