// SPDX-License-Identifier: MIT
/*
 * Items by key: chains of items from a bounded pool.
 *
 * Invariants
 *
 *   I1  An item is on the chain of its key's bucket, or removed (on the list `removed`, or in the
 *       hand of a reclaim), or in the pool. Its key and its contents are written before the store
 *       that puts it on the chain.
 *
 *   I2  Chains are changed only under the bucket's lock, each time by one store: the head, when an
 *       item is made; the link that leads to it, when one is removed. So who looks without the lock
 *       sees every item that is there all the while: an item's own link is never changed while it
 * is on a chain but to step over its removed successor, and stays as it was when it is removed
 *       itself, so who stands on it comes on.
 *
 *   I3  A removed item goes to the pool only after a grace period that began later. So what is
 *       found in a read-side section is neither cleared nor found by another key in it.
 *
 * Linearisation: find, the load of the link or head that leads to the item, or of the last; get,
 * the same, or the store of the head; remove, the store of the link.
 *
 * Locks are held for a few loads and stores, with all signals blocked: a handler that uses the
 * table never waits for its own thread. They lie in memory that is wiped in the child of a fork,
 * where zero is open; by I2 the chains are whole at any moment.
 *
 * The keys are multiplied (Knuth, "The Art of Computer Programming" 3, 6.4: Fibonacci hashing), so
 * that addresses, whose low bits are alike, spread out. Somebody who chooses keys can make one
 * chain long; who takes them from strangers bounds max_items.
 */
#include "tocsin/keyed.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/banned.h"
#include "percpu.h"
#include "rcu_lock.h"
#include "tocsin/pool.h"
#include "tocsin/rcu.h"

#define LOCKS      256u
#define ITEMS_MAX  (UINT64_C(1) << 26)
#define ITEM_MAX   ((size_t)1 << 20)
#define FIBONACCI  UINT64_C(0x9e3779b97f4a7c15) /* 2^64 over the golden ratio, odd */
#define OPTS_BYTES 24 /* of the first version's fields that must be there: up to max_items */

struct keyed_item {
	struct keyed_item *next;    /* of its chain */
	struct keyed_item *removed; /* of the removed ones */
	uint64_t key;
	uint64_t reserved; /* what follows is aligned to 16 */
	unsigned char contents[];
};

_Static_assert(offsetof(struct keyed_item, contents) == 32, "as the header says");

struct tocsin_keyed {
	struct tocsin_pool *pool;
	struct rcu_lock *locks; /* wiped in the child of a fork */
	struct keyed_item **buckets;
	size_t map_bytes, locks_bytes;
	unsigned shift; /* of the product: its upper bits are the bucket */
	uint64_t nr_buckets, max_items;
	size_t item_bytes;
	void (*init)(void *arg, void *item, uint64_t key);
	void *arg;

	/* Everybody writes the rest, by atomics. */
	struct keyed_item *removed __attribute__((aligned(64)));
	uint64_t nr_room; /* items that can still be made */
	uint64_t nr_items, nr_removed, nr_refused;
};

static uint64_t bucket_of(const struct tocsin_keyed *keyed, uint64_t key)
{
	return keyed->shift < 64 ? key * FIBONACCI >> keyed->shift : 0;
}

static void *pages(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return start == MAP_FAILED ? NULL : start;
}

/* ---- a bucket's lock */

struct held {
	struct rcu_lock *lock;
	uint64_t signals;
};

static struct held bucket_lock(struct tocsin_keyed *keyed, uint64_t bucket)
{
	struct held held = {.lock = &keyed->locks[bucket % LOCKS], .signals = signals_block()};

	(void)rcu_lock_take(held.lock, UINT64_MAX); /* for ever: no timeout */
	return held;
}

static void bucket_unlock(struct held held)
{
	rcu_lock_drop(held.lock);
	signals_restore(held.signals);
}

/* ---- items */

static struct keyed_item *chain_find(struct tocsin_keyed *keyed, uint64_t bucket, uint64_t key)
{
	/* pairs with item_make(): what it points to was written before */
	struct keyed_item *item = __atomic_load_n(&keyed->buckets[bucket], __ATOMIC_ACQUIRE);

	while (item && item->key != key)
		item = __atomic_load_n(&item->next, __ATOMIC_ACQUIRE);
	return item;
}

void *tocsin_keyed_find(struct tocsin_keyed *keyed, uint64_t key)
{
	uint64_t token = tocsin_rcu_read_lock();
	struct keyed_item *item = chain_find(keyed, bucket_of(keyed, key), key);

	tocsin_rcu_read_unlock(token); /* the caller's section, if there is one, goes on */
	return item ? item->contents : NULL;
}

