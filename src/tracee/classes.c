// SPDX-License-Identifier: MIT
/*
 * Event classes: the static descriptions of a program and its libraries, written once, in a form
 * that stands by itself, into the control page.
 *
 * Nothing of a module is kept but its description: sites point into the page, not the page into
 * modules, so a module can be unloaded at any time, threads in other modules trace on meanwhile,
 * and the same module loaded again gets the ids that it had. Two sites are of one class when
 * provider, name, level, flags and fields are the same; file and line are those of the first.
 */
#include <errno.h>
#include <string.h>

#include "../abi/glob.h"
#include "tracee.h"

#define CLASS_BYTES_MAX 16384
#define TEXT_MAX        255 /* of provider, name and fields; labels too */

struct text_out {
	unsigned char *buf;
	uint32_t used;
	bool is_full;
};

static uint32_t put(struct text_out *out, const void *bytes, size_t len)
{
	uint32_t at = out->used;

	if (len > CLASS_BYTES_MAX - out->used) {
		out->is_full = true;
		return 0;
	}
	memcpy(out->buf + at, bytes, len);
	out->used += (uint32_t)len;
	return at;
}

static uint32_t put_text(struct text_out *out, const char *text, size_t max)
{
	size_t len = strnlen(text, max);
	uint32_t at = put(out, text, len);

	(void)put(out, "", 1); /* a full buffer is remembered in it */
	return at;
}

static bool is_scalar(uint8_t type)
{
	return type >= TOCSIN_TYPE_U8 && type <= TOCSIN_TYPE_POINTER;
}

static bool field_is_sound(const struct tocsin_field *f)
{
	if (!f->name || !f->name[0])
		return false;
	switch (f->type) {
	case TOCSIN_TYPE_STRING: return f->count >= 1;
	case TOCSIN_TYPE_ARRAY: /* as */
	case TOCSIN_TYPE_SEQUENCE: return is_scalar(f->elem);
	case TOCSIN_TYPE_BLOB: return f->elem == TOCSIN_TYPE_U8;
	default: break;
	}
	for (unsigned i = 0; i < f->nr_labels; i++) {
		if (!f->labels || !f->labels[i].text)
			return false;
	}
	return is_scalar(f->type);
}

static bool class_is_sound(const struct tocsin_class *cls)
{
	if (!cls->provider || !cls->provider[0] || !cls->name || !cls->name[0] ||
	    cls->nr_fields > TOCSIN_FIELDS_MAX || cls->level > TOCSIN_LEVEL_TRACE)
		return false;
	for (unsigned i = 0; i < cls->nr_fields; i++) {
		if (!field_is_sound(&cls->fields[i]))
			return false;
		for (unsigned j = 0; j < i; j++) {
			if (!strcmp(cls->fields[i].name, cls->fields[j].name))
				return false; /* no reader could tell them apart */
		}
	}
	return true;
}

/* The description, but for id, file and line. Return: bytes, or 0: too long. */
static uint32_t describe(const struct tocsin_class *cls, unsigned char *buf)
{
	struct text_out out = {.buf = buf};
	struct control_class head = {.level = cls->level, .nr_fields = cls->nr_fields};
	struct control_field field[TOCSIN_FIELDS_MAX];
	uint32_t fields_at, labels_at;

	memset(field, 0, sizeof(field));
	if (cls->flags & TOCSIN_CLASS_SECTION)
		head.flags = CONTROL_CLASS_SECTION;
	(void)put(&out, &head, sizeof(head)); /* a place for it */
	fields_at = put(&out, field, cls->nr_fields * sizeof(*field));
	labels_at = out.used;
	for (unsigned i = 0; i < cls->nr_fields; i++) {
		const struct tocsin_field *f = &cls->fields[i];

		field[i] = (struct control_field){.type = f->type,
						  .flags = f->flags,
						  .elem = f->elem,
						  .count = f->count,
						  .first_label = (__u16)head.nr_labels,
						  .nr_labels = f->nr_labels};
		for (unsigned j = 0; j < f->nr_labels; j++) {
			struct control_label label = {.first = f->labels[j].first,
						      .last = f->labels[j].last};

			(void)put(&out, &label, sizeof(label));
		}
		head.nr_labels += f->nr_labels;
	}
	head.provider = put_text(&out, cls->provider, TEXT_MAX);
	head.name = put_text(&out, cls->name, TEXT_MAX);
	for (unsigned i = 0, n = 0; i < cls->nr_fields; i++) {
		const struct tocsin_field *f = &cls->fields[i];

		field[i].name = put_text(&out, f->name, TEXT_MAX);
		for (unsigned j = 0; j < f->nr_labels; j++, n++) {
			uint32_t text = put_text(&out, f->labels[j].text, TEXT_MAX);
			uint32_t at = labels_at + n * (uint32_t)sizeof(struct control_label) +
				      (uint32_t)offsetof(struct control_label, text);

			if (!out.is_full)
				memcpy(buf + at, &text, sizeof(text));
		}
	}
	if (out.is_full)
		return 0;
	memcpy(buf, &head, sizeof(head));
	memcpy(buf + fields_at, field, cls->nr_fields * sizeof(*field));
	return out.used;
}

