// SPDX-License-Identifier: MIT
/* Control pages of other processes. What is in them was written by a program that may be broken or
 * hostile. */
#include "control_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"

/* The kernel's own file system of memory files, which nobody can mount: a file on it is a memfd. */
static int memfd_device(unsigned *ret_major, unsigned *ret_minor)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = memfd_create("tocsin", MFD_CLOEXEC);
	struct statx st;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st))
		return -errno;
	*ret_major = st.stx_dev_major;
	*ret_minor = st.stx_dev_minor;
	return 0;
}

int memfd_open_sealed(const char *path, int *ret_fd, uint64_t *ret_bytes, ino_t *ret_inode)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	unsigned major = 0, minor = 0;
	struct statx st;
	int r, seals;

	r = memfd_device(&major, &minor);
	if (r)
		return r;
	/* Asks no file system but the kernel's caches. */
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st))
		return -errno;
	if (st.stx_dev_major != major || st.stx_dev_minor != minor || !S_ISREG(st.stx_mode))
		return -ENOTTY;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	/* The link may lead elsewhere by now. */
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st))
		return -errno;
	if (st.stx_dev_major != major || st.stx_dev_minor != minor || !S_ISREG(st.stx_mode))
		return -ENOTTY;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EBADF;
	*ret_bytes = st.stx_size;
	*ret_inode = (ino_t)st.stx_ino;
	*ret_fd = tocsin_take_fd(&fd);
	return 0;
}

int control_file_read(const struct control_file *page, uint64_t at, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t nr = pread(page->fd, p, len, (off_t)(page->offset + at));

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr <= 0)
			return nr < 0 ? -errno : -EIO;
		p += nr;
		at += (uint64_t)nr;
		len -= (size_t)nr;
	}
	return 0;
}

int control_file_write(const struct control_file *page, uint64_t at, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t nr = pwrite(page->fd, p, len, (off_t)(page->offset + at));

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr <= 0)
			return nr < 0 ? -errno : -EIO;
		p += nr;
		at += (uint64_t)nr;
		len -= (size_t)nr;
	}
	return 0;
}

static int head_check(const struct control_tracee *head, pid_t ns_pid, struct tocsin_err *err)
{
	if (head->magic != CONTROL_MAGIC)
		return -ENOENT; /* not yet filled in, or something else */
	if (head->abi != CONTROL_ABI)
		return tocsin_err_fail(
			-EPROTO, err,
			"its libtocsin %u.%u.%u speaks version %u of the control page, this tocsin version %u",
			head->library >> 16, head->library >> 8 & 0xff, head->library & 0xff,
			head->abi, (unsigned)CONTROL_ABI);
	return head->pid == (uint32_t)ns_pid ? 0 : -ENOENT;
}

int control_file_open(struct control_file *page, int fd, uint64_t offset, uint64_t file_bytes,
		      pid_t ns_pid, struct control_tracee *ret_head, struct tocsin_err *err)
{
	struct control_tracee head;
	int r = 0;

	*page = (struct control_file){.fd = fd, .offset = offset, .file_bytes = file_bytes};
	if (file_bytes < CONTROL_BYTES || offset > file_bytes - CONTROL_BYTES)
		r = -ENOENT;
	if (!r)
		r = control_file_read(page, 0, &head, sizeof(head));
	if (!r)
		r = head_check(&head, ns_pid, err);
	if (r) {
		control_file_close(page);
		return r;
	}
	*ret_head = head;
	return 0;
}

void control_file_close(struct control_file *page)
{
	if (page->fd >= 0)
		(void)close(page->fd); /* the lock goes with it */
	*page = (struct control_file)CONTROL_FILE_NONE;
}

static int lock_set(struct control_file *page, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)page->offset, .l_len = 1};

	if (!fcntl(page->fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

int control_file_lock(struct control_file *page)
{
	int r = lock_set(page, F_WRLCK);

	page->is_locked = !r;
	return r;
}

void control_file_unlock(struct control_file *page)
{
	if (page->is_locked)
		(void)lock_set(page, F_UNLCK); /* ours: cannot fail */
	page->is_locked = false;
}
