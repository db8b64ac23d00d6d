// SPDX-License-Identifier: MIT
/*
 * Lists of sections, and budgets files.
 *
 * A file counts as a whole or not at all: it is applied to a copy of the list, which replaces the
 * list when the last line is read. Lists are short (WATCH_SECTIONS_MAX), so the copy costs nothing
 * worth saving.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../abi/watch.h"
#include "../base/cleanup.h"
#include "../base/file.h"
#include "section_scan.h"

void section_list_done(struct section_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->nr; i++)
		section_done(&list->item[i]);
	free(list->item);
	for (size_t i = 0; i < list->nr_removals; i++)
		section_done(&list->removal[i]);
	free(list->removal);
	*list = (struct section_list){0};
}

static const struct section *find_name(const struct section_list *list, const char *name)
{
	for (size_t i = 0; i < list->nr; i++)
		if (strcmp(list->item[i].name, name) == 0)
			return &list->item[i];
	return NULL;
}

static struct section *find_tlob(const struct section_list *list, const char *path, uint64_t offset)
{
	for (size_t i = 0; i < list->nr; i++) {
		struct section *s = &list->item[i];

		if (s->is_tlob && s->start.offset == offset && strcmp(s->start.path, path) == 0)
			return s;
	}
	return NULL;
}

/* Where a section was written, for a hint. */
static void hint_first(struct tocsin_diag *diag, const struct section *first)
{
	if (first->line)
		tocsin_diag_hint(diag, "the first is at %s:%u: %s", first->file, first->line,
				 first->text);
	else
		tocsin_diag_hint(diag, "the first is: %s", first->text);
}

/* Where a section was written: all of its line, or the first bytes of it. */
static struct tocsin_where where_of(const struct section *s, size_t len)
{
	return (struct tocsin_where){
		.file = s->file,
		.line = s->line,
		.source = s->text,
		.column = len ? 1 : 0,
		.len = len,
	};
}

static int list_refuse(const struct section_list *list, const struct section *s,
		       struct tocsin_diag *diag)
{
	const struct section *first = NULL;
	struct tocsin_where where = where_of(s, 0);

	if (s->is_tlob)
		first = find_tlob(list, s->start.path, s->start.offset);
	if (first) {
		tocsin_diag_set(diag, &where, "a second section starts at offset 0x%llx of '%s'",
				(unsigned long long)s->start.offset, s->start.path);
		hint_first(diag, first);
		return -EEXIST;
	}
	if (s->has_own_name)
		first = find_name(list, s->name);
	if (first) {
		where = where_of(s, strlen(s->name));
		tocsin_diag_set(diag, &where, "a second section has the name '%s'", s->name);
		hint_first(diag, first);
		return -EEXIST;
	}
	if (list->nr >= WATCH_SECTIONS_MAX) {
		tocsin_diag_set(diag, &where, "more than %d sections", WATCH_SECTIONS_MAX);
		return -ENOSPC;
	}
	return 0;
}

static int list_nomem(const struct section *s, struct tocsin_diag *diag)
{
	const struct tocsin_where where = where_of(s, 0);

	tocsin_diag_set(diag, &where, "out of memory");
	return -ENOMEM;
}

static int list_reserve(struct section_list *list, size_t nr)
{
	size_t capacity = list->capacity ? list->capacity : 8;
	struct section *item;

	if (nr <= list->capacity)
		return 0;
	while (capacity < nr)
		capacity *= 2;
	item = reallocarray(list->item, capacity, sizeof(*item));
	if (!item)
		return -ENOMEM;
	list->item = item;
	list->capacity = capacity;
	return 0;
}

/* A made name that is taken gets a number; there are fewer than a thousand. */
static int name_number(const struct section_list *list, struct section *s)
{
	char name[SECTION_NAME_MAX + 1];
	char *numbered;

	if (!find_name(list, s->name))
		return 0;
	for (unsigned nr = 2;; nr++) {
		(void)snprintf(name, sizeof(name), "%.*s#%u", SECTION_NAME_MAX - 4, s->name, nr);
		if (!find_name(list, name))
			break;
	}
	numbered = strdup(name);
	if (!numbered)
		return -ENOMEM;
	free(s->name);
	s->name = numbered;
	return 0;
}

int section_list_add(struct section_list *list, struct section *s, struct tocsin_diag *diag)
{
	int r;

	r = list_refuse(list, s, diag);
	if (r < 0)
		return r;
	r = list_reserve(list, list->nr + 1);
	if (r == 0)
		r = name_number(list, s);
	if (r < 0)
		return list_nomem(s, diag);
	list->item[list->nr++] = *s;
	*s = (struct section){0};
	return 0;
}

int section_list_remove(struct section_list *list, const char *path, uint64_t offset)
{
	struct section *s = find_tlob(list, path, offset);
	size_t behind;

	if (!s)
		return -ENOENT;
	behind = (size_t)(list->item + list->nr - (s + 1));
	section_done(s);
	memmove(s, s + 1, behind * sizeof(*s));
	list->nr--;
	return 0;
}

