// SPDX-License-Identifier: MIT
/* Processes, their descendants, their cgroups. What is gone while we look is no error: it is not
 * there. */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "sysfile.h"

static void closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d); /* nothing was written through it */
}

static size_t pid_set_place(const struct pid_set *set, pid_t pid)
{
	size_t lo = 0, hi = set->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (set->pid[mid] < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool pid_set_has(const struct pid_set *set, pid_t pid)
{
	size_t at = pid_set_place(set, pid);

	return at < set->nr && set->pid[at] == pid;
}

int pid_set_add(struct pid_set *set, pid_t pid)
{
	size_t at = pid_set_place(set, pid);

	if (at < set->nr && set->pid[at] == pid)
		return 0;
	if (set->nr == set->capacity) {
		size_t capacity = set->capacity ? 2 * set->capacity : 16;
		pid_t *bigger = reallocarray(set->pid, capacity, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		set->pid = bigger;
		set->capacity = capacity;
	}
	memmove(&set->pid[at + 1], &set->pid[at], (set->nr - at) * sizeof(*set->pid));
	set->pid[at] = pid;
	set->nr++;
	return 0;
}

void pid_set_done(struct pid_set *set)
{
	free(set->pid);
	*set = (struct pid_set){0};
}

/* The fields of /proc/PID/stat that we use. The name may hold anything, so the last ')' ends it. */
struct proc_stat {
	char comm[32];
	char state;
	pid_t parent;
};

static int stat_read(pid_t pid, struct proc_stat *ret)
{
	char path[64], text[512], *open, *close;
	int parent, r;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = sysfile_read(path, text, sizeof(text));
	if (r < 0)
		return r;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open ||
	    sscanf(close + 1, " %c %d", &ret->state, &parent) != 2)
		return -EBADMSG;
	*close = 0;
	(void)snprintf(ret->comm, sizeof(ret->comm), "%s", open + 1);
	ret->parent = parent;
	return 0;
}

bool process_exists(pid_t pid)
{
	struct proc_stat st;

	return pid > 0 && !stat_read(pid, &st) && st.state != 'Z' && st.state != 'X';
}

const char *process_comm(pid_t pid, char *buf, size_t len)
{
	struct proc_stat st;

	(void)snprintf(buf, len, "%s", stat_read(pid, &st) ? "?" : st.comm);
	return buf;
}

/* The kernel gives the first pid namespace a fixed inode (PROC_PID_INIT_INO). */
#define PID_NS_FIRST "pid:[4026531836]"

/* Return: 0, or -ENOENT. */
static int link_read(const char *path, char *buf, size_t len)
{
	ssize_t n = readlink(path, buf, len - 1);

	buf[n < 0 ? 0 : n] = 0;
	return n < 0 ? -ENOENT : 0;
}

int process_check_numbers(struct tocsin_err *err)
{
	char self[32], namespace[64];
	uint64_t number;

	if (link_read("/proc/self", self, sizeof(self)) ||
	    link_read("/proc/self/ns/pid", namespace, sizeof(namespace)))
		return tocsin_err_fail(
			-ENOTSUP, err,
			"/proc does not show this process: it is not mounted, or is that of another pid namespace");
	if (strcmp(namespace, PID_NS_FIRST) != 0)
		return tocsin_err_fail(
			-ENOTSUP, err,
			"this is inside a pid namespace, where processes have other numbers than in the kernel half: "
			"run tocsin outside of it (nsenter -t 1 -m -p, docker run --pid=host, hostPID: true)");
	if (tocsin_parse_u64(self, &number) || number != (uint64_t)getpid())
		return tocsin_err_fail(
			-ENOTSUP, err,
			"/proc is that of another pid namespace: this process is %d, and %s there",
			getpid(), self);
	return 0;
}

pid_t process_of_thread(pid_t tid)
{
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = NULL;
	char path[64], line[256];
	int tgid = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	return tgid;
}

int process_find_all(struct pid_set *set)
{
	DIR *dir TOCSIN_CLEANUP(closedirp) = opendir("/proc");
	struct dirent *d;
	int r = 0;

	if (!dir)
		return -errno;
	while (!r && (d = readdir(dir))) {
		uint64_t pid;

		if (isdigit((unsigned char)d->d_name[0]) && !tocsin_parse_u64(d->d_name, &pid) &&
		    pid <= INT_MAX)
			r = pid_set_add(set, (pid_t)pid);
	}
	return r;
}

/* Calls fn for every process; a result other than 0 ends it. */
static int process_each(int (*fn)(pid_t pid, const struct proc_stat *st, void *arg), void *arg)
{
	struct pid_set all TOCSIN_CLEANUP(pid_set_done) = {0};
	int r = process_find_all(&all);

	for (size_t i = 0; i < all.nr && !r; i++) {
		struct proc_stat st;

		if (!stat_read(all.pid[i], &st)) /* else it has gone meanwhile */
			r = fn(all.pid[i], &st, arg);
	}
	return r;
}

struct comm_search {
	const char *comm;
	struct pid_set *set;
};

static int comm_match(pid_t pid, const struct proc_stat *st, void *arg)
{
	struct comm_search *s = arg;

	return strncmp(st->comm, s->comm, 15) ? 0 : pid_set_add(s->set, pid);
}

int process_find_comm(const char *comm, struct pid_set *set)
{
	struct comm_search s = {.comm = comm, .set = set};

	return process_each(comm_match, &s);
}

static int child_match(pid_t pid, const struct proc_stat *st, void *arg)
{
	struct pid_set *set = arg;

	return pid_set_has(set, st->parent) ? pid_set_add(set, pid) : 0;
}

static int task_children(struct pid_set *set, pid_t pid, const char *task)
{
	char path[96], text[4096];
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = NULL;
	int r = 0, child;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", (int)pid, task);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	(void)setvbuf(f, text, _IOFBF, sizeof(text)); /* one read for most */
	while (r == 0 && fscanf(f, "%d", &child) == 1)
		r = pid_set_add(set, child);
	return r;
}

int process_add_children(struct pid_set *set, pid_t pid)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = NULL;
	char path[64];
	struct dirent *entry;
	int r = -ENOENT;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		int one;

		if (entry->d_name[0] == '.')
			continue;
		one = task_children(set, pid, entry->d_name);
		if (one == -ENOMEM)
			return one;
		r = one == 0 ? 0 : r; /* a thread that has ended has none */
	}
	return r;
}

