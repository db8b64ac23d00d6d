// SPDX-License-Identifier: MIT
/*
 * The steps of a class's plan up to the last number that is wanted, with nothing kept of those in
 * between. The bytes are foreign, so each is looked for within the packet.
 */
#include "read_peek.h"

#include <errno.h>
#include <string.h>

#include "read_plan_ops.h"

void peek_init(struct peek *p, const struct plan *plan)
{
	*p = (struct peek){.plan = plan};
}

/* Is the step's name the next part of a path? Returns what follows it. */
static const char *path_below(const char *path, const struct plan_op *op)
{
	if (!op->name || strncmp(path, op->name, op->name_len) != 0)
		return NULL;
	path += op->name_len;
	return *path == '.' ? path + 1 : *path ? NULL : path;
}

/* Below which structures the path has been followed. */
struct way {
	const char *path[META_DEPTH_MAX + 2];
	unsigned depth;
};

static bool is_context(const struct plan_op *op)
{
	return op->name && op->name_len == 3 && memcmp(op->name, "ctx", 3) == 0;
}

static void way_down(struct way *w, const struct plan_op *op, bool is_context_wanted)
{
	const char *here = w->path[w->depth], *below = NULL;

	if (op->is_root)
		below = op->scope == SCOPE_PAYLOAD && is_context_wanted ? NULL : here;
	else if (here)
		below = path_below(here, op);
	/* A recorded payload begins with its contexts, whose names need no prefix. */
	if (!below && is_context(op) && w->depth == 1)
		below = w->path[0];
	if (w->depth + 1 < sizeof(w->path) / sizeof(w->path[0]))
		w->path[++w->depth] = below;
}

static bool is_good(const struct plan_op *op)
{
	return op->code == PLAN_INT && !op->is_big && op->bits % 8 == 0;
}

/* The step of a field: of the payload before one of a context. */
static int step_find(const struct plan *plan, const char *path, uint32_t *ret)
{
	bool wants_context = *path == '$', is_simple = true, is_found = false, is_behind = false;
	bool is_payload = false;
	struct way w = {.path = {path + wants_context}};

	for (uint32_t i = 0; i < plan->nr_ops && plan->op[i].code != PLAN_END; i++) {
		const struct plan_op *op = &plan->op[i];
		const char *below;

		if (op->code == PLAN_OPEN) {
			is_payload = op->is_root ? op->scope == SCOPE_PAYLOAD : is_payload;
			way_down(&w, op, wants_context);
			continue;
		}
		if (op->code == PLAN_CLOSE) {
			w.depth -= w.depth > 0;
			continue;
		}
		below = w.path[w.depth] ? path_below(w.path[w.depth], op) : NULL;
		if (below && !*below && (!is_found || is_payload)) {
			is_found = true;
			is_behind = !is_simple || !is_good(op);
			*ret = i;
		}
		is_simple = is_simple && (op->code == PLAN_INT || op->code == PLAN_BITS ||
					  op->code == PLAN_FLOAT || op->code == PLAN_STRING);
	}
	if (!is_found)
		return is_simple ? -ENOENT : -ENOTSUP;
	return is_behind ? -ENOTSUP : 0;
}

int peek_add(struct peek *p, const char *path, unsigned *ret_slot)
{
	uint32_t op = 0;
	unsigned i;
	int r = step_find(p->plan, path, &op);

	if (r < 0)
		return r;
	for (i = 0; i < p->nr; i++)
		if (p->at[i].op == op) {
			*ret_slot = p->at[i].slot;
			return 0;
		}
	if (p->nr == PEEK_MAX)
		return -E2BIG;
	for (i = p->nr; i > 0 && p->at[i - 1].op > op; i--)
		p->at[i] = p->at[i - 1];
	p->at[i].op = op;
	*ret_slot = p->at[i].slot = (uint8_t)p->nr++;
	return 0;
}

static inline uint64_t number(const uint8_t *at, const struct plan_op *op)
{
	uint64_t v = 0;

	switch (op->bits) {
	case 8: v = *at; break;
	case 16: memcpy(&v, at, 2); break;
	case 32: memcpy(&v, at, 4); break;
	default: memcpy(&v, at, 8); break;
	}
	if (op->is_signed && op->bits < 64)
		v = (uint64_t)((int64_t)(v << (64 - op->bits)) >> (64 - op->bits));
	return v;
}

int peek_run(const struct peek *p, const uint8_t *base, uint64_t at_bits, uint64_t end_bits,
	     uint64_t *ret)
{
	const struct plan_op *op = p->plan->op;
	unsigned next = 0;

	for (uint32_t i = 0; next < p->nr; i++) {
		if (op[i].code == PLAN_CLOSE)
			continue;
		at_bits = (at_bits + op[i].align_bits - 1) & ~((uint64_t)op[i].align_bits - 1);
		if (op[i].code == PLAN_OPEN)
			continue;
		if (op[i].code == PLAN_STRING) {
			const uint8_t *from = base + at_bits / 8;
			const uint8_t *zero = at_bits < end_bits
						      ? memchr(from, 0, (end_bits - at_bits) / 8)
						      : NULL;

			if (!zero)
				return -EBADMSG;
			at_bits += 8 * ((uint64_t)(zero - from) + 1);
			continue;
		}
		if (at_bits > end_bits || end_bits - at_bits < op[i].bits)
			return -EBADMSG;
		if (p->at[next].op == i)
			ret[p->at[next++].slot] = number(base + at_bits / 8, &op[i]);
		at_bits += op[i].bits;
	}
	return 0;
}
