// SPDX-License-Identifier: MIT
/*
 * Which file does a process mean, and what has it there?
 *
 * A process in a container says /usr/bin/postgres and means another file than we would open. Where
 * its mount namespace or its root differs from ours the path is looked up under /proc/PID/root,
 * following symbolic links by hand: an absolute link inside must lead to the container's root, and
 * following it through /proc would lead to ours. The program of a process is /proc/PID/exe; its
 * path is nicer to show, and is used where it still leads to the same file, which after an upgrade
 * it does not.
 *
 * Mappings are recognised by device and inode. On overlay and btrfs file systems maps shows another
 * device than stat() does, so a mapping that fits by inode only is compared once more through
 * /proc/PID/map_files, which is the mapped file itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../base/cleanup.h"
#include "bind.h"
#include "elf_internal.h"

#define LINKS_MAX   40
#define CONF_DEPTH  4 /* files that ld.so.conf may include within each other */
#define LIBRARY_MAX 256

struct mapping {
	uint64_t start, end, offset;
	unsigned long inode;
	dev_t dev;
	bool is_executable;
	char path[PATH_MAX]; /* as the process sees it; " (deleted)" taken off */
};

/* One line of /proc/PID/maps. Return: whether it maps a file. */
static bool mapping_parse(char *line, struct mapping *ret)
{
	unsigned major, minor;
	int at = 0;
	size_t len;
	char perms[5], *out = ret->path;

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &ret->start, &ret->end, perms,
		   &ret->offset, &major, &minor, &ret->inode, &at) != 7 ||
	    !at || line[at] != '/')
		return false;
	ret->dev = makedev(major, minor);
	ret->is_executable = perms[2] == 'x';
	/* Newlines in the name are written \012. */
	for (const char *p = line + at;
	     *p && *p != '\n' && out < ret->path + sizeof(ret->path) - 1;) {
		if (strncmp(p, "\\012", 4) == 0) {
			*out++ = '\n';
			p += 4;
		} else {
			*out++ = *p++;
		}
	}
	*out = '\0';
	len = strlen(ret->path);
	if (len > 10 && strcmp(ret->path + len - 10, " (deleted)") == 0)
		ret->path[len - 10] = '\0';
	return true;
}

/* Return: 0 to go on; anything else ends the walk and is its result. */
typedef int (*mapping_fn)(pid_t pid, const struct mapping *m, void *arg);

static int for_each_mapping(pid_t pid, mapping_fn fn, void *arg)
{
	TOCSIN_CLEANUP(tocsin_fclosep) FILE *maps = NULL;
	TOCSIN_CLEANUP(tocsin_free_charp) char *line = NULL;
	TOCSIN_CLEANUP(tocsin_free_voidp) struct mapping *m = malloc(sizeof(*m));
	size_t size = 0;
	char path[64];
	int r = 0;

	if (!m)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && getline(&line, &size, maps) > 0)
		if (mapping_parse(line, m))
			r = fn(pid, m, arg);
	if (r == 0 && ferror(maps))
		return -EIO;
	return r;
}

static void map_file_path(pid_t pid, const struct mapping *m, char *buf, size_t len)
{
	(void)snprintf(buf, len, "/proc/%d/map_files/%lx-%lx", pid, m->start, m->end);
}

static bool mapping_is(pid_t pid, const struct mapping *m, const struct stat *st)
{
	struct stat mapped;
	char path[96];

	if (m->inode == st->st_ino && m->dev == st->st_dev)
		return true;
	map_file_path(pid, m, path, sizeof(path));
	return stat(path, &mapped) == 0 && mapped.st_ino == st->st_ino &&
	       mapped.st_dev == st->st_dev;
}