int process_add_descendants(struct pid_set *set)
{
	size_t before;
	int r;

	do { /* /proc is in order of pids, not of descent: until nothing is added */
		before = set->nr;
		r = process_each(child_match, set);
		if (r)
			return r;
	} while (set->nr != before);
	return 0;
}

/* --- cgroups
 * ------------------------------------------------------------------------------------------------------
 */

struct cgroup_mount {
	char point[PATH_MAX];
	char controller[32]; /* the first of a version 1 hierarchy; "" for version 2 */
};

/* Calls fn for every cgroup mount; a result other than 0 ends it. */
static int cgroup_mounts(int (*fn)(const struct cgroup_mount *m, void *arg), void *arg)
{
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = fopen("/proc/self/mounts", "re");
	char line[PATH_MAX + 512];
	int r;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *save = NULL, *type, *options, *point;
		struct cgroup_mount m = {0};

		(void)strtok_r(line, " ", &save);
		point = strtok_r(NULL, " ", &save);
		type = strtok_r(NULL, " ", &save);
		options = strtok_r(NULL, " ", &save);
		if (!options || (strcmp(type, "cgroup") && strcmp(type, "cgroup2")))
			continue;
		(void)snprintf(m.point, sizeof(m.point), "%s", point);
		if (!strcmp(type, "cgroup")) {
			/* the controllers are the options that are no mount option: the last one
			 * that names none is it */
			for (char *o = strtok_r(options, ",", &save); o;
			     o = strtok_r(NULL, ",", &save))
				if (!strcmp(o, "cpu") || !strcmp(o, "cpuacct") ||
				    !strcmp(o, "memory") || !strcmp(o, "pids") ||
				    !strcmp(o, "blkio") || !strcmp(o, "cpuset") ||
				    !strcmp(o, "devices") || !strcmp(o, "freezer"))
					if (!m.controller[0] || !strcmp(o, "cpu"))
						(void)snprintf(m.controller, sizeof(m.controller),
							       "%s", o);
			if (!m.controller[0])
				continue; /* a named hierarchy without a controller */
		}
		r = fn(&m, arg);
		if (r)
			return r;
	}
	return 0;
}

struct point_search {
	const char *controller;
	char *buf;
	size_t len;
};

