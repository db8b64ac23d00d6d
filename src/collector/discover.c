// SPDX-License-Identifier: MIT
/*
 * Finding control pages. /proc/PID/fd has a link for each open file, and a memfd's name stands in
 * it; opening such a link opens the same memory. A program that closed the descriptor (daemons
 * close what they do not know) still has the mapping: /proc/PID/maps names it, and
 * /proc/PID/map_files opens it for those who may. What is gone while we look is not there;
 * permission is the kernel's to give, and a refusal is told with the process's owner.
 */
#include "discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"

#define CONTROL_LINK "/memfd:" CONTROL_NAME " (deleted)"
#define ARENA_LINK   "/memfd:" ARENA_NAME " (deleted)"
#define PAGES_MAX    8 /* of one process; a program that shows more is playing with us */

static void closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d); /* nothing was written through it */
}

struct search {
	struct discovered proto; /* what all its pages share */
	discover_fn fn;
	void *arg;
	struct tocsin_err *err;
	ino_t seen[PAGES_MAX]; /* of files; the same one may be open twice */
	unsigned nr_seen, nr_found;
	int failure; /* the last that is worth telling */
};

void discovered_done(struct discovered *found)
{
	control_file_close(&found->page);
}

/* One line of text of a file of /proc, from behind a name. Return: 0, -ENOENT, -errno. */
static int proc_value(pid_t pid, const char *file, const char *key, char *buf, size_t len)
{
	char path[64], line[1024];
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		(void)snprintf(buf, len, "%s", line + strlen(key));
		return 0;
	}
	return -ENOENT;
}

uint64_t discover_start_ticks(pid_t pid)
{
	char text[1024];
	uint64_t ticks;
	char *at;

	/* The name may hold anything, so the last ')' ends it; the state is the third field. */
	if (proc_value(pid, "stat", "", text, sizeof(text)) || !(at = strrchr(text, ')')))
		return 0;
	for (int i = 2; i < 22; i++) {
		at = strchr(at + 1, ' ');
		if (!at)
			return 0;
	}
	at++;
	at[strcspn(at, " \n")] = 0;
	return tocsin_parse_u64(at, &ticks) ? 0 : ticks;
}

/* The process as it sees itself: the last number of NSpid. */
static pid_t ns_pid_of(pid_t pid)
{
	char text[256];
	uint64_t value;
	char *last;

	if (proc_value(pid, "status", "NSpid:", text, sizeof(text)))
		return pid;
	text[strcspn(text, "\n")] = 0;
	last = strrchr(text, '\t');
	last = last ? last + 1 : text;
	return tocsin_parse_u64(last, &value) || value > INT_MAX ? pid : (pid_t)value;
}

static bool search_is_new(struct search *s, ino_t inode)
{
	for (unsigned i = 0; i < s->nr_seen; i++)
		if (s->seen[i] == inode)
			return false;
	if (s->nr_seen == PAGES_MAX)
		return false;
	s->seen[s->nr_seen++] = inode;
	return true;
}

static int found_page(struct search *s, int fd, uint64_t offset, uint64_t bytes, ino_t inode)
{
	struct discovered found = s->proto;
	int r = control_file_open(&found.page, fd, offset, bytes, s->proto.ns_pid, &found.head,
				  s->err);

	if (r == -ENOENT)
		return 0; /* its parent's, or not ready */
	if (r) {
		s->failure = r;
		return 0;
	}
	found.page.inode = inode;
	s->nr_found++;
	r = s->fn(s->arg, &found);
	discovered_done(&found);
	return r;
}

/* The page of this process in an arena: there is one place a process in it. */
static int found_arena(struct search *s, int fd_, uint64_t bytes, ino_t inode)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = fd_;
	struct control_file whole = {.fd = fd};
	struct arena_place place[128];
	uint64_t magic = 0;
	uint32_t nr = 0;

	if (bytes < ARENA_HEAD_BYTES ||
	    control_file_read(&whole, offsetof(struct arena, magic), &magic, sizeof(magic)) ||
	    control_file_read(&whole, offsetof(struct arena, nr_places), &nr, sizeof(nr)) ||
	    magic != ARENA_MAGIC)
		return 0;
	if (nr > ARENA_PLACES)
		nr = ARENA_PLACES;
	for (uint32_t i = 0; i < nr; i += sizeof(place) / sizeof(place[0])) {
		uint32_t some = nr - i < 128 ? nr - i : 128;

		if (control_file_read(&whole, offsetof(struct arena, place) + i * sizeof(place[0]),
				      place, some * sizeof(place[0])))
			return 0;
		for (uint32_t k = 0; k < some; k++) {
			int own;

			if (!place[k].offset || place[k].pid != (uint32_t)s->proto.ns_pid)
				continue;
			own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
			if (own < 0)
				return -errno;
			return found_page(s, own, place[k].offset, bytes, inode);
		}
	}
	return 0;
}

