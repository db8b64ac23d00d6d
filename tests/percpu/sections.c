// SPDX-License-Identifier: MIT
/*
 * Do the sections compute what they should? Also where nothing can abort them, as under qemu-user.
 *
 * They get an area that the kernel does not know, and a fence that always fails: an operation that
 * does not get done by its section is an error. So every instruction of every section runs, on a
 * machine of another kind too.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "percpu/rseq.h"
#include "tocsin/percpu.h"

#define NR 4

struct item {
	uint64_t word, head;
	char text[32];
	uint64_t stamp;
};

static _Thread_local struct tocsin_rseq_area area __attribute__((aligned(32)));

static int failed(const char *what, int line)
{
	(void)fprintf(stderr, "line %d: %s does not hold\n", line, what);
	return 1;
}

#define MUST(condition)                                      \
	do {                                                 \
		if (!(condition))                            \
			return failed(#condition, __LINE__); \
	} while (0)

/* On CPU @cpu, or so it is told. */
static int ops_work(struct tocsin_percpu *p, int cpu, int where)
{
	struct item *item = tocsin_percpu_item(p, cpu);
	struct tocsin_link node[2];
	struct tocsin_op op = {.code = TOCSIN_OP_STORE, .value = 40};

	MUST(tocsin_percpu_op(p, where, &op) == cpu && item->word == 40);
	op = (struct tocsin_op){.code = TOCSIN_OP_ADD, .value = UINT64_C(1) << 40};
	MUST(tocsin_percpu_op(p, where, &op) == cpu && item->word == (UINT64_C(1) << 40) + 40);
	op = (struct tocsin_op){.code = TOCSIN_OP_LOAD};
	MUST(tocsin_percpu_op(p, where, &op) == cpu && op.value == (UINT64_C(1) << 40) + 40);
	op = (struct tocsin_op){.code = TOCSIN_OP_CMPSTORE, .expect = 40, .value = 1};
	MUST(tocsin_percpu_op(p, where, &op) == -ECANCELED && op.value == item->word);
	op = (struct tocsin_op){.code = TOCSIN_OP_CMPSTORE, .expect = item->word, .value = 1};
	MUST(tocsin_percpu_op(p, where, &op) == cpu && item->word == 1);
	for (int i = 0; i < 2; i++) {
		op = (struct tocsin_op){.code = TOCSIN_OP_PUSH, .off = 8, .u.node = &node[i]};
		MUST(tocsin_percpu_op(p, where, &op) == cpu);
	}
	for (int i = 2; i >= 0; i--) {
		op = (struct tocsin_op){.code = TOCSIN_OP_POP, .off = 8};
		MUST(tocsin_percpu_op(p, where, &op) == cpu);
		MUST(op.u.node == (i ? &node[i - 1] : NULL));
	}
	op = (struct tocsin_op){.code = TOCSIN_OP_COPY,
				.off = offsetof(struct item, stamp),
				.copy_off = offsetof(struct item, text) + 1,
				.len_bytes = 13,
				.value = 77,
				.u.src = "thirteen byte"};
	MUST(tocsin_percpu_op(p, where, &op) == cpu && item->stamp == 77);
	MUST(memcmp(item->text, "\0thirteen byte\0", 15) == 0);
	return 0;
}

static int counter_works(void)
{
	struct tocsin_counter *c;

	MUST(!tocsin_counter_new(9, &c));
	for (uint32_t cpu = 0; cpu < NR; cpu++) {
		area.cpu_id = cpu;
		area.rseq_cs = 0;
		tocsin_counter_add(c, 8, cpu + 1);
		MUST(area.rseq_cs);
		MUST(c->table[cpu][8] == cpu + 1);
	}
	MUST(tocsin_counter_sum(c, 8) == 1 + 2 + 3 + 4);
	(void)tocsin_counter_free(c);
	return 0;
}

static int elsewhere_and_closed(struct tocsin_percpu *p)
{
	struct tocsin_op op = {.code = TOCSIN_OP_ADD, .value = 1};

	/* Not on the CPU that is wanted, no CPU at all, or one beyond the table: to the gate, which
	 * fails here. */
	area.cpu_id = area.mm_cid = 1;
	MUST(tocsin_percpu_op(p, 2, &op) == -EOPNOTSUPP);
	area.cpu_id = area.mm_cid = NR;
	MUST(tocsin_percpu_op(p, 1, &op) == -EOPNOTSUPP);
	area.cpu_id = (uint32_t)-1;
	area.mm_cid = 0;
	MUST(tocsin_percpu_op(p, 0, &op) == -EOPNOTSUPP);
	return 0;
}

/* CPU, node and concurrency id come from the area as far as the kernel fills it in, else from the
 * vDSO or not at all. */
static int where_is_right(void)
{
	unsigned node;

	MUST(!getcpu(NULL, &node));
	area.cpu_id = 3;
	area.node_id = 7;
	area.mm_cid = 2;
	tocsin_rseq.feature_bytes = 28;
	MUST(tocsin_cpu() == 3 && tocsin_node() == 7 && tocsin_cid() == 2);
	tocsin_rseq.feature_bytes = 24;
	MUST(tocsin_cpu() == 3 && tocsin_node() == 7 && tocsin_cid() == -1);
	tocsin_rseq.feature_bytes = 20; /* Linux < 6.3 */
	MUST(tocsin_cpu() == 3 && tocsin_node() == node && tocsin_cid() == -1);
	tocsin_rseq.feature_bytes = 28;
	area.cpu_id = (uint32_t)-1; /* not registered */
	MUST(tocsin_cpu() < NR && tocsin_node() == node && tocsin_cid() == -1);
	return 0;
}

int main(void)
{
	struct tocsin_percpu *p;

	(void)rseq_init(); /* what it found is replaced */
	tocsin_rseq = (struct tocsin_rseq_state){
		.area = (intptr_t)((uintptr_t)&area - (uintptr_t)__builtin_thread_pointer()),
		.index_offset = offsetof(struct tocsin_rseq_area, mm_cid),
		.nr_indexes = NR,
		.feature_bytes = 28,
		.flags = TOCSIN_RSEQ_F_FENCE,
	};
	for (uint32_t flags = 0; flags <= TOCSIN_PERCPU_BY_CID; flags++) {
		tocsin_rseq.flags = TOCSIN_RSEQ_F_FENCE;
		MUST(!tocsin_percpu_new(sizeof(struct item), flags, &p));
		tocsin_rseq.flags = 0; /* no fence: no way but by sections */
		for (int cpu = 0; cpu < NR; cpu++) {
			area.cpu_id = area.mm_cid = (uint32_t)cpu;
			if (ops_work(p, cpu, cpu))
				return 1;
			memset(tocsin_percpu_item(p, cpu), 0, sizeof(struct item));
			if (ops_work(p, cpu, TOCSIN_CPU_HERE))
				return 1;
		}
		if (elsewhere_and_closed(p))
			return 1;
		(void)tocsin_percpu_free(p);
	}
	return counter_works() || where_is_right();
}
