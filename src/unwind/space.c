// SPDX-License-Identifier: MIT
#include "space.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "module.h"

#define VDSO_BYTES_MAX 65536
#define DELETED        " (deleted)"

struct unwind_files {
	char *cache_dir;
	struct unwind_module *first;
	struct unwind_module *vdso; /* all processes of one kernel and word size have the same */
};

struct unwind_process {
	struct unwind_files *files;
	pid_t pid;
	struct unwind_space space;
	struct unwind_cache cache;
	struct unwind_map *map;
};

/* One line of /proc/PID/maps. */
struct line {
	uint64_t start, end, offset, ino;
	unsigned major, minor;
	bool is_exec;
	const char *path; /* "" for none */
};

/* --- files
 * ------------------------------------------------------------------------------------------------------
 */

struct unwind_files *unwind_files_new(const char *cache_dir)
{
	struct unwind_files *files = calloc(1, sizeof(*files));

	if (!files)
		return NULL;
	if (cache_dir) {
		files->cache_dir = strdup(cache_dir);
		if (!files->cache_dir)
			return unwind_files_free(files);
	}
	return files;
}

static struct unwind_module *module_free(struct unwind_module *m)
{
	if (!m)
		return NULL;
	unwind_known_free(m);
	(void)unwind_lines_free(m->lines); /* always NULL, as the next two */
	(void)unwind_table_free(m->table);
	(void)elf_file_free(m->elf);
	free(m->path);
	free(m);
	return NULL;
}

static void module_freep(struct unwind_module **m)
{
	(void)module_free(*m);
}

struct unwind_files *unwind_files_free(struct unwind_files *files)
{
	if (!files)
		return NULL;
	while (files->first) {
		struct unwind_module *m = files->first;

		files->first = m->next;
		(void)module_free(m);
	}
	free(files->cache_dir);
	free(files);
	return NULL;
}

const char *unwind_module_path(const struct unwind_module *m)
{
	return m->path;
}

const struct unwind_table *unwind_module_table(const struct unwind_module *m)
{
	return m->table;
}

const char *unwind_module_why(const struct unwind_module *m)
{
	return m->why;
}

bool unwind_module_is_replaced(const struct unwind_module *m)
{
	return m->is_replaced;
}

const char *unwind_module_build_id(const struct unwind_module *m)
{
	return m->build_id;
}

static void build_id_hex(const struct elf_file *f, char hex[2 * ELF_BUILD_ID_MAX + 1])
{
	uint8_t id[ELF_BUILD_ID_MAX];
	size_t len = elf_build_id(f, id);

	hex[0] = '\0';
	for (size_t i = 0; i < len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
}

/* A file that cannot be read is a module all the same: one without a table, and it says why. */
static void module_read(struct unwind_files *files, struct unwind_module *m, const char *open_path)
{
	struct tocsin_err err = {0};

	if (elf_file_open(open_path, &m->elf, &err) == 0) {
		build_id_hex(m->elf, m->build_id);
		if (unwind_table_load(m->elf, files->cache_dir, &m->table, &err) == 0)
			return;
	}
	(void)tocsin_err_text(&err, m->why, sizeof(m->why));
}

/* Does the path have a file with the same build id? Then nothing that matters was replaced. */
static bool is_replaced(pid_t pid, const char *path, const char *build_id)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *now = NULL;
	char at[PATH_MAX], hex[2 * ELF_BUILD_ID_MAX + 1];

	if (snprintf(at, sizeof(at), "/proc/%d/root%s", pid, path) >= PATH_MAX ||
	    elf_file_open(at, &now, NULL) < 0)
		return true;
	build_id_hex(now, hex);
	return !build_id[0] || strcmp(hex, build_id) != 0;
}

/* Where the mapped file can be opened. Return: whether that is not its path. */
static bool file_find(pid_t pid, const struct line *line, char *path, struct stat *ret_st)
{
	size_t len = strlen(line->path), cut = strlen(DELETED);
	bool is_deleted = len > cut && !strcmp(line->path + len - cut, DELETED);

	(void)snprintf(path, PATH_MAX, "/proc/%d/root%s", pid, line->path);
	if (!is_deleted && !stat(path, ret_st) && ret_st->st_ino == line->ino)
		return false;
	(void)snprintf(path, PATH_MAX, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, line->start,
		       line->end);
	if (stat(path, ret_st)) /* without the privilege it cannot be had */
		memset(ret_st, 0, sizeof(*ret_st));
	return true;
}

static int module_add(struct unwind_files *files, pid_t pid, const struct line *line,
		      struct unwind_module **ret)
{
	TOCSIN_CLEANUP(module_freep) struct unwind_module *m = NULL;
	char path[PATH_MAX];
	struct stat st;
	bool is_elsewhere = file_find(pid, line, path, &st);
	int64_t changed = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;

	for (m = files->first; m; m = m->next)
		if (st.st_ino && m->ino == st.st_ino && m->dev == st.st_dev &&
		    m->changed_ns == changed) {
			*ret = tocsin_take_ptr(&m);
			return 0;
		}
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->path = strdup(line->path);
	if (!m->path)
		return -ENOMEM;
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	m->changed_ns = changed;
	if (st.st_ino)
		module_read(files, m, path);
	else
		(void)snprintf(m->why, sizeof(m->why), "'%s' cannot be opened", m->path);
	if (is_elsewhere) {
		size_t len = strlen(m->path), cut = strlen(DELETED);

		if (len > cut && !strcmp(m->path + len - cut, DELETED))
			m->path[len - cut] = '\0';
		m->is_replaced = is_replaced(pid, m->path, m->build_id);
	}
	m->next = files->first;
	files->first = m;
	*ret = tocsin_take_ptr(&m);
	return 0;
}

