// SPDX-License-Identifier: MIT
/*
 * Decoding. Trace bytes are foreign: every step looks whether what it wants is still in the packet,
 * and a count is compared with what is left before anything is repeated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "read_plan_ops.h"

struct loop {
	uint64_t left; /* elements */
	uint32_t op;   /* its PLAN_LOOP */
	size_t value;  /* index of its value */
};

struct run {
	const struct plan *plan;
	struct plan_state *st;
	struct ctf_values *values; /* NULL: nobody wants them */
	struct loop loop[PLAN_LOOPS_MAX];
	unsigned nr_loops;
	size_t open[2 * META_DEPTH_MAX]; /* values whose parts are being read */
	unsigned nr_open;
};

static int fail(struct plan_state *st, const char *wrong)
{
	st->wrong = wrong;
	return -EBADMSG;
}

/* ---- numbers */

static inline uint64_t load(const uint8_t *p, unsigned bits)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (bits) {
	case 8: return *p;
	case 16: memcpy(&v16, p, sizeof(v16)); return v16;
	case 32: memcpy(&v32, p, sizeof(v32)); return v32;
	default: memcpy(&v64, p, sizeof(v64)); return v64;
	}
}

/* Up to 64 bits that begin at any bit. Little endian counts bits from the lowest of a byte on, big
 * endian from the highest. */
static uint64_t load_bits(const uint8_t *base, uint64_t at, unsigned bits, bool is_big)
{
	const uint8_t *p = base + at / 8;
	unsigned shift = at % 8, nr = (shift + bits + 7) / 8;
	unsigned __int128 v = 0;

	for (unsigned i = 0; i < nr; i++)
		v |= (unsigned __int128)p[i] << 8 * (is_big ? nr - 1 - i : i);
	v >>= is_big ? 8 * nr - shift - bits : shift;
	return bits == 64 ? (uint64_t)v : (uint64_t)v & ((UINT64_C(1) << bits) - 1);
}

static inline uint64_t extend(uint64_t v, unsigned bits)
{
	unsigned unused = 64 - bits;

	return (uint64_t)((int64_t)(v << unused) >> unused);
}

static inline int align(struct plan_state *st, uint64_t bits)
{
	uint64_t at = (st->at_bits + bits - 1) & ~(bits - 1);

	if (at > st->end_bits)
		return fail(st, "the packet ends within an event");
	st->at_bits = at;
	return 0;
}

static int take_bits(struct plan_state *st, uint64_t bits)
{
	if (bits > st->end_bits - st->at_bits)
		return fail(st, "the packet ends within an event");
	st->at_bits += bits;
	return 0;
}

static int read_number(struct plan_state *st, const struct plan_op *op, uint64_t *ret_value)
{
	uint64_t at, v;
	int r = align(st, op->align_bits);

	if (r < 0)
		return r;
	at = st->at_bits;
	r = take_bits(st, op->bits);
	if (r < 0)
		return r;
	if (op->code == PLAN_INT)
		v = load(st->base + at / 8, op->bits);
	else
		v = load_bits(st->base, at, op->bits, op->is_big);
	if (op->is_signed)
		v = extend(v, op->bits);
	*ret_value = v;
	return 0;
}

/* An integer, and what it means beside itself. */
static int read_int(struct plan_state *st, const struct plan_op *op, uint64_t *ret_value)
{
	int r = read_number(st, op, ret_value);

	if (r < 0)
		return r;
	if (op->slot != PLAN_NO_SLOT)
		st->slot[op->slot] = *ret_value;
	if (op->role) {
		st->role[op->role] = *ret_value;
		st->has_role |= 1u << op->role;
	}
	if (op->is_time) {
		st->clock = plan_clock_step(st->clock, *ret_value, op->bits);
		st->is_time_set = true;
	} else if (op->role == ROLE_END) {
		st->role[ROLE_END] = plan_clock_step(st->clock, *ret_value, op->bits);
	}
	return 0;
}

static double float_of(uint64_t v, unsigned bits)
{
	uint32_t v32 = (uint32_t)v;
	double d;
	float f;

	if (bits == 32) {
		memcpy(&f, &v32, sizeof(f));
		return (double)f;
	}
	memcpy(&d, &v, sizeof(d));
	return d;
}

/* ---- values */

static int values_grow(struct run *run)
{
	struct ctf_values *v = run->values;
	size_t capacity = v->capacity ? 2 * v->capacity : 64;
	struct ctf_value *item;

	if (v->nr >= PLAN_VALUES_MAX)
		return fail(run->st, "an event of too many values");
	item = reallocarray(v->item, capacity, sizeof(*item));
	if (!item)
		return -ENOMEM;
	v->item = item;
	v->capacity = capacity;
	return 0;
}

