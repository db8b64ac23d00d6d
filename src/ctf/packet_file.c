// SPDX-License-Identifier: MIT
/*
 * A kill at any time leaves stream files that read whole. Readers refuse a file whose last packet
 * is cut, and one large write is cut when the process is killed in it (seen in 49 of 60 kills on
 * tmpfs, with writes of 256 KiB). What the kernel never cuts is a write within one page. So packets
 * are padded to whole pages, and the file ends in an empty packet E over the place of the next
 * ones. A packet is put like this:
 *
 *   0. the file ends in a place, one empty packet          [E              ]
 *   1. write the content and a head for the rest           [E.content.e....]
 *   2. write the head of the packet, which owns it         [HEAD......][E  ]
 *
 * Step 2 writes less than a page at the start of one, step 1 writes where no reader looks: after
 * each of them the file is a row of whole packets. When a step fails (disk full), nothing has
 * changed for a reader.
 *
 * A file that grows does it like this, which is whole at any time, but a system call a page:
 *
 *   a. append pages one by one, each an empty packet       [E    ][e][e][e]
 *   b. rewrite the head of the first: one over all         [E             ]
 *
 * Together that costs three times what the content does (1.1 GB/s instead of 3.4, ext4), too much
 * for rings. Growing by ftruncate() and writing E behind it would be cheap, but a kill between the
 * two leaves zeros (seen in 2 of 240 kills). So a ring's file is made with its place: a hole of
 * 1 GiB and the head of E, under a hidden name, renamed when both are there. It never grows;
 * closing cuts off what was not used, and so does `record --recover` after a kill.
 */
#include "packet_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../base/cleanup.h"

#define CTF_PLACE_LEAST (1024u * 1024) /* bytes; a file system that takes no more is refused */

_Static_assert(CTF_FILE_MAX % CTF_PAGE_BYTES == 0 && CTF_PLACE_LEAST % CTF_PAGE_BYTES == 0,
	       "places are whole pages");

/* What struct iovec asks for, though it is only read. */
#define UNCONST(p) ((void *)(uintptr_t)(p))

int ctf_write_at(int fd, const void *bytes, size_t len, uint64_t pos)
{
	const uint8_t *p = bytes;

	while (len) {
		ssize_t nr = pwrite(fd, p, len, (off_t)pos);

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr < 0)
			return -errno;
		if (nr == 0)
			return -ENOSPC;
		p += nr;
		pos += (uint64_t)nr;
		len -= (size_t)nr;
	}
	return 0;
}

int ctf_packet_file_open(struct ctf_packet_file *f, int dir_fd, const char *name, size_t head_bytes)
{
	*f = (struct ctf_packet_file){.head_bytes = head_bytes};
	f->fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	return f->fd < 0 ? -errno : 0;
}

static int put_head(const struct ctf_packet_file *f, struct ctf_packet_head head, uint64_t content,
		    uint64_t packet, uint64_t pos)
{
	head.content_bits = (f->head_bytes + content) * 8;
	head.packet_bits = packet * 8;
	return ctf_write_at(f->fd, &head, f->head_bytes, pos);
}

/* One page at the file's end. */
static int append_page(struct ctf_packet_file *f, const struct ctf_packet_head *head,
		       const void *content, size_t len)
{
	uint8_t page[CTF_PAGE_BYTES] = {0};
	struct ctf_packet_head whole = *head;
	int r;

	whole.content_bits = (f->head_bytes + len) * 8;
	whole.packet_bits = sizeof(page) * 8;
	memcpy(page, &whole, f->head_bytes);
	if (len)
		memcpy(page + f->head_bytes, content, len);
	r = ctf_write_at(f->fd, page, sizeof(page), f->file_bytes);
	if (r == 0)
		f->file_bytes += sizeof(page);
	return r;
}

static int grow(struct ctf_packet_file *f, struct ctf_packet_head head, uint64_t end)
{
	uint64_t before = f->file_bytes;
	int r = 0;

	head.end_ns = head.begin_ns; /* empty packets end where they begin */
	while (f->file_bytes < end && r == 0)
		r = append_page(f, &head, NULL, 0);
	if (r == 0 && f->file_bytes - f->used_bytes > CTF_PAGE_BYTES)
		r = put_head(f, head, 0, f->file_bytes - f->used_bytes, f->used_bytes);
	if (r == 0)
		return 0;
	f->file_bytes = before;
	if (ftruncate(f->fd, (off_t)before) < 0)
		f->broken = -errno;
	return r;
}

