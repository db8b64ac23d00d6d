// SPDX-License-Identifier: MIT
/* The files that probes may go into. */
#include "attach_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/cleanup.h"
#include "../elf/elf_file.h"

#define FILES_MAX 256 /* different files of one place */

bool file_list_is_full(const struct file_list *l)
{
	return l->nr == FILES_MAX;
}

void file_list_done(struct file_list *l)
{
	free(l->item);
}

static int file_list_add(struct file_list *l, const char *path, pid_t pid)
{
	struct file *bigger;
	struct stat st;

	if (stat(path, &st))
		return -errno;
	for (size_t i = 0; i < l->nr; i++)
		if (l->item[i].dev == st.st_dev && l->item[i].ino == st.st_ino)
			return 0;
	if (l->nr == FILES_MAX)
		return -E2BIG;
	bigger = reallocarray(l->item, l->nr + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	l->item = bigger;
	bigger = &l->item[l->nr++];
	(void)snprintf(bigger->path, sizeof(bigger->path), "%s", path);
	bigger->dev = st.st_dev;
	bigger->ino = st.st_ino;
	bigger->pid = pid;
	return 0;
}

/* The file that a place names, as each target sees it; without targets as we do. */
int files_named(const struct attach_targets *t, const char *name, struct file_list *l,
		struct tocsin_err *err)
{
	char path[PATH_MAX];
	int r = -ENOENT;

	for (size_t i = 0; i <= t->pids.nr; i++) {
		pid_t pid = i < t->pids.nr ? t->pids.pid[i] : 0;

		if (!pid && l->nr)
			break;
		if (strchr(name, '/'))
			r = elf_path_in_process(pid, name, path, sizeof(path));
		else
			r = elf_find_library(pid, name, path, sizeof(path));
		if (!r)
			r = file_list_add(l, path, pid);
		if (r == -ENOMEM || r == -E2BIG)
			break;
	}
	if (l->nr)
		return 0;
	return tocsin_err_fail(r ?: -ENOENT, err, "cannot find '%s': %s", name,
			       strerror(r ? -r : ENOENT));
}

/* The programs that the targets run. */
int files_of_programs(const struct attach_targets *t, struct file_list *l, struct tocsin_err *err)
{
	char path[PATH_MAX];
	int r = 0;

	if (t->program)
		r = file_list_add(l, t->program, 0);
	for (size_t i = 0; i < t->pids.nr && !r; i++) {
		if (t->pids.pid[i] == t->program_pid)
			continue;
		r = elf_path_in_process(t->pids.pid[i], NULL, path, sizeof(path));
		if (r == -ESRCH || r == -ENOENT) { /* gone meanwhile, or a kernel thread */
			r = 0;
			continue;
		}
		r = r ?: file_list_add(l, path, t->pids.pid[i]);
	}
	if (r)
		return tocsin_err_fail(r, err,
				       "cannot find the programs of the watched processes: %s",
				       strerror(-r));
	if (!l->nr && t->pids.nr)
		return tocsin_err_fail(-ESRCH, err, "the watched processes have ended");
	if (!l->nr)
		return tocsin_err_fail(
			-ENOENT, err,
			"no program is known to look in: name the file in the section, as in "
			"'func:/path/to/program:name'");
	return 0;
}

/* Mapped shared libraries of the targets, after their programs. */
int files_of_libraries(const struct attach_targets *t, struct file_list *l)
{
	for (size_t i = 0; i < t->pids.nr; i++) {
		FILE *maps TOCSIN_CLEANUP(tocsin_fclosep) = NULL;
		char name[64], line[PATH_MAX + 128], path[PATH_MAX];

		(void)snprintf(name, sizeof(name), "/proc/%d/maps", t->pids.pid[i]);
		maps = fopen(name, "re");
		while (maps && fgets(line, sizeof(line), maps)) {
			char *file = strchr(line, '/');

			if (!file || !strstr(line, "r-xp"))
				continue;
			file[strcspn(file, "\n")] = 0;
			if (!elf_path_in_process(t->pids.pid[i], file, path, sizeof(path)) &&
			    file_list_add(l, path, t->pids.pid[i]) == -ENOMEM)
				return -ENOMEM;
		}
	}
	return 0;
}
