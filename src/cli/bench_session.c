// SPDX-License-Identifier: MIT
/* A program that is measured is its own collector. */
#include "bench_session.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct control_page *bench_session_begin(void)
{
	for (int fd = 3; fd < 4096; fd++) {
		char path[64], name[64] = {0};
		struct control_page *page;

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fits */
		if (readlink(path, name, sizeof(name) - 1) < 0 || !strstr(name, CONTROL_NAME))
			continue;
		page = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (page == MAP_FAILED || page->tracee.magic != CONTROL_MAGIC)
			return NULL;
		page->session.mode = CONTROL_MODE_OVERWRITE;
		page->session.session_id = 1;
		page->session.abi = CONTROL_ABI;
		page->session.generation++;
		return page;
	}
	return NULL;
}

void bench_session_enable(struct control_page *page, const char *but)
{
	for (uint32_t at = 0; at < page->tracee.class_bytes;) {
		const struct control_class *cls = (const void *)(page->classes + at);

		const char *name = (const char *)cls + cls->name;

		if ((!but || strncmp(name, but, strlen(but)) != 0) && !cls->flags)
			page->enable[cls->id] = 1;
		at += cls->bytes;
	}
}
