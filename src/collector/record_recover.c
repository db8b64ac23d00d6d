// SPDX-License-Identifier: MIT
/*
 * After a kill. The files of a recording are rows of whole packets at any time, and end in an empty
 * one over a hole: cutting that off is all there is to do. After a power cut a file may be shorter
 * than its packets say, or end in zeros: then it is cut behind the last whole packet. The bytes are
 * not trusted: each length is checked against the file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../ctf/packet_file.h"
#include "record_look.h"

static void closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d); /* nothing was written through it */
}

static bool is_stream(const char *name)
{
	return !strncmp(name, "process_", 8) || !strncmp(name, "session_", 8) ||
	       !strncmp(name, "kernel_ring_", 12);
}

static bool is_sound(const struct ctf_packet_head *head, uint64_t left)
{
	uint64_t packet = head->packet_bits / 8, content = head->content_bits / 8;

	return head->magic == CTF_MAGIC && head->packet_bits % (CTF_PAGE_BYTES * 8) == 0 &&
	       packet && packet <= left && content >= CTF_HEAD_BYTES && content <= packet;
}

/* Where the file ends that should: behind the last packet that says something. */
static int file_end(int fd, uint64_t bytes, struct record_recovered *ret, uint64_t *ret_end)
{
	struct ctf_packet_head head;
	uint64_t at = 0, end = 0, whole = 0;

	while (bytes - at >= CTF_HEAD_BYTES) {
		ssize_t nr = pread(fd, &head, CTF_HEAD_BYTES, (off_t)at);

		if (nr < 0)
			return -errno;
		if (nr != CTF_HEAD_BYTES || !is_sound(&head, bytes - at))
			break;
		at += head.packet_bits / 8;
		whole = at;
		ret->nr_packets++;
		if (head.content_bits / 8 > CTF_HEAD_BYTES_CPU ||
		    head.packet_bits / 8 == CTF_PAGE_BYTES)
			end = at;
	}
	ret->broken_bytes += bytes - whole;
	ret->cut_bytes += whole - end;
	*ret_end = end;
	return 0;
}

static int file_recover(int dir_fd, const char *name, struct record_recovered *ret)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) =
		openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	uint64_t end = 0;
	int r;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	ret->nr_files++;
	r = file_end(fd, (uint64_t)st.st_size, ret, &end);
	if (r == 0 && end < (uint64_t)st.st_size && ftruncate(fd, (off_t)end))
		r = -errno;
	return r;
}

static int trace_recover(DIR *d, struct record_recovered *ret, struct tocsin_err *err)
{
	struct dirent *entry;

	ret->nr_traces++;
	while ((entry = readdir(d))) {
		const char *name = entry->d_name;
		int r = 0;

		if (name[0] == '.' && (is_stream(name + 1) || !strcmp(name, ".metadata"))) {
			r = unlinkat(dirfd(d), name, 0) ? -errno : 0;
			ret->nr_removed += r == 0;
		} else if (is_stream(name) && !strstr(name, ".zst")) {
			r = file_recover(dirfd(d), name, ret);
		}
		if (r)
			return tocsin_err_fail(r, err, "cannot recover '%s': %s", name,
					       strerror(-r));
	}
	return 0;
}

static int chunks_recover(DIR *d, struct record_recovered *ret, struct tocsin_err *err)
{
	struct dirent *entry;
	int r = 0;

	while (r == 0 && (entry = readdir(d))) {
		int fd;
		DIR *chunk TOCSIN_CLEANUP(closedirp) = NULL;

		if (strncmp(entry->d_name, "chunk_", 6) != 0)
			continue;
		fd = openat(dirfd(d), entry->d_name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		chunk = fdopendir(fd);
		if (!chunk) {
			(void)close(fd);
			return -ENOMEM;
		}
		r = trace_recover(chunk, ret, err);
	}
	return r;
}

int record_recover(const char *dir, struct record_recovered *ret, struct tocsin_err *err)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = opendir(dir);
	int r;

	*ret = (struct record_recovered){0};
	if (!d)
		return tocsin_err_fail(-errno, err, "cannot open '%s': %s", dir, strerror(errno));
	if (faccessat(dirfd(d), "metadata", F_OK, 0) == 0)
		return trace_recover(d, ret, err);
	r = chunks_recover(d, ret, err);
	if (r == 0 && !ret->nr_traces)
		return tocsin_err_fail(-ENOENT, err, "no trace in '%s'", dir);
	return r;
}
