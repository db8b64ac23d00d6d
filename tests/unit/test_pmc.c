// SPDX-License-Identifier: MIT
/*
 * Hardware counters without hardware: the page is made by hand, and the counter instruction is
 * replaced by one that yields the CPU on which the index was loaded and the CPU on which the
 * counter is read. In a section both are the same, whatever moves the thread.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tocsin/rseq.h"

#if defined(__x86_64__)
/* A delay of 3000 turns between the two, so that the thread is moved there now and then. */
#	define PMC_INDEX_LOADED                  \
		"movl %%fs:4(%[area]), %%edi\n\t" \
		"movl $3000, %%ecx\n"             \
		"79:\n\t"                         \
		"subl $1, %%ecx\n\t"              \
		"jnz 79b\n\t"
#	define PMC_RDPMC "movl %%fs:4(%[area]), %%eax\n\tmovl %%edi, %%edx\n\t"
#endif
#include "../../src/percpu/pmc.c"

/* How long the tests of what is rare go on, at most. */
#ifndef PMC_TEST_NS
#	define PMC_TEST_NS UINT64_C(10000000000)
#endif

static struct perf_event_mmap_page page;
static int stop;

static void test_count(void **state)
{
	(void)state;
	assert_int_equal(pmc_count(&(struct pmc_frame){.offset = 7, .raw = 9, .width = 48}), 7);
	assert_int_equal(
		pmc_count(&(struct pmc_frame){.offset = 7, .raw = 9, .width = 48, .index = 1}), 16);
	/* A counter of 48 bits that starts below its overflow is negative. */
	assert_int_equal(
		pmc_count(&(struct pmc_frame){
			.offset = 1000, .raw = (UINT64_C(1) << 48) - 10, .width = 48, .index = 3}),
		990);
	assert_int_equal(pmc_count(&(struct pmc_frame){
				 .offset = 1, .raw = UINT64_MAX, .width = 64, .index = 1}),
			 0);
	/* What a broken page says. */
	assert_int_equal(
		pmc_count(&(struct pmc_frame){.offset = 5, .raw = 1, .width = 65, .index = 1}), 5);
	assert_int_equal(
		pmc_count(&(struct pmc_frame){.offset = 5, .raw = 1, .width = 0, .index = 1}), 5);
}

static void test_not_readable(void **state)
{
	uint64_t count;

	(void)state;
	memset(&page, 0, sizeof(page));
	page.index = 1;
	assert_int_equal(pmc_page_read(&page, &count), -EAGAIN);
}

/* Not on a counter now: the count stands in the page. */
static void test_inactive(void **state)
{
	uint64_t count = 0;

	(void)state;
	if (!rseq_thread_ready())
		skip();
	memset(&page, 0, sizeof(page));
	page.cap_user_rdpmc = 1;
	page.pmc_width = 48;
	page.offset = 123456;
	assert_int_equal(pmc_page_read(&page, &count), 0);
	assert_int_equal(count, 123456);
}

#if defined(__x86_64__)
/* The thread is moved to and fro; the main thread and the page's writer are its disturbance. */
static void *move(void *arg)
{
	pthread_t *reader = arg;

	for (unsigned n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		const struct timespec ts = {.tv_nsec = 20000};
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(n & 1, &set);
		(void)pthread_setaffinity_np(*reader, sizeof(set), &set);
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	}
	return NULL;
}