/* One of max_items. Return: false: there is no room. */
static bool room_take(struct tocsin_keyed *keyed)
{
	uint64_t left = __atomic_load_n(&keyed->nr_room, __ATOMIC_RELAXED);

	while (left)
		if (__atomic_compare_exchange_n(&keyed->nr_room, &left, left - 1, true,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

static void count(uint64_t *word, uint64_t n)
{
	(void)__atomic_fetch_add(word, n, __ATOMIC_RELAXED);
}

/* Under the bucket's lock; there is no such item. Return: NULL: no room. */
static struct keyed_item *item_make(struct tocsin_keyed *keyed, uint64_t bucket, uint64_t key)
{
	struct keyed_item *item;
	void *memory;

	if (!room_take(keyed))
		return NULL;
	/* The pool has items to spare for what is in other threads' hands: see tocsin_keyed_new().
	 */
	if (tocsin_pool_take(keyed->pool, &memory)) {
		count(&keyed->nr_room, 1);
		return NULL;
	}
	item = memory;
	item->key = key;
	item->removed = NULL;
	item->next = keyed->buckets[bucket];
	memset(item->contents, 0, keyed->item_bytes);
	if (keyed->init)
		keyed->init(keyed->arg, item->contents, key);
	/* pairs with chain_find() */
	__atomic_store_n(&keyed->buckets[bucket], item, __ATOMIC_RELEASE);
	count(&keyed->nr_items, 1);
	return item;
}

int tocsin_keyed_get(struct tocsin_keyed *keyed, uint64_t key, void **ret_item)
{
	uint64_t bucket = bucket_of(keyed, key);
	void *found = tocsin_keyed_find(keyed, key);
	struct keyed_item *item;
	struct held held;
	int r = 0;

	if (found) {
		*ret_item = found;
		return 0;
	}
	held = bucket_lock(keyed, bucket);
	item = chain_find(keyed, bucket, key); /* another may have been first */
	if (!item) {
		item = item_make(keyed, bucket, key);
		r = item ? 1 : -ENOSPC;
	}
	bucket_unlock(held);
	if (item)
		*ret_item = item->contents;
	else
		count(&keyed->nr_refused, 1);
	return r;
}

/* Under the bucket's lock: take the item out. @only: this one, NULL: whichever has the key. */
static struct keyed_item *chain_take(struct tocsin_keyed *keyed, uint64_t bucket, uint64_t key,
				     const struct keyed_item *only)
{
	struct keyed_item **link = &keyed->buckets[bucket], *item = *link;

	while (item && item->key != key) {
		link = &item->next;
		item = *link;
	}
	if (!item || (only && item != only))
		return NULL;
	__atomic_store_n(link, item->next, __ATOMIC_RELEASE);
	return item;
}

static int item_remove(struct tocsin_keyed *keyed, uint64_t key, const struct keyed_item *only)
{
	uint64_t bucket = bucket_of(keyed, key);
	struct held held = bucket_lock(keyed, bucket);
	struct keyed_item *item = chain_take(keyed, bucket, key, only);

	if (item) {
		item->removed = __atomic_load_n(&keyed->removed, __ATOMIC_RELAXED);
		while (!__atomic_compare_exchange_n(&keyed->removed, &item->removed, item, true,
						    __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
		}
		count(&keyed->nr_removed, 1);
		count(&keyed->nr_items, UINT64_MAX);
	}
	bucket_unlock(held);
	return item ? 0 : -ENOENT;
}

int tocsin_keyed_remove(struct tocsin_keyed *keyed, uint64_t key)
{
	return item_remove(keyed, key, NULL);
}

uint64_t tocsin_keyed_each(struct tocsin_keyed *keyed,
			   int (*fn)(void *arg, uint64_t key, void *item), void *arg)
{
	uint64_t token = tocsin_rcu_read_lock(), nr = 0;

	for (uint64_t bucket = 0; bucket < keyed->nr_buckets; bucket++) {
		struct keyed_item *item =
			__atomic_load_n(&keyed->buckets[bucket], __ATOMIC_ACQUIRE);

		while (item) {
			struct keyed_item *next = __atomic_load_n(&item->next, __ATOMIC_ACQUIRE);

			nr++;
			if (fn(arg, item->key, item->contents))
				(void)item_remove(keyed, item->key, item); /* or another did */
			item = next;
		}
	}
	tocsin_rcu_read_unlock(token);
	return nr;
}

/* @list back among the removed. */
static void removed_put_back(struct tocsin_keyed *keyed, struct keyed_item *list)
{
	struct keyed_item *last = list;

	while (last->removed)
		last = last->removed;
	last->removed = __atomic_load_n(&keyed->removed, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&keyed->removed, &last->removed, list, true,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
	}
}

long tocsin_keyed_reclaim(struct tocsin_keyed *keyed)
{
	/* pairs with item_remove() */
	struct keyed_item *list = __atomic_exchange_n(&keyed->removed, NULL, __ATOMIC_ACQUIRE);
	uint64_t nr = 0;
	int r;

	if (!list)
		return 0;
	r = tocsin_rcu_synchronize();
	if (r < 0) {
		removed_put_back(keyed, list);
		return r;
	}
	while (list) {
		struct keyed_item *next = list->removed;

		(void)tocsin_pool_give(keyed->pool, list); /* only a debug pool can object */
		list = next;
		nr++;
	}
	count(&keyed->nr_removed, -nr);
	(void)__atomic_fetch_add(&keyed->nr_room, nr, __ATOMIC_RELEASE); /* given before */
	return (long)nr;
}

void tocsin_keyed_get_stats(struct tocsin_keyed *keyed, struct tocsin_keyed_stats *ret_stats)
{
	struct tocsin_pool_stats pool;

	tocsin_pool_get_stats(keyed->pool, &pool);
	*ret_stats = (struct tocsin_keyed_stats){
		.items = __atomic_load_n(&keyed->nr_items, __ATOMIC_RELAXED),
		.removed = __atomic_load_n(&keyed->nr_removed, __ATOMIC_RELAXED),
		.refused = __atomic_load_n(&keyed->nr_refused, __ATOMIC_RELAXED),
		.bytes = pool.bytes + keyed->map_bytes + keyed->locks_bytes,
	};
}

/* ---- made and unmade */

static int opts_check(const struct tocsin_keyed_opts *opts, struct tocsin_keyed_opts *ret_opts)
{
	const char *tail = (const char *)opts + sizeof(*opts);
	struct tocsin_keyed_opts known = {0};

	if (opts->size < OPTS_BYTES)
		return -EINVAL;
	for (size_t i = sizeof(*opts); i < opts->size; i++)
		if (*tail++)
			return -E2BIG;
	memcpy(&known, opts, opts->size < sizeof(known) ? opts->size : sizeof(known));
	if (!known.item_bytes || known.item_bytes > ITEM_MAX - sizeof(struct keyed_item) ||
	    !known.max_items || known.max_items > ITEMS_MAX)
		return -EINVAL;
	*ret_opts = known;
	return 0;
}

/* As many buckets as items, rounded up to a power of two. */
static int memory_make(struct tocsin_keyed *keyed, unsigned bits)
{
	keyed->nr_buckets = UINT64_C(1) << bits;
	keyed->shift = 64 - bits;
	keyed->map_bytes = keyed->nr_buckets * sizeof(*keyed->buckets);
	keyed->locks_bytes = LOCKS * sizeof(*keyed->locks);
	keyed->buckets = pages(keyed->map_bytes);
	keyed->locks = pages(keyed->locks_bytes);
	if (!keyed->buckets || !keyed->locks)
		return -ENOMEM;
	/* Linux < 4.14 has no such advice; then a lock that another thread holds at the moment of a
	 * fork stays shut in the child. */
	(void)madvise(keyed->locks, keyed->locks_bytes, MADV_WIPEONFORK);
	return 0;
}

int tocsin_keyed_new(const struct tocsin_keyed_opts *opts, struct tocsin_keyed **ret_keyed)
{
	struct tocsin_pool_opts pool = {.size = sizeof(pool), .flags = TOCSIN_POOL_BOUNDED};
	struct tocsin_keyed_opts known;
	struct tocsin_keyed *keyed;
	unsigned bits = 0;
	int r = opts_check(opts, &known);

	if (r < 0)
		return r;
	keyed = pages(sizeof(*keyed));
	if (!keyed)
		return -ENOMEM;
	keyed->item_bytes = known.item_bytes;
	keyed->max_items = keyed->nr_room = known.max_items;
	keyed->init = known.init;
	keyed->arg = known.arg;
	while (bits < 26 && UINT64_C(1) << bits < known.max_items)
		bits++;
	r = memory_make(keyed, bits);
	pool.item_bytes = sizeof(struct keyed_item) + known.item_bytes;
	/* A thread that moves a batch has 32 free items in its hand: one under each lock, and who
	 * gives back. */
	pool.max_items = known.max_items + (uint64_t)TOCSIN_POOL_BATCH * (LOCKS + 1);
	if (r == 0)
		r = tocsin_pool_new(&pool, &keyed->pool);
	if (r < 0) {
		(void)tocsin_keyed_free(keyed); /* NULL */
		return r;
	}
	*ret_keyed = keyed;
	return 0;
}

struct tocsin_keyed *tocsin_keyed_free(struct tocsin_keyed *keyed)
{
	if (!keyed)
		return NULL;
	keyed->pool = tocsin_pool_free(keyed->pool);
	if (keyed->buckets)
		(void)munmap(keyed->buckets, keyed->map_bytes); /* ours, as mapped */
	if (keyed->locks)
		(void)munmap(keyed->locks, keyed->locks_bytes);
	(void)munmap(keyed, sizeof(*keyed));
	return NULL;
}
