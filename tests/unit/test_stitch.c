// SPDX-License-Identifier: MIT
/*
 * Which stack goes to which event, in the eighteen situations in which one can go to the wrong one.
 * Each case plays what the kernel half does, loses or delays what it says, and knows for every
 * event of which entry into the kernel it is: an attached stack must be of that entry. Where none
 * may be attached the reason is checked.
 *
 * Built three times: with the stitcher, where no stack may be wrong; and with two that know less
 * (STITCH_BROKEN 1: the cookie only, 2: the thread's id only), which must be found out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unwind/stitch.h"

#ifndef STITCH_BROKEN
#	define STITCH_BROKEN 0
#endif

#define SESSION 77

static unsigned nr_wrong, nr_right;

/* One CPU's count of cookies, as in the kernel half. */
static uint32_t counts[4];

static uint64_t cookie_take(unsigned cpu)
{
	uint64_t cookie = STACK_COOKIE(counts[cpu], cpu);

	counts[cpu] += 2;
	return cookie;
}

/* One entry of a thread into the kernel, with a request made in it. */
struct entry {
	struct stitch_key key;
	uint64_t asked_ns, walked_ns;
	int id; /* the stack that is right */
};

static int next_id = 1;
static uint64_t now_ns = 1000;

static struct entry enter(uint32_t tid, uint64_t start_ns, unsigned cpu)
{
	struct entry e = {.key = {.session = SESSION,
				  .cookie = cookie_take(cpu),
				  .thread_start_ns = start_ns,
				  .tid = tid},
			  .asked_ns = now_ns += 10,
			  .id = next_id++};

	e.walked_ns = now_ns += 10;
	return e;
}

static void stack_comes(struct stitch *s, const struct entry *e)
{
	int *stack = malloc(sizeof(*stack));

	assert_non_null(stack);
	*stack = e->id;
	stitch_put(s, &e->key, e->asked_ns, e->walked_ns, stack);
}

/* An event of an entry: its stack, or none for this reason. */
static void expect(struct stitch *s, const struct entry *e, bool is_there, enum stack_reason why)
{
	enum stack_reason got = STACK_COMPLETE;
	const int *stack = stitch_get(s, &e->key, e->asked_ns, &got);

	if (stack && *stack != e->id)
		nr_wrong++;
	nr_right += stack && *stack == e->id;
	if (STITCH_BROKEN)
		return;
	assert_int_equal(nr_wrong, 0);
	assert_int_equal(stack != NULL, is_there);
	if (!is_there)
		assert_int_equal(got, why);
}

static void expect_reason(struct stitch *s, enum stack_reason why)
{
	const struct entry e = {.key = {.session = SESSION, .cookie = why, .tid = 1}};

	expect(s, &e, false, why);
}

static struct stitch *fresh(void)
{
	struct stitch *s = stitch_new(SESSION, 64, free);

	assert_non_null(s);
	memset(counts, 0, sizeof(counts));
	return s;
}

#define CASE(name) static void name(struct stitch *s)

CASE(case_01_thread_id_reused)
{
	struct entry old = enter(100, 1, 0), new;

	counts[0] = 0; /* the new thread's cookie is the old one's */
	new = enter(100, 2, 0);
	assert_int_equal(old.key.cookie, new.key.cookie);
	stack_comes(s, &new); /* the old one's was never taken: it died */
	expect(s, &old, false, STACK_OTHER_THREAD);
	expect(s, &new, true, 0);
}

CASE(case_02_migrated_and_equal_counts)
{
	struct entry a = enter(100, 1, 0), b = enter(100, 1, 1), c = enter(101, 1, 1);

	assert_int_equal(a.key.cookie >> 32, b.key.cookie >> 32); /* and yet they differ */
	stack_comes(s, &c);
	stack_comes(s, &b);
	expect(s, &a, false, STACK_PENDING);
	stack_comes(s, &a); /* walked on the other CPU: the cookie is the request's */
	expect(s, &a, true, 0);
	expect(s, &b, true, 0);
	expect(s, &c, true, 0);
}