/* Does the process see the same files under the same names as we do? Return: 1, 0, -errno. */
static int is_our_view(pid_t pid)
{
	struct stat theirs, ours;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	if (stat(path, &theirs) != 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (stat("/proc/self/ns/mnt", &ours) != 0)
		return -errno;
	if (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/root/.", pid);
	if (stat(path, &theirs) != 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (stat("/", &ours) != 0)
		return -errno;
	return theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

static int copy_path(const char *from, char *buf, size_t len)
{
	int n = snprintf(buf, len, "%s", from);

	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

/* Takes the first component off @rest. Return: false when there is none left, or it is too long. */
static bool component_take(char *rest, char *name, size_t len)
{
	char *p = rest + strspn(rest, "/");
	size_t n = strcspn(p, "/");

	if (!n || n >= len)
		return false;
	memcpy(name, p, n);
	name[n] = '\0';
	memmove(rest, p + n, strlen(p + n) + 1);
	return true;
}

/* @path inside @root (no slash at its end), every symbolic link followed inside it too. */
static int resolve_in_root(const char *root, const char *path, char *buf, size_t len)
{
	char rest[2 * PATH_MAX], done[PATH_MAX] = "", name[NAME_MAX + 1], full[PATH_MAX + 64],
				 target[PATH_MAX];
	unsigned links = 0;
	int r = copy_path(path, rest, PATH_MAX);

	while (r == 0 && component_take(rest, name, sizeof(name))) {
		size_t done_len = strlen(done);
		ssize_t n;

		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			char *slash = strrchr(done, '/');

			if (slash)
				*slash = '\0';
			continue;
		}
		if (done_len + 1 + strlen(name) >= sizeof(done))
			return -ENAMETOOLONG;
		(void)snprintf(done + done_len, sizeof(done) - done_len, "/%s", name);
		if ((size_t)snprintf(full, sizeof(full), "%s%s", root, done) >= sizeof(full))
			return -ENAMETOOLONG;
		n = readlink(full, target, sizeof(target) - 1);
		if (n < 0 && errno == EINVAL)
			continue; /* no link */
		if (n < 0)
			return -errno;
		if (++links > LINKS_MAX)
			return -ELOOP;
		target[n] = '\0';
		done[target[0] == '/' ? 0 : done_len] = '\0';
		if (strlen(rest) + (size_t)n + 2 >= PATH_MAX)
			return -ENAMETOOLONG;
		memmove(rest + n, rest,
			strlen(rest) + 1); /* which begins with a slash, or is empty */
		memcpy(rest, target, (size_t)n);
	}
	if (r == 0 && rest[strspn(rest, "/")])
		return -ENAMETOOLONG;
	if (r == 0 && (size_t)snprintf(buf, len, "%s%s", root, done) >= len)
		return -ENAMETOOLONG;
	return r;
}

static int own_program(pid_t pid, bool is_ours, char *buf, size_t len)
{
	char exe[64], path[PATH_MAX];
	struct stat program, file;
	ssize_t n;

	(void)snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
	if (stat(exe, &program) != 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = readlink(exe, path, sizeof(path) - 1);
	if (is_ours && n > 0) {
		path[n] = '\0';
		if (stat(path, &file) == 0 && file.st_ino == program.st_ino &&
		    file.st_dev == program.st_dev)
			return copy_path(path, buf, len);
	}
	return copy_path(exe, buf, len);
}

int elf_path_in_process(pid_t pid, const char *path, char *buf, size_t len)
{
	char root[64];
	int ours;

	if (pid == 0)
		return path ? copy_path(path, buf, len) : -EINVAL;
	ours = is_our_view(pid);
	if (ours < 0)
		return ours;
	if (!path)
		return own_program(pid, ours, buf, len);
	/* A relative path was meant relative to where we are. */
	if (ours || path[0] != '/')
		return copy_path(path, buf, len);
	(void)snprintf(root, sizeof(root), "/proc/%d/root", pid);
	return resolve_in_root(root, path, buf, len);
}

/* 3 it is the name, 2 the name and a version follow (libssl.so of libssl.so.3), 1 only the suffix
 * is missing; 0 no. */
static int library_rank(const char *base, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(base, name, len) != 0)
		return 0;
	if (!base[len])
		return 3;
	if (strstr(name, ".so"))
		return base[len] == '.' ? 2 : 0;
	return strncmp(base + len, ".so", 3) == 0 && (!base[len + 3] || base[len + 3] == '.') ? 1
											      : 0;
}

struct library {
	const char *name;
	int rank;
	bool is_ambiguous;
	bool is_ours; /* the process sees the files that we see */
	unsigned long inode;
	dev_t dev;
	char path[PATH_MAX];
};

/* How we can open what is mapped: by its path where that still leads there, else through the
 * mapping. */
static int mapped_path(pid_t pid, const struct mapping *m, bool is_ours, char *buf, size_t len)
{
	char root[64], path[PATH_MAX + 64], link[96];
	struct stat st;
	int r;

	(void)snprintf(root, sizeof(root), "/proc/%d/root", pid);
	r = is_ours ? copy_path(m->path, path, sizeof(path))
		    : resolve_in_root(root, m->path, path, sizeof(path));
	if (r == 0 && stat(path, &st) == 0 && mapping_is(pid, m, &st))
		return copy_path(path, buf, len);
	map_file_path(pid, m, link, sizeof(link));
	return copy_path(link, buf, len);
}

static int library_see(pid_t pid, const struct mapping *m, void *arg)
{
	struct library *lib = arg;
	const char *base = strrchr(m->path, '/') + 1;
	int rank = library_rank(base, lib->name);

	if (!rank || rank < lib->rank)
		return 0;
	if (rank == lib->rank) {
		if (m->inode != lib->inode || m->dev != lib->dev)
			lib->is_ambiguous = true;
		return 0;
	}
	lib->rank = rank;
	lib->is_ambiguous = false;
	lib->inode = m->inode;
	lib->dev = m->dev;
	return mapped_path(pid, m, lib->is_ours, lib->path, sizeof(lib->path));
}

/* A directory of the dynamic linker: the best library in it that is for this machine. */
static void directory_see(const char *dir, struct library *lib)
{
	char pattern[PATH_MAX];
	glob_t found;

	if ((size_t)snprintf(pattern, sizeof(pattern), "%s/%s*", dir, lib->name) >=
		    sizeof(pattern) ||
	    strpbrk(lib->name, "*?[\\"))
		return;
	if (glob(pattern, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
		const char *path = found.gl_pathv[i];
		int rank = library_rank(strrchr(path, '/') + 1, lib->name);

		/* Linker scripts and libraries for 32 bits bear the same names. */
		if (rank <= lib->rank || elf_file_open(path, &f, NULL) < 0)
			continue;
		if (copy_path(path, lib->path, sizeof(lib->path)) == 0)
			lib->rank = rank;
	}
	globfree(&found);
}

/* A file of the form of ld.so.conf: directories, a line each, and `include PATTERN`. */
static void conf_see(const char *path, struct library *lib, unsigned depth)
{
	TOCSIN_CLEANUP(tocsin_fclosep) FILE *conf = fopen(path, "re");
	TOCSIN_CLEANUP(tocsin_free_charp) char *line = NULL;
	size_t size = 0;

	while (conf && getline(&line, &size, conf) > 0) {
		char *p = line + strspn(line, " \t");
		glob_t found;

		p[strcspn(p, "#\n")] = '\0';
		for (size_t n = strlen(p); n && strchr(" \t", p[n - 1]); n--)
			p[n - 1] = '\0';
		if (*p == '/')
			directory_see(p, lib);
		if (strncmp(p, "include", 7) != 0 || depth == CONF_DEPTH)
			continue;
		if (glob(p + 7 + strspn(p + 7, " \t"), 0, NULL, &found) != 0)
			continue;
		for (size_t i = 0; i < found.gl_pathc; i++)
			conf_see(found.gl_pathv[i], lib, depth + 1);
		globfree(&found);
	}
}

int elf_find_library(pid_t pid, const char *name, char *buf, size_t len)
{
	static const char *const directories[] = {"/lib/x86_64-linux-gnu",
						  "/usr/lib/x86_64-linux-gnu",
						  "/lib64",
						  "/usr/lib64",
						  "/lib",
						  "/usr/lib"};
	TOCSIN_CLEANUP(tocsin_free_voidp) struct library *lib = calloc(1, sizeof(*lib));
	int r;

	if (!lib)
		return -ENOMEM;
	if (!*name || strchr(name, '/') || strlen(name) >= LIBRARY_MAX)
		return -EINVAL;
	lib->name = name;
	if (pid == 0) {
		conf_see("/etc/ld.so.conf", lib, 0);
		for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++)
			directory_see(directories[i], lib);
	} else {
		r = is_our_view(pid);
		if (r < 0)
			return r;
		lib->is_ours = r;
		r = for_each_mapping(pid, library_see, lib);
		if (r < 0)
			return r;
	}
	if (!lib->rank)
		return -ENOENT;
	return lib->is_ambiguous ? -ENOTUNIQ : copy_path(lib->path, buf, len);
}

struct read_back {
	struct stat st;
	uint64_t offset; /* in the file */
	uint64_t vaddr;  /* in the process; 0: not found yet */
};

static int read_back_see(pid_t pid, const struct mapping *m, void *arg)
{
	struct read_back *rb = arg;

	if (!m->is_executable || rb->offset < m->offset ||
	    rb->offset - m->offset >= m->end - m->start || !mapping_is(pid, m, &rb->st))
		return 0;
	rb->vaddr = m->start + (rb->offset - m->offset);
	return 1;
}

int bind_read_back(pid_t pid, const char *path, uint64_t file_offset, uint8_t *ret_byte)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	struct read_back rb = {.offset = file_offset};
	char mem[64];
	ssize_t n;
	int r;

	if (stat(path, &rb.st) != 0)
		return -errno;
	r = for_each_mapping(pid, read_back_see, &rb);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	(void)snprintf(mem, sizeof(mem), "/proc/%d/mem", pid);
	fd = open(mem, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = pread(fd, ret_byte, 1, (off_t)rb.vaddr);
	if (n < 0)
		return -errno;
	return n == 1 ? 0 : -ESRCH;
}
