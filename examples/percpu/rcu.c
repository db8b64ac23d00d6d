// SPDX-License-Identifier: MIT
/*
 * A configuration that many threads read and one replaces: readers take no lock and register
 * nothing, and the old one is freed when nobody can still see it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <tocsin/rcu.h>

enum { READERS = 3, UPDATES = 200 };

struct config {
	int limit, twice_the_limit; /* readers must see them agree */
	struct tocsin_rcu_head rcu;
};

static struct config *config;
static int stop, nr_wrong;

static void *reader(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t token = tocsin_rcu_read_lock();
		const struct config *c = tocsin_rcu_dereference(&config);

		if (c->twice_the_limit != 2 * c->limit)
			__atomic_fetch_add(&nr_wrong, 1, __ATOMIC_RELAXED);
		tocsin_rcu_read_unlock(token);
	}
	return arg;
}

static void config_free(struct tocsin_rcu_head *head)
{
	struct config *c = (struct config *)((char *)head - offsetof(struct config, rcu));

	c->limit = -1; /* a reader that still saw it would notice */
	free(c);
}

static struct config *config_new(int limit)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		exit(1);
	c->limit = limit;
	c->twice_the_limit = 2 * limit;
	return c;
}

int main(void)
{
	pthread_t readers[READERS];

	config = config_new(1);
	for (int i = 0; i < READERS; i++)
		if (pthread_create(&readers[i], NULL, reader, NULL) != 0)
			return 1;
	for (int i = 0; i < UPDATES; i++) {
		struct config *old = config;

		tocsin_rcu_publish(&config, config_new(i));
		if (i & 1) { /* wait here ... */
			if (tocsin_rcu_synchronize() == 0)
				config_free(&old->rcu);
		} else { /* ... or leave it for later */
			tocsin_rcu_call(&old->rcu, config_free);
		}
	}
	printf("%ld were freed at the end\n", tocsin_rcu_drain());
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	printf("%d wrong reads\n", nr_wrong);
	free(config);
	return nr_wrong;
}
