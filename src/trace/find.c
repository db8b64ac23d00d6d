// SPDX-License-Identifier: MIT
/* Where traces are: a directory with `metadata` (or `metadata.zst`) is one, any other may hold some
 * (a session of LTTng has one for each domain and user, a rotated recording one for each chunk). */
#include "find.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/cleanup.h"

#define DEPTH_MAX   16
#define ENTRIES_MAX 100000

static bool has_file(const char *dir, const char *name)
{
	char *path TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	struct stat st;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return false;
	}
	return stat(path, &st) == 0;
}

static bool is_trace(const char *dir)
{
	return has_file(dir, "metadata") || has_file(dir, "metadata.zst");
}

/* A directory that was removed may leave its number to a new one. */
static bool is_still(const struct trace_dirs *dirs, size_t i)
{
	struct stat st;

	return stat(dirs->path[i], &st) == 0 && st.st_dev == dirs->dev[i] &&
	       st.st_ino == dirs->ino[i];
}

static int dir_add(struct trace_dirs *dirs, const char *path)
{
	size_t capacity = dirs->capacity ? 2 * dirs->capacity : 8;
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	for (size_t i = 0; i < dirs->nr; i++)
		if (dirs->dev[i] == st.st_dev && dirs->ino[i] == st.st_ino &&
		    (strcmp(dirs->path[i], path) == 0 || is_still(dirs, i)))
			return 0;
	if (dirs->nr == dirs->capacity) {
		char **paths = reallocarray(dirs->path, capacity, sizeof(*paths));
		dev_t *dev = paths ? reallocarray(dirs->dev, capacity, sizeof(*dev)) : NULL;
		ino_t *ino = dev ? reallocarray(dirs->ino, capacity, sizeof(*ino)) : NULL;

		dirs->path = paths ?: dirs->path;
		dirs->dev = dev ?: dirs->dev;
		dirs->ino = ino ?: dirs->ino;
		if (!ino)
			return -ENOMEM;
		dirs->capacity = capacity;
	}
	dirs->path[dirs->nr] = strdup(path);
	if (!dirs->path[dirs->nr])
		return -ENOMEM;
	dirs->dev[dirs->nr] = st.st_dev;
	dirs->ino[dirs->nr++] = st.st_ino;
	return 0;
}

static int compare(const FTSENT **a, const FTSENT **b)
{
	return strverscmp((*a)->fts_name, (*b)->fts_name);
}

/* Return: 0, or -errno. */
static int dirs_walk(struct trace_dirs *dirs, const char *path)
{
	char *copy TOCSIN_CLEANUP(tocsin_free_charp) = strdup(path);
	char *roots[] = {copy, NULL};
	FTS *fts = copy ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, compare) : NULL;
	unsigned nr = 0;
	FTSENT *entry;
	int r = 0;

	if (!fts)
		return copy ? -errno : -ENOMEM;
	while (r == 0 && nr++ < ENTRIES_MAX && (entry = fts_read(fts))) {
		if (entry->fts_info != FTS_D)
			continue;
		if (is_trace(entry->fts_path))
			r = dir_add(dirs, entry->fts_path);
		else if (entry->fts_level < DEPTH_MAX)
			continue;
		(void)fts_set(fts, entry, FTS_SKIP); /* fails for a wrong argument only */
	}
	(void)fts_close(fts); /* was only read */
	return r;
}

int trace_dirs_add(struct trace_dirs *dirs, const char *path, struct tocsin_err *err)
{
	size_t nr = dirs->nr;
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return tocsin_err_fail(-errno, err, "cannot open '%s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return tocsin_err_fail(-ENOTDIR, err, "'%s' is no directory, as a trace is", path);
	if (is_trace(path))
		return dir_add(dirs, path);
	r = dirs_walk(dirs, path);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot read '%s': %s", path, strerror(-r));
	if (dirs->nr == nr)
		return tocsin_err_fail(-ENOENT, err,
				       "no trace in '%s': no file 'metadata' there or below", path);
	return 0;
}

bool trace_dirs_is_root(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && !is_trace(path);
}

void trace_dirs_done(struct trace_dirs *dirs)
{
	for (size_t i = 0; i < dirs->nr; i++)
		free(dirs->path[i]);
	free(dirs->path);
	free(dirs->dev);
	free(dirs->ino);
	*dirs = (struct trace_dirs){0};
}
