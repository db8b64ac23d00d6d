// SPDX-License-Identifier: MIT
/* A trace's directory. The metadata is written under a hidden name and renamed when it is whole;
 * stream files come after it. */
#include "trace_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "../base/cleanup.h"
#include "packet_file.h"

#define METADATA_TEMP ".metadata"

/* Return: 0 empty, -EEXIST not, -errno. */
static int dir_check_empty(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	for (errno = 0; r == 0 && (entry = readdir(dir)); errno = 0) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = -EEXIST;
	}
	if (r == 0)
		r = -errno;
	(void)closedir(dir); /* was only read */
	return r;
}

int ctf_trace_dir_open(const char *dir, struct tocsin_err *err, int *ret_fd, bool *ret_made)
{
	bool made = mkdir(dir, 0777) == 0;
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	int r;

	if (!made && errno != EEXIST)
		return tocsin_err_fail(-errno, err, "cannot make trace directory '%s': %s", dir,
				       strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : dir_check_empty(fd);
	if (r == -EEXIST)
		return tocsin_err_fail(r, err, "trace directory '%s' is not empty", dir);
	if (r < 0) {
		if (made)
			(void)rmdir(dir); /* the failure before it is the one to tell */
		return tocsin_err_fail(r, err, "cannot write trace '%s': %s", dir, strerror(-r));
	}
	*ret_fd = tocsin_take_fd(&fd);
	if (ret_made)
		*ret_made = made;
	return 0;
}

int ctf_metadata_replace(int dir_fd, const char *text, size_t len)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	int r;

	fd = openat(dir_fd, METADATA_TEMP, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0666);
	if (fd < 0)
		return -errno;
	r = ctf_write_at(fd, text, len, 0);
	if (r == 0 && renameat(dir_fd, METADATA_TEMP, dir_fd, "metadata") < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, METADATA_TEMP,
			       0); /* the failure before it is the one to tell */
	return r;
}

int ctf_uuid_make(uint8_t ret_uuid[static 16])
{
	if (getrandom(ret_uuid, 16, 0) != 16)
		return -EIO;
	ret_uuid[6] = (uint8_t)((ret_uuid[6] & 0x0f) | 0x40); /* version 4: random */
	ret_uuid[8] = (uint8_t)((ret_uuid[8] & 0x3f) | 0x80);
	return 0;
}
