/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_RECORD_H
#define TOCSIN_CTF_RECORD_H

#include "class.h"

#define CTF_RECORD_ALIGN 8     /* bytes; a record starts and ends on it */
#define CTF_RECORD_MAX   65536 /* bytes of one record; the header's length field could say 524280 */
#define CTF_ID_EXTENDED  65535 /* in the 16-bit id: the extended header follows */

/* Where a record goes; it must be aligned to CTF_RECORD_ALIGN in the packet. */
struct ctf_room {
	uint8_t *buf;
	size_t size; /* bytes */
};

/**
 * ctf_record_write() - put one record, header and payload, as it stands in a ring or a packet.
 * @class:    what it is, lent
 * @values:   the struct whose members the class's fields are, lent
 * @t_ns:     its time
 * @extended: write the whole time; needed when its upper half is not that of the record before
 * @room:     where
 * @ret_content_bytes: up to the end of its last field; the next record begins at the next
 *            multiple of CTF_RECORD_ALIGN, the bytes before it are zero
 *
 * Bytes of strings that are no UTF-8 become U+FFFD, an empty string becomes "-".
 *
 * Return: 0, or -E2BIG when it is longer than @room or CTF_RECORD_MAX.
 * Thread-safe: yes. Signal-safe: yes.
 */
int ctf_record_write(const struct ctf_event_class *class, const void *values, uint64_t t_ns,
		     bool extended, struct ctf_room room, size_t *ret_content_bytes);

#endif
