// SPDX-License-Identifier: MIT
/* Descriptions of kernel events: head, fields, labels, then their texts. */
#include "kernel_class.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../abi/syscalls.h"
#include "../base/cleanup.h"
#include "tocsin/types.h"

/* Put a text behind those at *used. Return: its offset. */
static uint32_t text_add(struct control_class *class, uint32_t *used, const char *text)
{
	size_t len = strlen(text) + 1;
	uint32_t offset = *used;

	memcpy((char *)class + offset, text, len);
	*used += (uint32_t)len;
	return offset;
}

static size_t bytes_of(const char *provider, const char *name, const struct kernel_field *field,
		       unsigned nr_fields)
{
	size_t bytes = sizeof(struct control_class) + strlen(provider) + strlen(name) + 2;

	for (unsigned i = 0; i < nr_fields; i++) {
		bytes += sizeof(struct control_field) + strlen(field[i].name) + 1;
		for (uint32_t k = 0; k < field[i].nr_labels; k++)
			bytes += sizeof(struct control_label) + strlen(field[i].label[k].name) + 1;
	}
	return (bytes + 7) & ~(size_t)7;
}

struct control_class *kernel_class_new(uint32_t id, const char *provider, const char *name,
				       const struct kernel_field *field, unsigned nr_fields)
{
	size_t bytes = bytes_of(provider, name, field, nr_fields);
	struct control_class *class = calloc(1, bytes);
	struct control_field *f;
	struct control_label *label;
	uint32_t used;

	if (!class)
		return NULL;
	class->bytes = (uint32_t)bytes;
	class->id = (uint16_t)id;
	class->level = TOCSIN_LEVEL_INFO;
	class->nr_fields = (uint8_t)nr_fields;
	for (unsigned i = 0; i < nr_fields; i++)
		class->nr_labels += field[i].nr_labels;
	f = (struct control_field *)(void *)(class + 1);
	label = (struct control_label *)(void *)(f + nr_fields);
	used = (uint32_t)((char *)(label + class->nr_labels) - (char *)class);
	class->provider = text_add(class, &used, provider);
	class->name = text_add(class, &used, name);
	for (uint32_t i = 0, first = 0; i < nr_fields; i++) {
		f[i] = (struct control_field){
			.type = field[i].type,
			.flags = field[i].flags,
			.elem = field[i].elem,
			.count = field[i].count,
			.name = text_add(class, &used, field[i].name),
			.first_label = (uint16_t)first,
			.nr_labels = (uint16_t)field[i].nr_labels,
		};
		for (uint32_t k = 0; k < field[i].nr_labels; k++, first++)
			label[first] = (struct control_label){
				.first = field[i].label[k].value,
				.last = field[i].label[k].value,
				.text = text_add(class, &used, field[i].label[k].name),
			};
	}
	return class;
}

/* --- the groups --- */

enum kind {
#define KIND(KIND, ctype, count, type, elem, flags) KIND_##KIND,
#include "../abi/kernel_kinds.def"
#undef KIND
	KIND_NR,
};

static const struct {
	uint8_t type, elem, flags;
	uint32_t count;
} kinds[KIND_NR] = {
#define KIND(KIND, ctype, count, type, elem, flags) \
	[KIND_##KIND] = {TOCSIN_TYPE_##type, TOCSIN_TYPE_##elem, flags, count},
#include "../abi/kernel_kinds.def"
#undef KIND
};

struct event_field {
	const char *name;
	enum kind kind;
};

/* clang-format off */
#define EVENT(event, GROUP, name, text) static const struct event_field fields_##event[] = {
#define FIELD(event, KIND, name) {#name, KIND_##KIND},
#define END(event) };
#include "../abi/kernel_events.def"
/* clang-format on */

static const char *const groups[KERNEL_GROUP_NR] = {
#define GROUP(NAME, name, text) [KERNEL_GROUP_##NAME] = name,
#include "../abi/kernel_events.def"
};

static const struct {
	enum kernel_group group;
	const char *name;
	const struct event_field *field;
	unsigned nr_fields;
} events[KERNEL_EVENT_NR] = {
#define EVENT(event, GROUP, name, text)                                       \
	[KERNEL_EVENT_##event] = {KERNEL_GROUP_##GROUP, name, fields_##event, \
				  sizeof(fields_##event) / sizeof(fields_##event[0])},
#include "../abi/kernel_events.def"
};

static const struct {
	enum kind kind;
	struct kernel_label label;
} labels[] = {
#define LABEL(KIND, value, name) {KIND_##KIND, {value, name}},
#include "../abi/kernel_labels.def"
#undef LABEL
};

/* What the values of a kind mean. @ret: free() it. Return: how many, or -1 without memory. */
static int labels_of(enum kind kind, struct kernel_label **ret)
{
	size_t nr = kind == KIND_SYSCALL_NR ? (size_t)syscall_limit()
					    : sizeof(labels) / sizeof(labels[0]);
	struct kernel_label *label = calloc(nr, sizeof(*label));
	int used = 0;

	if (!label)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		if (kind == KIND_SYSCALL_NR && syscall_name((long)i))
			label[used++] = (struct kernel_label){(int64_t)i, syscall_name((long)i)};
		else if (kind != KIND_SYSCALL_NR && labels[i].kind == kind)
			label[used++] = labels[i].label;
	}
	*ret = label;
	return used;
}

struct control_class *kernel_class_event(enum kernel_event event)
{
	struct kernel_field field[TOCSIN_FIELDS_MAX] = {0};
	struct kernel_label *label[TOCSIN_FIELDS_MAX] = {0};
	struct control_class *class = NULL;
	bool is_whole = true;

	for (unsigned i = 0; i < events[event].nr_fields; i++) {
		const struct event_field *from = &events[event].field[i];
		int nr = 0;

		if (kinds[from->kind].flags & TOCSIN_FIELD_ENUM)
			nr = labels_of(from->kind, &label[i]);
		is_whole = is_whole && nr >= 0;
		(void)snprintf(field[i].name, sizeof(field[i].name), "%s", from->name);
		field[i].type = kinds[from->kind].type;
		field[i].elem = kinds[from->kind].elem;
		field[i].flags = kinds[from->kind].flags;
		field[i].count = kinds[from->kind].type == TOCSIN_TYPE_STRING
					 ? KERNEL_FILENAME_MAX
					 : kinds[from->kind].count;
		field[i].label = label[i];
		field[i].nr_labels = nr > 0 ? (uint32_t)nr : 0;
	}
	if (is_whole)
		class = kernel_class_new(event, groups[events[event].group], events[event].name,
					 field, events[event].nr_fields);
	for (unsigned i = 0; i < events[event].nr_fields; i++)
		free(label[i]);
	return class;
}
