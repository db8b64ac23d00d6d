// SPDX-License-Identifier: MIT
/*
 * Mapped files. Whoever writes a trace may cut a file while we read it, and the kernel answers a
 * read of a page that is not in the file any more with SIGBUS. The handler puts a page of zeros
 * there and marks the map; the reader looks at the mark when it is through with a packet. (The
 * signal comes from an instruction of the reading thread itself, so the list of maps is never half
 * changed when the handler looks at it.)
 */
#include "read_map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "read_zstd.h"

#define RELEASE_BYTES ((size_t)16 << 20) /* given back at a time */

static struct ctf_map *maps;

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t at = (uintptr_t)info->si_addr;
	struct sigaction standard = {.sa_handler = SIG_DFL};

	(void)context;
	for (struct ctf_map *map = maps; map; map = map->next) {
		uintptr_t start = (uintptr_t)map->bytes;
		void *where = (void *)(at & ~(uintptr_t)(page - 1));

		if (!map->bytes || at < start || at - start >= map->mapped)
			continue;
		map->is_torn = true;
		if (mmap(where, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		    MAP_FAILED)
			return;
	}
	/* Not ours: it happens again on return, and kills. */
	(void)sigaction(number, &standard, NULL);
}

int ctf_map_guard(void)
{
	struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

static int map_size(int fd, size_t *ret_len)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_len = (size_t)st.st_size;
	return 0;
}

static int map_bytes(int fd, size_t len, const uint8_t **ret_bytes)
{
	void *p;

	*ret_bytes = NULL;
	if (!len)
		return 0;
	p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	(void)madvise(p, len, MADV_SEQUENTIAL); /* a hint */
	*ret_bytes = p;
	return 0;
}

int ctf_map_open(int dir_fd, const char *name, struct ctf_map *ret_map)
{
	/* Opening a pipe must not wait for a writer. */
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct ctf_map map = {.fd = fd};
	int r = fd < 0 ? -errno : map_size(fd, &map.len);

	if (r == 0 && map.len && ctf_zstd_stem(name)) {
		map.len = 0;
		r = ctf_zstd_open(fd, &map.zstd);
	} else if (r == 0) {
		r = map_bytes(fd, map.len, &map.bytes);
	}
	if (r < 0) {
		if (fd >= 0)
			(void)close(fd); /* was only read */
		return r;
	}
	map.mapped = map.len;
	*ret_map = map;
	ret_map->next = maps;
	maps = ret_map;
	return 0;
}

int ctf_map_want(struct ctf_map *map, uint64_t offset, uint64_t len)
{
	uint64_t end;
	int r;

	if (!map->zstd)
		return 0;
	r = ctf_zstd_want(map->zstd, offset, len);
	map->bytes = ctf_zstd_bytes(map->zstd, &map->start, &end);
	map->len = end;
	return r;
}

bool ctf_map_is_all(const struct ctf_map *map)
{
	return !map->zstd || ctf_zstd_is_all(map->zstd);
}

int ctf_map_look(struct ctf_map *map)
{
	const uint8_t *bytes;
	size_t len;
	int r;

	if (map->zstd) /* is whole before it has its name */
		return 0;
	r = map_size(map->fd, &len);
	if (r < 0 || len == map->len)
		return r;
	if (len < map->len) { /* the end of a recording cuts off what was kept free */
		map->len = len;
		return 1;
	}
	r = map_bytes(map->fd, len, &bytes);
	if (r < 0)
		return r;
	if (map->bytes)
		(void)munmap((void *)(uintptr_t)map->bytes,
			     map->mapped); /* cannot fail: it is mapped */
	map->bytes = bytes;
	map->len = map->mapped = len;
	map->released = 0;
	map->is_torn = false;
	return 1;
}

void ctf_map_release(struct ctf_map *map, size_t offset)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (map->zstd || offset < map->released || offset - map->released < RELEASE_BYTES)
		return;
	offset = offset / page * page;
	/* A hint again: pages that are looked at once more come from the file. */
	(void)madvise((void *)(uintptr_t)(map->bytes + map->released), offset - map->released,
		      MADV_DONTNEED);
	map->released = offset;
}

void ctf_map_close(struct ctf_map *map)
{
	struct ctf_map **p = &maps;

	while (*p && *p != map)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = map->next;
	if (map->zstd)
		map->zstd = ctf_zstd_close(map->zstd);
	else if (map->bytes)
		(void)munmap((void *)(uintptr_t)map->bytes, map->mapped);
	(void)close(map->fd); /* was only read */
	*map = (struct ctf_map){.fd = -1};
}
