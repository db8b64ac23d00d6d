// SPDX-License-Identifier: MIT
/* What the two forms of a printed trace share. */
#include "print.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOGETHER_BYTES ((size_t)64 * 1024) /* written at a time */

void print_init(struct print *p, int fd, struct out_style style)
{
	*p = (struct print){.style = style, .second = INT64_MIN};
	out_init(&p->out, fd);
}

void print_done(struct print *p)
{
	out_done(&p->out);
	free(p->packet);
	p->packet = NULL;
}

int print_flush(struct print *p)
{
	return p->out.len || p->out.failed ? out_write(&p->out) : 0;
}

int print_event(struct print *p, struct trace *t, const struct trace_event *e)
{
	int r = p->is_json ? print_json_line(p, t, e) : print_text_line(p, t, e);

	if (r < 0)
		return r;
	p->nr_events += e->state == TRACE_EVENT;
	p->has_last = true;
	p->last_ns = e->t_ns;
	if (p->out.len >= TOGETHER_BYTES || p->is_flushed || p->out.failed)
		return print_flush(p);
	return 0;
}

static int packets_fit(struct print *p, unsigned stream)
{
	unsigned nr = p->nr_packets ?: 16;
	struct print_packet *packet;

	if (stream < p->nr_packets)
		return 0;
	while (nr <= stream)
		nr *= 2;
	packet = reallocarray(p->packet, nr, sizeof(*packet));
	if (!packet)
		return -ENOMEM;
	for (unsigned i = p->nr_packets; i < nr; i++)
		packet[i] = (struct print_packet){.packet = UINT64_MAX};
	p->packet = packet;
	p->nr_packets = nr;
	return 0;
}

int print_packet_of(struct print *p, struct trace *t, const struct trace_event *e,
		    struct print_packet *ret_packet)
{
	const struct ctf_values *values;
	struct print_packet *packet;
	int r = packets_fit(p, e->stream);

	if (r < 0)
		return r;
	packet = &p->packet[e->stream];
	if (packet->packet != e->packet) {
		*packet = (struct print_packet){.packet = e->packet, .pid = -1, .cpu = -1};
		r = trace_packet_values(t, &values);
		for (size_t i = 0; r == 0 && i < values->nr; i++) {
			const struct ctf_value *v = &values->item[i];

			if (!v->name || (v->type->kind != META_INT && v->type->kind != META_ENUM))
				continue;
			if (strcmp(v->name, "pid") == 0 && v->u)
				packet->pid = v->i;
			else if (strcmp(v->name, "cpu_id") == 0)
				packet->cpu = v->i;
		}
	}
	*ret_packet = *packet;
	return r;
}
