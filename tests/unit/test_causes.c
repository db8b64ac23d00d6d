// SPDX-License-Identifier: MIT
/* Totals of causes over many violations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/cause_table.h"

#define MS 1000000ull

static struct cause cause(enum cause_kind kind, uint64_t ns, uint32_t pid, const char *comm,
			  const char *subject)
{
	struct cause c = {.kind = kind, .ns = ns, .nr_spells = 1, .state = TS_BLOCKED};

	c.peer.tid = c.peer.tgid = pid;
	(void)snprintf(c.peer.comm, sizeof(c.peer.comm), "%s", comm);
	(void)snprintf(c.subject, sizeof(c.subject), "%s", subject);
	return c;
}

static void add(struct cause_table *t, struct cause c)
{
	struct violation v = {.cause = &c, .nr_causes = 1};

	cause_table_add(t, &v);
}

struct top {
	struct cause *cause;
	unsigned nr;
	uint64_t other_ns;
};

static struct top top_of(const struct cause_table *t)
{
	struct top top;

	assert_int_equal(cause_table_top(t, &top.cause, &top.nr, &top.other_ns), 0);
	for (unsigned i = 1; i < top.nr; i++)
		assert_true(top.cause[i - 1].ns >= top.cause[i].ns);
	return top;
}

static uint64_t sum_of(const struct top *top)
{
	uint64_t sum = top->other_ns;

	for (unsigned i = 0; i < top->nr; i++)
		sum += top->cause[i].ns;
	return sum;
}

static void test_empty(void **state)
{
	struct cause_table *t = cause_table_new();
	struct violation open = {.flags = VIOLATION_OPEN};
	struct top top;

	(void)state;
	cause_table_add(t, &open);
	top = top_of(t);
	assert_null(top.cause);
	assert_int_equal(top.nr, 0);
	assert_int_equal(top.other_ns, 0);
	assert_null(cause_table_free(t));
	assert_null(cause_table_free(NULL));
}

/* Ten thousand transactions are one row lock; a holder each stays apart. */
static void test_grouped(void **state)
{
	struct cause_table *t = cause_table_new();
	struct top top;
	char subject[64];

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		(void)snprintf(subject, sizeof(subject), "row lock (transaction %u)", i);
		add(t, cause(CAUSE_HEAVY_LOCK, MS, 4712 + i % 2, "postgres", subject));
	}
	add(t, cause(CAUSE_HEAVY_LOCK, MS, 4712, "postgres", "lock on relation 16384"));
	add(t, cause(CAUSE_DISK, 20000 * MS, 0, "", "fdatasync"));
	top = top_of(t);
	assert_int_equal(top.nr, 4);
	assert_int_equal(top.cause[0].kind, CAUSE_DISK);
	assert_string_equal(top.cause[0].subject, "fdatasync");
	assert_int_equal(top.cause[1].ns, 5000 * MS);
	assert_int_equal(top.cause[1].nr_spells, 5000);
	assert_string_equal(top.cause[1].subject, "row lock");
	assert_string_equal(top.cause[1].text, "blocked 5 s on a row lock: woken by postgres 4712");
	assert_string_equal(top.cause[3].text,
			    "blocked 1 ms on a lock on relation 16384: woken by postgres 4712");
	assert_int_equal(top.other_ns, 0);
	assert_int_equal(sum_of(&top), 30001 * MS);
	free(top.cause);
	(void)cause_table_free(t);
}

/* Threads of one process are one peer; a cgroup's path is never cut. */
static void test_keys(void **state)
{
	struct cause_table *t = cause_table_new();
	struct cause c = cause(CAUSE_EVENT, MS, 900, "java", "condition or semaphore (0x7f00)");
	struct top top;

	(void)state;
	c.peer.tid = 901;
	add(t, c);
	c.peer.tid = 902;
	add(t, c);
	c = cause(CAUSE_QUOTA, MS, 0, "", "/a (b)/c");
	c.quota_ns = 20 * MS;
	c.period_ns = 100 * MS;
	add(t, c);
	c = cause(CAUSE_UNKNOWN, MS / 2, 0, "", "");
	add(t, c);
	c.state = TS_WAITING;
	add(t, c);
	top = top_of(t);
	assert_int_equal(top.nr, 4);
	assert_int_equal(top.cause[0].ns, 2 * MS);
	assert_string_equal(top.cause[0].text,
			    "blocked 2 ms on a condition or semaphore: woken by java 900");
	assert_string_equal(
		top.cause[1].text,
		"throttled 1 ms by the CPU quota of cgroup /a (b)/c (20 ms per 100 ms)");
	free(top.cause);
	(void)cause_table_free(t);
}

/* Who holds a lock is a thread: two of one process are two, and are named. */
static void test_holders(void **state)
{
	struct cause_table *t = cause_table_new();
	struct cause c = cause(CAUSE_LOCK, 2 * MS, 900, "java", "mutex (0x7f00)");
	struct top top;

	(void)state;
	c.peer.tid = 901;
	add(t, c);
	c.peer.tid = 902;
	c.ns = MS;
	add(t, c);
	c = cause(CAUSE_KERNEL_LOCK, MS / 2, 900, "java", "kernel mutex");
	c.peer.tid = 903;
	add(t, c);
	top = top_of(t);
	assert_int_equal(top.nr, 3);
	assert_string_equal(top.cause[0].text,
			    "blocked 2 ms on a mutex held by java 900 (thread 901)");
	assert_string_equal(top.cause[1].text,
			    "blocked 1 ms on a mutex held by java 900 (thread 902)");
	assert_string_equal(top.cause[2].text,
			    "blocked 500 us on a kernel mutex held by java 900 (thread 903)");
	free(top.cause);
	(void)cause_table_free(t);
}

