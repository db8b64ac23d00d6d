// SPDX-License-Identifier: MIT
/* What `-k` asks for: names to events, globs to tracepoints. */
#include "kernel_wish.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../abi/glob.h"
#include "../base/cleanup.h"
#include "../base/parse.h"
#include "kernel_format.h"
#include "tracefs.h"

#define TRACEPOINT   "tracepoint:"
#define TRACEPOINTS  200 /* one descriptor and one link each */
#define NAME_MAX_LEN 128

static const char *const groups[KERNEL_GROUP_NR] = {
#define GROUP(NAME, name, text) [KERNEL_GROUP_##NAME] = name,
#include "../abi/kernel_events.def"
};

static const struct {
	enum kernel_group group;
	const char *name;
} events[KERNEL_EVENT_NR] = {
#define EVENT(event, GROUP, name, text) [KERNEL_EVENT_##event] = {KERNEL_GROUP_##GROUP, name},
#include "../abi/kernel_events.def"
};

static bool is_match(const char *pattern, const char *text)
{
	return glob_match(pattern, strlen(pattern), text, strlen(text));
}

static bool is_glob(const char *text)
{
	return strpbrk(text, "*?");
}

static int unknown(const char *what, const char *name, const struct tocsin_nearest *near,
		   struct tocsin_err *err)
{
	char text[256];

	(void)tocsin_nearest_text(near, text, sizeof(text));
	return tocsin_err_fail(-ENOENT, err, "there is no %s '%.128s'%s%s", what, name,
			       text[0] ? ", nearest is " : "", text);
}

/* --- classes --- */

static int class_take(struct kernel_wish *wish, struct control_class *class)
{
	struct control_class **more =
		reallocarray(wish->class, wish->nr_classes + 1, sizeof(struct control_class *));

	if (!more || !class) {
		free(class);
		return -ENOMEM;
	}
	wish->class = more;
	more[wish->nr_classes++] = class;
	return 0;
}

static int classes_begin(struct kernel_wish *wish)
{
	int r = 0;

	for (enum kernel_event e = wish->nr_classes; e < KERNEL_EVENT_NR && !r; e++)
		r = class_take(wish, kernel_class_event(e));
	return r;
}

/* --- tracepoints --- */

static bool tracepoint_is_there(const struct kernel_wish *wish, const char *category,
				const char *name)
{
	for (uint32_t i = 0; i < wish->nr_tracepoints; i++)
		if (!strcmp(wish->tracepoint[i].category, category) &&
		    !strcmp(wish->tracepoint[i].name, name))
			return true;
	return false;
}

static int tracepoint_add(struct kernel_wish *wish, const char *category, const char *name,
			  struct tocsin_err *err)
{
	struct record_kernel_tracepoint *more, t = {0};
	struct control_class *class = NULL;
	unsigned left_out = 0;
	int r;

	if (tracepoint_is_there(wish, category, name))
		return 0;
	if (wish->nr_tracepoints == TRACEPOINTS)
		return tocsin_err_fail(-E2BIG, err, "more than %d tracepoints", TRACEPOINTS);
	r = kernel_format_read(category, name, wish->nr_classes, &class, &t.plan, &left_out, err);
	if (r)
		return r;
	t.plan.id = control_record_id(0, wish->nr_classes);
	r = class_take(wish, class);
	more = r ? NULL : reallocarray(wish->tracepoint, wish->nr_tracepoints + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	wish->tracepoint = more;
	t.category = strdup(category);
	t.name = strdup(name);
	more[wish->nr_tracepoints++] = t;
	wish->nr_left_out += left_out;
	return t.category && t.name ? 0 : -ENOMEM;
}

static void closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d); /* nothing was written through it */
}

struct search {
	struct kernel_wish *wish;
	const char *category, *name; /* globs */
	struct tocsin_nearest categories, names;
	struct tocsin_err *err;
	unsigned nr_categories, nr_found;
};

static int category_search(struct search *s, const char *dir, const char *category)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = NULL;
	char path[PATH_MAX];
	struct dirent *entry;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%s/events/%s", dir, category);
	d = opendir(path);
	if (!d)
		return errno == ENOTDIR ? 0 : -errno; /* a file there: no category */
	s->nr_categories++;
	while (!r && (entry = readdir(d))) {
		if (entry->d_name[0] == '.' || entry->d_type != DT_DIR)
			continue;
		tocsin_nearest_offer(&s->names, entry->d_name);
		if (!is_match(s->name, entry->d_name))
			continue;
		s->nr_found++;
		r = tracepoint_add(s->wish, category, entry->d_name, s->err);
	}
	return r;
}

