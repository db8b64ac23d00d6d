// SPDX-License-Identifier: MIT
/* Names of code made at run time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "unwind/perf_map.h"

static struct perf_map *map_of(const char *text)
{
	struct perf_map *m = NULL;

	assert_int_equal(perf_map_read(text, strlen(text), &m), 0);
	return m;
}

static void expect(const struct perf_map *m, uint64_t at, const char *name)
{
	const char *got = perf_map_find(m, at);

	if (!name)
		assert_null(got);
	else
		assert_string_equal(got ? got : "(none)", name);
}

static void test_lines(void **state)
{
	struct perf_map *m = map_of("7f00001000 40 LazyCompile:~add /srv/a.js:3\n"
				    "no number\n"
				    "7F00002000 10 last one"); /* without a newline */

	(void)state;
	expect(m, 0x7f00001000, "LazyCompile:~add /srv/a.js:3");
	expect(m, 0x7f0000103f, "LazyCompile:~add /srv/a.js:3");
	expect(m, 0x7f00001040, NULL);
	expect(m, 0x7f00000fff, NULL);
	expect(m, 0x7f0000200f, "last one");
	(void)perf_map_free(m);
}

/* Code is made again where other code was. */
static void test_overlaps(void **state)
{
	struct perf_map *m =
		map_of("1000 100 old\n1040 20 new\n3000 10 a\n3000 20 b\n5000 20 x\n4ff0 "
		       "20 y\n");

	(void)state;
	expect(m, 0x1000, "old");
	expect(m, 0x1040, "new");
	expect(m, 0x105f, "new");
	expect(m, 0x3005, "b");
	expect(m, 0x5000, "y");
	expect(m, 0x5010, "x");
	(void)perf_map_free(m);
}

static void test_nonsense(void **state)
{
	static const char *const texts[] = {"",
					    "\n",
					    "10",
					    "10 ",
					    "10 20",
					    "10 20 ",
					    "10 0 empty",
					    "ffffffffffffffff 2 wraps",
					    "10000000000000000 1 too long",
					    " 10 20 blank",
					    "10  20 blanks"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct perf_map *m = map_of(texts[i]);

		for (uint64_t at = 0; at < 64; at++)
			expect(m, at, NULL);
		expect(m, ~0ull, NULL);
		(void)perf_map_free(m);
	}
}

static void test_process(void **state)
{
	struct perf_map *m = NULL;
	char path[64];
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	assert_int_equal(perf_map_open(getpid(), &m), -ENOENT);
	f = fopen(path, "we");
	assert_non_null(f);
	(void)fprintf(f, "abc000 100 made\n");
	assert_int_equal(fclose(f), 0);
	assert_int_equal(perf_map_open(getpid(), &m), 0);
	expect(m, 0xabc0ff, "made");
	m = perf_map_free(m);
	if (geteuid() == 0) { /* of a third user: not believed */
		assert_int_equal(chown(path, 65534, 65534), 0);
		assert_int_equal(perf_map_open(getpid(), &m), -EPERM);
	}
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