static inline int value_add(struct run *run, const struct plan_op *op, struct ctf_value **ret_value)
{
	struct ctf_values *v = run->values;
	struct ctf_value *value;

	if (__builtin_expect(v->nr == v->capacity, 0)) {
		int r = values_grow(run);

		if (r < 0)
			return r;
	}
	value = &v->item[v->nr++];
	value->name = op->name;
	value->type = op->type;
	value->nr_below = 0;
	value->name_len = op->name_len;
	value->scope = op->scope;
	value->is_text = false;
	value->len = 0;
	value->u = 0;
	*ret_value = value;
	return 0;
}

static void value_close(struct run *run, size_t at)
{
	run->values->item[at].nr_below = (uint32_t)(run->values->nr - at - 1);
}

void ctf_values_done(struct ctf_values *v)
{
	free(v->item);
	*v = (struct ctf_values){0};
}

/* ---- steps */

static inline int run_int(struct run *run, const struct plan_op *op)
{
	struct plan_state *st = run->st;
	struct ctf_value *value;
	uint64_t at, v;
	int r;

	/* What most fields are: a value, and in the packet. */
	at = (st->at_bits + op->align_bits - 1) & ~(uint64_t)(op->align_bits - 1);
	if (op->is_plain && op->code == PLAN_INT && at + op->bits <= st->end_bits) {
		st->at_bits = at + op->bits;
		if (!run->values)
			return 0;
		v = load(st->base + at / 8, op->bits);
		if (op->is_signed)
			v = extend(v, op->bits);
	} else {
		r = read_int(st, op, &v);
		if (r < 0 || !run->values)
			return r;
	}
	r = value_add(run, op, &value);
	if (r == 0)
		value->u = v;
	return r;
}

static int run_float(struct run *run, const struct plan_op *op)
{
	struct ctf_value *value;
	uint64_t v;
	int r = read_number(run->st, op, &v);

	if (r < 0 || !run->values)
		return r;
	r = value_add(run, op, &value);
	if (r == 0)
		value->f = float_of(v, op->bits);
	return r;
}

static int text_add(struct run *run, const struct plan_op *op, uint64_t at_bits, size_t len)
{
	struct ctf_value *value;
	int r;

	if (!run->values)
		return 0;
	r = value_add(run, op, &value);
	if (r < 0)
		return r;
	value->is_text = true;
	value->text = (const char *)run->st->base + at_bits / 8;
	value->len = len;
	return 0;
}

static int run_string(struct run *run, const struct plan_op *op)
{
	struct plan_state *st = run->st;
	const uint8_t *text, *end;
	uint64_t at;
	int r = align(st, op->align_bits < 8 ? 8 : op->align_bits);

	if (r < 0)
		return r;
	at = st->at_bits;
	text = st->base + at / 8;
	end = memchr(text, 0, (st->end_bits - at) / 8);
	if (!end)
		return fail(st, "string without an end");
	st->at_bits += 8 * ((uint64_t)(end - text) + 1);
	return text_add(run, op, at, (size_t)(end - text));
}

static int run_text(struct run *run, const struct plan_op *op)
{
	struct plan_state *st = run->st;
	uint64_t nr = op->from == PLAN_NO_SLOT ? op->count : st->slot[op->from], at;
	int r = align(st, op->align_bits < 8 ? 8 : op->align_bits);

	if (r < 0)
		return r;
	if (nr > (st->end_bits - st->at_bits) / 8)
		return fail(st, "array that is longer than the packet");
	at = st->at_bits;
	st->at_bits += 8 * nr;
	return text_add(run, op, at, strnlen((const char *)st->base + at / 8, nr));
}

static inline int run_open(struct run *run, const struct plan_op *op)
{
	struct ctf_value *value;
	int r = align(run->st, op->align_bits);

	if (r < 0 || !run->values)
		return r;
	if (run->nr_open == sizeof(run->open) / sizeof(run->open[0]))
		return fail(run->st, "types nested too deep");
	r = value_add(run, op, &value);
	if (r == 0)
		run->open[run->nr_open++] = run->values->nr - 1;
	return r;
}

static void run_close(struct run *run)
{
	if (run->values && run->nr_open)
		value_close(run, run->open[--run->nr_open]);
}

