// SPDX-License-Identifier: MIT
/*
 * OpenTelemetry's trace data as OTLP/JSON
 * (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding), a line of
 * ExportTraceServiceRequest for each violation: the collector's file receiver takes it as it is. A
 * violation is a span of status ERROR, its spells are spans below it. 64-bit integers are strings,
 * as the encoding has them; ids are made of what identifies a violation, so that the same trace
 * gives the same ids.
 */
#include <stdio.h>

#include "internal.h"

struct span {
	struct export *e;
	unsigned nr;
};

static void attribute_str(struct out *o, const char *key, const char *text)
{
	json_open(o, NULL, '{');
	json_str(o, "key", key);
	json_open(o, "value", '{');
	json_str(o, "stringValue", text);
	json_close(o, '}');
	json_close(o, '}');
}

static void attribute_u64(struct out *o, const char *key, uint64_t value)
{
	char digits[24];

	(void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	json_open(o, NULL, '{');
	json_str(o, "key", key);
	json_open(o, "value", '{');
	/* A value over 2^63 - 1 is no int64: its digits are text. */
	json_str(o, value <= INT64_MAX ? "intValue" : "stringValue", digits);
	json_close(o, '}');
	json_close(o, '}');
}

static void id_put(struct out *o, const char *name, uint64_t high, uint64_t low, bool is_long)
{
	char hex[40];

	if (is_long)
		(void)snprintf(hex, sizeof(hex), "%016llx%016llx", (unsigned long long)high,
			       (unsigned long long)low);
	else
		(void)snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)low);
	json_str(o, name, hex);
}

/* splitmix64 (https://prng.di.unimi.it/splitmix64.c): an id must not be zero, and should look like
 * none of its neighbours. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return (x ^ (x >> 31)) ?: 1;
}

static uint64_t span_id(const struct violation *v, unsigned nr)
{
	return mix(mix(v->raw.start_ns ^ (uint64_t)v->raw.tid << 32) + mix(v->number) + nr);
}

static void time_put(struct out *o, const char *name, const struct violation *v, uint64_t t_ns)
{
	char digits[24];

	(void)snprintf(digits, sizeof(digits), "%lld", (long long)t_ns + v->realtime_offset_ns);
	json_str(o, name, digits);
}

static void span_open(struct out *o, const struct violation *v, unsigned nr, const char *name,
		      uint64_t begin_ns, uint64_t end_ns)
{
	json_open(o, NULL, '{');
	id_put(o, "traceId", mix(v->number), span_id(v, 0), true);
	id_put(o, "spanId", 0, span_id(v, nr), false);
	if (nr)
		id_put(o, "parentSpanId", 0, span_id(v, 0), false);
	json_str(o, "name", name);
	json_u64(o, "kind", 1); /* internal */
	time_put(o, "startTimeUnixNano", v, begin_ns);
	time_put(o, "endTimeUnixNano", v, end_ns);
	json_open(o, "attributes", '[');
}

static int stretch_put(void *context, const struct violation *v, const struct stretch *s)
{
	struct span *span = context;
	struct out *o = &span->e->line;
	char comm[FIELD_NAME_LEN];

	if (!s->spell)
		return 0;
	span_open(o, v, ++span->nr, STATE_NAME(s->state), s->begin_ns, s->end_ns);
	attribute_str(o, "tocsin.cause", CAUSE_NAME(s->kind));
	if (s->spell->syscall)
		attribute_str(o, "tocsin.syscall", s->spell->syscall);
	if (s->state == TS_BLOCKED && s->spell->raw.waker_tid) {
		attribute_str(o, "tocsin.waker", NAME_COPY(s->spell->raw.waker_comm, comm));
		attribute_u64(o, "tocsin.waker.pid", s->spell->raw.waker_tgid);
	}
	json_close(o, ']');
	json_close(o, '}');
	return 0;
}

static int otlp_violation(struct export *e, const struct violation *v)
{
	struct span span = {.e = e};
	struct out *o = &e->line;
	char comm[FIELD_NAME_LEN];

	json_open(o, NULL, '{');
	json_open(o, "resourceSpans", '[');
	json_open(o, NULL, '{');
	json_open(o, "resource", '{');
	json_open(o, "attributes", '[');
	attribute_str(o, "service.name", NAME_COPY(v->raw.comm, comm));
	attribute_u64(o, "process.pid", v->raw.tgid);
	json_close(o, ']');
	json_close(o, '}');
	json_open(o, "scopeSpans", '[');
	json_open(o, NULL, '{');
	json_open(o, "scope", '{');
	json_str(o, "name", "tocsin");
	json_close(o, '}');
	json_open(o, "spans", '[');
	span_open(o, v, 0, v->section, v->raw.start_ns, v->raw.end_ns);
	attribute_u64(o, "thread.id", v->raw.tid);
	attribute_u64(o, "tocsin.budget_ns", v->budget_ns);
	for (unsigned i = 0; i < TS_NR; i++) {
		char key[48];

		(void)snprintf(key, sizeof(key), "tocsin.split.%s_ns", state_names[i]);
		attribute_u64(o, key, v->raw.split_ns[i]);
	}
	json_close(o, ']');
	json_open(o, "status", '{');
	json_u64(o, "code", 2); /* error */
	json_str(o, "message", v->verdict);
	json_close(o, '}');
	json_close(o, '}');
	(void)export_stretches(v, stretch_put, &span); /* always 0 */
	json_close(o, ']');
	json_close(o, '}');
	json_close(o, ']');
	json_close(o, '}');
	json_close(o, ']');
	json_close(o, '}');
	out_add(o, "\n");
	return export_element(e, "");
}

const struct export_ops export_otlp = {.violation = otlp_violation};
