// SPDX-License-Identifier: MIT
/* Something remembered of each connection, by its number; the old ones are swept out now and then.
 */
#include <stdio.h>
#include <tocsin/keyed.h>
#include <tocsin/rcu.h>

enum { CONNECTIONS = 100, LIMIT = 60 };

struct connection {
	uint64_t requests;
	uint64_t last_seen;
};

static int is_old(void *arg, uint64_t key, void *item)
{
	const struct connection *c = item;

	(void)key;
	return c->last_seen < *(const uint64_t *)arg; /* 1: remove it */
}

int main(void)
{
	const struct tocsin_keyed_opts opts = {
		.size = sizeof(opts), .item_bytes = sizeof(struct connection), .max_items = LIMIT};
	struct tocsin_keyed *connections;
	struct tocsin_keyed_stats stats;
	uint64_t now, oldest;
	void *item;

	if (tocsin_keyed_new(&opts, &connections) != 0)
		return 1;
	for (now = 1; now <= CONNECTIONS; now++) {
		uint64_t token = tocsin_rcu_read_lock();
		int r = tocsin_keyed_get(connections, now % 80, &item);

		if (r >= 0) {
			((struct connection *)item)->requests++; /* one thread: no atomics */
			((struct connection *)item)->last_seen = now;
		}
		tocsin_rcu_read_unlock(token);
		if (r >= 0)
			continue;
		oldest = now - 20; /* full: who was not seen for 20 turns goes */
		(void)tocsin_keyed_each(connections, is_old, &oldest);
		if (tocsin_keyed_reclaim(connections) <= 0)
			return 1;
	}
	tocsin_keyed_get_stats(connections, &stats);
	printf("%llu connections, %llu refused while it was full\n",
	       (unsigned long long)stats.items, (unsigned long long)stats.refused);
	connections = tocsin_keyed_free(connections);
	return stats.items <= LIMIT && stats.refused == 1 ? 0 : 1;
}