/* Return: the next step, or -errno. */
static int64_t run_loop(struct run *run, uint32_t pc)
{
	const struct plan_op *op = &run->plan->op[pc];
	struct plan_state *st = run->st;
	uint64_t nr = op->from == PLAN_NO_SLOT ? op->count : st->slot[op->from];
	struct ctf_value *value;
	size_t at = 0;
	int r = align(st, op->align_bits);

	if (r < 0)
		return r;
	if (nr > (st->end_bits - st->at_bits) / op->element_min_bits)
		return fail(st, "array that is longer than the packet");
	if (op->is_uuid)
		st->uuid = st->base + st->at_bits / 8;
	if (run->values) {
		r = value_add(run, op, &value);
		if (r < 0)
			return r;
		value->len = nr;
		at = run->values->nr - 1;
	}
	if (!nr)
		return op->jump;
	if (run->nr_loops == PLAN_LOOPS_MAX)
		return fail(st, "types nested too deep");
	run->loop[run->nr_loops++] = (struct loop){nr, pc, at};
	return pc + 1;
}

static uint32_t run_repeat(struct run *run, uint32_t pc)
{
	struct loop *loop = &run->loop[run->nr_loops - 1];

	if (--loop->left)
		return run->plan->op[pc].jump;
	if (run->values)
		value_close(run, loop->value);
	run->nr_loops--;
	return pc + 1;
}

static int64_t run_variant(struct run *run, const struct plan_op *op)
{
	uint64_t tag = run->st->slot[op->from];
	int r;

	for (uint32_t i = 0; i < op->nr_options; i++) {
		const struct plan_option *o = &run->plan->option[op->option + i];

		if (o->is_signed
			    ? (int64_t)tag >= (int64_t)o->first && (int64_t)tag <= (int64_t)o->last
			    : tag >= o->first && tag <= o->last) {
			r = run_open(run, op);
			return r < 0 ? r : (int64_t)o->jump;
		}
	}
	return fail(run->st, "a kind that the metadata does not describe");
}

int plan_run(const struct plan *plan, struct plan_state *st, struct ctf_values *values)
{
	struct run run;
	int64_t pc = 0;
	int r = 0;

	run.plan = plan;
	run.st = st;
	run.values = values;
	run.nr_loops = run.nr_open = 0;
	for (;;) {
		const struct plan_op *op = &plan->op[pc];

		switch ((enum plan_code)op->code) {
		case PLAN_END: return 0;
		case PLAN_INT:
		case PLAN_BITS: r = run_int(&run, op); break;
		case PLAN_FLOAT: r = run_float(&run, op); break;
		case PLAN_STRING: r = run_string(&run, op); break;
		case PLAN_TEXT: r = run_text(&run, op); break;
		case PLAN_OPEN: r = run_open(&run, op); break;
		case PLAN_CLOSE: run_close(&run); break;
		case PLAN_LOOP: pc = run_loop(&run, (uint32_t)pc); break;
		case PLAN_REPEAT: pc = run_repeat(&run, (uint32_t)pc); break;
		case PLAN_VARIANT: pc = run_variant(&run, op); break;
		case PLAN_JUMP: pc = op->jump; break;
		}
		if (r < 0)
			return r;
		if (pc < 0)
			return (int)pc;
		if (op->code < PLAN_LOOP)
			pc++;
	}
}

/* ---- the short list */

int plan_end(const struct plan *plan, struct plan_state *st, uint64_t at, uint64_t end,
	     uint64_t *ret_end)
{
	const uint8_t *zero;
	uint64_t nr;
	int r;

	for (const struct plan_skip *s = plan->skip;; s++) {
		switch ((enum plan_skip_code)s->code) {
		case SKIP_END: *ret_end = at; return 0;
		case SKIP_BYTES: at += s->n; break;
		case SKIP_ALIGN: at = (at + s->n - 1) & ~(s->n - 1); break;
		case SKIP_STRING:
			at += s->n;
			zero = at < end ? plan_text_end(st->base + at, st->base + end) : NULL;
			if (!zero) {
				st->at_bits = at * 8;
				return fail(st, "string without an end");
			}
			at = (uint64_t)(zero - st->base) + 1;
			break;
		case SKIP_READ:
			st->at_bits = at * 8;
			r = read_int(st, &plan->op[s->op], &nr);
			if (r < 0)
				return r;
			at = st->at_bits / 8;
			break;
		case SKIP_ARRAY:
			nr = st->slot[s->op];
			if (at > end || nr > (end - at) / s->n) {
				st->at_bits = at * 8;
				return fail(st, "array that is longer than the packet");
			}
			at += nr * s->n;
			break;
		}
		if (at > end) {
			st->at_bits = at * 8;
			return fail(st, "the packet ends within an event");
		}
	}
}
