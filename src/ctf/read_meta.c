// SPDX-License-Identifier: MIT
/*
 * A trace's metadata file, in whichever of its forms.
 *
 * CTF 1.8's is a text, or that text in packets: each with a head that begins with a magic number of
 * its own, as streaming writers (LTTng) make it. CTF 2's is a sequence of JSON texts, each behind a
 * record separator.
 */
#include "read_meta.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define PACKET_MAGIC 0x75d11d57u
#define RECORD_MARK  0x1e
#define HEAD_BYTES   37 /* of a packet of metadata */
#define STREAMS_MAX  65536

static void fail_at_byte(struct tocsin_diag *diag, const char *file, size_t at, const char *what)
{
	struct tocsin_where where = {.file = file};

	tocsin_diag_set(diag, &where, "%s at byte %zu", what, at);
}

static uint32_t load32(const uint8_t *p, bool is_big)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return is_big ? __builtin_bswap32(v) : v;
}

/* The head: magic 4, uuid 16, checksum 4, content bits 4, packet bits 4, five bytes of schemes and
 * version. */
static int packets_join(struct meta *m, const uint8_t *bytes, size_t len, const char *file,
			char *text, size_t *ret_len, struct tocsin_diag *diag)
{
	bool is_big = load32(bytes, false) != PACKET_MAGIC;
	size_t at = 0, used = 0;

	m->order = is_big ? META_BIG : META_LITTLE;
	while (at < len) {
		uint32_t content, packet;

		if (len - at < HEAD_BYTES) {
			m->is_cut = true;
			break;
		}
		if (load32(bytes + at, is_big) != PACKET_MAGIC) {
			fail_at_byte(diag, file, at, "no packet of metadata");
			return -EBADMSG;
		}
		content = load32(bytes + at + 24, is_big) / 8;
		packet = load32(bytes + at + 28, is_big) / 8;
		if (bytes[at + 32] || bytes[at + 33]) {
			fail_at_byte(diag, file, at + 32, "compressed or encrypted metadata");
			return -ENOTSUP;
		}
		if (bytes[at + 35] != 1) {
			fail_at_byte(diag, file, at + 35, "packets of another version than 1.8");
			return -ENOTSUP;
		}
		if (content < HEAD_BYTES || packet < content) {
			fail_at_byte(diag, file, at + 24, "wrong size of a packet of metadata");
			return -EBADMSG;
		}
		if (content > len - at) {
			m->is_cut = true;
			break;
		}
		memcpy(m->uuid, bytes + at + 4, sizeof(m->uuid));
		memcpy(text + used, bytes + at + HEAD_BYTES, content - HEAD_BYTES);
		used += content - HEAD_BYTES;
		if (packet > len - at)
			break;
		at += packet;
	}
	*ret_len = used;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int text_read(struct meta *m, const char *text, size_t len, const char *file,
		     struct tocsin_diag *diag)
{
	size_t at = 0;

	while (at < len && is_blank(text[at]))
		at++;
	if (at < len && (text[at] == RECORD_MARK || text[at] == '['))
		return meta_read_json(m, text, len, file, diag);
	return tsdl_parse(m, text, len, file, diag);
}

int meta_read(const void *bytes, size_t len, const char *file, struct meta *ret_meta,
	      struct tocsin_diag *diag)
{
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	struct tocsin_where where = {.file = file};
	struct meta m = {.arena.limit_bytes = META_MEMORY_MIN + META_MEMORY_TIMES * len};
	uint32_t magic = len >= 4 ? load32(bytes, false) : 0;
	int r;

	if (len > META_BYTES_MAX) {
		tocsin_diag_set(diag, &where, "metadata over %zu MiB", META_BYTES_MAX >> 20);
		return -EFBIG;
	}
	if (magic == PACKET_MAGIC || magic == __builtin_bswap32(PACKET_MAGIC)) {
		text = malloc(len);
		r = text ? packets_join(&m, bytes, len, file, text, &len, diag) : -ENOMEM;
		if (r == 0)
			r = text_read(&m, text, len, file, diag);
	} else {
		r = text_read(&m, bytes, len, file, diag);
	}
	if (r == -ENOMEM)
		tocsin_diag_set(diag, &where, "out of memory");
	if (r == 0 && !m.stream) {
		tocsin_diag_set(diag, &where, "%s", len ? "no stream is described" : "empty");
		r = -EBADMSG;
	}
	if (r < 0) {
		meta_done(&m);
		return r;
	}
	*ret_meta = m;
	return 0;
}

void meta_done(struct meta *m)
{
	if (!m)
		return;
	arena_done(&m->arena);
	*m = (struct meta){0};
}

const struct meta_env *meta_env_find(const struct meta *m, const char *name)
{
	const struct meta_env *env = m->env;

	while (env && strcmp(env->name, name) != 0)
		env = env->next;
	return env;
}

const struct meta_clock *meta_clock_find(const struct meta *m, const char *name)
{
	const struct meta_clock *clock = name ? m->clock : NULL;

	while (clock && strcmp(clock->name, name) != 0)
		clock = clock->next;
	return clock;
}

const char *meta_label(const struct meta_type *type, uint64_t value)
{
	for (unsigned i = 0; i < type->nr_ranges; i++) {
		const struct meta_range *range = &type->range[i];

		if (type->is_signed ? (int64_t)value >= (int64_t)range->first &&
					      (int64_t)value <= (int64_t)range->last
				    : value >= range->first && value <= range->last)
			return range->label;
	}
	return NULL;
}

struct meta_stream *meta_stream_get(struct meta *m, uint64_t id)
{
	struct meta_stream **s = &m->stream;
	unsigned nr = 0;

	for (; *s && (*s)->id != id; nr++)
		s = &(*s)->next;
	if (!*s && nr < STREAMS_MAX) {
		*s = arena_alloc(&m->arena, sizeof(**s));
		if (*s)
			(*s)->id = id;
	}
	return *s;
}

int meta_add_event(struct meta *m, struct meta_event *event)
{
	struct meta_stream *s = meta_stream_get(m, event->stream_id);

	if (!s)
		return -ENOMEM;
	event->index = m->nr_events++;
	event->next = s->event;
	s->event = event;
	s->nr_events++;
	return 0;
}

enum meta_role meta_role_by_name(const char *name)
{
	static const struct {
		const char *name;
		enum meta_role role;
	} roles[] = {
		{"magic", ROLE_MAGIC},
		{"stream_id", ROLE_STREAM_ID},
		{"timestamp_begin", ROLE_BEGIN},
		{"timestamp_end", ROLE_END},
		{"content_size", ROLE_CONTENT_BITS},
		{"packet_size", ROLE_PACKET_BITS},
		{"events_discarded", ROLE_DISCARDED},
		{"packet_seq_num", ROLE_SEQUENCE},
		{"id", ROLE_EVENT_ID},
	};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(name, roles[i].name) == 0)
			return roles[i].role;
	return ROLE_NONE;
}
