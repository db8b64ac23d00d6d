// SPDX-License-Identifier: MIT
/* Rings of this process: made when an index is used for the first time in a session, entered in the
 * control page's table, renewed when a session wants others. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../percpu/rseq.h"
#include "tracee.h"

#define RING_BYTES_DEFAULT (1u << 20)

/* What the session wants, made sane: the page may hold anything. */
static void params_get(int index, struct ring_params *p)
{
	const struct control_session *s = &tracee.page->session;
	bool is_side = index == RING_INDEX_SIDE;
	uint64_t bytes = is_side ? s->side_bytes : s->ring_bytes;
	uint64_t least = is_side ? RING_SIDE_BYTES_MIN : RING_BYTES_MIN;
	uint64_t most = is_side ? RING_SIDE_BYTES_MAX : RING_BYTES_MAX;
	uint32_t watermark = s->watermark;

	if (!bytes)
		bytes = RING_BYTES_DEFAULT;
	if (bytes > most)
		bytes = most;
	while (bytes & (bytes - 1))
		bytes &= bytes - 1;
	if (bytes < least)
		bytes = least;
	/* One watermark for rings of two sizes. An eighth is reached before a side ring runs out
	 * of slots, however short its records. */
	if (watermark > bytes / 8)
		watermark = (uint32_t)(bytes / 8);
	*p = (struct ring_params){
		.kind = is_side ? RING_SIDE : RING_INDEXED,
		.mode = s->mode <= CONTROL_MODE_BLOCK ? s->mode : CONTROL_MODE_DISCARD,
		.index = is_side ? 0 : (uint32_t)index,
		.watermark = watermark,
		.data_bytes = bytes,
		.block_ns = s->block_ns,
		.fd = -1,
	};
}

static bool fits(const struct ring_header *ring, const struct ring_params *p)
{
	return ring->mode == p->mode && ring->data_bytes == p->data_bytes &&
	       ring->watermark == p->watermark && ring->block_ns == p->block_ns;
}

/* A place in the ring table, -1: none. With the lock held. */
static int place_find(void)
{
	for (int i = 0; i < CONTROL_RINGS; i++) {
		if (!tracee.ring[i].ring)
			return i;
	}
	return -1;
}

static void place_fill(int place, const struct ring_params *p, const struct ring_made *made)
{
	struct control_ring *c = &tracee.page->ring[place];
	bool in_arena = p->fd >= 0;

	tracee.ring[place] = (struct tracee_ring){
		.ring = made->ring, .fd = in_arena ? -1 : made->fd, .inode = made->inode};
	c->kind = p->kind == RING_SIDE ? CONTROL_RING_SIDE : CONTROL_RING_INDEXED;
	c->mode = (__u16)p->mode;
	c->index = p->index;
	c->fd = in_arena ? -1 : made->fd;
	c->offset = p->offset;
	c->bytes = ring_bytes(p);
	c->addr = (uint64_t)(uintptr_t)made->ring;
	c->inode = made->inode;
	/* pairs with the collector's load of `state` */
	__atomic_store_n(&c->state, CONTROL_RING_READY, __ATOMIC_RELEASE);
	if ((uint32_t)place >= tracee.page->tracee.nr_rings)
		__atomic_store_n(&tracee.page->tracee.nr_rings, (uint32_t)place + 1,
				 __ATOMIC_RELEASE);
}

static int make(struct ring_writer *w, int index)
{
	struct ring_params p;
	struct ring_made made;
	int r, place = place_find();

	if (place < 0)
		return -ENOSPC;
	r = page_allocate(CONTROL_RINGS_AT + (uint64_t)place * sizeof(struct control_ring),
			  sizeof(struct control_ring));
	if (r)
		return r;
	params_get(index, &p);
	p.fd_min = page_fd_min();
	if (tracee.arena.head) {
		p.offset = arena_claim(ring_bytes(&p));
		p.fd = p.offset ? tracee.arena.fd : -1;
	}
	r = ring_make(&p, &made);
	if (r)
		return r;
	/* In the table first: a record that is in a ring must be one that the collector can find.
	 */
	place_fill(place, &p, &made);
	return ring_publish(w, index, made.ring); /* holding the lock, we are the only one */
}

static bool has_ring(struct ring_writer *w, int index)
{
	return index == RING_INDEX_SIDE
		       ? __atomic_load_n(&w->side, __ATOMIC_ACQUIRE) != NULL
		       : __atomic_load_n(&w->ring[index], __ATOMIC_ACQUIRE) != NULL;
}

