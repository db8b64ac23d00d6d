/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_DESCRIBED_H
#define TOCSIN_CTF_DESCRIBED_H

/*
 * Events as a traced program describes them (struct control_class in abi/control.h). The program
 * may write anything there: a description is copied, checked once, and used from the copy.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/control.h"

#define CTF_LABELS_MAX 1024  /* of one field */
#define CTF_ELEMS_MAX  65536 /* of an array, which stands in the metadata */
#define CTF_FIELDS_MAX \
	64 /* of one event; programs may have TOCSIN_FIELDS_MAX, the kernel has more */
#define CTF_NAME_MAX 256 /* bytes of a name or a label, with its zero byte */

/**
 * ctf_described_check() - may this be used?
 * @class: a copy that nobody else writes, 8-aligned
 * @len:   bytes that there are from @class on
 *
 * After 0, the accessors below stay inside the description. Names are terminated, and shorter than
 * CTF_NAME_MAX, but may hold any bytes.
 *
 * Return: 0, or -EBADMSG and in @ret_why a sentence without a subject.
 * Thread-safe: yes. Signal-safe: yes.
 */
int ctf_described_check(const struct control_class *class, size_t len, const char **ret_why);

/* Accessors of checked descriptions; what they return is lent from it. */
const struct control_field *ctf_described_field(const struct control_class *class, unsigned i);
const struct control_label *ctf_described_label(const struct control_class *class,
						const struct control_field *field, unsigned i);
const char *ctf_described_text(const struct control_class *class, uint32_t at);

/** ctf_described_name() - `provider:name` of a checked description, into 2 * CTF_NAME_MAX bytes. */
void ctf_described_name(const struct control_class *class, char *name, size_t size);

/** ctf_scalar_bytes() - size and alignment of a scalar type. Return: 0 for all others. */
unsigned ctf_scalar_bytes(unsigned type);

/* The type, TOCSIN_TYPE_U32 and so on, the number of elements, and the name of a context. */
struct ctf_context {
	const char *name;
	uint8_t type;
	uint32_t count;
};

/** ctf_context() - row @i of abi/context.def, i < CONTEXT_NR. */
const struct ctf_context *ctf_context(unsigned i);

/**
 * ctf_described_payload() - where the last field of a record ends.
 * @class:    checked
 * @contexts: mask of the record's layout
 * @payload:  of the record, lent; may be written by others at the same time
 * @len:      its bytes as the record's header has them
 * @ret_end:  bytes up to the end of the last field, <= @len
 *
 * Return: 0, or -EBADMSG the fields do not fit.
 * Thread-safe: yes. Signal-safe: yes.
 */
int ctf_described_payload(const struct control_class *class, uint32_t contexts,
			  const uint8_t *payload, size_t len, size_t *ret_end);

#endif
