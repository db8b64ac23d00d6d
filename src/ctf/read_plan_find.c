// SPDX-License-Identifier: MIT
/* What is done with a plan once its steps are made: events by their ids, headers that are known,
 * the end. */
#include <errno.h>
#include <stdlib.h>

#include "read_plan_ops.h"

/* Is it the header of a ring's record: id u16, a hole of 16 bits, and 32 bits of time, or a longer
 * one for id 65535? (docs/formats/ctf.md) */
bool plan_header_is_tocsin(const struct plan *plan, const struct meta_type *type)
{
	static const struct {
		uint8_t code, bits, role;
		bool is_time;
		uint32_t align_bits;
	} want[] = {
		{PLAN_OPEN, 0, 0, false, 64},
		{PLAN_INT, 16, ROLE_EVENT_ID, false, 16},
		{PLAN_VARIANT, 0, 0, false, 1},
		{PLAN_OPEN, 0, 0, false, 32},
		{PLAN_INT, 32, 0, true, 32},
		{PLAN_CLOSE, 0, 0, false, 1},
		{PLAN_JUMP, 0, 0, false, 1},
		{PLAN_OPEN, 0, 0, false, 32},
		{PLAN_INT, 32, ROLE_EVENT_ID, false, 32},
		{PLAN_INT, 64, 0, true, 32},
		{PLAN_CLOSE, 0, 0, false, 1},
		{PLAN_JUMP, 0, 0, false, 1},
		{PLAN_CLOSE, 0, 0, false, 1},
		{PLAN_CLOSE, 0, 0, false, 1},
		{PLAN_END, 0, 0, false, 1},
	};
	unsigned nr = sizeof(want) / sizeof(want[0]);
	const struct plan_option *o = plan->option;

	if (!type || plan->nr_ops != nr || plan->nr_options != 2)
		return false;
	for (unsigned i = 0; i < nr; i++) {
		const struct plan_op *op = &plan->op[i];

		if (op->code != want[i].code || op->bits != want[i].bits ||
		    op->role != want[i].role || op->is_time != want[i].is_time ||
		    op->align_bits != want[i].align_bits || op->is_signed)
			return false;
	}
	return o[0].first == 0 && o[0].last == 65534 && o[0].jump == 3 && o[1].first == 65535 &&
	       o[1].last == 65535 && o[1].jump == 7;
}

static int event_compare(const void *a, const void *b)
{
	const struct plan_event *x = a, *y = b;

	return x->meta->id < y->meta->id ? -1 : x->meta->id > y->meta->id;
}

#define BY_ID_MAX 65535 /* ids below this, those of short headers, are looked up in one step */

int plan_events_sort(struct plan_stream *s, struct tocsin_err *err)
{
	qsort(s->event, s->nr_events, sizeof(*s->event), event_compare);
	for (unsigned i = 1; i < s->nr_events; i++)
		if (s->event[i].meta->id == s->event[i - 1].meta->id)
			return tocsin_err_fail(-EBADMSG, err, "stream %llu has two events %llu",
					       (unsigned long long)s->meta->id,
					       (unsigned long long)s->event[i].meta->id);
	for (unsigned i = 0; i < s->nr_events && s->event[i].meta->id < BY_ID_MAX; i++)
		s->nr_by_id = s->event[i].meta->id + 1;
	s->by_id = calloc(s->nr_by_id ?: 1, sizeof(*s->by_id));
	s->quick_bytes = reallocarray(NULL, s->nr_by_id ?: 1, sizeof(*s->quick_bytes));
	if (!s->by_id || !s->quick_bytes)
		return -ENOMEM;
	for (uint64_t id = 0; id < s->nr_by_id; id++)
		s->quick_bytes[id] = PLAN_NOT_QUICK;
	for (unsigned i = 0; i < s->nr_events && s->event[i].meta->id < s->nr_by_id; i++) {
		struct plan_event *e = &s->event[i];

		s->by_id[e->meta->id] = e;
		if (e->body.is_fixed)
			s->quick_bytes[e->meta->id] = e->body.fixed_bytes;
	}
	return 0;
}

const struct plan_event *plan_event_find(const struct plan_stream *s, uint64_t id)
{
	unsigned low = 0, high = s->nr_events;

	if (id < s->nr_by_id)
		return s->by_id[id];
	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (s->event[mid].meta->id == id)
			return &s->event[mid];
		if (s->event[mid].meta->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static void plan_free(struct plan *p)
{
	free(p->op);
	free(p->option);
	free(p->skip);
	free(p->fill);
	ctf_values_done(&p->ready);
}

void plan_done(struct plan_trace *t)
{
	for (unsigned i = 0; i < t->nr_streams; i++) {
		struct plan_stream *s = &t->stream[i];

		plan_free(&s->context);
		plan_free(&s->header);
		for (unsigned k = 0; k < s->nr_events; k++)
			plan_free(&s->event[k].body);
		free(s->event);
		free(s->by_id);
		free(s->quick_bytes);
	}
	plan_free(&t->packet_header);
	free(t->stream);
	*t = (struct plan_trace){0};
}
