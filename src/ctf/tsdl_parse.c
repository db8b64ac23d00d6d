// SPDX-License-Identifier: MIT
/*
 * CTF 1.8's metadata language: blocks of settings. Types within them are read by tsdl_type.c.
 *
 * A block may say more than we know; keys without a meaning for reading are stepped over, as newer
 * writers may add some. What cannot be left out for reading rightly is refused with its place.
 */
#include "tsdl_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

int tsdl_fail(const struct tsdl *p, int r, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return tsdl_fail_at(&p->lex, &p->lex.now, r, "%s", text);
}

bool tsdl_is(const struct tsdl *p, char c)
{
	return p->lex.now.word == TSDL_PUNCT_OF((unsigned)(unsigned char)c);
}

bool tsdl_is_name(const struct tsdl *p, const char *name)
{
	const struct tsdl_token *now = &p->lex.now;

	return now->word == TSDL_NAME && strlen(name) == now->len &&
	       memcmp(name, now->text, now->len) == 0;
}

int tsdl_expect(struct tsdl *p, char c)
{
	if (!tsdl_is(p, c))
		return tsdl_fail(p, -EBADMSG, "expected '%c'", c);
	return tsdl_next(&p->lex);
}

int tsdl_take_name(struct tsdl *p, const char **ret_name)
{
	char *name;

	if (p->lex.now.word != TSDL_NAME)
		return tsdl_fail(p, -EBADMSG, "expected a name");
	name = arena_text(&p->meta->arena, p->lex.now.text, p->lex.now.len);
	if (!name)
		return -ENOMEM;
	*ret_name = name;
	return tsdl_next(&p->lex);
}

int tsdl_take_path(struct tsdl *p, const char **ret_path)
{
	char path[512];
	size_t len = 0;

	for (;;) {
		const struct tsdl_token *now = &p->lex.now;
		int r;

		if (now->word != TSDL_NAME)
			return tsdl_fail(p, -EBADMSG, "expected a name");
		if (len + now->len + 2 > sizeof(path))
			return tsdl_fail(p, -EBADMSG, "name too long");
		memcpy(path + len, now->text, now->len);
		len += now->len;
		r = tsdl_next(&p->lex);
		if (r < 0)
			return r;
		if (!tsdl_is(p, '.'))
			break;
		path[len++] = '.';
		r = tsdl_next(&p->lex);
		if (r < 0)
			return r;
	}
	*ret_path = arena_text(&p->meta->arena, path, len);
	return *ret_path ? 0 : -ENOMEM;
}

int tsdl_take_number(struct tsdl *p, uint64_t *ret_value, bool *ret_negative)
{
	bool negative = tsdl_is(p, '-');
	int r = 0;

	if (negative || tsdl_is(p, '+'))
		r = tsdl_next(&p->lex);
	if (r < 0)
		return r;
	if (p->lex.now.word != TSDL_NUMBER)
		return tsdl_fail(p, -EBADMSG, "expected a number");
	*ret_value = negative ? 0 - p->lex.now.number : p->lex.now.number;
	*ret_negative = negative;
	return tsdl_next(&p->lex);
}

int tsdl_take_text(struct tsdl *p, const char **ret_text)
{
	if (p->lex.now.word == TSDL_STRING) {
		*ret_text = p->lex.now.text;
		return tsdl_next(&p->lex);
	}
	return tsdl_take_name(p, ret_text);
}

/* ---- values of blocks */

static int take_value_ignored(struct tsdl *p)
{
	const char *text;
	uint64_t number;
	bool negative;

	if (p->lex.now.word == TSDL_STRING)
		return tsdl_take_text(p, &text);
	if (p->lex.now.word == TSDL_NUMBER || tsdl_is(p, '-') || tsdl_is(p, '+'))
		return tsdl_take_number(p, &number, &negative);
	return tsdl_take_path(p, &text);
}

static int take_u64(struct tsdl *p, uint64_t *ret_value)
{
	struct tsdl_token at = p->lex.now;
	bool negative = false;
	int r = tsdl_take_number(p, ret_value, &negative);

	return r == 0 && negative ? tsdl_fail_at(&p->lex, &at, -EBADMSG, "negative number") : r;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int take_uuid(struct tsdl *p, uint8_t uuid[static 16])
{
	struct tsdl_token at = p->lex.now;
	const char *text;
	unsigned nr = 0;
	int r;

	if (at.word != TSDL_STRING)
		return tsdl_fail(p, -EBADMSG, "expected a UUID");
	r = tsdl_take_text(p, &text);
	if (r < 0)
		return r;
	for (; *text && nr < 32; text++) {
		int digit = hex_value(*text);

		if (*text == '-')
			continue;
		if (digit < 0)
			break;
		uuid[nr / 2] = (uint8_t)(nr % 2 ? uuid[nr / 2] | digit : digit << 4);
		nr++;
	}
	return nr == 32 && !*text ? 0 : tsdl_fail_at(&p->lex, &at, -EBADMSG, "malformed UUID");
}

/* The alias that a block's type takes; a structure must be one. */
static int take_struct_type(struct tsdl *p, const struct meta_type **ret_type)
{
	struct tsdl_token at;
	int r;

	if (p->lex.now.word != TSDL_ASSIGN_TYPE)
		return tsdl_fail(p, -EBADMSG, "expected ':='");
	r = tsdl_next(&p->lex);
	at = p->lex.now;
	if (r == 0)
		r = tsdl_type(p, ret_type);
	if (r == 0 && (*ret_type)->kind != META_STRUCT)
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "expected a structure");
	return r;
}