static void test_moved(void **state)
{
	pthread_t self = pthread_self(), mover;
	uint64_t end_ns = clock_now_ns() + PMC_TEST_NS;
	unsigned nr_mixed = 0, nr_cpu[2] = {0};
	cpu_set_t before;

	(void)state;
	if (!rseq_thread_ready() || sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip();
	(void)sched_getaffinity(0, sizeof(before), &before);
	memset(&page, 0, sizeof(page));
	page.cap_user_rdpmc = 1;
	page.pmc_width = 64;
	page.index = 1;
	assert_int_equal(pthread_create(&mover, NULL, move, &self), 0);
	while (clock_now_ns() < end_ns && (nr_cpu[0] < 30000 || nr_cpu[1] < 30000)) {
		uint64_t count = 0;

		if (pmc_page_read(&page, &count) != 0)
			continue;
		nr_mixed += count >> 32 != (count & UINT32_MAX);
		nr_cpu[count & 1]++;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	(void)pthread_join(mover, NULL);
	(void)sched_setaffinity(0, sizeof(before), &before);
	assert_int_equal(nr_mixed, 0);
	assert_true(nr_cpu[0] > 100 && nr_cpu[1] > 100);
}

static void *change(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		/* As the kernel does it: lock, the rest, lock. */
		__atomic_store_n(&page.lock, page.lock + 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&page.offset, page.offset + 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&page.pmc_width, (uint16_t)(page.offset & 63), __ATOMIC_SEQ_CST);
		__atomic_store_n(&page.lock, page.lock + 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* A page that changes while it is read is read again. */
static void test_changing_page(void **state)
{
	struct pmc_frame frame;
	uint64_t end_ns = clock_now_ns() + PMC_TEST_NS;
	unsigned nr_changed = 0;
	pthread_t changer;

	(void)state;
	if (!rseq_thread_ready() || sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip();
	stop = 0;
	memset(&page, 0, sizeof(page));
	assert_int_equal(pthread_create(&changer, NULL, change, NULL), 0);
	while (nr_changed < 100 && clock_now_ns() < end_ns)
		nr_changed += pmc_section(TOCSIN_RSEQ_AREA(tocsin_rseq.area), &page, &frame) ==
			      TOCSIN_RSEQ_CLOSED;
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	(void)pthread_join(changer, NULL);
	assert_true(nr_changed >= 100);
}
#endif

/* An event for each type of CPU: one from its page, one by read(2), which is a pipe here. */
static void test_types(void **state)
{
	struct perf_event_mmap_page first = {.cap_user_rdpmc = 1, .pmc_width = 48, .offset = 100};
	struct tocsin_pmc pmc = {.nr = 2, .how = TOCSIN_PMC_THREAD_CLOCK};
	uint64_t other = 23, count = 0;
	int ends[2];

	(void)state;
	if (!rseq_thread_ready())
		skip();
	assert_int_equal(pipe(ends), 0);
	pmc.event[0].page = &first;
	pmc.event[0].fd = -1;
	pmc.event[1].fd = ends[0];
	assert_int_equal(write(ends[1], &other, sizeof(other)), sizeof(other));
	assert_int_equal(tocsin_pmc_read(&pmc, &count), 0);
	assert_int_equal(count, 123);
	assert_int_equal(tocsin_pmc_how(&pmc, NULL), TOCSIN_PMC_SYSCALL); /* not all by rdpmc */
	/* All from pages: no system call. */
	pmc.nr = 1;
	assert_int_equal(tocsin_pmc_read(&pmc, &count), 0);
	assert_int_equal(count, 100);
	assert_int_equal(tocsin_pmc_how(&pmc, NULL), TOCSIN_PMC_RDPMC);
	/* The kernel takes the permission back: the page is read no more, the descriptor is. */
	first.cap_user_rdpmc = 0;
	pmc.event[0].fd = ends[0];
	other = 101;
	assert_int_equal(write(ends[1], &other, sizeof(other)), sizeof(other));
	assert_int_equal(tocsin_pmc_read(&pmc, &count), 0);
	assert_int_equal(count, 101);
	assert_int_equal(tocsin_pmc_how(&pmc, NULL), TOCSIN_PMC_SYSCALL);
	/* Nor does the descriptor tell any more. */
	assert_int_equal(close(ends[1]), 0);
	errno = 77;
	assert_int_equal(tocsin_pmc_read(&pmc, &count), -EIO);
	assert_int_equal(errno, 77);
	assert_int_equal(count, 101);
	(void)close(ends[0]); /* a pipe that was read to its end */
}

static void burn(void)
{
	for (volatile unsigned i = 0; i < 1000000; i++) {
	}
}

/* Whatever this machine has: counts rise, and how is said. */
static void test_here(void **state)
{
	struct tocsin_pmc *pmc = NULL;
	const char *text = NULL;
	uint64_t before, after;
	int r;

	(void)state;
	assert_int_equal(tocsin_pmc_open((enum tocsin_pmc_event)99, &pmc), -EINVAL);
	r = tocsin_pmc_open(TOCSIN_PMC_CYCLES, &pmc);
	if (r == -EACCES)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(tocsin_pmc_read(pmc, &before), 0);
	assert_true(before < 100000000); /* since it was opened */
	burn();
	assert_int_equal(tocsin_pmc_read(pmc, &after), 0);
	assert_true(after > before + 100000);
	assert_in_range(tocsin_pmc_how(pmc, &text), TOCSIN_PMC_RDPMC, TOCSIN_PMC_THREAD_CLOCK);
	assert_non_null(text);
	print_message("# cycles: %s\n", text);
	assert_null(tocsin_pmc_close(pmc));
	r = tocsin_pmc_open(TOCSIN_PMC_INSTRUCTIONS, &pmc);
	assert_true(r == 0 || r == -EOPNOTSUPP || r == -EACCES);
	if (r == 0) {
		assert_int_not_equal(tocsin_pmc_how(pmc, NULL), TOCSIN_PMC_THREAD_CLOCK);
		(void)tocsin_pmc_close(pmc);
	}
	assert_null(tocsin_pmc_close(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_not_readable),
		cmocka_unit_test(test_inactive),
#if defined(__x86_64__)
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_changing_page),
#endif
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
