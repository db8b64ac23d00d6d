// SPDX-License-Identifier: MIT
/*
 * Counters: a word for each CPU, changed by sections on that CPU only, and a few words changed by
 * atomics only.
 *
 * Every add is in exactly one of these words, and none is ever written by anybody else: no reset,
 * no gate, no fence. So the sum is exact whatever happens to a thread in between. The two kinds
 * of words are kept apart because an atomic add on one CPU does not exclude a section on another:
 * they would overwrite each other.
 *
 * A reset moves the base that sums are counted from. Two resets at once: each compares the base
 * with the one that it read before the words, so each add falls into one result.
 *
 * One mapping, touched as it is used:
 *
 *	head | table: a pointer for each CPU | bases: nr words | sides: SIDES x nr words |
 *	CPU 0: nr words | CPU 1: nr words | ...
 *
 * After fork() parent and child each go on with their copy.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broken.h"
#include "rseq.h"
#include "tocsin/percpu.h"

/* Threads without sections are few, or all of them: a few lines keep them apart. */
#define SIDES  4
#define NR_MAX (1u << 24)

struct counter {
	struct tocsin_counter public;
	size_t map_bytes;
	uint64_t *base;     /* by counter: what is no longer in its sum */
	uint64_t *side;     /* SIDES blocks */
	size_t side_stride; /* in words */
	uint64_t *table[];  /* public.table */
};

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static struct counter *counter_of(const struct tocsin_counter *c)
{
	/* The public part is the first member; libtocsin made the whole. */
	return (struct counter *)(uintptr_t)c;
}

int tocsin_counter_new(uint32_t nr, struct tocsin_counter **ret_counter)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), head, words, block, map_bytes;
	struct counter *c;
	uint64_t *at;
	unsigned cpus;

	if (!nr || nr > NR_MAX)
		return -EINVAL;
	(void)rseq_init(); /* no rseq: area stays 0, and adds go to the sides */
	cpus = rseq_nr_indexes();
	words = nr * sizeof(uint64_t);
	head = round_up(sizeof(*c) + cpus * sizeof(uint64_t *), 128);
	/* Large blocks on pages of their own: each lies on the node of its CPU. */
	block = round_up(words, words * 2 > page ? page : 128);
	map_bytes = round_up(head + (1 + SIDES) * block, page) + cpus * block;
	c = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c == MAP_FAILED)
		return -ENOMEM;
	c->public.table = c->table;
	c->public.nr_cpus = cpus;
	c->public.nr = nr;
	c->map_bytes = map_bytes;
	c->base = (uint64_t *)(void *)((char *)c + head);
	c->side = c->base + block / sizeof(uint64_t);
	c->side_stride = block / sizeof(uint64_t);
	at = (uint64_t *)(void *)((char *)c + map_bytes - cpus * block);
	for (unsigned cpu = 0; cpu < cpus; cpu++)
		c->table[cpu] = at + cpu * (block / sizeof(uint64_t));
	*ret_counter = &c->public;
	return 0;
}

struct tocsin_counter *tocsin_counter_free(struct tocsin_counter *c)
{
	if (c)
		(void)munmap(c, counter_of(c)->map_bytes); /* ours, as mapped */
	return NULL;
}

/* Return: TOCSIN_RSEQ_DONE, or that atomics have to do it. */
static int add_by_section(struct tocsin_counter *c, uint32_t idx, uint64_t n)
{
#if TOCSIN_RSEQ_ARCH
	int r = TOCSIN_RSEQ_ABORTED;

	/* The caller may have tried once. */
	for (unsigned tries = 1; tries < TOCSIN_RSEQ_ABORT_LIMIT; tries++) {
		intptr_t area = tocsin_rseq.area;

		if (!area)
			return TOCSIN_RSEQ_NONE;
		r = tocsin_counter_section_(TOCSIN_RSEQ_AREA(area), c, (uintptr_t)idx * 8, n);
		if (r == TOCSIN_RSEQ_NONE && rseq_thread_register() == 0)
			continue;
		if (r != TOCSIN_RSEQ_ABORTED)
			break;
	}
	return r;
#else
	(void)c;
	(void)idx;
	(void)n;
	return TOCSIN_RSEQ_NONE;
#endif
}

void tocsin_counter_add_slow_(struct tocsin_counter *c, uint32_t idx, uint64_t n)
{
	struct counter *whole = counter_of(c);
	size_t side;

	if (add_by_section(c, idx, n) == TOCSIN_RSEQ_DONE)
		return;
	side = ((uintptr_t)__builtin_thread_pointer() >> 12) % SIDES;
	(void)__atomic_fetch_add(&whole->side[side * whole->side_stride + idx], n,
				 __ATOMIC_RELAXED);
}

/* Everything ever added. */
static uint64_t counter_total(const struct counter *c, uint32_t idx)
{
	uint64_t sum = 0;

	for (unsigned cpu = 0; cpu < c->public.nr_cpus; cpu++)
		sum += __atomic_load_n(&c->table[cpu][idx], __ATOMIC_RELAXED);
	for (size_t side = 0; side < SIDES; side++)
		sum += __atomic_load_n(&c->side[side * c->side_stride + idx], __ATOMIC_RELAXED);
	return sum;
}

uint64_t tocsin_counter_sum(const struct tocsin_counter *c, uint32_t idx)
{
	const struct counter *whole = counter_of(c);
	uint64_t base;

	if (idx >= c->nr)
		return 0;
	/* The base first: what a reset takes out in between is missing in neither. */
	base = __atomic_load_n(&whole->base[idx], __ATOMIC_ACQUIRE);
	return counter_total(whole, idx) - base;
}

uint64_t tocsin_counter_reset(struct tocsin_counter *c, uint32_t idx)
{
	struct counter *whole = counter_of(c);
	uint64_t base, total;

	if (idx >= c->nr)
		return 0;
	base = __atomic_load_n(&whole->base[idx], __ATOMIC_ACQUIRE);
	do {
		total = counter_total(whole, idx);
	} while (!__atomic_compare_exchange_n(&whole->base[idx], &base, total, false,
					      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	return total - base;
}
