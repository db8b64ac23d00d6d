// SPDX-License-Identifier: MIT
/*
 * Values of events that always have the same ones: no array, variant or length among them, so what
 * an event's values are called, of which type they are and how they nest is known beforehand. They
 * are made once; an event fills in its numbers and texts. That is most events there are, and some
 * five times as fast as making the values anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "read_plan_ops.h"

enum fill_code {
	FILL_END,
	FILL_ALIGN, /* a structure begins */
	FILL_U8,
	FILL_U16,
	FILL_U32,
	FILL_U64, /* and what has as many bits: i64, double */
	FILL_S8,
	FILL_S16,
	FILL_S32,
	FILL_F32,
	FILL_STRING,
	FILL_TEXT, /* an array of characters */
};

struct plan_fill {
	uint8_t code;      /* enum fill_code */
	uint32_t value;    /* index of its value */
	uint64_t unmasked; /* its alignment in bytes, less one */
	uint64_t bytes;    /* that it takes at least */
};

/* What fills the value of a step. Return: FILL_END: nothing here does. */
static enum fill_code code_of(const struct plan_op *op)
{
	switch ((enum plan_code)op->code) {
	case PLAN_OPEN: return FILL_ALIGN;
	case PLAN_STRING: return FILL_STRING;
	case PLAN_TEXT: return op->from == PLAN_NO_SLOT ? FILL_TEXT : FILL_END;
	case PLAN_FLOAT:
		if (op->is_big || op->align_bits % 8)
			return FILL_END;
		return op->bits == 32 ? FILL_F32 : FILL_U64;
	case PLAN_INT:
		if (!op->is_plain)
			return FILL_END;
		switch (op->bits) {
		case 8: return op->is_signed ? FILL_S8 : FILL_U8;
		case 16: return op->is_signed ? FILL_S16 : FILL_U16;
		case 32: return op->is_signed ? FILL_S32 : FILL_U32;
		default: return FILL_U64;
		}
	case PLAN_END:
	case PLAN_CLOSE:
	case PLAN_BITS:
	case PLAN_LOOP:
	case PLAN_REPEAT:
	case PLAN_VARIANT:
	case PLAN_JUMP: break;
	}
	return FILL_END;
}

/* Does every step but the ends of structures have one? */
static bool is_always_alike(const struct plan *plan)
{
	const struct plan_op *op = plan->op;

	while (op->code == PLAN_CLOSE || (op->code != PLAN_END && code_of(op) != FILL_END))
		op++;
	return op->code == PLAN_END && plan->is_bytes;
}

static struct plan_fill fill_of(const struct plan_op *op, uint32_t value)
{
	struct plan_fill f = {.code = (uint8_t)code_of(op), .value = value};
	uint64_t align = op->align_bits / 8;

	f.unmasked = align ? align - 1 : 0;
	if (op->code == PLAN_TEXT)
		f.bytes = op->count;
	else if (op->code == PLAN_STRING)
		f.bytes = 1;
	else
		f.bytes = op->bits / 8; /* of a structure: none */
	return f;
}

static struct ctf_value value_of(const struct plan_op *op)
{
	return (struct ctf_value){
		.name = op->name,
		.type = op->type,
		.name_len = op->name_len,
		.scope = op->scope,
		.is_text = op->code == PLAN_STRING || op->code == PLAN_TEXT,
	};
}

int plan_fill_make(struct plan *plan)
{
	uint32_t open[2 * META_DEPTH_MAX], nr_open = 0, nr = 0;
	struct plan_fill *fill;
	struct ctf_value *value;

	if (!is_always_alike(plan))
		return 0;
	fill = calloc(plan->nr_ops, sizeof(*fill));
	value = fill ? calloc(plan->nr_ops, sizeof(*value)) : NULL;
	if (!value) {
		free(fill);
		return -ENOMEM;
	}
	for (const struct plan_op *op = plan->op; op->code != PLAN_END; op++) {
		if (op->code == PLAN_CLOSE) {
			uint32_t at = open[--nr_open];

			value[at].nr_below = nr - at - 1;
			continue;
		}
		if (op->code == PLAN_OPEN)
			open[nr_open++] = nr;
		fill[nr] = fill_of(op, nr);
		value[nr++] = value_of(op);
	}
	plan->fill = fill; /* zeros behind the last: FILL_END */
	plan->ready = (struct ctf_values){.item = value, .nr = nr, .capacity = nr};
	return 0;
}

static double double_of(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return (double)f;
}

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint16_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

int plan_fill_run(const struct plan *plan, const uint8_t *base, uint64_t at, uint64_t end)
{
	const uint8_t *p, *zero;

	for (const struct plan_fill *f = plan->fill;; f++) {
		struct ctf_value *v = &plan->ready.item[f->value];

		at = (at + f->unmasked) & ~f->unmasked;
		if (__builtin_expect(at > end || f->bytes > end - at, 0))
			return -EBADMSG;
		p = base + at;
		at += f->bytes;
		switch ((enum fill_code)f->code) {
		case FILL_END: return 0;
		case FILL_ALIGN: break;
		case FILL_U8: v->u = *p; break;
		case FILL_U16: v->u = load16(p); break;
		case FILL_U32: v->u = load32(p); break;
		case FILL_U64: memcpy(&v->u, p, sizeof(v->u)); break;
		case FILL_S8: v->i = (int8_t)*p; break;
		case FILL_S16: v->i = (int16_t)load16(p); break;
		case FILL_S32: v->i = (int32_t)load32(p); break;
		case FILL_F32: v->f = double_of(load32(p)); break;
		case FILL_STRING:
			zero = plan_text_end(p, base + end);
			if (!zero)
				return -EBADMSG;
			v->text = (const char *)p;
			v->len = (size_t)(zero - p);
			at += v->len;
			break;
		case FILL_TEXT:
			v->text = (const char *)p;
			v->len = strnlen(v->text, f->bytes);
			break;
		}
	}
}
