// SPDX-License-Identifier: MIT
/* Reading traces: metadata that is wrong is refused with its place, times are exact, conditions
 * mean what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctf/read_clock.h"
#include "ctf/read_plan.h"
#include "trace/where.h"

#define HEAD "trace { major = 1; minor = 8; byte_order = le; };\n"
#define U8   "integer { size = 8; align = 8; signed = 0; }"

static int read_text(const char *text, struct tocsin_diag *diag, struct tocsin_err *err)
{
	struct plan_trace plan;
	struct meta meta;
	int r = meta_read(text, strlen(text), "m", &meta, diag);

	if (r < 0)
		return r;
	r = plan_make(&meta, &plan, err);
	if (r == 0)
		plan_done(&plan);
	meta_done(&meta);
	return r;
}

static void metadata_refused(void **state)
{
	static const struct {
		const char *text, *says;
		int r;
		unsigned line, column;
	} cases[] = {
		{"", "empty", -EBADMSG, 0, 0},
		{HEAD, "no stream", -EBADMSG, 0, 0},
		{HEAD "stream { id = 0; event.header := string; };", "expected a structure",
		 -EBADMSG, 2, 34},
		{HEAD "stream { id = -1; };", "negative number", -EBADMSG, 2, 15},
		{HEAD "stream { id = 0; };\nstream { id = 0; };", "described twice", -EBADMSG, 3,
		 8},
		{HEAD "streem { };", "expected a block", -EBADMSG, 2, 1},
		{HEAD "event { fields := struct { nothing x; }; };", "unknown type 'nothing'",
		 -EBADMSG, 2, 28},
		{HEAD "event { fields := struct { integer { align = 8; } x; }; };",
		 "without a size", -EBADMSG, 2, 36},
		{HEAD "event { fields := struct { integer { size = 65; } x; }; };", "1 to 64",
		 -EBADMSG, 2, 45},
		{HEAD "event { fields := struct { integer { size = 8; align = 3; } x; }; };",
		 "power of two", -EBADMSG, 2, 56},
		{HEAD "event { name = \"open", "string without an end", -EBADMSG, 2, 16},
		{HEAD "/* open", "comment without an end", -EBADMSG, 2, 1},
		{HEAD "clock { name = a; freq = 0; };", "frequency", -EBADMSG, 2, 26},
		{"trace { major = 2; };", "not version 1.8", -ENOTSUP, 1, 17},
		{HEAD "event { id = 99999999999999999999; };", "over 64 bits", -EBADMSG, 2, 33},
		{HEAD "event { id = 1 };", "expected ';'", -EBADMSG, 2, 16},
	};
	char deep[4096] = HEAD "event { fields := ";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tocsin_diag diag = {0};
		int r = read_text(cases[i].text, &diag, NULL);

		if (r != cases[i].r || !strstr(diag.text, cases[i].says) ||
		    diag.line != cases[i].line || diag.column != cases[i].column)
			fail_msg("case %zu: %d '%s' at %u:%u", i, r, diag.text, diag.line,
				 diag.column);
	}
	for (int i = 0; i < 100; i++)
		(void)snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep), "struct { ");
	assert_int_equal(read_text(deep, NULL, NULL), -ENOTSUP);
}

static void plan_refused(void **state)
{
	static const struct {
		const char *text, *says;
		int r;
	} cases[] = {
		{HEAD "event { fields := struct { " U8 " x[n]; }; };", "no field 'n'", -EBADMSG},
		{HEAD "event { fields := struct { string n; " U8 " x[n]; }; };", "no integer",
		 -EBADMSG},
		{HEAD "event { fields := struct { struct {} x[8]; }; };", "may be empty", -ENOTSUP},
		{HEAD "event { id = 1; }; event { id = 1; };", "two events 1", -EBADMSG},
		{HEAD
		 "stream { id = 0; event.header := struct { integer { size = 8; map = clock.c.value; } t; }; };",
		 "no clock 'c'", -EBADMSG},
		/* 2^30 fields out of a few lines */
		{HEAD
		 "typealias struct { " U8 " a; " U8
		 " b; } := t0; typealias struct { t0 a; t0 b; t0 c; t0 d; t0 e; t0 f; t0 g; t0 h; } := t1;"
		 "typealias struct { t1 a; t1 b; t1 c; t1 d; t1 e; t1 f; t1 g; t1 h; } := t2;"
		 "typealias struct { t2 a; t2 b; t2 c; t2 d; t2 e; t2 f; t2 g; t2 h; } := t3;"
		 "typealias struct { t3 a; t3 b; t3 c; t3 d; t3 e; t3 f; t3 g; t3 h; } := t4;"
		 "event { fields := struct { t4 a; t4 b; t4 c; t4 d; t4 e; t4 f; t4 g; t4 h; }; };",
		 "too much", -ENOTSUP},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tocsin_diag diag = {0};
		struct tocsin_err err = {0};
		char text[TOCSIN_ERR_CAUSES * TOCSIN_ERR_CAUSE_LEN];
		int r = read_text(cases[i].text, &diag, &err);

		(void)tocsin_err_text(&err, text, sizeof(text));
		if (r != cases[i].r || !strstr(text, cases[i].says))
			fail_msg("case %zu: %d '%s' '%s'", i, r, text, diag.text);
	}
}

