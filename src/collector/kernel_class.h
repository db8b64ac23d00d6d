/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_KERNEL_CLASS_H
#define TOCSIN_COLLECTOR_KERNEL_CLASS_H

/* Descriptions of kernel events, in the form in which traced programs give theirs: so one writer of
 * metadata serves both. */

#include <stdint.h>

#include "../abi/control.h"
#include "../abi/record_kernel.h"
#include "../ctf/described.h"

struct kernel_label {
	int64_t value;
	const char *name; /* lent */
};

struct kernel_field {
	char name[64];
	uint8_t type, elem, flags; /* enum tocsin_type, enum tocsin_field_flags */
	uint32_t count;
	const struct kernel_label *label; /* lent */
	uint32_t nr_labels;
};

/**
 * kernel_class_new() - describe one event.
 * @id: of the class
 *
 * Return: the description, free() it, or NULL without memory.
 * Thread-safe: yes. Signal-safe: no.
 */
struct control_class *kernel_class_new(uint32_t id, const char *provider, const char *name,
				       const struct kernel_field *field, unsigned nr_fields);

/** kernel_class_event() - of an event of the groups; its id is its number. Return: as
 * kernel_class_new(). */
struct control_class *kernel_class_event(enum kernel_event event);

#endif
