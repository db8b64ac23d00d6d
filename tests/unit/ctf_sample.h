/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_CTF_SAMPLE_H
#define TOCSIN_TESTS_CTF_SAMPLE_H

/* A small trace with a field of every kind, and streams of both classes. */

#include "ctf/class.h"

struct sample_all {
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	int32_t i32;
	int64_t i64;
	uint64_t x64;
	uint8_t colour;
	const char *str;
	struct ctf_strs strs;
	struct ctf_u64s x64s;
};

struct sample_text {
	const char *str;
};

static const char *const sample_colours[] = {"red", "a \"quoted\\ one", "caf\xc3\xa9"};
static const struct ctf_labels sample_labels = {sample_colours, 3};

/* clang-format off */
#define SAMPLE_FIELD(event, KIND, name) {#name, CTF_##KIND, offsetof(struct sample_##event, name), NULL}
/* clang-format on */

static const struct ctf_field sample_all_fields[] = {
	SAMPLE_FIELD(all, U8, u8),
	SAMPLE_FIELD(all, U16, u16),
	SAMPLE_FIELD(all, U32, u32),
	SAMPLE_FIELD(all, U64, u64),
	SAMPLE_FIELD(all, I32, i32),
	SAMPLE_FIELD(all, I64, i64),
	SAMPLE_FIELD(all, X64, x64),
	{"colour", CTF_ENUM, offsetof(struct sample_all, colour), &sample_labels},
	SAMPLE_FIELD(all, STR, str),
	SAMPLE_FIELD(all, STRS, strs),
	SAMPLE_FIELD(all, X64S, x64s),
};
static const struct ctf_field sample_text_fields[] = {SAMPLE_FIELD(text, STR, str)};

enum { SAMPLE_ALL, SAMPLE_TEXT, SAMPLE_FAR };

static const struct ctf_event_class sample_events[] = {
	{.name = "all",
	 .id = 7,
	 .field = sample_all_fields,
	 .nr_fields = sizeof(sample_all_fields) / sizeof(sample_all_fields[0])},
	{.name = "string", .id = 65534, .field = sample_text_fields, .nr_fields = 1},
	{.name = "far id", .id = 65535, .field = sample_text_fields, .nr_fields = 1},
};

static const struct ctf_stream_class sample_streams[] = {
	{.name = "plain", .event = sample_events, .nr_events = 3},
	{.name = "ring", .per_cpu = true, .event = sample_events, .nr_events = 3},
};

static const struct ctf_env sample_env[] = {{"note", "a \"b\" \\ \n \xff"}};

static const struct ctf_trace_class sample_trace = {
	.stream = sample_streams,
	.nr_streams = 2,
	.env = sample_env,
	.nr_env = 1,
	.realtime_offset_ns = -1,
};

#endif
