/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_READ_PLAN_OPS_H
#define TOCSIN_CTF_READ_PLAN_OPS_H

/* The steps of a plan: made by read_plan.c and read_plan_skip.c, run by read_plan_run.c. */

#include <string.h>

#include "read_plan.h"

#define PLAN_LOOPS_MAX META_DEPTH_MAX /* arrays within arrays */

enum plan_code {
	PLAN_END,
	PLAN_INT,  /* whole bytes, size of a C type, little endian */
	PLAN_BITS, /* any other integer */
	PLAN_FLOAT,
	PLAN_STRING,  /* up to a zero byte */
	PLAN_TEXT,    /* array or sequence of characters */
	PLAN_OPEN,    /* a structure begins: align */
	PLAN_CLOSE,   /* ends */
	PLAN_LOOP,    /* array or sequence: its element's steps follow, up to PLAN_REPEAT */
	PLAN_REPEAT,  /* jump: to the step behind PLAN_LOOP */
	PLAN_VARIANT, /* one of the options that follow */
	PLAN_JUMP,    /* the end of an option: to PLAN_CLOSE of the variant */
};

struct plan_op {
	uint8_t code;
	uint8_t bits;
	uint8_t role;
	bool is_signed;
	bool is_big;
	bool is_time;  /* moves the clock */
	bool is_uuid;  /* PLAN_LOOP: the UUID of a packet's header */
	bool is_root;  /* PLAN_OPEN: a scope */
	bool is_plain; /* PLAN_INT: nothing but a value */
	uint8_t scope;
	uint16_t name_len;
	uint32_t align_bits;
	uint32_t slot;   /* where an integer goes that something refers to; PLAN_NO_SLOT */
	uint32_t from;   /* slot of a length or tag; PLAN_NO_SLOT: count is the length */
	uint32_t jump;   /* LOOP: the step behind its REPEAT */
	uint32_t option; /* VARIANT: the first of its options */
	uint32_t nr_options;
	uint64_t count;
	uint64_t element_min_bits; /* LOOP: an element is no smaller */
	uint64_t stride_bytes;     /* LOOP, TEXT: an element is always this long; 0: varies */
	const char *name;
	const struct meta_type *type;
};

struct plan_option {
	uint64_t first, last; /* inclusive */
	bool is_signed;
	uint32_t jump;
};

enum plan_skip_code {
	SKIP_END,
	SKIP_BYTES,  /* n */
	SKIP_ALIGN,  /* to n bytes */
	SKIP_STRING, /* n bytes, and a text behind them */
	SKIP_READ,   /* the integer of step `op`: somebody refers to it */
	SKIP_ARRAY,  /* as many as slot `op` says, each of n bytes */
};

struct plan_skip {
	uint32_t code;
	uint32_t op;
	uint64_t n;
};

/** plan_skip_make() - the short list of an event of whole bytes; leaves it NULL where there is
 * none. @start_bytes: what the place where it begins is a multiple of. Return: 0, or -ENOMEM. */
int plan_skip_make(struct plan *plan, uint64_t start_bytes);

/** plan_fill_make() - the short way to the values of an event that always has the same ones; leaves
 * it NULL where there is none. Return: 0, or -ENOMEM. */
int plan_fill_make(struct plan *plan);

/** plan_text_end() - the zero byte of a text, or NULL. Texts are short: eight bytes at a time, and
 * no call. */
static inline const uint8_t *plan_text_end(const uint8_t *p, const uint8_t *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t word, zero;

	for (; end - p >= 8; p += 8) {
		memcpy(&word, p, sizeof(word));
		zero = (word - ones) & ~word & (ones << 7);
		if (zero) /* the lowest mark is right; those above it may not be */
			return p + __builtin_ctzll(zero) / 8;
	}
	while (p < end && *p)
		p++;
	return p < end ? p : NULL;
}

/** plan_header_is_tocsin() - is it the header of a ring's record, which has a short way? */
bool plan_header_is_tocsin(const struct plan *plan, const struct meta_type *type);

/** plan_events_sort() - by their ids. Return: 0, or -EBADMSG two are the same, -ENOMEM. */
int plan_events_sort(struct plan_stream *s, struct tocsin_err *err);

#endif
