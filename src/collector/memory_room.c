// SPDX-License-Identifier: MIT
#include "memory_room.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../base/parse.h"
#include "process.h"
#include "sysfile.h"

/* The files of either version. A limit of v1 that is none is a number near 2^63. */
static const struct names {
	const char *limit, *usage, *idle;
} names_of[] = {
	{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "},
	{"memory.max", "memory.current", "inactive_file "},
};

static int number_read(const char *dir, const char *name, uint64_t *ret)
{
	char path[4096 + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return sysfile_read_u64(path, ret);
}

static uint64_t idle_bytes(const char *dir, const char *name)
{
	char path[4096 + 64], text[8192], value[32];
	uint64_t bytes = 0;

	(void)snprintf(path, sizeof(path), "%s/memory.stat", dir);
	if (sysfile_read(path, text, sizeof(text)) < 0 ||
	    sysfile_field(text, name, value, sizeof(value)) || tocsin_parse_u64(value, &bytes))
		return 0; /* not told: none of it is counted as free */
	return bytes;
}

/* One group's. A limit that is "max" is no number, so none. */
static void group_look(const char *dir, const struct names *n, struct memory_room *room)
{
	uint64_t limit, usage, idle, left;

	if (number_read(dir, n->limit, &limit) || limit >= UINT64_C(1) << 62 ||
	    number_read(dir, n->usage, &usage))
		return;
	idle = idle_bytes(dir, n->idle);
	usage -= idle < usage ? idle : usage;
	left = usage < limit ? limit - usage : 0;
	if (left < room->bytes) {
		room->bytes = left;
		(void)snprintf(room->group, sizeof(room->group), "%s", dir);
	}
}

/* Is it the line of the hierarchy with the memory controller? N:CONTROLLERS:PATH, none in
 * version 2. */
static bool has_memory(const char *controllers, bool is_v2)
{
	size_t len;

	if (is_v2)
		return *controllers == ':';
	for (; *controllers && *controllers != ':'; controllers += len) {
		controllers += *controllers == ',';
		len = strcspn(controllers, ",:");
		if (len == 6 && !strncmp(controllers, "memory", len))
			return true;
	}
	return false;
}

static void hierarchy_look(const char *list, bool is_v2, struct memory_room *room)
{
	char dir[4096];
	size_t root;
	int len;

	if (cgroup_mount_point(is_v2 ? "" : "memory", dir, sizeof(dir)))
		return;
	root = strlen(dir);
	for (const char *line = list; line; line = strchr(line, '\n')) {
		const char *path;

		line += *line == '\n';
		path = strchr(line, ':');
		if (!path || !has_memory(path + 1, is_v2))
			continue;
		path = strchr(path + 1, ':');
		if (!path)
			return;
		len = (int)strcspn(path + 1, "\n");
		if (root + (size_t)len >= sizeof(dir))
			return;
		(void)snprintf(dir + root, sizeof(dir) - root, "%.*s", len, path + 1);
		break;
	}
	/* Upwards, the root included: in a container that is the container's. */
	for (;;) {
		char *slash = strrchr(dir, '/');

		group_look(dir, &names_of[is_v2], room);
		if (!slash || (size_t)(slash - dir) < root)
			return;
		*slash = 0;
	}
}

int memory_room_of(pid_t pid, struct memory_room *ret)
{
	char path[64], list[8192];
	int r;

	*ret = (struct memory_room){.bytes = UINT64_MAX};
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	r = sysfile_read(path, list, sizeof(list));
	if (r < 0)
		return r;
	hierarchy_look(list, false, ret);
	hierarchy_look(list, true, ret);
	return 0;
}