static int missing(struct ring_writer *w, int index)
{
	int r;

	/* In a child of fork() this is the first event; it may not be its session. Without a
	 * session there is nobody to read: the event saw its byte just before the session ended. */
	if (tracee_begin() || tracee.is_frozen || !tracee.page->session.session_id)
		return -ENODEV;
	r = tracee_lock();
	if (r)
		return r;
	if (!has_ring(w, index))
		r = make(w, index);
	tracee_unlock();
	if (!r)
		tracee_wake();
	return r;
}

static void wake(struct ring_writer *w)
{
	(void)w; /* one page serves all rings */
	tracee_wake();
}

/* Once an event, and for one reason, however many rings were tried for it. */
static void lost(struct ring_writer *w)
{
	(void)w; /* the process's only one */
	if (tracee.page && tracee.page->session.session_id)
		tracee_count(!tracee.is_frozen && tracee_lock_is_mine() ? TRACEE_LOSS_NESTED
									: TRACEE_LOSS_NO_RING,
			     1);
}

static bool may_call(struct ring_writer *w)
{
	(void)w; /* one promise holds for all */
	return !tracee.is_frozen;
}

const struct ring_hooks rings_hooks = {
	.missing = missing, .wake = wake, .lost = lost, .may_call = may_call};

/* Retired rings that the collector has read give their memory and their place back. */
static void sweep(void)
{
	for (int i = 0; i < CONTROL_RINGS; i++) {
		struct tracee_ring *t = &tracee.ring[i];
		struct ring_header *ring = t->ring;

		if (!ring || __atomic_load_n(&ring->state, __ATOMIC_ACQUIRE) != RING_RETIRED ||
		    __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) !=
			    __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) ||
		    __atomic_load_n(&ring->users, __ATOMIC_ACQUIRE))
			continue;
		__atomic_store_n(&tracee.page->ring[i].state, CONTROL_RING_NONE, __ATOMIC_RELEASE);
		if (t->fd >= 0 && page_fd_is(t->fd, tracee.page_device, t->inode)) {
			(void)ring_give_back(ring, t->fd); /* memory only, next time is as good */
			(void)close(t->fd);                /* a memfd: nothing to flush */
		}
		t->ring = NULL;
	}
}

static void retire_unfit(struct ring_writer *w, int index, struct ring_header *ring)
{
	struct ring_params p;

	if (!ring)
		return;
	params_get(index, &p);
	if (!fits(ring, &p))
		(void)ring_retire(w, index); /* stays in the table until it has been read */
}

void rings_attend(void)
{
	struct ring_writer *w = tracee.rings;
	uint32_t generation;

	if (tracee_lock())
		return; /* a handler in the thread that is just doing it */
	generation = __atomic_load_n(&tracee.page->session.generation, __ATOMIC_ACQUIRE);
	if (tracee.page->session.session_id && tracee.attended != generation) {
		sweep();
		for (int i = 0; i < RING_INDEXES; i++)
			retire_unfit(w, i, w->ring[i]);
		retire_unfit(w, RING_INDEX_SIDE, w->side);
	}
	tracee.attended = generation;
	tracee_unlock();
	__atomic_store_n(&tracee.page->tracee.attended, generation, __ATOMIC_RELEASE);
	tracee_wake();
}

int rings_make_all(void)
{
	int nr = (int)rseq_nr_indexes();
	int r = tracee_lock();

	if (r)
		return r;
	if (nr > RING_INDEXES || !ring_process.fast)
		nr = ring_process.fast ? RING_INDEXES : 0;
	for (int i = RING_INDEX_SIDE; i < nr && !r; i++) {
		if (!has_ring(tracee.rings, i))
			r = make(tracee.rings, i);
	}
	tracee_unlock();
	tracee_wake(); /* else nobody would look for them before one is an eighth full */
	return r;
}

void rings_forget(void)
{
	for (int i = 0; i < CONTROL_RINGS; i++) {
		struct tracee_ring *t = &tracee.ring[i];

		if (t->ring && t->fd >= 0 && page_fd_is(t->fd, tracee.page_device, t->inode))
			(void)close(t->fd); /* a memfd: nothing to flush */
		*t = (struct tracee_ring){.fd = -1};
	}
}