CASE(case_03_lost_records)
{
	struct entry first = enter(100, 1, 0), second = enter(100, 1, 0), third, fourth, old;

	stitch_lost(s, 1);
	stack_comes(s, &second); /* the first entry's stack and the second's request were lost */
	expect(s, &first, false, STACK_LOST);
	third = enter(100, 1, 0);
	expect(s, &third, false, STACK_LOST); /* only its stack */
	fourth = enter(100, 1, 0);
	stack_comes(s, &fourth); /* only its request: nobody asks */
	counts[0] = 0;           /* the count wraps: the same cookie, the same thread */
	old = enter(100, 1, 0);
	assert_int_equal(old.key.cookie, first.key.cookie);
	stack_comes(s, &old);
	expect(s, &first, false, STACK_OTHER_ENTRY);
	expect(s, &old, true, 0);
	old.key.session = SESSION - 1; /* the reader was started again */
	expect(s, &old, false, STACK_OTHER_SESSION);
	old.id = next_id++;
	stack_comes(s, &old); /* and its stack comes to the new session */
	old.key.session = SESSION;
	expect(s, &second, true, 0);
}

CASE(case_04_request_within_a_request)
{
	struct entry outer = enter(100, 1, 0), inner = outer, later;

	stack_comes(s, &outer);
	inner.asked_ns += 1; /* the same cookie, one stack for both */
	expect(s, &outer, true, 0);
	expect(s, &inner, true, 0);
	later = enter(100, 1, 0); /* during the walk: a second cookie for the same stack */
	later.id = outer.id;
	stack_comes(s, &later);
	expect(s, &later, true, 0);
}

CASE(case_05_several_requests_in_one_entry)
{
	struct entry one = enter(100, 1, 0), again, two;

	again = one;
	again.asked_ns += 3;
	two = enter(100, 1, 0); /* the same system call in a loop: another entry */
	stack_comes(s, &one);
	expect(s, &one, true, 0);
	expect(s, &again, true, 0);
	expect(s, &two, false, STACK_PENDING);
	stack_comes(s, &two);
	expect(s, &two, true, 0);
}

CASE(case_06_several_watches)
{
	struct entry ours = enter(100, 1, 0), theirs;

	counts[0] = 0; /* each watch counts by itself */
	theirs = enter(100, 1, 0);
	theirs.key.session = SESSION + 1;
	theirs.asked_ns = ours.asked_ns;
	theirs.walked_ns = ours.walked_ns;
	stack_comes(s, &theirs);
	expect(s, &ours, false, STACK_PENDING);
	expect_reason(s, STACK_NO_ROOM);
	stack_comes(s, &ours);
	expect(s, &ours, true, 0);
}

CASE(case_07_cancelled)
{
	struct entry e = enter(100, 1, 0), before = enter(100, 1, 0);

	stack_comes(s, &before);
	stitch_end(s);
	expect(s, &e, false, STACK_CANCELLED);
	expect(s, &before, true, 0);
}

CASE(case_08_exit_exec_fork)
{
	struct entry parent = enter(100, 1, 0), child;

	child = parent; /* a child inherits neither number nor start */
	child.key.tid = 101;
	child.key.thread_start_ns = 5;
	child.id = next_id++;
	stack_comes(s, &parent);
	expect(s, &child, false, STACK_PENDING);
	expect_reason(s, STACK_EXITED);
	expect_reason(s, STACK_EXECED);
}

CASE(case_09_no_user_code)
{
	expect_reason(s, STACK_NO_USER_CODE);
}

CASE(case_10_unreadable)
{
	expect_reason(s, STACK_UNREADABLE); /* the walker's own checks: test_unwind_walk */
}

CASE(case_11_no_memory_map)
{
	expect_reason(s, STACK_EXITED);
}

CASE(case_12_no_room)
{
	struct entry kept[65];

	for (int i = 0; i < 65; i++) { /* one more than there is room for */
		kept[i] = enter(100, 1, 0);
		stack_comes(s, &kept[i]);
	}
	stitch_lost(s, 1);
	expect(s, &kept[0], false, STACK_LOST);
	for (int i = 1; i < 65; i++)
		expect(s, &kept[i], true, 0);
	expect_reason(s, STACK_NO_ROOM);
}

CASE(case_13_word_size)
{
	expect_reason(s, STACK_WORD_SIZE);
}