static int events_search(struct search *s)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = NULL;
	const char *dir = tracefs_dir();
	char path[PATH_MAX];
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return tocsin_err_fail(
			-ENODEV, s->err,
			"no tracefs is mounted (mount -t tracefs nodev /sys/kernel/tracing), or it may not be read (that takes root, or cap_dac_read_search)");
	(void)snprintf(path, sizeof(path), "%s/events", dir);
	d = opendir(path);
	if (!d)
		return tocsin_err_fail(-errno, s->err, "cannot open '%s': %s", path,
				       strerror(errno));
	while (!r && (entry = readdir(d))) {
		/* `ftrace` describes its own records: they are no tracepoints. */
		if (entry->d_name[0] == '.' || entry->d_type != DT_DIR ||
		    !strcmp(entry->d_name, "ftrace"))
			continue;
		tocsin_nearest_offer(&s->categories, entry->d_name);
		if (is_match(s->category, entry->d_name))
			r = category_search(s, dir, entry->d_name);
	}
	return r;
}

static int tracepoints_add(struct kernel_wish *wish, char *text, struct tocsin_err *err)
{
	struct search s = {.wish = wish, .category = text, .err = err};
	char *name = strchr(text, ':');
	int r;

	if (!name || name == text || !name[1] || strchr(name + 1, ':'))
		return tocsin_err_fail(
			-EINVAL, err,
			"'" TRACEPOINT
			"%s' is not tracepoint:CATEGORY:NAME, as tracepoint:sched:sched_switch",
			text);
	*name++ = 0;
	s.name = name;
	tocsin_nearest_init(&s.categories, text);
	tocsin_nearest_init(&s.names, name);
	r = events_search(&s);
	if (r || s.nr_found)
		return r;
	name[-1] = ':';
	if (!s.nr_categories && !is_glob(text)) {
		name[-1] = 0;
		return unknown("category of tracepoints", text, &s.categories, err);
	}
	return unknown("tracepoint", text, &s.names, err);
}

/* --- groups --- */

static int group_add(struct kernel_wish *wish, const char *text, struct tocsin_err *err)
{
	struct tocsin_nearest near;
	bool is_found = false;
	char whole[NAME_MAX_LEN];

	tocsin_nearest_init(&near, text);
	for (size_t i = 0; i < KERNEL_GROUP_NR && !strchr(text, ':'); i++)
		tocsin_nearest_offer(&near, groups[i]);
	for (enum kernel_event e = 0; e < KERNEL_EVENT_NR; e++) {
		const char *group = groups[events[e].group];

		(void)snprintf(whole, sizeof(whole), "%s:%s", group, events[e].name);
		if (strchr(text, ':'))
			tocsin_nearest_offer(&near, whole);
		if (!is_match(text, strchr(text, ':') ? whole : group))
			continue;
		wish->event[e] = true;
		is_found = true;
	}
	if (is_found)
		return 0;
	return unknown(strchr(text, ':') ? "kernel event" : "group of kernel events", text, &near,
		       err);
}

int kernel_wish_add(struct kernel_wish *wish, const char *list, struct tocsin_err *err)
{
	char *copy TOCSIN_CLEANUP(tocsin_free_charp) = strdup(list);
	char *rest = copy, *item;
	int r = copy ? classes_begin(wish) : -ENOMEM;

	while (!r && (item = strsep(&rest, ","))) {
		if (!item[0])
			r = tocsin_err_fail(-EINVAL, err, "an empty name in '%.128s'", list);
		else if (!strncmp(item, TRACEPOINT, strlen(TRACEPOINT)))
			r = tracepoints_add(wish, item + strlen(TRACEPOINT), err);
		else
			r = group_add(wish, item, err);
	}
	wish->is_any = !r;
	return r;
}

void kernel_wish_done(struct kernel_wish *wish)
{
	for (uint32_t i = 0; i < wish->nr_tracepoints; i++) {
		free((char *)(uintptr_t)wish->tracepoint[i].category); /* ours: strdup() */
		free((char *)(uintptr_t)wish->tracepoint[i].name);
	}
	for (uint32_t i = 0; i < wish->nr_classes; i++)
		free(wish->class[i]);
	free(wish->tracepoint);
	free(wish->class);
	*wish = (struct kernel_wish){0};
}
