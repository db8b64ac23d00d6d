// SPDX-License-Identifier: MIT
/*
 * Formats of tracepoints. The kernel's record is a C structure behind eight common bytes, and so
 * are our payloads: a row of fields without a variable one among them is copied as it stands,
 * padding included. A variable field is a word (__data_loc: offset and length; __rel_loc: the
 * offset counts from behind the word) and becomes a string or a sequence in its place, so what
 * follows it is aligned anew.
 */
#include "kernel_format.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "tocsin/types.h"
#include "tracefs.h"

#define COMMON_BYTES 8    /* of every record */
#define FIXED_MAX    3000 /* bytes of the fixed parts: the rest is for the others */

struct line {
	char type[96]; /* with its qualifiers, "__data_loc char[]" */
	char name[64];
	unsigned elems; /* of an array; 0: none */
	unsigned offset, size;
	bool is_signed;
};

struct parsing {
	struct kernel_field field[CTF_FIELDS_MAX];
	unsigned nr_fields;
	struct kernel_plan plan;
	uint32_t fixed_bytes;
	bool is_fresh; /* the last part is a fixed one that may grow */
};

/* "\tfield:unsigned long args[6];\toffset:16;\tsize:48;\tsigned:0;" Return: false: no field. */
static bool line_read(char *text, struct line *ret)
{
	char *f = strstr(text, "field:"), *semi, *name, *bracket, *o;
	unsigned is_signed;

	semi = f ? strchr(f, ';') : NULL;
	o = semi ? strstr(semi, "offset:") : NULL;
	if (!o ||
	    sscanf(o, "offset:%u; size:%u; signed:%u;", &ret->offset, &ret->size, &is_signed) != 3)
		return false;
	f += strlen("field:");
	*semi = 0;
	name = strrchr(f, ' ');
	if (!name)
		return false;
	*name++ = 0;
	ret->is_signed = is_signed;
	ret->elems = 0;
	bracket = strchr(name, '[');
	if (bracket) {
		*bracket = 0;
		(void)sscanf(bracket + 1, "%u", &ret->elems); /* a name there: stays 0 */
	}
	(void)snprintf(ret->type, sizeof(ret->type), "%s", f);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	return true;
}

static uint8_t integer_type(unsigned bytes, bool is_signed)
{
	switch (bytes) {
	case 1: return is_signed ? TOCSIN_TYPE_S8 : TOCSIN_TYPE_U8;
	case 2: return is_signed ? TOCSIN_TYPE_S16 : TOCSIN_TYPE_U16;
	case 4: return is_signed ? TOCSIN_TYPE_S32 : TOCSIN_TYPE_U32;
	case 8: return is_signed ? TOCSIN_TYPE_S64 : TOCSIN_TYPE_U64;
	default: return TOCSIN_TYPE_NONE;
	}
}

/* Size of an element of "__data_loc TYPE[]"; 1 where the type is not known: bytes. */
static unsigned elem_bytes(const char *type)
{
	static const struct {
		const char *name;
		unsigned bytes;
	} known[] = {{"u64", 8}, {"s64", 8}, {"long", 8}, {"u32", 4},  {"s32", 4},
		     {"int", 4}, {"u16", 2}, {"s16", 2},  {"short", 2}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strstr(type, known[i].name))
			return known[i].bytes;
	return 1;
}

static void part_add(struct parsing *p, enum kernel_part_kind kind, const struct line *line,
		     unsigned align)
{
	struct kernel_plan *plan = &p->plan;
	struct kernel_part *last = plan->nr_parts ? &plan->part[plan->nr_parts - 1] : NULL;
	unsigned end = line->offset + line->size;

	/* Grown, if the padding that the kernel has before it is what we would have: the part
	 * begins at a multiple of its alignment on both sides. */
	if (kind == KERNEL_PART_FIXED && p->is_fresh && align <= last->align &&
	    last->from % last->align == 0 &&
	    ((last->from + last->bytes + align - 1) & ~(align - 1)) == line->offset) {
		last->bytes = (uint16_t)(end - last->from);
		return;
	}
	plan->part[plan->nr_parts++] = (struct kernel_part){
		.kind = (uint16_t)kind,
		.from = (uint16_t)line->offset,
		.align = (uint16_t)(kind == KERNEL_PART_FIXED && line->offset == COMMON_BYTES
					    ? 8
					    : align),
		.bytes = (uint16_t)line->size,
	};
	p->is_fresh = kind == KERNEL_PART_FIXED;
}

