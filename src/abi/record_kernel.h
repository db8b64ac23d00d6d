/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_RECORD_KERNEL_H
#define TOCSIN_ABI_RECORD_KERNEL_H

/*
 * What the kernel half of `tocsin record` and its loader share. Rings are those of ring.h: a map a
 * CPU, whose value is
 *
 *	0                       struct ring_header, and struct kernel_ring_state in its page
 *	RING_HEADER_BYTES       data
 *	... + data_bytes        KERNEL_RING_SLACK: where a record that passes the end is put
 *				together before what is behind the end goes to the beginning
 *
 * A reader maps header and data as it does those of any ring. docs/formats/ring.md, "Kernel rings".
 */

#include <linux/types.h>

#include "ring.h"

#define KERNEL_RING_SLACK     12288u
#define KERNEL_RING_BYTES_MAX (256u << 20) /* the verifier follows no offset beyond 2^29 */
#define KERNEL_RING_STATE_AT  2048u        /* in the header's page */

/* Written by the kernel half alone; readers have no use for it. */
struct kernel_ring_state {
	/* Position behind the last record that is being made | number of writers in the middle of
	 * one, in the three lowest bits. Changed by compare-and-exchange only. */
	__u64 reserved;
	__u64 nested; /* records that were made while another was being made */
};

#define KERNEL_RING_WRITERS 7ull

/* clang-format off */
#define KIND(KIND, ctype, count, type, elem, flags) typedef ctype kernel_elem_##KIND;
#include "kernel_kinds.def"
#undef KIND
#define KIND(KIND, ctype, count, type, elem, flags) KERNEL_COUNT_##KIND = (count),
enum kernel_count {
#include "kernel_kinds.def"
};
#undef KIND
/* clang-format on */
typedef kernel_elem_U32 kernel_type_U32;
typedef kernel_elem_S32 kernel_type_S32;
typedef kernel_elem_U64 kernel_type_U64;
typedef kernel_elem_S64 kernel_type_S64;
typedef kernel_elem_BOOL kernel_type_BOOL;
typedef kernel_elem_TASK_STATE kernel_type_TASK_STATE;
typedef kernel_elem_SOFTIRQ kernel_type_SOFTIRQ;
typedef kernel_elem_BLOCK_OP kernel_type_BLOCK_OP;
typedef kernel_elem_SYSCALL_NR kernel_type_SYSCALL_NR;
typedef kernel_elem_TEXT16 kernel_type_TEXT16[KERNEL_COUNT_TEXT16];
typedef kernel_elem_TEXT32 kernel_type_TEXT32[KERNEL_COUNT_TEXT32];
typedef kernel_elem_STRING kernel_type_STRING[]; /* the last member */
typedef kernel_elem_ARGS kernel_type_ARGS[KERNEL_COUNT_ARGS];

/* Payloads: the fields as they stand in the record, behind the contexts. */
/* clang-format off */
#define EVENT(event, GROUP, name, text) struct kernel_event_##event {
#define FIELD(event, KIND, name) kernel_type_##KIND name;
#define END(event) } __attribute__((aligned(8)));
#include "kernel_events.def"

enum kernel_group {
#define GROUP(NAME, name, text) KERNEL_GROUP_##NAME,
#include "kernel_events.def"
	KERNEL_GROUP_NR,
};

enum kernel_event {
#define EVENT(event, GROUP, name, text) KERNEL_EVENT_##event,
#include "kernel_events.def"
	KERNEL_EVENT_NR,
};

enum kernel_loss {
#define X(NAME, name, text) KERNEL_LOSS_##NAME,
#include "kernel_losses.def"
#undef X
	KERNEL_LOSS_NR,
};
/* clang-format on */

#define KERNEL_FILENAME_MAX 256 /* bytes of a program's name with its zero byte */

/* How a record of any tracepoint becomes a payload: parts that are copied one behind the other. */
#define KERNEL_PLANS_MAX    1024
#define KERNEL_PARTS_MAX    24
#define KERNEL_VARIABLE_MAX 1024 /* bytes of one variable part */

enum kernel_part_kind {
	KERNEL_PART_FIXED,      /* `bytes` from `from` on */
	KERNEL_PART_STRING,     /* __data_loc at `from`: text, a zero byte is put behind it */
	KERNEL_PART_SEQUENCE,   /* the same: u32 number of elements of `bytes`, then those */
	KERNEL_PART_STRING_REL, /* __rel_loc: offsets count from behind that word */
	KERNEL_PART_SEQUENCE_REL,
};

struct kernel_part {
	__u16 kind; /* enum kernel_part_kind */
	__u16 from; /* offset in the tracepoint's record */
	__u16 align;
	__u16 bytes;
};

struct kernel_plan {
	__u32 id; /* of its records */
	__u32 nr_parts;
	struct kernel_part part[KERNEL_PARTS_MAX];
};

_Static_assert(sizeof(struct ring_header) <= KERNEL_RING_STATE_AT, "state behind the header");
_Static_assert(KERNEL_RING_STATE_AT + sizeof(struct kernel_ring_state) <= 4096,
	       "in its first page");
_Static_assert(sizeof(struct kernel_plan) == 8 + 8 * KERNEL_PARTS_MAX, "no holes");
_Static_assert(KERNEL_RING_SLACK % 4096 == 0 && KERNEL_RING_SLACK >= 2 * RING_RECORD_MAX,
	       "a record, and as much as the verifier believes behind its beginning");

#endif
