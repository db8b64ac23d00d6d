/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_PROCESS_H
#define TOCSIN_COLLECTOR_PROCESS_H

/* Which processes there are, as /proc and the cgroup file system say. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../base/err.h"

struct pid_set {
	pid_t *pid; /* rising */
	size_t nr;
	size_t capacity;
};

/** pid_set_add() - idempotent. Return: 0, or -ENOMEM. */
int pid_set_add(struct pid_set *set, pid_t pid);
bool pid_set_has(const struct pid_set *set, pid_t pid);
void pid_set_done(struct pid_set *set);

/** process_find_comm() - add every process of this name (as the kernel keeps it: 15 bytes). Return:
 * 0, or -errno. */
int process_find_comm(const char *comm, struct pid_set *set);

/**
 * process_check_numbers() - do processes have the same numbers here, in /proc, and in the kernel
 * half?
 *
 * The kernel half sees those of the first pid namespace, and a number of another one is another
 * process there.
 *
 * Return: 0, or -ENOTSUP (@err says what differs, and the remedy).
 */
int process_check_numbers(struct tocsin_err *err);

/** process_of_thread() - whose thread it is. Return: 0: there is none. */
pid_t process_of_thread(pid_t tid);

/** process_find_all() - add every process. Return: 0, or -errno. */
int process_find_all(struct pid_set *set);

/** process_add_descendants() - add every process that descends from one of the set. Return: 0, or
 * -errno. */
int process_add_descendants(struct pid_set *set);

/** process_add_children() - add the children of a process, as the kernel lists them. Return: 0,
 * -ENOENT it has ended or the kernel has no such list, -errno. */
int process_add_children(struct pid_set *set, pid_t pid);

/** process_exists() - is there a thread group of this id? A zombie does not count. */
bool process_exists(pid_t pid);

/** process_comm() - its name, "?" when it is gone. Return: @buf. */
const char *process_comm(pid_t pid, char *buf, size_t len);

struct cgroup_place {
	uint64_t id;         /* as the kernel numbers it: the directory's inode */
	char controller[32]; /* of its version 1 hierarchy; "": version 2 */
};

/**
 * cgroup_find() - which cgroup a directory is.
 * @path: a directory of a cgroup file system, or `/x` below its root; lent
 *
 * Return: 0, or -ENOENT, -ENOTDIR, -EINVAL not a cgroup, -errno.
 */
int cgroup_find(const char *path, struct cgroup_place *ret, char *buf, size_t len,
		struct tocsin_err *err);

/**
 * cgroup_mount_point() - where a hierarchy is mounted.
 * @controller: cpu where it is one of several, else the first; "" for version 2; lent
 *
 * Return: 0, or -ENOENT, -errno.
 */
int cgroup_mount_point(const char *controller, char *buf, size_t len);

/** cgroup_add_processes() - add the processes of a cgroup directory and of those below it. Return:
 * 0, or -errno. */
int cgroup_add_processes(const char *dir, struct pid_set *set);

/**
 * cgroup_path_of() - the path below its root of the cgroup with this id.
 *
 * Walks the hierarchies that have the cpu controller. Return: 0, or -ENOENT it is gone.
 */
int cgroup_path_of(uint64_t id, char *buf, size_t len);

#endif
