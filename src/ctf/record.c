// SPDX-License-Identifier: MIT
/*
 * One record, 8-byte header and payload, little endian:
 *
 *    0        2        4                8
 *    | id u16 | len u16| time, low u32  | payload ...                        compact,  id 0..65534
 *    | 65535  | len u16| id u32         | time u64        | payload ...      extended
 *
 * `len` counts 8-byte words, header included; it stands where CTF has padding, so that no reader of
 * CTF sees it, and a reader of rings can step over records without knowing what they are. Fields
 * are aligned to their size, strings end in a zero byte, and the record is padded to 8. The padding
 * behind the last record of a packet is not content of the packet: a reader of CTF looks for
 * another record wherever there is content left.
 *
 * An empty string is written as "-". Babeltrace before 2.0.5 shows for an empty string what that
 * field held in an earlier event (EfficiOS review 4528): a waker where there was none.
 */
#include "record.h"

#include <errno.h>
#include <string.h>

#include "../base/err.h"
#include "../base/utf8.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "traces are written in host order, which must be little endian");
_Static_assert(CTF_RECORD_MAX / CTF_RECORD_ALIGN <= UINT16_MAX,
	       "the length of a record fits its field");

#define X(NAME, ctype, tsdl, bytes, is_signed, base) \
	_Static_assert(sizeof(ctype) == (bytes), "kinds.def: the size of " #NAME);
#include "kinds.def"
#undef X

/* Writes until the room is used up; what comes then only sets `full`. */
struct cursor {
	uint8_t *buf;
	size_t len;
	size_t size;
	bool full;
};

static void put_bytes(struct cursor *c, const void *bytes, size_t len)
{
	if (len > c->size - c->len) {
		c->full = true;
		return;
	}
	memcpy(c->buf + c->len, bytes, len);
	c->len += len;
}

static void put_align(struct cursor *c, size_t align)
{
	static const uint8_t zero[CTF_RECORD_ALIGN];

	put_bytes(c, zero, (align - c->len % align) % align);
}

static void put_number(struct cursor *c, const void *value, size_t bytes)
{
	put_align(c, bytes);
	put_bytes(c, value, bytes);
}

/* Runs of good bytes are copied whole; only a bad one is looked at alone. */
static void put_string(struct cursor *c, const char *text)
{
	size_t len, good = 0, pos = 0;

	if (!text || !*text)
		text = "-";
	len = strlen(text);
	while (pos < len && !c->full) {
		uint32_t code;
		unsigned nr = utf8_step(text + pos, len - pos, &code);

		if (nr) {
			pos += nr;
			continue;
		}
		put_bytes(c, text + good, pos - good);
		put_bytes(c, UTF8_REPLACEMENT, sizeof(UTF8_REPLACEMENT) - 1);
		good = ++pos;
	}
	if (len > good)
		put_bytes(c, text + good, len - good);
	put_bytes(c, "", 1);
}

static void put_field(struct cursor *c, const struct ctf_field *field, const void *value)
{
	switch (field->kind) {
#define X(NAME, ctype, tsdl, bytes, is_signed, base) \
	case CTF_##NAME:                             \
		put_number(c, value, bytes);         \
		break;
#include "kinds.def"
#undef X
	case CTF_ENUM: put_number(c, value, 1); break;
	case CTF_STR: put_string(c, *(const char *const *)value); break;
	case CTF_STRS: {
		const struct ctf_strs *strs = value;

		put_number(c, &strs->nr, sizeof(strs->nr));
		for (uint32_t i = 0; i < strs->nr && !c->full; i++)
			put_string(c, strs->item[i]);
		break;
	}
	case CTF_X64S: {
		const struct ctf_u64s *u64s = value;

		put_number(c, &u64s->nr, sizeof(u64s->nr));
		/* CTF aligns an array as its elements, also when it has none. */
		put_align(c, sizeof(uint64_t));
		if (u64s->nr)
			put_bytes(c, u64s->item, (size_t)u64s->nr * sizeof(uint64_t));
		break;
	}
	}
}

int ctf_record_write(const struct ctf_event_class *class, const void *values, uint64_t t_ns,
		     bool extended, struct ctf_room room, size_t *ret_content_bytes)
{
	struct cursor c = {.buf = room.buf,
			   .size = room.size < CTF_RECORD_MAX ? room.size : CTF_RECORD_MAX};
	size_t content;
	uint16_t short_id, words = 0;

	extended = extended || class->id >= CTF_ID_EXTENDED;
	short_id = extended ? CTF_ID_EXTENDED : (uint16_t) class->id;
	put_bytes(&c, &short_id, sizeof(short_id));
	put_bytes(&c, &words, sizeof(words));
	if (extended) {
		put_bytes(&c, &class->id, sizeof(class->id));
		put_bytes(&c, &t_ns, sizeof(t_ns));
	} else {
		uint32_t low = (uint32_t)t_ns;

		put_bytes(&c, &low, sizeof(low));
	}
	for (unsigned i = 0; i < class->nr_fields; i++)
		put_field(&c, &class->field[i], (const uint8_t *)values + class->field[i].offset);
	content = c.len;
	put_align(&c, CTF_RECORD_ALIGN);
	if (c.full)
		return -E2BIG;
	words = (uint16_t)(c.len / CTF_RECORD_ALIGN);
	memcpy(room.buf + sizeof(short_id), &words, sizeof(words));
	*ret_content_bytes = content;
	return 0;
}
