// SPDX-License-Identifier: MIT
/*
 * Patched sites of a process (src/tracee/patch.c): a byte of its code is written when the enable
 * byte of their class turns to or from zero. After the enable byte, so that the library, which
 * disarms and then looks at the enable byte, and we cannot miss one another.
 *
 * The process may have become another program since it was found. So its memory is opened first,
 * and used only when the control page is in it where the page says it is; a descriptor of
 * /proc/PID/mem stays with the memory that it was opened for. Beyond that nothing is believed: a
 * byte is written only where one of the two values is found, and what it then spoils is its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "record_internal.h"

static int memory_open(const struct record_process *p, const struct control_tracee *head)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	struct control_tracee seen;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)p->pid); /* fits */
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pread(fd, &seen, sizeof(seen), (off_t)head->page_addr) != sizeof(seen) ||
	    seen.magic != CONTROL_MAGIC || seen.made_ns != head->made_ns || seen.pid != head->pid ||
	    seen.page_addr != head->page_addr)
		return -ESRCH;
	return tocsin_take_fd(&fd);
}

static int site_write(int fd, uint64_t address, bool is_on)
{
	uint8_t want = is_on ? CONTROL_PATCH_ON : CONTROL_PATCH_OFF, now;

	if (pread(fd, &now, 1, (off_t)address) != 1)
		return -EIO;
	if (now == want)
		return 0;
	if (now != CONTROL_PATCH_ON && now != CONTROL_PATCH_OFF)
		return -EBUSY;
	return pwrite(fd, &want, 1, (off_t)address) == 1 ? 0 : -EIO;
}

void record_patch(struct record_process *p)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	uint8_t enable[CONTROL_CLASSES];
	uint64_t patch[CONTROL_PATCHES];
	struct control_tracee head;
	uint64_t missed = 0;
	uint32_t nr;

	if (control_file_read(&p->page, 0, &head, sizeof(head)) || !head.nr_patches)
		return;
	nr = head.nr_patches < CONTROL_PATCHES ? head.nr_patches : CONTROL_PATCHES;
	if (control_file_read(&p->page, CONTROL_ENABLE_AT, enable, sizeof(enable)) ||
	    control_file_read(&p->page, CONTROL_PATCHES_AT, patch, nr * sizeof(patch[0])))
		return; /* the page is gone only with the process */
	fd = memory_open(p, &head);
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t class = patch[i] >> 48;
		bool is_on = class < CONTROL_CLASSES && enable[class];
		int r = fd < 0 ? fd : site_write(fd, patch[i] & CONTROL_PATCH_ADDRESS, is_on);

		/* One that stays armed costs a little, one that stays off is missed. */
		if (r && is_on)
			missed++;
	}
	if (missed > p->nr_unpatched_ever)
		p->nr_unpatched_ever = missed;
}
