// SPDX-License-Identifier: MIT
/*
 * The short list of an event: what must be looked at to find its end. Numbers of known places melt
 * into one addition; what is left are strings, lengths of arrays, and the alignment behind them.
 *
 * What is known of a place: it is `rem` more than a multiple of `mod` bytes.
 */
#include <errno.h>
#include <stdlib.h>

#include "read_plan_ops.h"

#define BYTES_MAX ((uint64_t)1 << 40) /* of a part of fixed size; no packet is that large */

struct skipper {
	struct plan_skip *skip;
	unsigned nr;
	uint64_t pending; /* bytes not yet written down */
	uint64_t mod, rem;
	bool is_varying; /* more than one addition */
};

static void put(struct skipper *s, enum plan_skip_code code, uint32_t op, uint64_t n)
{
	s->skip[s->nr++] = (struct plan_skip){code, op, n};
}

static void flush(struct skipper *s)
{
	if (s->pending)
		put(s, SKIP_BYTES, 0, s->pending);
	s->pending = 0;
}

static void align(struct skipper *s, uint64_t bytes)
{
	uint64_t gap;

	if (bytes <= 1)
		return;
	if (bytes > s->mod) {
		flush(s);
		put(s, SKIP_ALIGN, 0, bytes);
		s->is_varying = true;
		s->mod = bytes;
		s->rem = 0;
		return;
	}
	gap = (bytes - s->rem % bytes) % bytes;
	s->pending += gap;
	s->rem = (s->rem + gap) % s->mod;
}

static void step(struct skipper *s, uint64_t bytes)
{
	s->pending += bytes;
	s->rem = (s->rem + bytes) % s->mod;
}

static void lose_place(struct skipper *s)
{
	s->is_varying = true;
	s->mod = 1;
	s->rem = 0;
}

/* Return: the step behind, or 0: there is no short list. */
static uint32_t op_skip(struct skipper *s, const struct plan *plan, uint32_t at)
{
	const struct plan_op *op = &plan->op[at];
	uint64_t bytes;

	align(s, op->align_bits / 8);
	switch ((enum plan_code)op->code) {
	case PLAN_OPEN:
	case PLAN_CLOSE: return at + 1;
	case PLAN_INT:
	case PLAN_BITS:
		if (op->slot != PLAN_NO_SLOT) {
			flush(s);
			put(s, SKIP_READ, at, 0);
			s->is_varying = true;
		} else {
			s->pending += op->bits / 8;
		}
		s->rem = (s->rem + op->bits / 8) % s->mod;
		return at + 1;
	case PLAN_FLOAT: step(s, op->bits / 8); return at + 1;
	case PLAN_STRING:
		put(s, SKIP_STRING, 0, s->pending);
		s->pending = 0;
		lose_place(s);
		return at + 1;
	case PLAN_TEXT:
	case PLAN_LOOP:
		/* An element that somebody refers to must be read. */
		if (!op->stride_bytes ||
		    (op->code == PLAN_LOOP && plan->op[at + 1].slot != PLAN_NO_SLOT))
			return 0;
		if (op->code == PLAN_LOOP)
			align(s, plan->op[at + 1].align_bits / 8);
		if (op->from != PLAN_NO_SLOT) {
			flush(s);
			put(s, SKIP_ARRAY, op->from, op->stride_bytes);
			lose_place(s);
		} else {
			if (op->count > BYTES_MAX / op->stride_bytes || s->pending > BYTES_MAX)
				return 0;
			bytes = op->count * op->stride_bytes;
			step(s, bytes);
		}
		return op->code == PLAN_LOOP ? op->jump : at + 1;
	case PLAN_END:
	case PLAN_REPEAT:
	case PLAN_VARIANT:
	case PLAN_JUMP: break;
	}
	return 0;
}

int plan_skip_make(struct plan *plan, uint64_t start_bytes)
{
	struct skipper s = {.mod = start_bytes};
	uint32_t at = 0;

	if (!plan->is_bytes)
		return 0;
	/* Each step makes three items at most: what was pending, an alignment, itself. */
	s.skip = calloc((size_t)plan->nr_ops * 3 + 2, sizeof(*s.skip));
	if (!s.skip)
		return -ENOMEM;
	while (plan->op[at].code != PLAN_END) {
		at = op_skip(&s, plan, at);
		if (!at) {
			free(s.skip);
			return 0;
		}
	}
	plan->is_fixed = !s.is_varying;
	plan->fixed_bytes = s.pending;
	flush(&s);
	put(&s, SKIP_END, 0, 0);
	plan->skip = s.skip;
	return 0;
}