/* ---- blocks: each setting is given to a function with its key */

typedef int setting_fn(struct tsdl *p, const char *key, void *block);

static int take_setting(struct tsdl *p, setting_fn *setting, void *block)
{
	const char *key;
	int r;

	if (tsdl_is_type(p))
		return tsdl_declaration(p);
	r = tsdl_take_path(p, &key);
	if (r == 0 && p->lex.now.word != TSDL_ASSIGN_TYPE)
		r = tsdl_expect(p, '=');
	if (r == 0)
		r = setting(p, key, block);
	return r < 0 ? r : tsdl_expect(p, ';');
}

/* `{ ... };` */
static int take_block(struct tsdl *p, setting_fn *setting, void *block)
{
	size_t nr_named = p->nr_named;
	int r = tsdl_expect(p, '{');

	while (r == 0 && !tsdl_is(p, '}'))
		r = take_setting(p, setting, block);
	p->nr_named = nr_named;
	if (r == 0)
		r = tsdl_next(&p->lex);
	return r < 0 ? r : tsdl_expect(p, ';');
}

static int setting_ignored(struct tsdl *p, const char *key, void *block)
{
	(void)key;
	(void)block;
	return take_value_ignored(p);
}

static int setting_trace(struct tsdl *p, const char *key, void *block)
{
	struct meta *m = block;
	uint64_t number;
	int r;

	if (strcmp(key, "packet.header") == 0)
		return take_struct_type(p, &m->packet_header);
	if (strcmp(key, "uuid") == 0) {
		m->has_uuid = true;
		return take_uuid(p, m->uuid);
	}
	if (strcmp(key, "byte_order") == 0) {
		if (tsdl_is_name(p, "le"))
			m->order = META_LITTLE;
		else if (tsdl_is_name(p, "be") || tsdl_is_name(p, "network"))
			m->order = META_BIG;
		else
			return tsdl_fail(p, -EBADMSG, "expected le, be or network");
		return tsdl_next(&p->lex);
	}
	if (strcmp(key, "major") == 0 || strcmp(key, "minor") == 0) {
		struct tsdl_token at = p->lex.now;

		r = take_u64(p, &number);
		if (r == 0 && number != (key[1] == 'a' ? 1 : 8))
			return tsdl_fail_at(&p->lex, &at, -ENOTSUP, "not version 1.8 of CTF");
		return r;
	}
	return take_value_ignored(p);
}

static int setting_env(struct tsdl *p, const char *key, void *block)
{
	struct meta_env *env = arena_alloc(&p->meta->arena, sizeof(*env)), ***tail = block;
	uint64_t number;
	bool negative;
	int r;

	if (!env)
		return -ENOMEM;
	env->name = key;
	if (p->lex.now.word == TSDL_STRING) {
		r = tsdl_take_text(p, &env->text);
	} else {
		r = tsdl_take_number(p, &number, &negative);
		env->number = r == 0 ? (int64_t)number : 0;
	}
	**tail = env;
	*tail = &env->next;
	return r;
}

static int setting_clock(struct tsdl *p, const char *key, void *block)
{
	struct meta_clock *clock = block;
	struct tsdl_token at = p->lex.now;
	uint64_t number;
	bool negative;
	int r;

	if (strcmp(key, "name") == 0)
		return tsdl_take_text(p, &clock->name);
	if (strcmp(key, "description") == 0)
		return tsdl_take_text(p, &clock->description);
	if (strcmp(key, "uuid") == 0) {
		clock->has_uuid = true;
		return take_uuid(p, clock->uuid);
	}
	if (strcmp(key, "freq") == 0) {
		r = take_u64(p, &clock->frequency_hz);
		if (r == 0 && !clock->frequency_hz)
			return tsdl_fail_at(&p->lex, &at, -EBADMSG, "clock without a frequency");
		return r;
	}
	if (strcmp(key, "offset") == 0)
		return take_u64(p, &clock->offset_ticks);
	if (strcmp(key, "offset_s") == 0) {
		r = tsdl_take_number(p, &number, &negative);
		clock->offset_s = r == 0 ? (int64_t)number : 0;
		return r;
	}
	return take_value_ignored(p);
}

