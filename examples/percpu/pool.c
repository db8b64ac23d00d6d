// SPDX-License-Identifier: MIT
/* Items of one size from a bounded pool: no malloc, and -ENOSPC without a system call when it is
 * empty. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tocsin/pool.h>

enum { WANTED = 1000, MANY = 10000 };

struct request {
	char text[56];
	struct request *next;
};

int main(void)
{
	const struct tocsin_pool_opts opts = {.size = sizeof(opts),
					      .item_bytes = sizeof(struct request),
					      .max_items = WANTED,
					      .flags = TOCSIN_POOL_BOUNDED};
	struct request *list = NULL;
	struct tocsin_pool *pool;
	int nr = 0, err = 0;

	if (tocsin_pool_new(&opts, &pool) != 0)
		return 1;
	while (nr < MANY) {
		void *item;

		err = tocsin_pool_take(pool, &item);
		if (err)
			break;
		memset(item, 0, sizeof(struct request));
		((struct request *)item)->next = list;
		list = item;
		nr++;
	}
	printf("%d taken, at least %d were promised; then: %s\n", nr, WANTED, strerror(-err));
	while (list) {
		struct request *next = list->next;

		(void)tocsin_pool_give(pool, list); /* only a debug pool can object */
		list = next;
	}
	pool = tocsin_pool_free(pool);
	return nr >= WANTED && err == -ENOSPC ? 0 : 1;
}
