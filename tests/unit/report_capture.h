/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_REPORT_CAPTURE_H
#define TOCSIN_TESTS_REPORT_CAPTURE_H

/* A file in memory that a report is written to, and read back from. Include cmocka.h first. */

#include <sys/mman.h>
#include <unistd.h>

static inline int capture_open(void)
{
	int fd = memfd_create("capture", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* What was written so far, and an empty file again. Lent until the next call. */
static inline const char *capture_take(int fd)
{
	static char text[256 * 1024];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	assert_true(len >= 0);
	text[len] = '\0';
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return text;
}

#endif