static void variable_add(struct parsing *p, struct kernel_field *f, const struct line *line)
{
	bool is_rel = strstr(line->type, "__rel_loc");
	struct line word = *line;

	if (strstr(line->type, " char[]") && !strstr(line->type, "unsigned")) {
		f->type = TOCSIN_TYPE_STRING;
		f->count = KERNEL_VARIABLE_MAX + 1;
		part_add(p, is_rel ? KERNEL_PART_STRING_REL : KERNEL_PART_STRING, &word, 1);
		return;
	}
	word.size = elem_bytes(line->type);
	f->type = TOCSIN_TYPE_SEQUENCE;
	f->elem = integer_type(word.size, false);
	f->flags = TOCSIN_FIELD_HEX;
	f->count = KERNEL_VARIABLE_MAX / word.size;
	part_add(p, is_rel ? KERNEL_PART_SEQUENCE_REL : KERNEL_PART_SEQUENCE, &word, 4);
}

static void fixed_add(struct parsing *p, struct kernel_field *f, const struct line *line)
{
	unsigned elem = line->elems && line->size % line->elems == 0 ? line->size / line->elems : 0;
	unsigned align = 1;

	f->type = line->elems ? TOCSIN_TYPE_NONE : integer_type(line->size, line->is_signed);
	if (line->elems && elem == 1 && !strncmp(line->type, "char", 4)) {
		f->type = TOCSIN_TYPE_TEXT;
		f->count = line->size;
	} else if (f->type) {
		align = line->size;
		if (line->size == 8 && strchr(line->type, '*'))
			f->type = TOCSIN_TYPE_POINTER;
	} else {
		/* An array, or a structure: its bytes. */
		f->elem = integer_type(elem, line->is_signed);
		align = f->elem ? elem : 1;
		f->elem = f->elem ?: TOCSIN_TYPE_U8;
		f->type = TOCSIN_TYPE_ARRAY;
		f->flags = TOCSIN_FIELD_HEX;
		f->count = line->size / align;
	}
	part_add(p, KERNEL_PART_FIXED, line, align);
	p->fixed_bytes += line->size + 8;
}

/* Return: false: it finds no room. */
static bool field_add(struct parsing *p, const struct line *line)
{
	bool is_variable =
		!strncmp(line->type, "__data_loc", 10) || !strncmp(line->type, "__rel_loc", 9);
	struct kernel_field *f = &p->field[p->nr_fields];

	if (p->nr_fields == CTF_FIELDS_MAX || p->plan.nr_parts == KERNEL_PARTS_MAX ||
	    (!is_variable && p->fixed_bytes + line->size > FIXED_MAX) || !line->size ||
	    line->offset > 0xf000 || line->size > FIXED_MAX)
		return false;
	*f = (struct kernel_field){0};
	memcpy(f->name, line->name, sizeof(f->name));
	if (is_variable)
		variable_add(p, f, line);
	else
		fixed_add(p, f, line);
	p->nr_fields++;
	return true;
}

int kernel_format_parse(FILE *f, const char *category, const char *name, uint32_t id,
			struct control_class **ret_class, struct kernel_plan *ret_plan,
			unsigned *ret_left_out)
{
	struct parsing *p TOCSIN_CLEANUP(tocsin_free_voidp) = calloc(1, sizeof(*p));
	unsigned left_out = 0;
	char text[1024];

	if (!p)
		return -ENOMEM;
	while (fgets(text, sizeof(text), f)) {
		struct line line;

		if (!line_read(text, &line) || !strncmp(line.name, "common_", 7))
			continue;
		if (line.offset < COMMON_BYTES)
			return -EBADMSG;
		if (left_out || !field_add(p, &line))
			left_out++;
	}
	*ret_class = kernel_class_new(id, category, name, p->field, p->nr_fields);
	if (!*ret_class)
		return -ENOMEM;
	*ret_plan = p->plan;
	*ret_left_out = left_out;
	return 0;
}

int kernel_format_read(const char *category, const char *name, uint32_t id,
		       struct control_class **ret_class, struct kernel_plan *ret_plan,
		       unsigned *ret_left_out, struct tocsin_err *err)
{
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = NULL;
	char path[PATH_MAX];
	const char *dir = tracefs_dir();
	int r;

	if (!dir)
		return tocsin_err_fail(-ENODEV, err, "no tracefs is mounted");
	(void)snprintf(path, sizeof(path), "%s/events/%s/%s/format", dir, category, name);
	f = fopen(path, "re");
	if (!f)
		return tocsin_err_fail(-errno, err, "cannot open '%s': %s", path, strerror(errno));
	r = kernel_format_parse(f, category, name, id, ret_class, ret_plan, ret_left_out);
	if (r)
		return tocsin_err_fail(r, err, "cannot read the format '%s': %s", path,
				       strerror(-r));
	return 0;
}