/* The kernel's own library is in no file: its image is copied into one. */
static int vdso_add(struct unwind_files *files, pid_t pid, const struct line *line,
		    struct unwind_module **ret)
{
	TOCSIN_CLEANUP(module_freep) struct unwind_module *m = NULL;
	TOCSIN_CLEANUP(tocsin_close_fdp) int mem = -1;
	TOCSIN_CLEANUP(tocsin_close_fdp) int copy = -1;
	TOCSIN_CLEANUP(tocsin_free_voidp) void *bytes = NULL;
	size_t len = line->end - line->start;
	char path[64];

	if (files->vdso || len > VDSO_BYTES_MAX) {
		*ret = files->vdso;
		return 0;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	copy = memfd_create("vdso", MFD_CLOEXEC);
	bytes = malloc(len);
	m = calloc(1, sizeof(*m));
	if (!bytes || !m)
		return -ENOMEM;
	m->path = strdup(line->path);
	if (!m->path)
		return -ENOMEM;
	*ret = NULL;
	if (mem < 0 || copy < 0 || pread(mem, bytes, len, (off_t)line->start) != (ssize_t)len ||
	    pwrite(copy, bytes, len, 0) != (ssize_t)len)
		return 0; /* without a table: a walk that comes there says so */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	module_read(files, m, path);
	m->next = files->first;
	files->first = files->vdso = m;
	*ret = tocsin_take_ptr(&m);
	return 0;
}

/* --- mappings
 * ------------------------------------------------------------------------------------------------------
 */

static bool line_read(char *text, struct line *line)
{
	char perms[5];
	int at = 0;

	if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
		   &line->start, &line->end, perms, &line->offset, &line->major, &line->minor,
		   &line->ino, &at) < 7 ||
	    !at || line->start >= line->end)
		return false;
	text[strcspn(text, "\n")] = '\0';
	line->path = text + at;
	line->is_exec = perms[2] == 'x';
	return true;
}

/* Where the mapped part of the file was linked to. */
static bool bias_find(const struct elf_file *f, const struct line *line, uint64_t *ret_bias)
{
	const uint64_t page = 4095;

	for (size_t i = 0; i < f->nr_segments; i++) {
		const struct elf_segment *s = &f->segment[i];
		uint64_t first = s->offset & ~page;

		if ((s->flags & PF_X) && line->offset >= first &&
		    line->offset < s->offset + s->size) {
			*ret_bias = line->start - (s->vaddr - s->offset + line->offset);
			return true;
		}
	}
	return false;
}

static int map_fill(struct unwind_process *p, const struct line *line, struct unwind_map *map)
{
	struct unwind_module *m = NULL;
	int r = 0;

	*map = (struct unwind_map){.start = line->start, .end = line->end};
	if (!strcmp(line->path, "[vdso]"))
		r = vdso_add(p->files, p->pid, line, &m);
	else if (line->path[0] == '/' && line->ino)
		r = module_add(p->files, p->pid, line, &m);
	if (r || !m)
		return r;
	map->module = m;
	if (m->elf && bias_find(m->elf, line, &map->bias))
		map->table = m->table;
	return 0;
}

static int maps_read(struct unwind_process *p, FILE *f, struct unwind_map **ret, size_t *ret_nr)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) struct unwind_map *map = NULL;
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = NULL;
	size_t size = 0, nr = 0, max = 0;

	while (getline(&text, &size, f) > 0) {
		struct line line;
		int r;

		if (!line_read(text, &line) || !line.is_exec ||
		    (nr && line.start < map[nr - 1].end))
			continue;
		if (nr == max) {
			size_t more = max ? 2 * max : 32;
			struct unwind_map *bigger = reallocarray(map, more, sizeof(*map));

			if (!bigger)
				return -ENOMEM;
			map = bigger;
			max = more;
		}
		r = map_fill(p, &line, &map[nr]);
		if (r)
			return r;
		nr++;
	}
	if (ferror(f))
		return -EIO;
	if (!nr)
		return -ESRCH; /* it has exited, or has no memory of its own */
	*ret = tocsin_take_ptr(&map);
	*ret_nr = nr;
	return 0;
}

int unwind_process_refresh(struct unwind_process *p, struct tocsin_err *err)
{
	TOCSIN_CLEANUP(tocsin_fclosep) FILE *f = NULL;
	struct unwind_map *map = NULL;
	char path[64];
	size_t nr = 0;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", p->pid);
	f = fopen(path, "re");
	r = f ? maps_read(p, f, &map, &nr) : errno == ENOENT ? -ESRCH : -errno;
	if (r)
		return tocsin_err_fail(r, err, "cannot read the mappings of process %d: %s", p->pid,
				       strerror(-r));
	free(p->map);
	p->map = map;
	p->space.map = map;
	p->space.nr_maps = nr;
	memset(&p->cache, 0, sizeof(p->cache));
	return 0;
}

int unwind_process_open(struct unwind_files *files, pid_t pid, struct unwind_process **ret,
			struct tocsin_err *err)
{
	TOCSIN_CLEANUP(unwind_process_freep) struct unwind_process *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->files = files;
	p->pid = pid;
	p->space.cache = &p->cache;
	p->space.code_mask = (1ull << 48) - 1;
	r = unwind_process_refresh(p, err);
	if (r)
		return r;
	*ret = tocsin_take_ptr(&p);
	return 0;
}

struct unwind_process *unwind_process_free(struct unwind_process *p)
{
	if (!p)
		return NULL;
	free(p->map);
	free(p);
	return NULL;
}

void unwind_process_freep(struct unwind_process **p)
{
	(void)unwind_process_free(*p);
}

const struct unwind_space *unwind_process_space(const struct unwind_process *p)
{
	return &p->space;
}
