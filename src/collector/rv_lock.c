// SPDX-License-Identifier: MIT
#include "rv_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"

#define LOCK_DIR "/run/tocsin"

static void path_of(const char *name, char *buf, size_t len)
{
	(void)snprintf(buf, len, LOCK_DIR "/rv.%s", name);
}

int rv_lock_take(const char *name)
{
	const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	char path[128];

	if (mkdir(LOCK_DIR, 0755) && errno != EEXIST)
		return -errno;
	path_of(name, path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lock))
		return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	return tocsin_take_fd(&fd);
}

bool rv_lock_is_taken(const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[128];

	path_of(name, path, sizeof(path));
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}
