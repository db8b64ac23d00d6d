/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_PRINT_H
#define TOCSIN_REPORT_PRINT_H

/* The events of a trace, a line each: for people (print_text.c) or as JSON (print_json.c). */

#include "../trace/who.h"
#include "out.h"
#include "print_class.h"

enum print_time {
	PRINT_TIME_CLOCK,   /* 14:03:22.123456789, local */
	PRINT_TIME_DATE,    /* 2026-11-22 14:03:22.123456789, local */
	PRINT_TIME_SECONDS, /* 1795356202.123456789 */
};

struct print {
	struct out out;
	struct out_style style;
	bool is_json;
	bool is_flushed; /* each line at once */
	enum print_time time;
	uint64_t nr_events; /* printed */
	bool has_last;
	int64_t last_ns; /* time of the line before */
	int64_t second;  /* whose text is in `clock` */
	char clock[32];
	size_t clock_len;
	struct trace_packets packets;
	struct print_classes classes;
};

/** print_init() - for a descriptor, which stays the caller's. */
void print_init(struct print *p, int fd, struct out_style style);
void print_done(struct print *p);

/**
 * print_event() - one item of a trace, of whatever state but TRACE_WAIT and TRACE_END.
 *
 * Lines are written when some have come together, or at once with is_flushed.
 *
 * Return: 0, or -errno of the write (-EPIPE: the reader has gone), -ENOMEM.
 * Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int print_event(struct print *p, struct trace *t, const struct trace_event *e);

/** print_flush() - write what has come together. Return: as above. */
int print_flush(struct print *p);

/* ---- between its files */

/** print_is_plain() - has it no values below it? */
static inline bool print_is_plain(const struct ctf_value *v)
{
	return v->is_text || v->type->kind <= META_STRING;
}

/** print_is_length() - is it the length of the sequence behind it, which shows it? @end: behind the
 * values that stand beside @v */
bool print_is_length(const struct ctf_value *v, const struct ctf_value *end);

int print_text_line(struct print *p, struct trace *t, const struct trace_event *e);
int print_json_line(struct print *p, struct trace *t, const struct trace_event *e);

/*
 * Pieces of JSON from foreign text and numbers: strings are made valid UTF-8, and what could act on
 * a terminal is escaped; floats that are no numbers are strings.
 */
void print_json_key(struct out *o, const char *name); /* with a comma unless behind a '{' */
void print_json_string(struct out *o, const char *text, size_t len);
void print_json_float(struct out *o, double f);

/** print_json_members() - values from @v up to @end as members of a JSON object that is open. */
void print_json_members(struct out *o, const struct ctf_value *v, const struct ctf_value *end);

/** print_json_value() - one value and all below it, without its name. */
void print_json_value(struct out *o, const struct ctf_value *v);

#endif