CASE(case_14_mappings_changed)
{
	expect_reason(s, STACK_GONE); /* what is mapped at the walk is kept with the stack */
}

CASE(case_15_walked_late)
{
	struct entry stopped = enter(100, 1, 0), other = enter(101, 1, 0);

	stopped.walked_ns += 1000000000; /* stopped by a debugger meanwhile */
	stack_comes(s, &other);
	expect(s, &stopped, false, STACK_PENDING);
	stack_comes(s, &stopped);
	expect(s, &stopped, true, 0);
}

CASE(case_16_registers_moved)
{
	expect_reason(s, STACK_MOVED);
}

CASE(case_17_end_with_pending)
{
	struct entry e = enter(100, 1, 0);

	expect(s, &e, false, STACK_PENDING);
	stitch_end(s);
	expect(s, &e, false, STACK_CANCELLED);
}

CASE(case_18_other_stack_of_the_thread)
{
	struct entry coroutine = enter(100, 1, 0), own = enter(100, 1, 0);

	stack_comes(s, &own);
	stack_comes(s, &coroutine);
	expect(s, &coroutine, true, 0);
	expect(s, &own, true, 0);
}

#undef CASE

static void (*const cases[])(struct stitch *s) = {
	case_01_thread_id_reused,
	case_02_migrated_and_equal_counts,
	case_03_lost_records,
	case_04_request_within_a_request,
	case_05_several_requests_in_one_entry,
	case_06_several_watches,
	case_07_cancelled,
	case_08_exit_exec_fork,
	case_09_no_user_code,
	case_10_unreadable,
	case_11_no_memory_map,
	case_12_no_room,
	case_13_word_size,
	case_14_mappings_changed,
	case_15_walked_late,
	case_16_registers_moved,
	case_17_end_with_pending,
	case_18_other_stack_of_the_thread,
};

#define NR_CASES (sizeof(cases) / sizeof(cases[0]))

/* Return: how many stacks were attached to the wrong event. */
static unsigned play(size_t i)
{
	struct stitch *s = fresh();

	nr_wrong = 0;
	cases[i](s);
	(void)stitch_free(s);
	return nr_wrong;
}

static void test_cases(void **state)
{
	unsigned found = 0;

	(void)state;
	for (size_t i = 0; i < NR_CASES; i++) {
		unsigned wrong = play(i);

		if (wrong)
			print_message("# case %zu: %u wrong\n", i + 1, wrong);
		found += wrong != 0;
	}
	assert_true(STITCH_BROKEN || nr_right > 60);
	if (STITCH_BROKEN)
		assert_true(found >= 3);
	else
		assert_int_equal(found, 0);
}

/* Threads with few numbers, cookies with few values, half of all records lost: what is attached is
 * right, and most of what can be is. */
static void test_random(void **state)
{
	struct stitch *s = fresh();
	struct entry waiting[32];
	uint32_t random = 1;
	size_t nr = 0;

	(void)state;
	nr_wrong = nr_right = 0;
	for (int i = 0; i < 100000; i++) {
		unsigned pick;

		random = random * 1664525 + 1013904223;
		pick = random >> 8;
		if (pick % 64 == 0)
			counts[pick / 64 % 4] = 0;
		if (nr < 32 && pick & 1) {
			waiting[nr] = enter(100 + pick / 2 % 4, pick / 8 % 3, pick / 32 % 4);
			if (pick >> 12 & 1)
				stack_comes(s, &waiting[nr]);
			nr++;
		} else if (nr) {
			size_t at = pick / 2 % nr;
			enum stack_reason why;
			const int *stack =
				stitch_get(s, &waiting[at].key, waiting[at].asked_ns, &why);

			nr_wrong += stack && *stack != waiting[at].id;
			nr_right += stack && *stack == waiting[at].id;
			waiting[at] = waiting[--nr];
		}
	}
	(void)stitch_free(s);
	if (STITCH_BROKEN)
		assert_true(nr_wrong > 100);
	else
		assert_int_equal(nr_wrong, 0);
	assert_true(STITCH_BROKEN || nr_right > 10000);
	print_message("# random: %u right, %u wrong\n", nr_right, nr_wrong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
