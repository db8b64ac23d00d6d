/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_MEMORY_ROOM_H
#define TOCSIN_COLLECTOR_MEMORY_ROOM_H

/*
 * Rings are memory of the process that writes them, charged to its memory cgroup; and when that is
 * full, the kernel does not refuse the memory but kills a process of the group. So a collector
 * looks before it has rings made.
 */

#include <stdint.h>
#include <sys/types.h>

struct memory_room {
	uint64_t bytes; /* that the group and those above it can still take; UINT64_MAX: no limit */
	char group[4096]; /* the directory of the one that has the least */
};

/**
 * memory_room_of() - how much more memory a process can be charged for.
 *
 * File pages that the kernel could take back count as free. What the groups' files do not tell (not
 * mounted here, no memory controller) is no limit.
 *
 * Return: 0, or -errno of /proc/PID/cgroup.
 */
int memory_room_of(pid_t pid, struct memory_room *ret);

#endif
