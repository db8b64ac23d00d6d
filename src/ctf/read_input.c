// SPDX-License-Identifier: MIT
/*
 * One stream file, packet by packet.
 *
 * States, from good to bad, as enum ctf_step: an event; a loss, told in its place, which is before
 * the first event of the packet whose counter shows it; nothing yet; the end; a file that ends
 * within a packet; bytes that make no sense. Behind a bad event comes the next packet, whose place
 * is known. A packet whose head is bad ends the stream: nobody knows where the next one is.
 *
 * While a trace is written, empty packets at the end of a file keep a place: they are not stepped
 * over, as what stands there will be something else (src/ctf/packet_file.c writes so).
 *
 * The records of Tocsin's rings, of whole bytes behind a header that is known, take the short way;
 * anything else is decoded step by step.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "read.h"
#include "read_zstd.h"

#define MAGIC       0xc1fc1fc1u
#define ID_EXTENDED 65535u
#define SHORT_HEAD  8 /* bytes of a record's header */
#define LONG_HEAD   16
#define HEAD_BYTES  ((uint64_t)64 << 10) /* of a compressed file, to begin with */

static int wrong(struct ctf_input *in, int step, uint64_t at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int wrong(struct ctf_input *in, int step, uint64_t at, const char *fmt, ...)
{
	va_list ap;
	const char *of = in->map.zstd ? " unpacked" : "";
	int len = snprintf(in->wrong, sizeof(in->wrong),
			   "'%s/%.120s' byte %llu%s: ", ctf_reader_dir(in->reader), in->name,
			   (unsigned long long)at, of);

	if (len < 0 || (size_t)len >= sizeof(in->wrong))
		len = snprintf(in->wrong, sizeof(in->wrong), "'%.120s' byte %llu%s: ", in->name,
			       (unsigned long long)at, of);
	va_start(ap, fmt);
	if (len > 0 && (size_t)len < sizeof(in->wrong))
		(void)vsnprintf(in->wrong + len, sizeof(in->wrong) - (size_t)len, fmt, ap);
	va_end(ap);
	return step;
}

/* What a packet's head says. */
struct head {
	const struct plan_stream *stream;
	uint64_t context_bits, first_bits, content_bits, packet_bytes;
	uint64_t clock;
	uint64_t begin_ticks, end_ticks;
	uint64_t lost, sequence;
	bool has_begin, has_end, has_lost, has_sequence;
};

static bool has_role(const struct plan_state *st, enum meta_role role)
{
	return st->has_role & 1u << role;
}

static const struct plan_stream *stream_find(const struct ctf_reader *r,
					     const struct plan_state *st)
{
	const struct plan_trace *plan = ctf_reader_plan(r);
	uint64_t id = has_role(st, ROLE_STREAM_ID) ? st->role[ROLE_STREAM_ID] : 0;

	if (!has_role(st, ROLE_STREAM_ID) && plan->nr_streams == 1)
		return &plan->stream[0];
	for (unsigned i = 0; i < plan->nr_streams; i++)
		if (plan->stream[i].meta->id == id)
			return &plan->stream[i];
	return NULL;
}

static int head_sizes(struct ctf_input *in, const struct plan_state *st, uint64_t left,
		      struct head *head)
{
	uint64_t packet = left * 8, content;

	if (has_role(st, ROLE_PACKET_BITS))
		packet = st->role[ROLE_PACKET_BITS];
	content = has_role(st, ROLE_CONTENT_BITS) ? st->role[ROLE_CONTENT_BITS] : packet;
	if (packet % 8 || packet < st->at_bits)
		return wrong(in, CTF_BAD, in->offset, "a packet of %llu bits, its head takes %llu",
			     (unsigned long long)packet, (unsigned long long)st->at_bits);
	if (content > packet || content < st->at_bits)
		return wrong(in, CTF_BAD, in->offset,
			     "a packet of %llu bits with %llu bits of content",
			     (unsigned long long)packet, (unsigned long long)content);
	head->packet_bytes = packet / 8;
	if (packet / 8 > left || (!has_role(st, ROLE_PACKET_BITS) && !ctf_map_is_all(&in->map)))
		return wrong(in, CTF_CUT, in->offset,
			     "a packet of %llu bytes, of which %llu are in the file",
			     (unsigned long long)(packet / 8), (unsigned long long)left);
	head->content_bits = content;
	head->first_bits = st->at_bits;
	return CTF_EVENT;
}

static int head_fields(struct ctf_input *in, struct plan_state *st, struct head *head)
{
	const struct plan_trace *plan = ctf_reader_plan(in->reader);
	const struct meta *meta = ctf_reader_meta(in->reader);
	int r = plan_run(&plan->packet_header, st, NULL);

	if (r < 0)
		return r;
	if (has_role(st, ROLE_MAGIC) && st->role[ROLE_MAGIC] != MAGIC)
		return wrong(in, CTF_BAD, in->offset, "no packet begins here");
	if (st->uuid && meta->has_uuid && memcmp(st->uuid, meta->uuid, 16) != 0)
		return wrong(in, CTF_BAD, in->offset, "a packet of another trace");
	head->stream = stream_find(in->reader, st);
	if (!head->stream && ctf_reader_again(in->reader) > 0) {
		st->slot = in->state.slot;
		head->stream = stream_find(in->reader, st);
	}
	if (!head->stream)
		return wrong(in, CTF_BAD, in->offset,
			     "a packet of stream %llu, which the metadata "
			     "does not describe",
			     (unsigned long long)st->role[ROLE_STREAM_ID]);
	head->context_bits = st->at_bits;
	return plan_run(&head->stream->context, st, NULL);
}

/* From what is in memory. Return: CTF_EVENT there is a packet, or another step, or -errno. */
static int head_try(struct ctf_input *in, struct head *head)
{
	uint64_t left = in->map.len - in->offset;
	struct plan_state st = {.base = ctf_map_at(&in->map, in->offset),
				.end_bits = left * 8,
				.slot = in->state.slot,
				.clock = in->has_seen ? in->ticks : 0};
	int r;

	*head = (struct head){0};
	r = head_fields(in, &st, head);
	if (r == -EBADMSG && st.wrong)
		return wrong(in, CTF_CUT, in->offset, "the file ends in the head of a packet");
	if (r < 0 || r == CTF_BAD)
		return r;
	r = head_sizes(in, &st, left, head);
	if (r != CTF_EVENT)
		return r;
	head->has_begin = has_role(&st, ROLE_BEGIN);
	head->begin_ticks = st.role[ROLE_BEGIN];
	head->clock = st.clock;
	if (head->has_begin && !st.is_time_set)
		head->clock = head->begin_ticks;
	if (head->has_begin)
		head->begin_ticks = head->clock;
	head->has_end = has_role(&st, ROLE_END);
	head->end_ticks = st.role[ROLE_END];
	head->has_lost = has_role(&st, ROLE_DISCARDED);
	head->lost = st.role[ROLE_DISCARDED];
	head->has_sequence = has_role(&st, ROLE_SEQUENCE);
	head->sequence = st.role[ROLE_SEQUENCE];
	return CTF_EVENT;
}

/* What the compressed file says is wrong: the reason why a packet is not whole. */
static int packed_wrong(struct ctf_input *in, int step)
{
	uint64_t at;
	const char *what = in->map.zstd ? ctf_zstd_wrong(in->map.zstd, &at) : NULL;

	if (what)
		(void)snprintf(in->wrong, sizeof(in->wrong), "'%.200s/%.120s' byte %llu: %s",
			       ctf_reader_dir(in->reader), in->name, (unsigned long long)at, what);
	return what ? CTF_CUT : step;
}

/* The head of the packet at in->offset, and all of the packet in memory. A compressed file is asked
 * for more for as long as it has more. Return: as above. */
static int head_read(struct ctf_input *in, struct head *head)
{
	uint64_t need = HEAD_BYTES;
	int r;

	for (;;) {
		r = ctf_map_want(&in->map, in->offset, need);
		if (r == -EFBIG)
			return wrong(in, CTF_BAD, in->offset,
				     "a packet of over %llu MiB, too much of a compressed file",
				     (unsigned long long)(ZSTD_WINDOW_MAX >> 20));
		if (r < 0 && r != -EBADMSG)
			return r;
		if (in->offset >= in->map.len)
			return packed_wrong(in, CTF_END);
		r = head_try(in, head);
		if (r != CTF_CUT || ctf_map_is_all(&in->map))
			return r == CTF_CUT ? packed_wrong(in, r) : r;
		need = head->packet_bytes > 4 * need ? head->packet_bytes : 4 * need;
	}
}

/* Are there only packets without events from here to the end of the file? */
static bool is_rest_empty(struct ctf_input *in, struct head head)
{
	uint64_t offset = in->offset;
	int r = CTF_EVENT;

	while (r == CTF_EVENT && head.content_bits <= head.first_bits) {
		in->offset += head.packet_bytes;
		if (in->offset >= in->map.len)
			break;
		r = head_read(in, &head);
	}
	in->offset = offset;
	return r != CTF_EVENT || head.content_bits <= head.first_bits;
}

static void losses_note(struct ctf_input *in, const struct head *head, int64_t begin_ns,
			int64_t end_ns)
{
	uint64_t gap = 0;

	in->loss = (struct ctf_loss){0};
	if (head->has_lost && head->lost > in->seen_lost)
		in->loss.nr_events = head->lost - in->seen_lost;
	if (head->has_sequence && in->has_sequence && head->sequence > in->seen_sequence)
		gap = head->sequence - in->seen_sequence - 1;
	in->loss.nr_packets = gap;
	in->loss.begin_ns = in->has_seen ? in->seen_end_ns : begin_ns;
	in->loss.end_ns = end_ns > in->loss.begin_ns ? end_ns : in->loss.begin_ns;
	if (head->has_lost)
		in->seen_lost = head->lost;
	in->has_sequence = head->has_sequence;
	in->seen_sequence = head->sequence;
	in->seen_end_ns = end_ns;
	in->has_seen = true;
}

static void packet_enter(struct ctf_input *in, const struct head *head)
{
	in->base = ctf_map_at(&in->map, in->offset);
	in->stream = head->stream;
	in->next_offset = in->offset + head->packet_bytes;
	in->context_bits = head->context_bits;
	in->end_bits = head->content_bits;
	in->is_bits = head->stream->header_kind != PLAN_HEADER_TOCSIN;
	in->at = in->is_bits ? head->first_bits : head->first_bits / 8;
	in->end = in->is_bits ? head->content_bits : head->content_bits / 8;
	in->quick_end = in->is_bits ? 0 : in->end;
	in->ticks = head->clock;
	in->state.base = in->base;
	in->state.end_bits = in->end_bits;
	in->is_open = true;
	in->is_asked = false;
}

/* Was the file cut between looking at its size and at what stood there? */
static bool is_end_moved(struct ctf_input *in)
{
	return ctf_map_look(&in->map) > 0 && in->offset >= in->map.len;
}

/*
 * The next packet that has something to tell. Return: CTF_EVENT: one was entered, look for its
 * events; else what to say.
 */
static int packet_next(struct ctf_input *in)
{
	const struct ctf_reader_options *o = ctf_reader_options(in->reader);
	bool is_following = o->is_following && !in->map.zstd; /* which is finished */
	int64_t begin_ns, end_ns;
	struct head head;
	int r;

	if (in->is_open) {
		in->is_open = false;
		in->at = in->end;
		in->offset = in->next_offset;
		ctf_map_release(&in->map, in->offset);
		if (in->map.is_torn)
			return wrong(in, CTF_CUT, in->offset, "the file was cut while it was read");
	}
	if (is_following) {
		r = ctf_map_look(&in->map);
		if (r < 0)
			return r;
	}
	if (!in->map.zstd && in->offset >= in->map.len)
		return is_following ? CTF_WAIT : CTF_END;
	r = head_read(in, &head);
	if (is_following && (r == CTF_CUT || (r == CTF_BAD && is_end_moved(in))))
		return CTF_WAIT;
	if (r != CTF_EVENT)
		return r;
	if (is_following && is_rest_empty(in, head))
		return CTF_WAIT;
	if (in->stream != head.stream)
		ctf_clock_init(&in->clock, head.stream->clock);
	begin_ns = head.has_begin ? ctf_clock_ns(&in->clock, head.begin_ticks) : INT64_MIN;
	end_ns = head.has_end ? ctf_clock_ns(&in->clock, head.end_ticks) : INT64_MAX;
	if (!in->has_seen && !head.has_begin)
		begin_ns = 0;
	if (head.has_begin && begin_ns > o->range.to_ns)
		return CTF_END;
	packet_enter(in, &head);
	losses_note(in, &head, head.has_begin ? begin_ns : in->seen_end_ns,
		    head.has_end ? end_ns : begin_ns);
	if (head.has_end && end_ns < o->range.from_ns)
		in->at = in->end; /* nothing of it is wanted */
	else if (in->loss.nr_events || in->loss.nr_packets)
		return CTF_LOSS;
	return CTF_EVENT;
}

/* ---- events */

static int event_wrong(struct ctf_input *in, uint64_t at_bits, const char *what)
{
	in->at = in->end; /* the next packet is the next thing known */
	return wrong(in, CTF_BAD, in->offset + at_bits / 8, "%s", what);
}

/* The metadata may have been written again since it was read. */
static int event_unknown(struct ctf_input *in, uint64_t id, uint64_t at_bits)
{
	int r = in->is_asked ? 0 : ctf_reader_again(in->reader);

	in->is_asked = true;
	if (r < 0)
		return r;
	if (r > 0) {
		const struct plan_trace *plan = ctf_reader_plan(in->reader);

		for (unsigned i = 0; i < plan->nr_streams; i++) {
			const struct plan_stream *s = &plan->stream[i];

			if (s->meta->id != in->stream->meta->id ||
			    s->header_kind != in->stream->header_kind || !plan_event_find(s, id))
				continue;
			in->stream = s;
			in->is_asked = false;
			return CTF_EVENT;
		}
	}
	in->at = in->end;
	return wrong(in, CTF_BAD, in->offset + at_bits / 8,
		     "event %llu, which the metadata does not describe", (unsigned long long)id);
}

/* The end of an event that is no fixed number of bytes. */
static int event_end(struct ctf_input *in, uint64_t body, uint64_t *ret_end)
{
	struct plan_state *st = &in->state;
	int r;

	st->clock = in->ticks;
	if (in->event->body.skip) {
		r = plan_end(&in->event->body, st, body, in->end, ret_end);
	} else {
		st->at_bits = body * 8;
		r = plan_run(&in->event->body, st, NULL);
		*ret_end = (st->at_bits + 7) / 8;
	}
	return r;
}

/* Steps over one record of a ring. Return: CTF_EVENT, CTF_END behind the last one, else what is
 * wrong. */
static int record_step(struct ctf_input *in)
{
	uint64_t at = (in->at + 7) & ~(uint64_t)7, ticks = in->ticks, head, body, end, id;
	const struct plan_stream *stream = in->stream;
	const struct plan_event *event;
	int r;

	if (__builtin_expect(at + SHORT_HEAD > in->end, 0)) {
		if (at >= in->end)
			return CTF_END;
		return event_wrong(in, at * 8, "the packet ends within an event");
	}
	memcpy(&head, in->base + at, sizeof(head));
	id = head & 0xffff;
	if (__builtin_expect(id != ID_EXTENDED, 1)) {
		uint64_t low = head >> 32;

		ticks = (ticks & ~(uint64_t)UINT32_MAX) | low;
		ticks += ticks < in->ticks ? (uint64_t)1 << 32 : 0;
		body = at + SHORT_HEAD;
	} else {
		if (in->end - at < LONG_HEAD)
			return event_wrong(in, at * 8, "the packet ends within an event");
		id = head >> 32;
		memcpy(&ticks, in->base + at + SHORT_HEAD, sizeof(ticks));
		body = at + LONG_HEAD;
	}
	event = id < stream->nr_by_id ? stream->by_id[id] : plan_event_find(stream, id);
	if (__builtin_expect(!event, 0)) {
		r = event_unknown(in, id, at * 8);
		if (r != CTF_EVENT)
			return r;
		event = plan_event_find(in->stream, id); /* which the new metadata has */
	}
	in->ticks = ticks;
	in->event = event;
	in->body_bits = body * 8;
	if (__builtin_expect(event->body.is_fixed, 1)) {
		end = body + event->body.fixed_bytes;
		if (end > in->end)
			return event_wrong(in, at * 8, "the packet ends within an event");
	} else {
		r = event_end(in, body, &end);
		if (r < 0)
			return r == -EBADMSG ? event_wrong(in, in->state.at_bits, in->state.wrong)
					     : r;
	}
	in->at = end;
	in->t_ns = ctf_clock_ns(&in->clock, ticks);
	return CTF_EVENT;
}

/* The same for any other layout. */
static int general_step(struct ctf_input *in)
{
	struct plan_state *st = &in->state;
	uint64_t id = 0;
	int r;

	if (in->at >= in->end)
		return CTF_END;
	st->at_bits = in->at;
	st->clock = in->ticks;
	st->has_role = 0;
	r = plan_run(&in->stream->header, st, NULL);
	if (r < 0)
		return r == -EBADMSG ? event_wrong(in, st->at_bits, st->wrong) : r;
	if (st->has_role & 1u << ROLE_EVENT_ID)
		id = st->role[ROLE_EVENT_ID];
	in->event = st->has_role & 1u << ROLE_EVENT_ID || in->stream->nr_events != 1
			    ? plan_event_find(in->stream, id)
			    : &in->stream->event[0];
	if (!in->event) {
		r = event_unknown(in, id, in->at);
		return r == CTF_EVENT ? general_step(in) : r;
	}
	in->body_bits = st->at_bits;
	r = plan_run(&in->event->body, st, NULL);
	if (r < 0)
		return r == -EBADMSG ? event_wrong(in, st->at_bits, st->wrong) : r;
	if (st->at_bits == in->at) /* nothing at all: the packet would never end */
		return event_wrong(in, in->at, "events that take no room");
	in->at = st->at_bits;
	in->ticks = st->clock;
	in->t_ns = ctf_clock_ns(&in->clock, in->ticks);
	return CTF_EVENT;
}

/* No further step. */
static void input_over(struct ctf_input *in)
{
	in->is_over = true;
	in->at = in->end;
}

/* The steps that are not just the next event of the packet. */
static int slow_step(struct ctf_input *in, int step)
{
	const struct ctf_reader_options *o = ctf_reader_options(in->reader);

	for (;;) {
		if (step == CTF_END || !in->is_open) {
			step = packet_next(in);
			if (step == CTF_LOSS)
				in->t_ns = in->loss.begin_ns;
			if (step == CTF_LOSS && in->loss.end_ns >= o->range.from_ns &&
			    in->loss.begin_ns <= o->range.to_ns)
				return step;
			if (step == CTF_CUT || step == CTF_END || step == CTF_BAD)
				input_over(in);
			if (step != CTF_EVENT && step != CTF_LOSS)
				return step;
		} else if (step != CTF_EVENT) {
			return step;
		} else if (in->t_ns > o->range.to_ns) {
			input_over(in);
			return CTF_END;
		} else if (in->t_ns >= o->range.from_ns) {
			return CTF_EVENT;
		}
		step = in->is_bits ? general_step(in) : record_step(in);
	}
}

/* Outside of a packet, in->at is in->end. */
int ctf_input_step(struct ctf_input *in)
{
	int step = in->is_bits ? general_step(in) : record_step(in);

	if (step == CTF_EVENT && in->t_ns >= in->range.from_ns && in->t_ns <= in->range.to_ns)
		return CTF_EVENT;
	return in->is_over ? CTF_END : slow_step(in, step);
}

static int values_fail(int r)
{
	return r == -EBADMSG ? -EIO : r; /* it was whole when it was stepped over */
}

int ctf_input_values(struct ctf_input *in, struct ctf_values *scratch,
		     const struct ctf_values **ret_values)
{
	const struct plan *body = &in->event->body;
	struct plan_state st;

	if (__builtin_expect(body->fill != NULL, 1)) {
		*ret_values = &body->ready;
		return values_fail(
			plan_fill_run(body, in->base, (in->body_bits + 7) / 8, in->end_bits / 8));
	}
	st = in->state;
	st.at_bits = in->body_bits;
	st.clock = in->ticks;
	scratch->nr = 0;
	*ret_values = scratch;
	return values_fail(plan_run(body, &st, scratch));
}

int ctf_input_packet_values(struct ctf_input *in, struct ctf_values *values)
{
	struct plan_state st = in->state;

	if (!in->is_open)
		return 0;
	st.at_bits = in->context_bits;
	return values_fail(plan_run(&in->stream->context, &st, values));
}

uint64_t ctf_input_bytes(const struct ctf_input *in, uint64_t *ret_total)
{
	if (in->map.zstd)
		return ctf_zstd_progress(in->map.zstd, ret_total);
	*ret_total = in->map.len;
	if (!in->is_open)
		return in->offset;
	return in->offset + (in->is_bits ? in->at / 8 : in->at);
}