/* A path below /proc/PID whose link may be ours. Return: 0 to go on. */
static int look_at(struct search *s, const char *path, const char *link)
{
	bool is_arena = !strcmp(link, ARENA_LINK);
	uint64_t bytes;
	ino_t inode;
	int fd, r;

	if (!is_arena && strcmp(link, CONTROL_LINK) != 0)
		return 0;
	r = memfd_open_sealed(path, &fd, &bytes, &inode);
	if (r == -EACCES || r == -EPERM)
		s->failure = r;
	if (r)
		return 0;
	if (!search_is_new(s, inode)) {
		(void)close(fd);
		return 0;
	}
	return is_arena ? found_arena(s, fd, bytes, inode) : found_page(s, fd, 0, bytes, inode);
}

static int look_at_fds(struct search *s)
{
	char dir[64], path[PATH_MAX], link[256];
	DIR *d TOCSIN_CLEANUP(closedirp) = NULL;
	struct dirent *entry;
	int r = 0;

	(void)snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)s->proto.pid);
	d = opendir(dir);
	if (!d)
		return -errno;
	while (r == 0 && (entry = readdir(d))) {
		ssize_t len;

		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		len = readlink(path, link, sizeof(link) - 1);
		if (len <= 0)
			continue;
		link[len] = 0;
		r = look_at(s, path, link);
	}
	return r;
}

static int look_at_maps(struct search *s)
{
	char path[128], line[PATH_MAX + 128];
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = NULL;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)s->proto.pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (r == 0 && fgets(line, sizeof(line), f)) {
		char *name = strstr(line, "/memfd:tocsin-");

		if (!name)
			continue;
		name[strcspn(name, "\n")] = 0;
		line[strcspn(line, " ")] = 0;
		(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%.64s", (int)s->proto.pid,
			       line);
		r = look_at(s, path, name);
	}
	return r;
}

static int denied(const struct search *s, int r)
{
	char uid[256] = "?", why[64];

	(void)proc_value(s->proto.pid, "status", "Uid:\t", uid, sizeof(uid)); /* "?" will do */
	uid[strcspn(uid, "\t\n")] = 0;
	return tocsin_err_fail(
		r, s->err,
		"cannot look into process %d '%s' of user %s: %s (recording takes the same user, or CAP_SYS_PTRACE)",
		(int)s->proto.pid, s->proto.comm, uid, tocsin_errno_text(r, why, sizeof(why)));
}

int discover_process(pid_t pid, discover_fn fn, void *arg, struct tocsin_err *err)
{
	struct search s = {.fn = fn, .arg = arg, .err = err};
	int r;

	s.proto = (struct discovered){.pid = pid, .page = CONTROL_FILE_NONE};
	s.proto.start_ticks = discover_start_ticks(pid);
	if (!s.proto.start_ticks)
		return tocsin_err_fail(-ESRCH, err, "no process %d", (int)pid);
	s.proto.ns_pid = ns_pid_of(pid);
	(void)process_comm(pid, s.proto.comm, sizeof(s.proto.comm));
	r = look_at_fds(&s);
	if (r == 0 && !s.nr_found)
		r = look_at_maps(&s);
	if (r == -EACCES || r == -EPERM)
		return denied(&s, r);
	if (r == -ENOENT)
		return tocsin_err_fail(-ESRCH, err, "no process %d", (int)pid);
	if (r)
		return r;
	if (!s.nr_found && s.failure == -EPROTO)
		return tocsin_err_fail(-EPROTO, err, "cannot record process %d '%s'", (int)pid,
				       s.proto.comm);
	if (!s.nr_found && s.failure)
		return denied(&s, s.failure);
	return (int)s.nr_found;
}

static void blind_add(struct discover_blind *blind, int r, const struct tocsin_err *err)
{
	if (r == -EPROTO)
		blind->nr_refused++;
	else
		blind->nr_denied++;
	if (!blind->why.nr_causes)
		blind->why = *err;
}

int discover_all(const struct pid_set *skip, discover_fn fn, void *arg,
		 struct discover_blind *ret_blind)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = opendir("/proc");
	struct discover_blind blind = {0};
	struct dirent *entry;
	int nr = 0;

	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		struct tocsin_err err = {0};
		uint64_t pid;
		int r;

		if (tocsin_parse_u64(entry->d_name, &pid) || !pid || pid > INT_MAX)
			continue;
		if (skip && pid_set_has(skip, (pid_t)pid))
			continue;
		r = discover_process((pid_t)pid, fn, arg, &err);
		if (r == -EACCES || r == -EPERM || r == -EPROTO)
			blind_add(&blind, r, &err);
		else if (r < 0 && r != -ESRCH)
			return r;
		else if (r > 0)
			nr += r;
	}
	*ret_blind = blind;
	return nr;
}