/* Against a division of 128 bits, over frequencies that do not divide 10^9. */
static void clock_exact(void **state)
{
	static const uint64_t frequencies[] = {1,          3,          1000,
					       999999937,  1000000000, 1999999901,
					       2999999999, 5000000000, (1ull << 41) + 1};
	uint64_t random = 88172645463325252u;

	(void)state;
	for (size_t i = 0; i < sizeof(frequencies) / sizeof(frequencies[0]); i++) {
		struct meta_clock meta = {
			.frequency_hz = frequencies[i], .offset_s = -5, .offset_ticks = 7};
		struct ctf_clock clock;
		uint64_t ticks = 0;

		ctf_clock_init(&clock, &meta);
		for (int k = 0; k < 20000; k++) {
			unsigned __int128 n;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			ticks = (ticks + (random >> (random % 48))) &
				((UINT64_C(1) << 33) * frequencies[i] - 1);
			n = ((unsigned __int128)ticks + 7) * 1000000000;
			assert_true(ctf_clock_ns(&clock, ticks) ==
				    (int64_t)((uint64_t)(n / frequencies[i]) - 5000000000u));
		}
	}
}

static const struct meta_type u64_type = {.kind = META_INT, .size_bits = 64};
static const struct meta_type i32_type = {.kind = META_INT, .size_bits = 32, .is_signed = true};
static const struct meta_type text_type = {.kind = META_STRING};
static const struct meta_type struct_type = {.kind = META_STRUCT};

static bool holds(const char *text)
{
	struct ctf_value item[] = {
		{.type = &struct_type, .nr_below = 1, .scope = SCOPE_STREAM_CONTEXT},
		{.name = "tid", .name_len = 3, .type = &u64_type, .u = 77},
		{.type = &struct_type, .nr_below = 5, .scope = SCOPE_PAYLOAD},
		{.name = "big",
		 .name_len = 3,
		 .type = &u64_type,
		 .u = UINT64_MAX,
		 .scope = SCOPE_PAYLOAD},
		{.name = "neg", .name_len = 3, .type = &i32_type, .i = -5, .scope = SCOPE_PAYLOAD},
		{.name = "peer",
		 .name_len = 4,
		 .type = &text_type,
		 .is_text = true,
		 .text = "10.0.0.1",
		 .len = 8,
		 .scope = SCOPE_PAYLOAD},
		{.name = "in",
		 .name_len = 2,
		 .type = &struct_type,
		 .nr_below = 1,
		 .scope = SCOPE_PAYLOAD},
		{.name = "x", .name_len = 1, .type = &u64_type, .u = 3, .scope = SCOPE_PAYLOAD},
	};
	const struct ctf_values values = {.item = item, .nr = sizeof(item) / sizeof(item[0])};
	struct tocsin_err err = {0};
	struct where *w;
	bool is_true;

	if (where_parse(text, &w, &err) < 0)
		fail_msg("'%s': %s", text, err.cause[0]);
	is_true = where_holds(w, &values);
	(void)where_free(w);
	return is_true;
}

static void conditions(void **state)
{
	static const char *const yes[] = {
		"big == 18446744073709551615", "big > 0", "neg < 0", "neg == -5", "neg >= -5",
	};
	struct where *w;

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(holds(yes[i]));
	assert_false(holds("neg > 0"));
	assert_false(holds("big < 0"));
	assert_true(holds("neg < 0x10 && big & 1"));
	assert_true(holds("peer ~ '10.*' && !(peer ~ \"11*\")"));
	assert_true(holds("peer !~ '11.*'"));
	assert_true(holds("peer > \"10.0.0.0\" && peer < '10.0.0.10'"));
	assert_true(holds("$tid == 77 && tid == 77 && in.x == 3 && in"));
	assert_false(holds("$big == 1 || nothing == 0 || nothing != 0 || x"));
	assert_true(holds("big == 1 || neg == -5 && peer"));
	assert_false(holds("(big == 1 || neg == -5) && nothing"));
	assert_true(holds("!!(!nothing)"));
	assert_true(holds("neg < -4.5 && neg > -5.5"));
	assert_int_equal(where_parse("", &w, NULL), -EINVAL);
	assert_int_equal(where_parse("a ==", &w, NULL), -EINVAL);
	assert_int_equal(where_parse("a == 1)", &w, NULL), -EINVAL);
	assert_int_equal(where_parse("((a)", &w, NULL), -EINVAL);
	assert_int_equal(where_parse("a == 'x", &w, NULL), -EINVAL);
	assert_int_equal(where_parse("a b", &w, NULL), -EINVAL);
	assert_int_equal(where_parse("a ~ 3", &w, NULL), -EINVAL);
	assert_int_equal(where_parse("a == 18446744073709551616", &w, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metadata_refused),
		cmocka_unit_test(plan_refused),
		cmocka_unit_test(clock_exact),
		cmocka_unit_test(conditions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
