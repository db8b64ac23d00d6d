// SPDX-License-Identifier: MIT
/* Descriptions of events that a traced program wrote: which are refused, where payloads end, and
 * what becomes of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctf/metadata_event.h"
#include "tocsin/types.h"

/* A description with fields of these types, all called "x". */
struct sample {
	struct control_class class;
	struct control_field field[4];
	struct control_label label[2];
	char text[32];
};

#define TEXT(s) ((uint32_t)offsetof(struct sample, text) + (s))

static struct sample sample_make(unsigned nr_fields, const uint8_t *type)
{
	struct sample s = {
		.class = {.bytes = sizeof(s),
			  .level = 6,
			  .nr_fields = 4,
			  .nr_labels = 2,
			  .provider = TEXT(0),
			  .name = TEXT(2)},
		.text = "p\0n\0x\0a\0b",
	};

	for (unsigned i = 0; i < 4; i++)
		s.field[i] =
			(struct control_field){.type = i < nr_fields ? type[i] : TOCSIN_TYPE_U8,
					       .elem = TOCSIN_TYPE_U32,
					       .count = 3,
					       .name = TEXT(4)};
	s.label[0] = (struct control_label){.first = 0, .last = 1, .text = TEXT(6)};
	s.label[1] = (struct control_label){.first = 2, .last = 2, .text = TEXT(8)};
	return s;
}

static int check(const struct sample *s, size_t len)
{
	const char *why = NULL;
	int r = ctf_described_check(&s->class, len, &why);

	if (r)
		assert_non_null(why);
	return r;
}

static void test_check(void **state)
{
	struct sample good = sample_make(0, NULL), s = good;

	(void)state;
	assert_int_equal(check(&s, sizeof(s)), 0);
	assert_int_equal(check(&s, sizeof(s) - 1), -EBADMSG);
	assert_int_equal(check(&s, sizeof(s.class) - 1), -EBADMSG);
#define BAD(change)                                               \
	do {                                                      \
		s = good;                                         \
		s.change;                                         \
		assert_int_equal(check(&s, sizeof(s)), -EBADMSG); \
	} while (0)
	BAD(class.bytes = 8);
	BAD(class.bytes = UINT32_MAX);
	BAD(class.bytes -= 4);
	BAD(class.id = CONTROL_CLASSES);
	BAD(class.nr_fields = 255);
	BAD(class.nr_fields = TOCSIN_FIELDS_MAX);
	BAD(class.nr_labels = UINT32_MAX);
	BAD(class.nr_labels = 1000);
	BAD(class.name = UINT32_MAX);
	BAD(class.name = 0);
	BAD(class.provider = sizeof(s));
	BAD(field[3].name = UINT32_MAX - 1);
	BAD(field[1].type = 0);
	BAD(field[1].type = 255);
	BAD(label[1].text = 1u << 31);
	s = good;
	s.field[0].type = TOCSIN_TYPE_ARRAY;
	s.field[0].count = 0;
	assert_int_equal(check(&s, sizeof(s)), -EBADMSG);
	s.field[0].count = UINT32_MAX;
	assert_int_equal(check(&s, sizeof(s)), -EBADMSG);
	s.field[0].count = 3;
	s.field[0].elem = TOCSIN_TYPE_STRING;
	assert_int_equal(check(&s, sizeof(s)), -EBADMSG);
	s = good;
	s.field[2].flags = TOCSIN_FIELD_ENUM;
	s.field[2].first_label = 1;
	s.field[2].nr_labels = 2;
	assert_int_equal(check(&s, sizeof(s)), -EBADMSG);
	s = good;
	memset(s.text, 'y', sizeof(s.text)); /* no end anywhere */
	assert_int_equal(check(&s, sizeof(s)), -EBADMSG);
}