int ctf_packet_file_open_place(struct ctf_packet_file *f, int dir_fd, const char *name,
			       const struct ctf_packet_head *head)
{
	char hidden[NAME_MAX + 1];
	int r = snprintf(hidden, sizeof(hidden), ".%s", name);

	if (r < 0 || (size_t)r >= sizeof(hidden))
		return -ENAMETOOLONG;
	r = ctf_packet_file_open(f, dir_fd, hidden, CTF_HEAD_BYTES_CPU);
	if (r < 0)
		return r;
	f->has_place = true;
	f->file_bytes = CTF_FILE_MAX;
	while ((r = ftruncate(f->fd, (off_t)f->file_bytes) < 0 ? -errno : 0) < 0 &&
	       f->file_bytes > CTF_PLACE_LEAST)
		f->file_bytes /= 2;
	if (r == 0)
		r = put_head(f, *head, 0, f->file_bytes, 0);
	if (r == 0 && renameat2(dir_fd, hidden, dir_fd, name, RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dir_fd, hidden, 0); /* the failure before it is the one to tell */
		(void)close(tocsin_take_fd(&f->fd));
	}
	return r;
}

/* Content, padding, and the head of the empty packet behind, which are one row in the file. */
static int put_content(const struct ctf_packet_file *f, struct ctf_packet_head rest,
		       const void *content, size_t len, uint64_t end)
{
	static const uint8_t zero[CTF_PAGE_BYTES];
	uint64_t pos = f->used_bytes + f->head_bytes;
	const struct iovec iov[] = {
		{.iov_base = UNCONST(content), .iov_len = len},
		{.iov_base = UNCONST(zero), .iov_len = end - pos - len},
		{.iov_base = &rest, .iov_len = end < f->file_bytes ? f->head_bytes : 0},
	};
	size_t all = iov[0].iov_len + iov[1].iov_len + iov[2].iov_len, done = 0;

	rest.begin_ns = rest.end_ns;
	rest.content_bits = f->head_bytes * 8;
	rest.packet_bits = (f->file_bytes - end) * 8;
	while (done < all) {
		ssize_t nr;

		if (done == 0)
			nr = pwritev(f->fd, iov, 3, (off_t)pos);
		else if (done < len) /* a write cut short, as by a full disk: see what stops it */
			nr = pwrite(f->fd, (const uint8_t *)content + done, len - done,
				    (off_t)(pos + done));
		else
			break;
		if (nr < 0 && errno == EINTR)
			continue;
		if (nr <= 0)
			return nr < 0 ? -errno : -ENOSPC;
		done += (size_t)nr;
	}
	if (done == all || end == f->file_bytes)
		return 0;
	return ctf_write_at(f->fd, &rest, f->head_bytes, end);
}

int ctf_packet_file_put(struct ctf_packet_file *f, const struct ctf_packet_head *head,
			const void *content, size_t len)
{
	uint64_t need =
		(f->head_bytes + len + CTF_PAGE_BYTES - 1) / CTF_PAGE_BYTES * CTF_PAGE_BYTES;
	uint64_t end = f->used_bytes + need;
	int r = f->broken;

	if (r == 0 && end > f->file_bytes && f->has_place)
		return -EFBIG;
	if (r == 0 && end > f->file_bytes && need == CTF_PAGE_BYTES) {
		/* The most common packet of a slow stream, in one write. */
		r = append_page(f, head, content, len);
		f->used_bytes = f->file_bytes;
		return r;
	}
	if (r == 0 && end > f->file_bytes)
		r = grow(f, *head, end);
	if (r == 0)
		r = put_content(f, *head, content, len, end);
	if (r == 0)
		r = put_head(f, *head, len, need, f->used_bytes);
	if (r == 0)
		f->used_bytes = end;
	return r;
}

int ctf_packet_file_close(struct ctf_packet_file *f)
{
	int r = 0;

	if (f->fd < 0)
		return 0;
	if (f->file_bytes > f->used_bytes && ftruncate(f->fd, (off_t)f->used_bytes) < 0)
		r = -errno;
	if (close(f->fd) < 0 && r == 0)
		r = -errno;
	f->fd = -1;
	return r;
}
