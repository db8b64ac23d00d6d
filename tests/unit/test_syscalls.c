// SPDX-License-Identifier: MIT
/* The table of system calls against the C library's own numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>

#include "abi/syscalls.h"

static void test_known(void **state)
{
	static const struct {
		const char *name;
		int nr;
	} known[] = {
		{"read", SYS_read},
		{"futex", SYS_futex},
		{"fdatasync", SYS_fdatasync},
		{"epoll_pwait", SYS_epoll_pwait},
		{"clock_nanosleep", SYS_clock_nanosleep},
		{"fcntl", SYS_fcntl},
		{"io_uring_enter", SYS_io_uring_enter},
		{"execve", SYS_execve},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_int_equal(syscall_number(known[i].name), known[i].nr);
		assert_string_equal(syscall_name(known[i].nr), known[i].name);
	}
}

static void test_unknown(void **state)
{
	(void)state;
	assert_null(syscall_name(-1));
	assert_null(syscall_name(LONG_MIN));
	assert_null(syscall_name(LONG_MAX));
	assert_null(syscall_name(syscall_limit()));
	assert_int_equal(syscall_number(""), -ENOENT);
	assert_int_equal(syscall_number("raed"), -ENOENT);
	assert_int_equal(syscall_number("syscalls"), -ENOENT); /* the header's own bookkeeping */
}

static void test_all(void **state)
{
	unsigned named = 0;

	(void)state;
	for (long nr = 0; nr < syscall_limit(); nr++) {
		const char *name = syscall_name(nr);

		if (!name)
			continue;
		named++;
		assert_int_equal(syscall_number(name), nr); /* no name twice */
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
				 strlen(name));
	}
	assert_true(named > 250);
	assert_non_null(syscall_name(syscall_limit() - 1));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_all),
	};

	return cmocka_run_group_tests_name("syscalls", tests, NULL, NULL);
}