static void test_payload(void **state)
{
	const uint8_t types[] = {TOCSIN_TYPE_U16, TOCSIN_TYPE_SEQUENCE, TOCSIN_TYPE_STRING,
				 TOCSIN_TYPE_U64};
	struct sample s = sample_make(4, types);
	/* u16, pad, 2 elements, these, "ab", pad, u64 */
	_Alignas(8)
		uint8_t payload[40] = {1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 'a', 'b'};
	size_t end = 77;

	(void)state;
	assert_int_equal(ctf_described_payload(&s.class, 0, payload, 32, &end), 0);
	assert_int_equal(end, 32);
	assert_int_equal(ctf_described_payload(&s.class, 0, payload, 31, &end), -EBADMSG);
	payload[4] = 255; /* a sequence that is longer than the record */
	payload[7] = 255;
	assert_int_equal(ctf_described_payload(&s.class, 0, payload, 40, &end), -EBADMSG);
	memset(payload, 'x', sizeof(payload)); /* a text without an end */
	memset(payload + 4, 0, 4);
	assert_int_equal(ctf_described_payload(&s.class, 0, payload, 40, &end), -EBADMSG);
}

/* Contexts are padded to 8, also where the field behind them would fit before that. */
static void test_contexts(void **state)
{
	const uint8_t types[] = {TOCSIN_TYPE_STRING, TOCSIN_TYPE_U8, TOCSIN_TYPE_U8,
				 TOCSIN_TYPE_U8};
	struct sample s = sample_make(4, types);
	_Alignas(8) uint8_t payload[16] = {7, 7, 7, 7, 0, 0, 0, 0, 'a', 0, 1, 2, 3};
	size_t end = 0;

	(void)state;
	assert_int_equal(ctf_described_payload(&s.class, 1u << CONTEXT_TID, payload, 16, &end), 0);
	assert_int_equal(end, 13);
	assert_int_equal(ctf_described_payload(&s.class, 1u << CONTEXT_TID, payload, 6, &end),
			 -EBADMSG);
}

static void test_names(void **state)
{
	struct ctf_names names = {.nr = 0};

	(void)state;
	assert_string_equal(ctf_names_add(&names, "fd"), "_fd");
	assert_string_equal(ctf_names_add(&names, "a b;\n\xc3"), "_a_b___");
	assert_string_equal(ctf_names_add(&names, "fd"), "_fd_2");
	assert_string_equal(ctf_names_add(&names, "fd_2"), "_fd_2_2");
	assert_string_equal(ctf_names_add(&names, ""), "_");
}

static void test_metadata(void **state)
{
	const uint8_t types[] = {TOCSIN_TYPE_S8, TOCSIN_TYPE_BLOB, TOCSIN_TYPE_TEXT,
				 TOCSIN_TYPE_F64};
	struct sample s = sample_make(4, types);
	struct ctf_recorded_event event = {.class = &s.class, .id = 4097, .contexts = 3};
	struct ctf_recorded_stream stream = {
		.id = 1, .clock = CTF_CLOCK_MONOTONIC, .event = &event, .nr_events = 1};
	struct ctf_trace_class trace = {.realtime_offset_ns = 5};
	struct ctf_recorded rec = {.trace = &trace, .stream = &stream, .nr_streams = 1};
	char *text = NULL;
	size_t len;

	(void)state;
	s.field[0].flags = TOCSIN_FIELD_ENUM;
	s.field[0].nr_labels = 2;
	s.label[0].last = 1717; /* more than an s8 holds: readers would refuse it */
	s.label[1].text = s.label[0].text;
	memcpy(s.text, "p\"\0n", 4);
	s.class.name = TEXT(3);
	s.class.level = 4;
	assert_int_equal(check(&s, sizeof(s)), 0);
	assert_int_equal(ctf_recorded_metadata(&rec, &text, &len), 0);
	assert_int_equal(strlen(text), len);
	assert_non_null(strstr(text, "name = \"p\\\":nx\";"));
	assert_non_null(strstr(text, "id = 4097;"));
	assert_non_null(strstr(text, "loglevel = 4;"));
	assert_non_null(strstr(text, "u32 _tid;\n\t\tu32 _pid;\n\t} align(64);"));
	assert_null(strstr(text, "1717"));
	assert_non_null(strstr(text, "u32 ring;\n\t\tu32 pid;"));
	free(text);
	assert_int_equal(ctf_recorded_metadata_json(&rec, &text, &len), 0);
	assert_int_equal(strlen(text), len);
	assert_non_null(strstr(text, "\"name\":\"p\\\":nx\""));
	assert_null(strstr(text, "1717"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),    cmocka_unit_test(test_payload),
		cmocka_unit_test(test_contexts), cmocka_unit_test(test_names),
		cmocka_unit_test(test_metadata),
	};

	return cmocka_run_group_tests_name("described", tests, NULL, NULL);
}
