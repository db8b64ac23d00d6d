/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_HEAP_H
#define TOCSIN_BPF_HEAP_H

/*
 * A binary heap a CPU, ordered by time, in the array `queues`. Included behind
 * what defines `struct deadline` (which begins with `when`), `struct cpu_state` (with queue_len),
 * the map `queues`, `queue_capacity`, and what is done when a heap is full.
 */

#define HEAP_DEPTH 24 /* levels: more than 16 million entries */

INLINE struct deadline *queue_at(__u32 cpu, __u32 i)
{
	__u32 at = cpu * queue_capacity + i;

	return bpf_map_lookup_elem(&queues, &at);
}

/* One walk through a heap, a level a step. */
struct sift {
	struct deadline entry; /* the one that looks for its place */
	__u32 cpu;
	__u32 i; /* the place that is free */
	__u32 n; /* entries in the heap */
	__u32 pad;
};

static long sift_up(__u32 step, struct sift *w)
{
	struct deadline *free = queue_at(w->cpu, w->i), *up = queue_at(w->cpu, (w->i - 1) / 2);

	if (!w->i || !up || !free || up->when <= w->entry.when)
		return 1;
	*free = *up;
	w->i = (w->i - 1) / 2;
	return 0;
}

static long sift_down(__u32 step, struct sift *w)
{
	struct deadline *free = queue_at(w->cpu, w->i), *child, *right;
	__u32 k = 2 * w->i + 1;

	if (k >= w->n)
		return 1;
	child = queue_at(w->cpu, k);
	right = queue_at(w->cpu, k + 1);
	if (!free || !child)
		return 1;
	if (k + 1 < w->n && right && right->when < child->when) {
		child = right;
		k++;
	}
	if (child->when >= w->entry.when)
		return 1;
	*free = *child;
	w->i = k;
	return 0;
}

INLINE void sift_place(struct sift *w)
{
	struct deadline *free = queue_at(w->cpu, w->i);

	if (free)
		*free = w->entry;
}

/* Returns 0, or -1 when the heap is full: the deadline is then noticed when its owner is looked at
 * for another reason. */
GLOBAL int queue_push(struct cpu_state *c, __u32 cpu, const struct deadline *entry)
{
	struct sift w = {};

	if (!c || !entry)
		return -1;
	if (c->queue_len >= queue_capacity) {
		HEAP_IS_FULL();
		return -1;
	}
	w.entry = *entry;
	w.cpu = cpu;
	w.i = c->queue_len++;
	bpf_loop(HEAP_DEPTH, sift_up, &w, 0);
	sift_place(&w);
	return 0;
}

/* Takes the first entry off; the heap must not be empty. */
GLOBAL int queue_pop(struct cpu_state *c, __u32 cpu)
{
	struct deadline *last;
	struct sift w = {};

	if (!c || !c->queue_len)
		return -1;
	w.cpu = cpu;
	w.n = --c->queue_len;
	last = queue_at(cpu, w.n);
	if (!last)
		return -1;
	w.entry = *last;
	bpf_loop(HEAP_DEPTH, sift_down, &w, 0);
	sift_place(&w);
	return 0;
}

#endif
