/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_CONTROL_FILE_H
#define TOCSIN_COLLECTOR_CONTROL_FILE_H

/*
 * The collector's hold on a control page (abi/control.h). Read by pread() and written by pwrite(),
 * since the traced process can punch holes into it, and a hole that cannot be filled is an error
 * here, where it would be a SIGBUS in a mapping.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../abi/control.h"
#include "../base/err.h"

struct control_file {
	int fd;          /* -1: none; O_RDWR */
	uint64_t offset; /* of the page in its file: 0, or an extent of an arena */
	uint64_t file_bytes;
	ino_t inode;
	bool is_locked;
};

#define CONTROL_FILE_NONE \
	{                 \
		.fd = -1  \
	}

/**
 * memfd_open_sealed() - open a file of another process, if it is a memory file that cannot shrink.
 * @path: below /proc/PID/, a link to an open file or a mapping
 *
 * Nothing but memory files is opened: not a file on a file system of the other process's making,
 * which could hold us up.
 *
 * Return: 0, -ENOTTY some other kind of file, -EBADF not sealed against shrinking, -errno.
 * Thread-safe: yes. Signal-safe: no.
 */
int memfd_open_sealed(const char *path, int *ret_fd, uint64_t *ret_bytes, ino_t *ret_inode);

/**
 * control_file_open() - take hold of a page.
 * @fd:       of its file, from memfd_open_sealed(); taken, whatever is returned
 * @ns_pid:   the process as it sees itself
 * @ret_head: a copy of what the process says of itself
 *
 * Return: 0, -ENOENT no page, or that of another process; -EPROTO another version, of which @err
 * has both; -errno.
 */
int control_file_open(struct control_file *page, int fd, uint64_t offset, uint64_t file_bytes,
		      pid_t ns_pid, struct control_tracee *ret_head, struct tocsin_err *err);
void control_file_close(struct control_file *page);

/** control_file_read(), control_file_write() - @len bytes at @at of the page. Return: 0, -errno. */
int control_file_read(const struct control_file *page, uint64_t at, void *buf, size_t len);
int control_file_write(const struct control_file *page, uint64_t at, const void *buf, size_t len);

/**
 * control_file_lock() - own the session, until the page is closed or we die.
 *
 * Return: 0, -EBUSY somebody else does, -errno.
 */
int control_file_lock(struct control_file *page);
void control_file_unlock(struct control_file *page);

#endif
