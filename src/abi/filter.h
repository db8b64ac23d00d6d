/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_FILTER_H
#define TOCSIN_ABI_FILTER_H

/*
 * Filters: what `--where` becomes, evaluated in the traced process before a record is written. The
 * area of CONTROL_FILTER_BYTES in the control page holds a directory and programs.
 *
 *	0x0000 struct filter_ref[256]   place n: filter n; 0 is never used
 *	0x0800 programs, each at a multiple of 8
 *
 * A program is a row of tests. Each says where to go when it holds and when not: to a later test,
 * or to one of the two ends. Since no test goes backwards, a program of n tests ends after n steps
 * whatever its bytes are, and the evaluator checks each number that it uses, so that a page that
 * somebody scribbled over costs wrong answers, not a crash.
 *
 * Tests name fields, not places: one program serves every event class, and classes that come later
 * by dlopen() or in other processes. A name that begins with $ is a context (context.def).
 */

#include <linux/types.h>

#define FILTER_TESTS_MAX 64
#define FILTER_NAMES_MAX 16
#define FILTER_NAME_LEN  64 /* with its zero byte */
#define FILTER_FIRST_AT  0x800

/* A test of a field that the event does not have, or that cannot be compared with the literal (a
 * text with a number, an array with anything), does not hold, whatever the operation. */
enum filter_op {
	FILTER_EQ = 1,
	FILTER_LT = 2,
	FILTER_LE = 3,
	FILTER_MASK = 4, /* integers: value & bits is not zero */
	FILTER_GLOB = 5, /* texts: * and ?, and \ before what stands for itself */
	FILTER_HAS = 6,  /* the event has the field */
	FILTER_NE = 7,
	FILTER_GT = 8,
	FILTER_GE = 9,
	FILTER_NOT_GLOB = 10,
};

enum filter_literal {
	FILTER_LIT_S64 = 1, /* compared as numbers, whatever the signs of both sides */
	FILTER_LIT_U64 = 2,
	FILTER_LIT_F64 = 3, /* bits of a double */
	FILTER_LIT_TEXT =
		4, /* value: offset from the program's start << 32 | bytes, no zero byte */
};

#define FILTER_ACCEPT 0xffff
#define FILTER_REJECT 0xfffe

struct filter_test {
	__u8 op;      /* enum filter_op */
	__u8 literal; /* enum filter_literal */
	__u8 name;    /* place in the program's names */
	__u8 reserved;
	__u16 yes; /* number of the next test, larger than this one's, or an end */
	__u16 no;
	__u64 value;
};

/* Followed by nr_tests tests, nr_names offsets (u32, from the program's start) of zero-terminated
 * names, and the texts. */
struct filter_program {
	__u32 bytes; /* of all of it */
	__u16 nr_tests;
	__u16 nr_names;
};

struct filter_ref {
	__u32 offset; /* from the area's start; 0: no such filter */
	__u32 bytes;
};

#endif