static uint32_t hash_bytes(const unsigned char *p, size_t n)
{
	uint32_t h = 2166136261u; /* FNV-1a, public domain */

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

/* Append with file and line, which say where but not what a class is. */
static int append(const struct tocsin_class *cls, unsigned char *buf, uint32_t bytes, uint32_t hash)
{
	struct control_page *page = tracee.page;
	struct text_out out = {.buf = buf, .used = bytes};
	uint32_t id = tracee.nr_classes;
	uint32_t file = put_text(&out, cls->file ? cls->file : "", TEXT_MAX);
	struct control_class head;
	int r;

	while (out.used % 8 && !out.is_full)
		(void)put(&out, "", 1); /* a full buffer is remembered in it */
	if (id >= CONTROL_CLASSES || out.is_full ||
	    out.used > CONTROL_CLASS_BYTES - tracee.class_bytes)
		return -ENOSPC;
	memcpy(&head, buf, sizeof(head));
	head.bytes = out.used;
	head.id = (__u16)id;
	head.file = file;
	head.line = cls->line;
	memcpy(buf, &head, sizeof(head));
	r = page_allocate(CONTROL_CLASSES_AT + tracee.class_bytes, out.used);
	if (r)
		return r;
	memcpy(page->classes + tracee.class_bytes, buf, out.used);
	tracee.class_at[id] = tracee.class_bytes;
	tracee.class_hash[id] = hash;
	tracee.class_bytes += out.used;
	tracee.nr_classes++;
	page->tracee.nr_classes = tracee.nr_classes;
	/* pairs with the collector's load of class_bytes */
	__atomic_store_n(&page->tracee.class_bytes, tracee.class_bytes, __ATOMIC_RELEASE);
	return (int)id;
}

static bool is_same(uint32_t id, const unsigned char *buf, uint32_t bytes)
{
	const unsigned char *at = tracee.page->classes + tracee.class_at[id];
	struct control_class head;

	memcpy(&head, at, sizeof(head));
	if (head.bytes < bytes)
		return false;
	head.bytes = head.id = 0;
	head.file = head.line = 0;
	return !memcmp(&head, buf, sizeof(head)) &&
	       !memcmp(at + sizeof(head), buf + sizeof(head), bytes - sizeof(head));
}

static int find(const unsigned char *buf, uint32_t bytes, uint32_t hash)
{
	for (uint32_t id = 0; id < tracee.nr_classes; id++) {
		if (tracee.class_hash[id] == hash && is_same(id, buf, bytes))
			return (int)id;
	}
	return -ENOENT;
}

static int classes_add(const struct tocsin_class *cls)
{
	unsigned char buf[CLASS_BYTES_MAX];
	uint32_t bytes, hash;
	int id;

	if (!class_is_sound(cls)) {
		tracee_count(TRACEE_LOSS_NO_FIELD, 1);
		return -EINVAL;
	}
	bytes = describe(cls, buf);
	hash = hash_bytes(buf, bytes);
	id = bytes ? find(buf, bytes, hash) : -ENOSPC;
	if (id == -ENOENT)
		id = append(cls, buf, bytes, hash);
	if (id < 0)
		tracee_count(TRACEE_LOSS_NO_CLASS, 1);
	return id;
}

/* Texts of a description, which this process wrote, but anything in it may since have written to.
 */
static bool text_is(uint32_t id, uint32_t offset, const char *text)
{
	uint32_t at = tracee.class_at[id];
	size_t len = strlen(text) + 1;

	return offset < CLASS_BYTES_MAX && at + offset + len <= tracee.class_bytes &&
	       !memcmp(tracee.page->classes + at + offset, text, len);
}

static int look_up(const struct tocsin_class *cls)
{
	for (uint32_t id = 0; id < tracee.nr_classes; id++) {
		struct control_class head;

		memcpy(&head, tracee.page->classes + tracee.class_at[id], sizeof(head));
		if (text_is(id, head.provider, cls->provider) && text_is(id, head.name, cls->name))
			return (int)id;
	}
	return -ENOENT;
}

int classes_add_site(struct tocsin_site *site)
{
	const struct tocsin_class *cls = site->cls;
	int id = cls->flags & TOCSIN_CLASS_LOOKUP ? look_up(cls) : classes_add(cls);

	if (id < 0)
		return id; /* its byte stays the one that is always 0 */
	site->id = (uint16_t)id;
	/* From here on the site may emit: pairs with nothing, the site's load and the call that
	 * follows it depend on one another. */
	__atomic_store_n(&site->on, &tracee.page->enable[id], __ATOMIC_RELEASE);
	return 0;
}

static bool rule_matches(const struct control_rule *rule, uint32_t id)
{
	char subject[2 * (TEXT_MAX + 1)];
	const unsigned char *at = tracee.page->classes + tracee.class_at[id];
	struct control_class head;
	size_t nr, used = 0;

	memcpy(&head, at, sizeof(head));
	if (head.level > rule->level || head.provider >= CLASS_BYTES_MAX ||
	    head.name >= CLASS_BYTES_MAX)
		return false;
	nr = strnlen((const char *)at + head.provider, TEXT_MAX);
	memcpy(subject, at + head.provider, nr);
	used = nr;
	subject[used++] = ':';
	nr = strnlen((const char *)at + head.name, TEXT_MAX);
	memcpy(subject + used, at + head.name, nr);
	used += nr;
	return glob_match(rule->pattern, strnlen(rule->pattern, sizeof(rule->pattern)), subject,
			  used);
}

void classes_apply(uint32_t first)
{
	struct control_page *page = tracee.page;
	uint32_t nr_rules = page->session.nr_rules;

	if (page->session.abi != CONTROL_ABI || !page->session.session_id ||
	    !(page->session.flags & CONTROL_SESSION_AUTO))
		return;
	if (nr_rules > sizeof(page->session.rule) / sizeof(page->session.rule[0]))
		nr_rules = 0;
	for (uint32_t id = first; id < tracee.nr_classes; id++) {
		for (uint32_t n = nr_rules; n-- > 0;) {
			struct control_rule rule = page->session.rule[n];

			if (!rule_matches(&rule, id))
				continue;
			page->filter_of[id] = rule.filter;
			__atomic_store_n(&page->enable[id], rule.enable, __ATOMIC_RELEASE);
			break;
		}
	}
}
