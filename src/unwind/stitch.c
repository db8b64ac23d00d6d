// SPDX-License-Identifier: MIT
#include "stitch.h"

#include <stdlib.h>
#include <string.h>

struct kept {
	struct stitch_key key;
	uint64_t asked_ns;
	uint64_t walked_ns;
	void *stack;    /* NULL: free */
	uint32_t chain; /* 1 + the next of its hash; 0: the last */
};

struct stitch {
	uint64_t session;
	void (*done)(void *stack);
	uint32_t max;
	uint32_t next; /* to give way */
	uint64_t lost; /* stacks, so far */
	bool has_ended;
	uint32_t *hash; /* 1 + the first of a chain, the newest first */
	struct kept kept[];
};

struct stitch *stitch_new(uint64_t session, size_t max, void (*done)(void *stack))
{
	struct stitch *s = calloc(1, sizeof(*s) + max * sizeof(s->kept[0]));

	if (!s)
		return NULL;
	s->hash = calloc(max, sizeof(*s->hash));
	s->session = session;
	s->done = done;
	s->max = (uint32_t)max;
	return s->hash ? s : stitch_free(s);
}

struct stitch *stitch_free(struct stitch *s)
{
	if (!s)
		return NULL;
	for (uint32_t i = 0; i < s->max; i++)
		if (s->kept[i].stack)
			s->done(s->kept[i].stack);
	free(s->hash);
	free(s);
	return NULL;
}

/* By what a stack with the wrong start shares with the right one. */
static uint32_t *chain_of(struct stitch *s, const struct stitch_key *key)
{
	uint64_t h = (key->cookie ^ key->tid) * 0x9e3779b97f4a7c15ull;

	return &s->hash[(h >> 32) & (s->max - 1)];
}

static void unchain(struct stitch *s, uint32_t i)
{
	uint32_t *at = chain_of(s, &s->kept[i].key);

	while (*at && *at != i + 1)
		at = &s->kept[*at - 1].chain;
	if (*at)
		*at = s->kept[i].chain;
}

/* STITCH_BROKEN is set by tests only: what a stitcher is worth that knows less. */
#ifndef STITCH_BROKEN
#	define STITCH_BROKEN 0 /* 1: by the cookie only, 2: by the thread's id only */
#endif

static bool is_thread(const struct stitch_key *a, const struct stitch_key *b)
{
	return a->tid == b->tid && a->thread_start_ns == b->thread_start_ns;
}

static bool same_key(const struct stitch_key *a, const struct stitch_key *b)
{
	return a->session == b->session && a->cookie == b->cookie && is_thread(a, b);
}

void stitch_put(struct stitch *s, const struct stitch_key *key, uint64_t asked_ns,
		uint64_t walked_ns, void *stack)
{
	uint32_t *chain = chain_of(s, key), i = s->next;

	if (key->session != s->session && !STITCH_BROKEN) {
		s->done(stack);
		return;
	}
	for (uint32_t at = *chain; at; at = s->kept[at - 1].chain) {
		const struct kept *k = &s->kept[at - 1];

		if (same_key(&k->key, key) && k->asked_ns == asked_ns) {
			s->done(stack);
			return;
		}
	}
	if (s->kept[i].stack) {
		unchain(s, i);
		s->done(s->kept[i].stack);
	}
	s->kept[i] = (struct kept){.key = *key,
				   .asked_ns = asked_ns,
				   .walked_ns = walked_ns,
				   .stack = stack,
				   .chain = *chain};
	*chain = i + 1;
	s->next = (i + 1) & (s->max - 1);
}

#if STITCH_BROKEN
static void *broken_get(struct stitch *s, const struct stitch_key *key)
{
	for (uint32_t i = s->max; i--;) {
		const struct kept *k = &s->kept[(s->next + i) & (s->max - 1)];

		if (k->stack &&
		    (STITCH_BROKEN == 1 ? k->key.cookie == key->cookie : k->key.tid == key->tid))
			return k->stack;
	}
	return NULL;
}
#endif

void *stitch_get(struct stitch *s, const struct stitch_key *key, uint64_t t_ns,
		 enum stack_reason *ret_why)
{
	enum stack_reason why = STACK_PENDING;

	if (!STACK_IS_COOKIE(key->cookie)) {
		*ret_why = key->cookie && key->cookie < STACK_REASONS
				   ? (enum stack_reason)key->cookie
				   : STACK_NOT_ASKED;
		return NULL;
	}
#if STITCH_BROKEN
	return broken_get(s, key);
#endif
	if (key->session != s->session) {
		*ret_why = STACK_OTHER_SESSION;
		return NULL;
	}
	if (s->has_ended)
		why = STACK_CANCELLED;
	if (s->lost)
		why = STACK_LOST;
	for (uint32_t at = *chain_of(s, key); at; at = s->kept[at - 1].chain) {
		struct kept *k = &s->kept[at - 1];

		if (k->key.cookie != key->cookie || k->key.tid != key->tid)
			continue;
		if (k->key.thread_start_ns != key->thread_start_ns)
			why = STACK_OTHER_THREAD;
		else if (t_ns < k->asked_ns || t_ns > k->walked_ns)
			why = STACK_OTHER_ENTRY;
		else
			return k->stack;
	}
	*ret_why = why;
	return NULL;
}

void stitch_lost(struct stitch *s, uint64_t nr)
{
	s->lost = nr;
}

void stitch_end(struct stitch *s)
{
	s->has_ended = true;
}
