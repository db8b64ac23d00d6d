// SPDX-License-Identifier: MIT
/* Whose event it is: the names by which tracers say it, and where they say it. */
#include "who.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- packets */

static int packets_fit(struct trace_packets *p, unsigned stream)
{
	unsigned nr = p->nr ?: 16;
	struct trace_packet *item;

	while (nr <= stream)
		nr *= 2;
	item = reallocarray(p->item, nr, sizeof(*item));
	if (!item)
		return -ENOMEM;
	for (unsigned i = p->nr; i < nr; i++)
		item[i] = (struct trace_packet){.packet = UINT64_MAX};
	p->item = item;
	p->nr = nr;
	return 0;
}

static int packet_look(struct trace_packet *packet, struct trace *t)
{
	const struct ctf_values *values;
	int r = trace_packet_values(t, &values);

	for (size_t i = 0; r == 0 && i < values->nr; i++) {
		const struct ctf_value *v = &values->item[i];

		if (!v->name || (v->type->kind != META_INT && v->type->kind != META_ENUM))
			continue;
		if (strcmp(v->name, "pid") == 0 && v->u)
			packet->pid = v->i;
		else if (strcmp(v->name, "cpu_id") == 0)
			packet->cpu = v->i;
	}
	return r;
}

int trace_packet_of(struct trace_packets *packets, struct trace *t, const struct trace_event *e,
		    struct trace_packet *ret_packet)
{
	int r = __builtin_expect(e->stream < packets->nr, 1) ? 0 : packets_fit(packets, e->stream);
	struct trace_packet *packet;

	if (r < 0)
		return r;
	packet = &packets->item[e->stream];
	if (__builtin_expect(packet->packet != e->packet, 0)) {
		*packet = (struct trace_packet){.packet = e->packet, .pid = -1, .cpu = -1};
		r = packet_look(packet, t);
	}
	*ret_packet = *packet;
	return r;
}

void trace_packets_done(struct trace_packets *packets)
{
	free(packets->item);
	*packets = (struct trace_packets){0};
}

/* ---- events */

bool trace_who_is_context(const struct ctf_value *v)
{
	return v->name && v->type->kind == META_STRUCT && strcmp(v->name, "ctx") == 0;
}

static bool is_named(const struct ctf_value *v, const char *a, const char *b)
{
	return strcmp(v->name, a) == 0 || strcmp(v->name, b) == 0;
}

/* Among the values from @v up to @end, on one level; what is known already stays. */
static void level_find(struct trace_who *who, const struct ctf_value *v,
		       const struct ctf_value *end)
{
	for (; v < end; v += 1 + v->nr_below) {
		if (!v->name)
			continue;
		if (v->is_text && !who->comm && is_named(v, "comm", "procname"))
			who->comm = v;
		else if (v->is_text || v->type->kind != META_INT)
			continue;
		else if (who->pid < 0 && is_named(v, "pid", "vpid"))
			who->pid = v->i;
		else if (who->tid < 0 && is_named(v, "tid", "vtid"))
			who->tid = v->i;
		else if (who->cpu < 0 && is_named(v, "cpu", "cpu_id"))
			who->cpu = v->i;
	}
}

int trace_who(struct trace_packets *packets, struct trace *t, const struct trace_event *e,
	      struct trace_who *ret_who)
{
	struct trace_who who = {.pid = -1, .tid = -1, .cpu = -1};
	const struct ctf_value *payload = NULL, *end;
	const struct ctf_values *values;
	struct trace_packet packet;
	int r = trace_packet_of(packets, t, e, &packet);

	if (r == 0)
		r = trace_values(t, &values);
	if (r < 0)
		return r;
	end = values->item + values->nr;
	for (const struct ctf_value *v = values->item; v < end; v += 1 + v->nr_below) {
		if (v->scope == SCOPE_PAYLOAD)
			payload = v;
		else
			level_find(&who, v + 1, v + 1 + v->nr_below);
	}
	if (payload && payload->nr_below && trace_who_is_context(payload + 1))
		level_find(&who, payload + 2, payload + 2 + payload[1].nr_below);
	if (who.pid < 0)
		who.pid = packet.pid;
	if (who.cpu < 0)
		who.cpu = packet.cpu;
	if (payload)
		level_find(&who, payload + 1, payload + 1 + payload->nr_below);
	*ret_who = who;
	return 0;
}
