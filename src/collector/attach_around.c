// SPDX-License-Identifier: MIT
/*
 * The neighbours of a file. A return probe replaces a return address on the stack, in every process
 * that it is for, and who unwinds through that address or moves it need not be in the same file: a
 * C library between a C++ program and its callback is gone through by the program's exceptions. So
 * all that is mapped with the file is looked at.
 */
#include "attach_around.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define NEIGHBOURS_MAX 256 /* libraries of one program */
#define NAME_LEN       128

/* They offer exceptions and contexts to others, and use none by themselves. */
static const char *const harmless[] = {"libc.so", "libc-2",   "ld-linux",   "ld-2",
				       "libm.so", "libm-2",   "libpthread", "librt",
				       "libdl",   "libgcc_s", "linux-vdso"};

struct neighbours {
	struct bind_around *around;
	char (*seen)[NAME_LEN]; /* libraries already followed */
	size_t nr_seen;
	int failure;
};

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_harmless(const char *base)
{
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
		if (!strncmp(base, harmless[i], strlen(harmless[i])))
			return true;
	return false;
}

static void not_known(struct bind_around *around, const char *what, const char *name)
{
	if (!around->why[0])
		(void)snprintf(around->why, sizeof(around->why), "%s '%.120s'", what, name);
}

/* --- what a program is linked with --- */

static int needed_see(const char *name, void *arg);

static int linked_see(struct neighbours *n, struct elf_file *elf, const char *name)
{
	int r = bind_around_see(n->around, elf, name);

	return r ?: elf_for_each_needed(elf, needed_see, n);
}

static int needed_see(const char *name, void *arg)
{
	struct elf_file *elf TOCSIN_CLEANUP(elf_file_freep) = NULL;
	struct neighbours *n = arg;
	char path[PATH_MAX];

	if (is_harmless(name))
		return 0;
	for (size_t i = 0; i < n->nr_seen; i++)
		if (!strncmp(n->seen[i], name, NAME_LEN - 1))
			return 0;
	if (n->nr_seen == NEIGHBOURS_MAX || elf_find_library(0, name, path, sizeof(path)) ||
	    elf_file_open(path, &elf, NULL)) {
		not_known(n->around, "its program is linked with what cannot be looked into,",
			  name);
		return 0;
	}
	(void)snprintf(n->seen[n->nr_seen++], NAME_LEN, "%s", name);
	return linked_see(n, elf, name);
}

static int linked_look(struct elf_file *elf, const struct file *f, struct bind_around *around)
{
	struct neighbours n = {.around = around};
	struct elf_shape shape;
	int r;

	elf_file_shape(elf, &shape);
	if (!shape.is_program) {
		not_known(around, "more programs may come to use", base_of(f->path));
		return 0;
	}
	n.seen = calloc(NEIGHBOURS_MAX, sizeof(*n.seen));
	if (!n.seen)
		return -ENOMEM;
	r = elf_for_each_needed(elf, needed_see, &n);
	free(n.seen);
	return r;
}

/* --- what processes have mapped --- */

static int mapped_look(const struct attach_targets *live, const struct file *f,
		       struct bind_around *around)
{
	struct file_list l TOCSIN_CLEANUP(file_list_done) = {0};
	int r = files_of_libraries(live, &l);

	for (size_t i = 0; i < l.nr && !r; i++) {
		struct elf_file *elf TOCSIN_CLEANUP(elf_file_freep) = NULL;
		const char *base = base_of(l.item[i].path);

		if ((l.item[i].dev == f->dev && l.item[i].ino == f->ino) || is_harmless(base))
			continue;
		if (elf_file_open(l.item[i].path, &elf, NULL))
			not_known(around, "mapped with it is what cannot be looked into,", base);
		else
			r = bind_around_see(around, elf, base);
	}
	if (!r && file_list_is_full(&l))
		not_known(around, "more is mapped with it than is looked at, and",
			  base_of(f->path));
	return r;
}

int attach_around(const struct attach_targets *targets, struct elf_file *elf, const struct file *f,
		  struct bind_around *ret)
{
	struct attach_targets live = *targets;
	struct bind_around around = {0};
	int r = 0;

	live.pids = (struct pid_set){0};
	live.program = NULL;
	for (size_t i = 0; i < targets->pids.nr && !r; i++)
		if (targets->pids.pid[i] != targets->program_pid)
			r = pid_set_add(&live.pids, targets->pids.pid[i]);
	r = r ?: mapped_look(&live, f, &around);
	if (!r && (targets->open || targets->program || !live.pids.nr))
		r = linked_look(elf, f, &around);
	pid_set_done(&live.pids);
	if (!r)
		*ret = around;
	return r;
}