static bool text_copy(const char *text, char **ret_copy)
{
	*ret_copy = text ? strdup(text) : NULL;
	return *ret_copy || !text;
}

static bool place_copy(const struct place *p, struct place *ret_place)
{
	*ret_place = (struct place){.kind = p->kind, .offset = p->offset};
	return text_copy(p->path, &ret_place->path) && text_copy(p->group, &ret_place->group) &&
	       text_copy(p->name, &ret_place->name);
}

static bool section_copy(const struct section *s, struct section *ret)
{
	*ret = *s;
	ret->name = ret->text = NULL;
	ret->start = ret->stop = (struct place){0};
	return text_copy(s->name, &ret->name) && text_copy(s->text, &ret->text) &&
	       place_copy(&s->start, &ret->start) && place_copy(&s->stop, &ret->stop);
}

/* Takes @s's contents on success and leaves it zeroed. */
static int removal_keep(struct section_list *list, struct section *s)
{
	struct section *bigger =
		reallocarray(list->removal, list->nr_removals + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	list->removal = bigger;
	list->removal[list->nr_removals++] = *s;
	*s = (struct section){0};
	return 0;
}

static int list_copy(const struct section_list *list, struct section_list *ret_list)
{
	struct section_list copy = {.keeps_removals = list->keeps_removals};
	bool is_whole = list_reserve(&copy, list->nr) == 0;

	for (size_t i = 0; i < list->nr && is_whole; i++)
		is_whole = section_copy(&list->item[i], &copy.item[copy.nr++]);
	for (size_t i = 0; i < list->nr_removals && is_whole; i++) {
		struct section s;

		is_whole = section_copy(&list->removal[i], &s) && !removal_keep(&copy, &s);
		section_done(&s);
	}
	if (!is_whole) {
		section_list_done(&copy);
		return -ENOMEM;
	}
	*ret_list = copy;
	return 0;
}

int section_list_apply(struct section_list *list, const char *line, const char *file,
		       unsigned line_nr, struct tocsin_diag *diag)
{
	struct section s = {0};
	enum section_line kind;
	int r;

	r = section_parse(line, file, line_nr, &kind, &s, diag);
	if (r < 0)
		return r;
	if (kind == SECTION_LINE_ADD) {
		r = section_list_add(list, &s, diag);
	} else if (kind == SECTION_LINE_REMOVE) {
		const struct tocsin_where where = where_of(&s, strlen(s.text));

		r = section_list_remove(list, s.start.path, s.start.offset);
		if (r < 0 && list->keeps_removals)
			r = removal_keep(list, &s);
		if (r < 0)
			tocsin_diag_set(diag, &where, "no section starts at offset 0x%llx of '%s'",
					(unsigned long long)s.start.offset, s.start.path);
	}
	section_done(&s);
	return r;
}

/* A file being applied. */
struct reading {
	struct section_list *list;
	const char *file; /* for diagnostics */
	unsigned line_nr;
	struct tocsin_diag *diag;
};

/* @line is terminated at @len, and may hold NUL bytes before that. */
static int line_apply(const struct reading *rd, char *line, size_t len)
{
	if (len && line[len - 1] == '\r')
		line[--len] = '\0';
	if (strlen(line) != len) {
		const struct tocsin_where where = {
			.file = rd->file,
			.line = rd->line_nr,
			.source = line,
			.column = strlen(line) + 1,
		};

		tocsin_diag_set(rd->diag, &where, "NUL byte: this is not a text file");
		return -EINVAL;
	}
	return section_list_apply(rd->list, line, rd->file, rd->line_nr, rd->diag);
}

/* @text is terminated at @len. */
static int text_apply(struct reading *rd, char *text, size_t len)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf"; /* some editors cannot do without */
	char *line = text, *end = text + len, *newline;
	int r = 0;

	if (len >= 3 && memcmp(text, byte_order_mark, 3) == 0)
		line += 3;
	for (; line < end && r == 0; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline)
			newline = end;
		*newline = '\0';
		rd->line_nr++;
		r = line_apply(rd, line, (size_t)(newline - line));
	}
	return r;
}

int section_list_read(struct section_list *list, const char *path, struct tocsin_diag *diag)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = NULL;
	TOCSIN_CLEANUP(section_list_done) struct section_list next = {0};
	struct reading rd = {.list = &next, .diag = diag};
	struct tocsin_where where = {0};
	char why[64];
	size_t len = 0;
	int r;

	rd.file = strcmp(path, "-") == 0 ? "standard input" : path;
	r = file_load(path, SECTION_FILE_MAX, &text, &len);
	if (r == 0)
		r = list_copy(list, &next);
	where.file = rd.file;
	if (r == -EFBIG)
		tocsin_diag_set(diag, &where, "budgets file is larger than %u bytes",
				SECTION_FILE_MAX);
	else if (r < 0)
		tocsin_diag_set(diag, &where, "cannot read: %s",
				tocsin_errno_text(r, why, sizeof(why)));
	if (r == 0)
		r = text_apply(&rd, text, len);
	if (r == 0) {
		struct section_list old = *list;

		*list = next;
		next = old;
	}
	return r;
}
