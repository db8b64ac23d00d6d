// SPDX-License-Identifier: MIT
/*
 * For a debugger that steps through every instruction: a function for each primitive, which must
 * come to its end.
 *
 * The sums are right at the end, whichever path was taken; exit status 0.
 */
#include <errno.h>
#include <stdio.h>

#include "percpu/pmc.h"
#include "tocsin/keyed.h"
#include "tocsin/percpu.h"

#define STEPPED __attribute__((noinline, visibility("default")))

static struct tocsin_counter *counter;
static struct tocsin_percpu *percpu;
static struct tocsin_link node;
static struct tocsin_pool *pool;
static struct tocsin_keyed *keyed;
static void *taken;
static int result;

static int run(uint32_t code, uint64_t value)
{
	struct tocsin_op op = {
		.code = code, .off = 8, .value = value, .expect = 99, .copy_off = 16};

	if (code == TOCSIN_OP_PUSH)
		op.u.node = &node;
	if (code == TOCSIN_OP_COPY) {
		op.u.src = "stepped";
		op.len_bytes = 7;
	}
	if (code == TOCSIN_OP_PUSH || code == TOCSIN_OP_POP)
		op.off = 32;
	return tocsin_percpu_op(percpu, TOCSIN_CPU_HERE, &op);
}

STEPPED void step_counter(void);
STEPPED void step_load(void);
STEPPED void step_store(void);
STEPPED void step_add(void);
STEPPED void step_cmpstore(void);
STEPPED void step_push(void);
STEPPED void step_pop(void);
STEPPED void step_copy(void);
STEPPED void step_do_on_cpu(void);
STEPPED void step_take(void);
STEPPED void step_give(void);
STEPPED void step_rcu(void);
STEPPED void step_do_on_each(void);
STEPPED void step_drain(void);
STEPPED void step_pmc(void);
STEPPED void step_keyed(void);

void step_counter(void)
{
	tocsin_counter_add(counter, 1, 1);
}

void step_load(void)
{
	result |= run(TOCSIN_OP_LOAD, 0);
}

void step_store(void)
{
	result |= run(TOCSIN_OP_STORE, 5);
}

void step_add(void)
{
	result |= run(TOCSIN_OP_ADD, 2);
}

void step_cmpstore(void)
{
	result |= run(TOCSIN_OP_CMPSTORE, 7) == -ECANCELED ? 0 : -1; /* it is not 99 */
}

void step_push(void)
{
	result |= run(TOCSIN_OP_PUSH, 0);
}

void step_pop(void)
{
	result |= run(TOCSIN_OP_POP, 0);
}

void step_copy(void)
{
	result |= run(TOCSIN_OP_COPY, 11);
}

static void touch(void *item, int cpu, void *arg)
{
	(void)cpu;
	(void)arg;
	*(uint64_t *)item += 1;
}

void step_do_on_cpu(void)
{
	result |= tocsin_do_on_cpu(percpu, 0, touch, NULL);
}

void step_take(void)
{
	result |= tocsin_pool_take(pool, &taken);
}

void step_give(void)
{
	result |= tocsin_pool_give(pool, taken);
}

void step_rcu(void)
{
	tocsin_rcu_read_unlock(tocsin_rcu_read_lock());
}

void step_do_on_each(void)
{
	result |= tocsin_do_on_each(percpu, NULL, 0, touch, NULL);
}

void step_drain(void)
{
	result |= tocsin_pool_drain(pool) < 0 ? -1 : 0;
}

/* A page by hand, of an event that is on no counter now: not every machine has one. In steps the
 * section gives up, and tocsin_pmc_read() would ask the kernel. */
void step_pmc(void)
{
	const struct perf_event_mmap_page page = {.cap_user_rdpmc = 1, .offset = 42};
	uint64_t count = 42;
	int r = pmc_page_read(&page, &count);

	result |= (r == 0 || r == -EAGAIN) && count == 42 ? 0 : -1;
}

/* Made, found and removed. */
void step_keyed(void)
{
	void *made;

	result |= tocsin_keyed_get(keyed, 7, &made) == 1 ? 0 : -1;
	result |= tocsin_keyed_find(keyed, 7) == made ? 0 : -1;
	result |= tocsin_keyed_remove(keyed, 7);
}

int main(void)
{
	const struct tocsin_keyed_opts table = {
		.size = sizeof(table), .item_bytes = 8, .max_items = 4};
	const struct tocsin_pool_opts opts = {.size = sizeof(opts), .item_bytes = 64};

	if (tocsin_counter_new(2, &counter) || tocsin_percpu_new(64, 0, &percpu) ||
	    tocsin_pool_new(&opts, &pool) || tocsin_keyed_new(&table, &keyed) ||
	    tocsin_pool_take(pool, &taken) || tocsin_pool_give(pool, taken))
		return 3;
	step_counter();
	step_store();
	step_add();
	step_load();
	step_cmpstore();
	step_push();
	step_pop();
	step_copy();
	step_do_on_cpu();
	step_take();
	step_give();
	step_rcu();
	step_do_on_each();
	step_drain();
	step_pmc();
	step_keyed();
	(void)printf("result %d count %llu item %llu\n", result,
		     (unsigned long long)tocsin_counter_sum(counter, 1),
		     (unsigned long long)*(uint64_t *)tocsin_percpu_item(percpu, 0));
	return result >= 0 && tocsin_counter_sum(counter, 1) == 1 ? 0 : 1;
}
