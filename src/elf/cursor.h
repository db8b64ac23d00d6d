/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_CURSOR_H
#define TOCSIN_ELF_CURSOR_H

/* Reading the numbers of DWARF from hostile bytes: fixed sizes, LEB128, and pointers in the
 * encodings of .eh_frame. Little endian, as every file that elf_file_open() lets in. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Encodings of a pointer: low four bits the format, the next three what it is relative to. */
#define PE_OMIT   0xff
#define PE_PCREL  0x10
#define PE_FORMAT 0x0f

/* Reading stays inside; the first attempt to leave sets bad, and from then on everything reads as
 * 0. */
struct cursor {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t vaddr; /* of at */
	bool bad;
};

static inline uint64_t cursor_bytes(struct cursor *c, unsigned len)
{
	uint64_t v = 0;

	if (c->bad || (size_t)(c->end - c->at) < len) {
		c->bad = true;
		return 0;
	}
	memcpy(&v, c->at, len); /* little endian, checked when the file was opened */
	c->at += len;
	c->vaddr += len;
	return v;
}

static inline uint64_t cursor_leb(struct cursor *c, bool is_signed)
{
	unsigned shift = 0;
	uint64_t v = 0;
	uint8_t b;

	do {
		b = (uint8_t)cursor_bytes(c, 1);
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		shift += 7;
	} while ((b & 0x80) && !c->bad);
	if (is_signed && (b & 0x40) && shift < 64)
		v |= ~0ull << shift;
	return v;
}

static inline uint64_t cursor_sign_extend(uint64_t v, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(v << shift) >> shift);
}

static inline uint64_t cursor_encoded(struct cursor *c, uint8_t encoding)
{
	uint64_t base = 0, v;

	if ((encoding & 0x70) == PE_PCREL)
		base = c->vaddr;
	else if (encoding & 0xf0)
		c->bad = true;
	switch (encoding & PE_FORMAT) {
	case 0x00:
	case 0x04:
	case 0x0c: v = cursor_bytes(c, 8); break;
	case 0x01: v = cursor_leb(c, false); break;
	case 0x02: v = cursor_bytes(c, 2); break;
	case 0x03: v = cursor_bytes(c, 4); break;
	case 0x09: v = cursor_leb(c, true); break;
	case 0x0a: v = cursor_sign_extend(cursor_bytes(c, 2), 2); break;
	case 0x0b: v = cursor_sign_extend(cursor_bytes(c, 4), 4); break;
	default: c->bad = true; return 0;
	}
	return v ? base + v : 0;
}

static inline void cursor_skip(struct cursor *c, uint64_t len)
{
	if (c->bad || (uint64_t)(c->end - c->at) < len) {
		c->bad = true;
		return;
	}
	c->at += len;
	c->vaddr += len;
}

#endif