static int setting_stream(struct tsdl *p, const char *key, void *block)
{
	struct meta_stream *s = block;

	if (strcmp(key, "id") == 0) {
		s->has_id = true;
		return take_u64(p, &s->id);
	}
	if (strcmp(key, "packet.context") == 0)
		return take_struct_type(p, &s->packet_context);
	if (strcmp(key, "event.header") == 0)
		return take_struct_type(p, &s->event_header);
	if (strcmp(key, "event.context") == 0)
		return take_struct_type(p, &s->event_context);
	return take_value_ignored(p);
}

static int setting_event(struct tsdl *p, const char *key, void *block)
{
	struct meta_event *event = block;
	uint64_t number;
	bool negative;
	int r;

	if (strcmp(key, "name") == 0)
		return tsdl_take_text(p, &event->name);
	if (strcmp(key, "id") == 0) {
		event->has_id = true;
		return take_u64(p, &event->id);
	}
	if (strcmp(key, "stream_id") == 0)
		return take_u64(p, &event->stream_id);
	if (strcmp(key, "loglevel") == 0) {
		r = tsdl_take_number(p, &number, &negative);
		event->level = r == 0 ? (int64_t)number : 0;
		event->has_level = r == 0;
		return r;
	}
	if (strcmp(key, "context") == 0)
		return take_struct_type(p, &event->context);
	if (strcmp(key, "fields") == 0)
		return take_struct_type(p, &event->payload);
	return take_value_ignored(p);
}

static int take_clock_block(struct tsdl *p, struct meta_clock ***tail)
{
	struct meta_clock *clock = arena_alloc(&p->meta->arena, sizeof(*clock));
	struct tsdl_token at = p->lex.now;
	int r;

	if (!clock)
		return -ENOMEM;
	clock->frequency_hz = 1000000000;
	r = take_block(p, setting_clock, clock);
	if (r < 0)
		return r;
	if (!clock->name || meta_clock_find(p->meta, clock->name))
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "clock without a name of its own");
	**tail = clock;
	*tail = &clock->next;
	return 0;
}

static int take_stream_block(struct tsdl *p)
{
	struct meta_stream read = {0}, *s;
	struct tsdl_token at = p->lex.now;
	int r = take_block(p, setting_stream, &read);

	if (r < 0)
		return r;
	s = meta_stream_get(p->meta, read.id);
	if (!s)
		return -ENOMEM;
	if (s->has_id)
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "stream %llu is described twice",
				    (unsigned long long)read.id);
	s->has_id = true;
	s->packet_context = read.packet_context;
	s->event_header = read.event_header;
	s->event_context = read.event_context;
	return 0;
}

static int take_event_block(struct tsdl *p)
{
	struct meta_event *event = arena_alloc(&p->meta->arena, sizeof(*event));
	struct tsdl_token at = p->lex.now;
	int r;

	if (!event)
		return -ENOMEM;
	r = take_block(p, setting_event, event);
	if (r < 0)
		return r;
	if (!event->name)
		event->name = "";
	r = meta_add_event(p->meta, event);
	if (r == -EEXIST)
		return tsdl_fail_at(&p->lex, &at, -EBADMSG, "event %llu is described twice",
				    (unsigned long long)event->id);
	return r;
}

struct tails {
	struct meta_env **env;
	struct meta_clock **clock;
};

static int take_top(struct tsdl *p, struct tails *tails)
{
	static const char *const words[] = {"trace", "env", "clock", "stream", "event", "callsite"};
	unsigned word = 0, nr = sizeof(words) / sizeof(words[0]);
	int r;

	if (tsdl_is(p, ';'))
		return tsdl_next(&p->lex);
	if (tsdl_is_type(p))
		return tsdl_declaration(p);
	while (word < nr && !tsdl_is_name(p, words[word]))
		word++;
	if (word == nr)
		return tsdl_fail(p, -EBADMSG,
				 "expected a block: trace, env, clock, stream or event");
	r = tsdl_next(&p->lex);
	if (r < 0)
		return r;
	switch (word) {
	case 0: return take_block(p, setting_trace, p->meta);
	case 1: return take_block(p, setting_env, &tails->env);
	case 2: return take_clock_block(p, &tails->clock);
	case 3: return take_stream_block(p);
	case 4: return take_event_block(p);
	default: return take_block(p, setting_ignored, NULL);
	}
}

int tsdl_parse(struct meta *m, const char *text, size_t len, const char *file,
	       struct tocsin_diag *diag)
{
	struct tsdl p = {
		.lex = {.text = text, .len = len, .file = file, .arena = &m->arena, .diag = diag},
		.meta = m,
	};
	struct tails tails = {&m->env, &m->clock};
	int r = tsdl_next(&p.lex);

	m->version = 1;
	while (r == 0 && p.lex.now.word != TSDL_END)
		r = take_top(&p, &tails);
	free(p.named);
	return r;
}
