/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_META_H
#define TOCSIN_CTF_READ_META_H

/*
 * What the metadata of a trace says: the types of its packets and events, its clocks, where it was
 * made. Read from CTF 1.8's language (tsdl_*.c), plain or in packets, or from CTF 2's JSON
 * (read_json.c). read_plan.h makes it into something that decodes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/err.h"
#include "read_arena.h"

#define META_BYTES_MAX    ((size_t)256 << 20) /* of a metadata file */
#define META_MEMORY_MIN   ((size_t)64 << 20)  /* that one may be made into, */
#define META_MEMORY_TIMES 64 /* and this for each of its bytes: aliases may multiply */
#define META_DEPTH_MAX    24 /* types within types */

enum meta_kind {
	META_INT,
	META_FLOAT,
	META_ENUM, /* an integer whose values have names */
	META_STRING,
	META_STRUCT,
	META_VARIANT,
	META_ARRAY,
	META_SEQUENCE,
	META_BLOB, /* bytes that are no numbers, CTF 2 */
};

enum meta_order { META_NATIVE, META_LITTLE, META_BIG };

/* What a number means to the reader itself, beside being shown. */
enum meta_role {
	ROLE_NONE,
	ROLE_MAGIC,
	ROLE_STREAM_ID,
	ROLE_BEGIN,
	ROLE_END,
	ROLE_CONTENT_BITS,
	ROLE_PACKET_BITS,
	ROLE_DISCARDED,
	ROLE_SEQUENCE,
	ROLE_EVENT_ID,
	ROLE_NR,
};

struct meta_range {
	const char *label;
	uint64_t first, last; /* inclusive; the bits of int64_t where the type is signed */
};

struct meta_member {
	const char *name; /* for people: without the underscore that CTF 1.8 puts before it */
	const char *raw;  /* as the metadata writes it, for references */
	const struct meta_type *type;
	enum meta_role role;               /* CTF 2 says it; else it follows from name and place */
	const struct meta_range *selector; /* of a variant's option in CTF 2 */
	unsigned nr_selectors;             /* 0: the option is selected by its name */
};

struct meta_type {
	enum meta_kind kind;
	uint32_t align_bits; /* a power of two; that of a structure holds its members' */
	/* META_INT, META_ENUM, META_FLOAT */
	uint32_t size_bits;
	bool is_signed;
	bool is_text; /* an array of it is a string */
	enum meta_order order;
	unsigned base;                  /* for people: 2, 8, 10, 16 */
	const char *clock;              /* name of the clock that it is a time of; NULL: none */
	const struct meta_range *range; /* META_ENUM */
	unsigned nr_ranges;
	/* META_STRUCT, META_VARIANT */
	const struct meta_member *member;
	unsigned nr_members;
	/* META_ARRAY, META_SEQUENCE, META_BLOB */
	const struct meta_type *element;
	uint64_t length; /* META_ARRAY, META_BLOB without @ref */
	const char *ref; /* META_VARIANT: the tag; META_SEQUENCE, META_BLOB: the length */
};

struct meta_clock {
	const char *name;
	const char *description;
	uint64_t frequency_hz; /* at least 1 */
	int64_t offset_s;
	uint64_t offset_ticks;
	uint8_t uuid[16];
	bool has_uuid;
	struct meta_clock *next;
};

struct meta_env {
	const char *name;
	const char *text; /* NULL: it is a number */
	int64_t number;
	struct meta_env *next;
};

struct meta_event {
	const char *name;
	uint64_t id;
	uint64_t stream_id;
	int64_t level; /* LTTng's log level */
	bool has_id, has_level;
	const struct meta_type *context; /* NULL: none */
	const struct meta_type *payload; /* NULL: none */
	unsigned index;                  /* among all events of the trace */
	struct meta_event *next;
};

struct meta_stream {
	uint64_t id;
	bool has_id;
	const struct meta_type *packet_context;
	const struct meta_type *event_header;
	const struct meta_type *event_context;
	const char *clock; /* CTF 2 names it; NULL: the one that its times are mapped to */
	struct meta_event *event;
	unsigned nr_events;
	struct meta_stream *next;
};

struct meta {
	struct arena arena;
	unsigned version; /* 1 or 2 */
	enum meta_order order;
	uint8_t uuid[16];
	bool has_uuid;
	bool is_cut; /* the last packet of the metadata was not whole: what came before it is here
		      */
	const struct meta_type *packet_header;
	struct meta_clock *clock; /* in the order of the text, as the lists below */
	struct meta_env *env;
	struct meta_stream *stream;
	unsigned nr_events;
};

/**
 * meta_read() - read the metadata of a trace.
 * @bytes: the file, lent
 * @len:   its length
 * @file:  its name for diagnostics, lent
 * @ret_meta: to be given to meta_done()
 * @diag:  where and what, on failure; may be NULL
 *
 * Return: 0, or -EBADMSG malformed, -ENOTSUP of a kind that is not read, -EFBIG too large, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
int meta_read(const void *bytes, size_t len, const char *file, struct meta *ret_meta,
	      struct tocsin_diag *diag);

/** meta_done() - free what it holds and zero it. @m may be NULL. */
void meta_done(struct meta *m);

/** meta_env_find() - a value of the trace's environment, or NULL. */
const struct meta_env *meta_env_find(const struct meta *m, const char *name);

/** meta_clock_find() - the clock of a name, or NULL. @name may be NULL. */
const struct meta_clock *meta_clock_find(const struct meta *m, const char *name);

/** meta_label() - the name of an enumeration's value, or NULL when it has none. */
const char *meta_label(const struct meta_type *type, uint64_t value);

/* ---- for the parsers */

/**
 * meta_add_event() - hang an event into its stream, which is made when the text has not named it
 * yet.
 *
 * Return: 0, or -EEXIST the id is taken, -ENOMEM.
 */
int meta_add_event(struct meta *m, struct meta_event *event);

/** meta_stream_get() - the stream class of an id, made when it is new. Return: NULL: no memory. */
struct meta_stream *meta_stream_get(struct meta *m, uint64_t id);

/** meta_role_by_name() - what CTF 1.8 means by a field of this name in a packet's or event's head.
 */
enum meta_role meta_role_by_name(const char *name);

/** tsdl_parse() - CTF 1.8's language into @m, which is zeroed but for its arena. */
int tsdl_parse(struct meta *m, const char *text, size_t len, const char *file,
	       struct tocsin_diag *diag);

/** meta_read_json() - CTF 2's metadata stream into @m, which is zeroed but for its arena. */
int meta_read_json(struct meta *m, const char *text, size_t len, const char *file,
		   struct tocsin_diag *diag);

#endif
