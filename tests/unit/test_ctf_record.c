// SPDX-License-Identifier: MIT
/* Records, byte by byte, and the metadata that describes them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctf/metadata.h"
#include "ctf/record.h"
#include "ctf_sample.h"

static uint8_t buf[2 * CTF_RECORD_MAX];

static size_t write_text(unsigned event, const char *text, uint64_t t_ns, bool extended)
{
	struct sample_text values = {text};
	size_t len = 0;

	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(ctf_record_write(&sample_events[event], &values, t_ns, extended,
					  (struct ctf_room){buf, sizeof(buf)}, &len),
			 0);
	return len;
}

static void test_compact(void **state)
{
	static const uint8_t expected[] = {0xfe, 0xff, 2, 0, 0x44, 0x33, 0x22, 0x11, 'h',
					   'i',  0,    0, 0, 0,    0,    0,    0xee};

	(void)state;
	assert_int_equal(write_text(SAMPLE_TEXT, "hi", 0x9911223344, false), 8 + 3);
	assert_memory_equal(buf, expected, sizeof(expected));
}

static void test_extended(void **state)
{
	static const uint8_t expected[] = {0xff, 0xff, 3,    0,    0xfe, 0xff, 0,   0,   0x44,
					   0x33, 0x22, 0x11, 0x99, 0,    0,    0,   'h', 'i',
					   0,    0,    0,    0,    0,    0,    0xee};

	(void)state;
	assert_int_equal(write_text(SAMPLE_TEXT, "hi", 0x9911223344, true), 16 + 3);
	assert_memory_equal(buf, expected, sizeof(expected));
	/* An id that the compact header has no room for. */
	assert_int_equal(write_text(SAMPLE_FAR, "hi", 0x9911223344, false), 16 + 3);
	assert_int_equal(buf[4] | buf[5] << 8, 65535);
}

static void test_every_kind(void **state)
{
	static const char *const strs[] = {"x", NULL, "yz"};
	static const uint64_t u64s[] = {1, UINT64_MAX};
	const struct sample_all values = {.u8 = 0x81,
					  .u16 = 0x8283,
					  .u32 = 0x84858687,
					  .u64 = 0x88898a8b8c8d8e8full,
					  .i32 = -2,
					  .i64 = INT64_MIN,
					  .x64 = UINT64_MAX,
					  .colour = 200,
					  .str = "s",
					  .strs = {strs, 3},
					  .x64s = {u64s, 2}};
	/* clang-format off */
	static const uint8_t expected[] = {
		7, 0, 13, 0, 5, 0, 0, 0,
		0x81, 0, 0x83, 0x82, 0x87, 0x86, 0x85, 0x84,
		0x8f, 0x8e, 0x8d, 0x8c, 0x8b, 0x8a, 0x89, 0x88,
		0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0x80,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		200, 's', 0, 0, 3, 0, 0, 0,
		'x', 0, '-', 0, 'y', 'z', 0, 0,
		2, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 0, 0, 0, 0,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};
	/* clang-format on */
	struct sample_all empty = {.str = NULL};
	size_t len;

	(void)state;
	assert_int_equal(ctf_record_write(&sample_events[SAMPLE_ALL], &values, 5, false,
					  (struct ctf_room){buf, sizeof(buf)}, &len),
			 0);
	assert_int_equal(len, sizeof(expected));
	assert_int_equal(buf[2], sizeof(expected) / 8);
	buf[2] = 13;
	assert_memory_equal(buf, expected, sizeof(expected));
	/* Empty sequences still are aligned as their elements are. */
	assert_int_equal(ctf_record_write(&sample_events[SAMPLE_ALL], &empty, 5, false,
					  (struct ctf_room){buf, sizeof(buf)}, &len),
			 0);
	assert_int_equal(len, 8 + 40 + 8 + 8);
	assert_int_equal(buf[2], 8);
}

static void check_string(const char *text, const char *expected)
{
	size_t len = write_text(SAMPLE_TEXT, text, 0, false);

	assert_string_equal((const char *)buf + 8, expected);
	assert_int_equal(len, 8 + strlen(expected) + 1);
}

