// SPDX-License-Identifier: MIT
/* A debug pool finds what is given twice, written to after it was given, and never given back. */
#include <stdio.h>
#include <tocsin/pool.h>

static int found[4];

static void on_misuse(void *arg, enum tocsin_pool_misuse what, void *item)
{
	(void)arg;
	printf("misuse %d of %p\n", (int)what, item);
	found[what]++;
}

static void leaked(void *arg, void *item)
{
	(void)arg;
	printf("never given back: %p\n", item);
}

int main(void)
{
	const struct tocsin_pool_opts opts = {.size = sizeof(opts),
					      .item_bytes = 32,
					      .flags = TOCSIN_POOL_DEBUG,
					      .on_misuse = on_misuse};
	struct tocsin_pool *pool;
	void *a, *b;
	long leaks;

	if (tocsin_pool_new(&opts, &pool) != 0 || tocsin_pool_take(pool, &a) != 0)
		return 1;
	(void)tocsin_pool_give(pool, a);
	(void)tocsin_pool_give(pool, a); /* twice */
	*(char *)a = 1;                  /* after it was given */
	if (tocsin_pool_take(pool, &b) != 0)
		return 1;
	leaks = tocsin_pool_each_out(pool, leaked, NULL);
	pool = tocsin_pool_free(pool);
	return leaks == 1 && found[TOCSIN_POOL_TWICE] == 1 && found[TOCSIN_POOL_OVERWRITTEN] == 1
		       ? 0
		       : 1;
}
