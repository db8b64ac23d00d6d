// SPDX-License-Identifier: MIT
/* Writing behind a recording: windows, what fails, and what leaves the page cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "collector/record_behind.h"

#define WINDOW RECORD_BEHIND_WINDOW

static void whole_windows_only(void **state)
{
	struct record_behind *b = NULL;
	uint64_t from = 0;
	int r;

	(void)state;
	record_behind_wrote(&b, -1, &from, WINDOW - 1);
	assert_int_equal(from, 0);
	assert_null(b); /* a small recording has no thread for it */
	record_behind_wrote(&b, -1, &from, 3 * WINDOW + 5);
	assert_int_equal(from, 3 * WINDOW);
	b = record_behind_close(b, &r);
	assert_null(b);
	assert_int_equal(r, 0); /* no descriptor: left to the kernel */
	assert_null(record_behind_close(NULL, &r));
}

static void what_the_disk_refuses_is_told(void **state)
{
	struct record_behind *b = NULL;
	int fds[2], r = 0;
	uint64_t from = 0;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	/* A pipe takes no such call, as a disk that failed does not. */
	for (unsigned i = 0; i < 1000 && !r; i++) {
		struct timespec t = {.tv_nsec = 1000000};

		record_behind_wrote(&b, fds[1], &from, from + WINDOW);
		(void)nanosleep(&t, NULL);
		if (i > 2)
			b = record_behind_close(b, &r);
	}
	assert_int_equal(r, -ESPIPE);
	assert_int_equal(close(fds[0]) | close(fds[1]), 0);
}

static void duplicates_are_closed(void **state)
{
	char path[] = "/tmp/test-record-behind-XXXXXX";
	struct record_behind *b = NULL;
	int fd = mkstemp(path), after, r;
	uint64_t from = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ftruncate(fd, 300 * (off_t)WINDOW), 0);
	record_behind_wrote(&b, fd, &from, 300 * WINDOW); /* more than the queue takes */
	assert_int_equal(from, 300 * WINDOW);
	b = record_behind_close(b, &r);
	assert_int_equal(r, 0);
	after = dup(fd);
	assert_int_equal(after, fd + 1);
	assert_int_equal(close(after) | close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_windows_only),
		cmocka_unit_test(what_the_disk_refuses_is_told),
		cmocka_unit_test(duplicates_are_closed),
	};

	return cmocka_run_group_tests_name("record_behind", tests, NULL, NULL);
}