static void test_strings(void **state)
{
	(void)state;
	check_string("", "-");
	check_string(NULL, "-");
	check_string("-", "-");
	check_string("caf\xc3\xa9 \xf0\x9f\x94\x94", "caf\xc3\xa9 \xf0\x9f\x94\x94");
	check_string("a\x1b[31m\n", "a\x1b[31m\n");
	check_string("\xff", "\xef\xbf\xbd");
	check_string("a\xc3", "a\xef\xbf\xbd");
	check_string("\xc0\xaf"
		     "b",
		     "\xef\xbf\xbd\xef\xbf\xbd"
		     "b");
	check_string("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	check_string("\xf4\x90\x80\x80!", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!");
}

/* As long as can be, one byte longer, and every room that is too small: never a byte past the end.
 */
static void test_limits(void **state)
{
	static char text[CTF_RECORD_MAX];
	struct sample_text values = {text};
	size_t len = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[CTF_RECORD_MAX - 9] = '\0';
	assert_int_equal(write_text(SAMPLE_TEXT, text, 0, false), CTF_RECORD_MAX);
	assert_int_equal(buf[2] | buf[3] << 8, CTF_RECORD_MAX / 8);
	assert_int_equal(buf[CTF_RECORD_MAX], 0xee);
	text[CTF_RECORD_MAX - 9] = 'x';
	text[CTF_RECORD_MAX - 8] = '\0';
	assert_int_equal(ctf_record_write(&sample_events[SAMPLE_TEXT], &values, 0, false,
					  (struct ctf_room){buf, sizeof(buf)}, &len),
			 -E2BIG);
	assert_int_equal(len, 0);
	text[5] = '\0';
	for (size_t size = 0; size < 16; size++) {
		memset(buf, 0xee, sizeof(buf));
		assert_int_equal(ctf_record_write(&sample_events[SAMPLE_TEXT], &values, 0, false,
						  (struct ctf_room){buf, size}, &len),
				 -E2BIG);
		assert_int_equal(buf[size], 0xee);
	}
	assert_int_equal(ctf_record_write(&sample_events[SAMPLE_TEXT], &values, 0, false,
					  (struct ctf_room){buf, 16}, &len),
			 0);
}

/* A count of elements that no memory is behind: the room ends first, and the elements are not read.
 */
static void test_huge_count(void **state)
{
	static const char *const one = "x";
	struct sample_all values = {.strs = {&one, 1}, .x64s = {NULL, UINT32_MAX}};
	size_t len;

	(void)state;
	assert_int_equal(ctf_record_write(&sample_events[SAMPLE_ALL], &values, 0, false,
					  (struct ctf_room){buf, sizeof(buf)}, &len),
			 -E2BIG);
}

static void test_metadata(void **state)
{
	static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255};
	char *text = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(ctf_metadata_text(&sample_trace, uuid, &text, &len), 0);
	assert_int_equal(len, strlen(text));
	assert_ptr_equal(strstr(text, "/* CTF 1.8 */\n"), text);
	assert_non_null(strstr(text, "uuid = \"01020304-0506-0708-090a-0b0c0d0e0fff\";"));
	assert_non_null(strstr(text, "\tnote = \"a \\\"b\\\" \\\\ ? ?\";\n"));
	assert_non_null(strstr(text, "\toffset_s = -1;\n\toffset = 999999999;\n"));
	assert_non_null(strstr(
		text,
		"enum : u8 { \"red\" = 0, \"a \\\"quoted\\\\ one\" = 1, \"caf??\" = 2 } _colour;"));
	assert_non_null(
		strstr(text, "\t\tu32 __strs_length;\n\t\tstring _strs[ __strs_length ];\n"));
	assert_non_null(strstr(text, "name = \"far id\";\n\tid = 65535;\n\tstream_id = 1;"));
	for (const char *c = text; *c; c++)
		assert_true((unsigned char)*c < 0x7f &&
			    ((unsigned char)*c >= 0x20 || *c == '\n' || *c == '\t'));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compact),    cmocka_unit_test(test_extended),
		cmocka_unit_test(test_every_kind), cmocka_unit_test(test_strings),
		cmocka_unit_test(test_limits),     cmocka_unit_test(test_huge_count),
		cmocka_unit_test(test_metadata),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
