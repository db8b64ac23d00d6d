/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TYPES_H
#define TOCSIN_TYPES_H

/*
 * What a field of an event can be, and how loud an event is: the numbers that programs, the
 * library, the control page and the collector share. C11 and C++17. Numbers never change their
 * meaning; new ones come at the end.
 */

/* Scalars are in the record as they are in memory, little endian, aligned to their size. */
enum tocsin_type {
	TOCSIN_TYPE_NONE = 0,
	TOCSIN_TYPE_U8 = 1,
	TOCSIN_TYPE_U16 = 2,
	TOCSIN_TYPE_U32 = 3,
	TOCSIN_TYPE_U64 = 4,
	TOCSIN_TYPE_S8 = 5,
	TOCSIN_TYPE_S16 = 6,
	TOCSIN_TYPE_S32 = 7,
	TOCSIN_TYPE_S64 = 8,
	TOCSIN_TYPE_F32 = 9,
	TOCSIN_TYPE_F64 = 10,
	TOCSIN_TYPE_BOOL = 11,    /* one byte, 0 or 1 */
	TOCSIN_TYPE_POINTER = 12, /* 8 bytes, whatever the program's pointers are */
	TOCSIN_TYPE_STRING = 13,  /* UTF-8 and a zero byte, at most `count` bytes with it */
	TOCSIN_TYPE_ARRAY = 14,   /* exactly `count` elements of type `elem` */
	TOCSIN_TYPE_SEQUENCE =
		15,            /* u32 number of elements, then those, aligned; at most `count` */
	TOCSIN_TYPE_BLOB = 16, /* as a sequence of u8: bytes without a meaning known here */
	TOCSIN_TYPE_TEXT = 17  /* exactly `count` bytes of text, padded with zero bytes */
};

/* How a field is shown; says nothing about its bytes. */
enum tocsin_field_flags {
	TOCSIN_FIELD_HEX = 1, /* integers, and elements that are integers: to base 16 */
	TOCSIN_FIELD_ENUM = 2 /* an integer whose values have labels */
};

/* Louder is smaller; those of syslog, and one below. */
enum tocsin_level {
	TOCSIN_LEVEL_EMERG = 0,
	TOCSIN_LEVEL_ALERT = 1,
	TOCSIN_LEVEL_CRIT = 2,
	TOCSIN_LEVEL_ERROR = 3,
	TOCSIN_LEVEL_WARNING = 4,
	TOCSIN_LEVEL_NOTICE = 5,
	TOCSIN_LEVEL_INFO = 6,
	TOCSIN_LEVEL_DEBUG = 7,
	TOCSIN_LEVEL_TRACE = 8
};

#define TOCSIN_FIELDS_MAX 16

#endif