static int point_match(const struct cgroup_mount *m, void *arg)
{
	struct point_search *s = arg;

	if (strcmp(m->controller, s->controller) || strlen(m->point) >= s->len)
		return 0;
	(void)snprintf(s->buf, s->len, "%s", m->point);
	return 1;
}

int cgroup_mount_point(const char *controller, char *buf, size_t len)
{
	struct point_search s = {.controller = controller, .buf = buf, .len = len};
	int r = cgroup_mounts(point_match, &s);

	return r < 0 ? r : r ? 0 : -ENOENT;
}

struct cgroup_search {
	const char *path;
	struct cgroup_place *place;
	char *buf;
	size_t len;
};

/* Mounts are tried in their order: the path itself, or the path below the mount point; the cpu
 * controller's wins. */
static int cgroup_match(const struct cgroup_mount *m, void *arg)
{
	struct cgroup_search *s = arg;
	char path[2 * PATH_MAX];
	struct stat st;
	size_t len = strlen(m->point);
	bool below = !strncmp(s->path, m->point, len) && (s->path[len] == '/' || !s->path[len]);

	if (below)
		(void)snprintf(path, sizeof(path), "%s", s->path);
	else
		(void)snprintf(path, sizeof(path), "%s/%s", m->point,
			       s->path + (s->path[0] == '/'));
	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return 0;
	if (s->place->id && strcmp(m->controller, "cpu") && !below)
		return 0; /* the same path in a less useful hierarchy */
	if (strlen(path) >= s->len)
		return -ENAMETOOLONG;
	(void)snprintf(s->buf, s->len, "%s", path);
	s->place->id = st.st_ino;
	(void)snprintf(s->place->controller, sizeof(s->place->controller), "%s", m->controller);
	return below;
}

int cgroup_find(const char *path, struct cgroup_place *ret, char *buf, size_t len,
		struct tocsin_err *err)
{
	struct cgroup_place place = {0};
	struct cgroup_search s = {.path = path, .place = &place, .buf = buf, .len = len};
	int r = cgroup_mounts(cgroup_match, &s);

	if (r < 0)
		return tocsin_err_fail(r, err, "cannot look for the cgroup '%s': %s", path,
				       strerror(-r));
	if (!place.id)
		return tocsin_err_fail(-ENOENT, err, "no cgroup '%s' in any mounted hierarchy",
				       path);
	*ret = place;
	return 0;
}

/* nftw() has no argument for its callback. */
static __thread struct pid_set *walk_set;
static __thread int walk_error;

static int procs_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char name[PATH_MAX + 32];
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = NULL;
	int pid;

	(void)st;
	(void)ftw;
	if (type != FTW_D)
		return 0;
	(void)snprintf(name, sizeof(name), "%s/cgroup.procs", path);
	f = fopen(name, "re");
	if (!f)
		return 0; /* removed while we walk */
	while (fscanf(f, "%d", &pid) == 1) {
		walk_error = pid_set_add(walk_set, pid);
		if (walk_error)
			return 1;
	}
	return 0;
}

int cgroup_add_processes(const char *dir, struct pid_set *set)
{
	walk_set = set;
	walk_error = 0;
	if (nftw(dir, procs_visit, 16, FTW_PHYS | FTW_MOUNT) < 0)
		return -errno;
	return walk_error;
}

static __thread uint64_t walk_id;
static __thread char walk_path[PATH_MAX];

static int id_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type != FTW_D || st->st_ino != walk_id)
		return 0;
	(void)snprintf(walk_path, sizeof(walk_path), "%s", path);
	return 1;
}

struct id_search {
	char *buf;
	size_t len;
};

static int id_match(const struct cgroup_mount *m, void *arg)
{
	struct id_search *s = arg;
	const char *below;

	if (m->controller[0] && strcmp(m->controller, "cpu"))
		return 0;
	walk_path[0] = 0;
	if (nftw(m->point, id_visit, 16, FTW_PHYS | FTW_MOUNT) != 1)
		return 0;
	below = walk_path + strlen(m->point);
	(void)snprintf(s->buf, s->len, "%s", *below ? below : "/");
	return 1;
}

int cgroup_path_of(uint64_t id, char *buf, size_t len)
{
	struct id_search s = {.buf = buf, .len = len};
	int r;

	walk_id = id;
	r = cgroup_mounts(id_match, &s);
	return r < 0 ? r : r ? 0 : -ENOENT;
}
