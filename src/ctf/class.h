/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_CLASS_H
#define TOCSIN_CTF_CLASS_H

/*
 * What a trace can hold: streams of events of fields, as constant tables. The metadata text and the
 * bytes of a record are both made from these tables, so that the two cannot disagree. A table is
 * best made from a .def list that also makes the C struct whose members the fields are
 * (report/trace.def is one).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Strings, one after the other. */
struct ctf_strs {
	const char *const *item; /* lent; NULL items are empty strings */
	uint32_t nr;
};

struct ctf_u64s {
	const uint64_t *item; /* lent */
	uint32_t nr;
};

enum ctf_kind {
#define X(NAME, ctype, tsdl, bytes, is_signed, base) CTF_##NAME,
#include "kinds.def"
#undef X
	CTF_ENUM, /* uint8_t; the metadata names its values */
	CTF_STR,  /* const char *, terminated; NULL is the empty string, which is written as "-" */
	CTF_STRS, /* struct ctf_strs */
	CTF_X64S, /* struct ctf_u64s, shown in hexadecimal */
};

/* The C type of a field of each kind, for lists that make structs. */
#define X(NAME, ctype, tsdl, bytes, is_signed, base) typedef ctype ctf_type_##NAME;
#include "kinds.def"
#undef X
typedef const char *ctf_type_STR;
typedef struct ctf_strs ctf_type_STRS;
typedef struct ctf_u64s ctf_type_X64S;

struct ctf_labels {
	const char *const *label; /* of value 0, 1, ... */
	unsigned nr;
};

struct ctf_field {
	const char *name; /* a C identifier */
	enum ctf_kind kind;
	size_t offset;                   /* of the member in the struct of values */
	const struct ctf_labels *labels; /* CTF_ENUM only */
};

struct ctf_event_class {
	const char *name;
	const struct ctf_field *field;
	unsigned nr_fields;
	uint32_t id; /* unique in its stream class */
};

struct ctf_stream_class {
	const char *name; /* files are NAME_0, NAME_1, ... */
	bool per_cpu;     /* its packets say which CPU or ring they come from */
	const struct ctf_event_class *event;
	unsigned nr_events;
};

/* What the trace says about where it was made: `env` of the metadata. */
struct ctf_env {
	const char *name; /* a C identifier */
	const char *value;
};

struct ctf_trace_class {
	const struct ctf_stream_class *stream; /* the index is the stream id */
	unsigned nr_streams;
	const struct ctf_env *env;
	unsigned nr_env;
	int64_t realtime_offset_ns; /* CLOCK_REALTIME minus CLOCK_MONOTONIC */
};

#endif