static void test_confidence(void **state)
{
	struct cause_table *t = cause_table_new();
	struct cause c = cause(CAUSE_DISK, 95 * MS, 0, "", "fsync");
	struct top top;

	(void)state;
	c.syscall = "fsync";
	add(t, c);
	c.confidence = CONFIDENCE_LIKELY;
	c.ns = 5 * MS;
	add(t, c);
	top = top_of(t);
	assert_int_equal(top.cause[0].confidence, CONFIDENCE_CERTAIN);
	free(top.cause);
	c.ns = 50 * MS;
	add(t, c);
	top = top_of(t);
	assert_int_equal(top.cause[0].confidence, CONFIDENCE_LIKELY);
	assert_string_equal(top.cause[0].text, "blocked 150 ms in fsync, probably on the disk");
	free(top.cause);
	(void)cause_table_free(t);
}

/* When it is full: a peer of a known name joins the others of that name, a large cause takes the
 * place of the smallest, a small one goes to the rest; and nothing is lost. */
static void test_full(void **state)
{
	struct cause_table *t = cause_table_new();
	uint64_t total = 0;
	struct top top;
	char comm[16];

	(void)state;
	for (unsigned i = 0; i < CAUSE_TABLE_MAX; i++) {
		(void)snprintf(comm, sizeof(comm), "task%u", i);
		add(t, cause(CAUSE_RUNQUEUE, (i + 1) * MS, 1000 + i, comm, ""));
		total += (i + 1) * MS;
	}
	top = top_of(t);
	assert_int_equal(top.nr, CAUSE_TABLE_MAX);
	assert_int_equal(top.other_ns, 0);
	free(top.cause);

	add(t, cause(CAUSE_RUNQUEUE, MS, 5000, "task63", "")); /* the largest, and a second pid */
	total += MS;
	top = top_of(t);
	assert_int_equal(top.nr, CAUSE_TABLE_MAX);
	assert_int_equal(top.other_ns, 0);
	assert_int_equal(top.cause[0].ns, 65 * MS);
	assert_int_equal(top.cause[0].peer.tid, 0);
	assert_string_equal(top.cause[0].text, "waited 65 ms for a CPU behind task63 (several)");
	free(top.cause);

	add(t, cause(CAUSE_RUNQUEUE, 100 * MS, 6000, "large", "")); /* task0, 1 ms, gives way */
	total += 100 * MS;
	add(t, cause(CAUSE_RUNQUEUE, 1, 6001, "small", ""));
	total += 1;
	top = top_of(t);
	assert_int_equal(top.nr, CAUSE_TABLE_MAX);
	assert_string_equal(top.cause[0].peer.comm, "large");
	assert_int_equal(top.other_ns, MS + 1);
	assert_true(sum_of(&top) == total);
	free(top.cause);
	(void)cause_table_free(t);
}

/* A hundred thousand peers and subjects: the table stays as it is, and sums stay exact. */
static void test_bounded(void **state)
{
	struct cause_table *t = cause_table_new();
	uint64_t total = 0, seed = 1;
	struct top top;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		char comm[16], subject[64];
		uint64_t ns;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		ns = seed >> 40;
		(void)snprintf(comm, sizeof(comm), "c%u", (unsigned)(seed >> 33) % 1000);
		(void)snprintf(subject, sizeof(subject), "s%u", (unsigned)(seed >> 50) % 100);
		add(t, cause((enum cause_kind)(seed >> 60) % CAUSE_NR, ns, i, comm, subject));
		total += ns;
	}
	top = top_of(t);
	assert_int_equal(top.nr, CAUSE_TABLE_MAX);
	assert_true(top.other_ns > 0);
	assert_true(sum_of(&top) == total);
	free(top.cause);
	(void)cause_table_free(t);
}

static void test_overflow(void **state)
{
	struct cause_table *t = cause_table_new();
	struct cause c = cause(CAUSE_CPU, UINT64_MAX - 1, 0, "", "");
	struct top top;

	(void)state;
	c.nr_spells = UINT_MAX;
	add(t, c);
	add(t, c);
	top = top_of(t);
	assert_true(top.cause[0].ns == UINT64_MAX);
	assert_true(top.cause[0].nr_spells == UINT_MAX);
	free(top.cause);
	(void)cause_table_free(t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),      cmocka_unit_test(test_grouped),
		cmocka_unit_test(test_keys),       cmocka_unit_test(test_holders),
		cmocka_unit_test(test_confidence), cmocka_unit_test(test_full),
		cmocka_unit_test(test_bounded),    cmocka_unit_test(test_overflow),
	};

	return cmocka_run_group_tests_name("causes", tests, NULL, NULL);
}
