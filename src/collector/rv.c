// SPDX-License-Identifier: MIT
/*
 * rv/available_monitors has a line a monitor, `NAME` or `CONTAINER:NAME`; each has a folder
 * rv/monitors/NAME, or rv/monitors/CONTAINER/NAME, with the files `desc` and `enable`. A container
 * is a monitor that others name as theirs.
 */
#include "rv.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/cleanup.h"
#include "sysfile.h"

bool rv_is_there(const char *tracefs)
{
	char path[PATH_MAX];
	struct stat st;

	if (!tracefs)
		return false;
	(void)snprintf(path, sizeof(path), "%s/rv/available_monitors", tracefs);
	return !stat(path, &st);
}

void rv_monitors_done(struct rv_monitors *m)
{
	free(m->item);
	*m = (struct rv_monitors){0};
}

struct rv_monitor *rv_monitors_add(struct rv_monitors *m, const char *container,
				   size_t container_len, const char *name, size_t name_len)
{
	struct rv_monitor *more = reallocarray(m->item, m->nr + 1, sizeof(*more)), *new;

	if (!more)
		return NULL;
	m->item = more;
	new = &more[m->nr++];
	*new = (struct rv_monitor){0};
	(void)snprintf(new->container, sizeof(new->container), "%.*s", (int)container_len,
		       container);
	(void)snprintf(new->name, sizeof(new->name), "%.*s", (int)name_len, name);
	return new;
}

const struct rv_monitor *rv_monitors_find(const struct rv_monitors *m, const char *name)
{
	const char *colon = strchr(name, ':');
	size_t len = colon ? (size_t)(colon - name) : 0;

	for (size_t i = 0; i < m->nr; i++) {
		const struct rv_monitor *one = &m->item[i];

		if (strcmp(one->name, colon ? colon + 1 : name) == 0 &&
		    (!colon ||
		     (strlen(one->container) == len && strncmp(one->container, name, len) == 0)))
			return one;
	}
	return NULL;
}

/* What goes into a path: no way out of the folder. */
static bool is_name(const char *text, size_t len)
{
	return len && len < RV_NAME && text[0] != '.' && !memchr(text, '/', len);
}

static int file_path(const char *tracefs, const struct rv_monitor *m, const char *file, char *buf,
		     size_t len)
{
	int n = snprintf(buf, len, "%s/rv/monitors/%s%s%s/%s", tracefs, m->container,
			 m->container[0] ? "/" : "", m->name, file);

	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

static int monitor_read(const char *tracefs, struct rv_monitor *m, struct tocsin_err *err)
{
	char path[PATH_MAX];
	uint64_t enabled = 0;
	int r = file_path(tracefs, m, "desc", path, sizeof(path));

	r = r ?: sysfile_read(path, m->desc, sizeof(m->desc));
	if (r >= 0)
		r = file_path(tracefs, m, "enable", path, sizeof(path));
	r = r ?: sysfile_read_u64(path, &enabled);
	m->is_enabled = enabled != 0;
	m->desc[strcspn(m->desc, "\n")] = '\0';
	return r < 0 ? tocsin_err_fail(r, err, "cannot read '%s': %s", path, strerror(-r)) : 0;
}

static int line_read(const char *tracefs, const char *line, size_t len, struct rv_monitors *ret,
		     struct tocsin_err *err)
{
	const char *colon = memchr(line, ':', len), *name = colon ? colon + 1 : line;
	size_t container_len = colon ? (size_t)(colon - line) : 0, name_len = len;
	struct rv_monitor *m;

	name_len -= colon ? container_len + 1 : 0;
	if (!is_name(name, name_len) || (colon && !is_name(line, container_len)))
		return tocsin_err_fail(-EBADMSG, err,
				       "rv/available_monitors: '%.*s' is no monitor's name",
				       (int)(len < 80 ? len : 80), line);
	m = rv_monitors_add(ret, line, container_len, name, name_len);
	return m ? monitor_read(tracefs, m, err) : -ENOMEM;
}

int rv_monitors_read(const char *tracefs, struct rv_monitors *ret, struct tocsin_err *err)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = malloc(RV_FILES);
	char path[PATH_MAX];
	int r;

	*ret = (struct rv_monitors){0};
	if (!text)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "%s/rv/available_monitors", tracefs);
	r = sysfile_read(path, text, RV_FILES);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot read '%s': %s", path, strerror(-r));
	r = 0;
	for (const char *at = text; *at && !r; at += strspn(at, "\n")) {
		size_t len = strcspn(at, "\n");

		r = line_read(tracefs, at, len, ret, err);
		at += len;
	}
	for (size_t i = 0; i < ret->nr; i++)
		for (size_t k = 0; k < ret->nr; k++)
			if (strcmp(ret->item[k].container, ret->item[i].name) == 0 &&
			    !ret->item[i].container[0])
				ret->item[i].is_container = true;
	return r;
}
