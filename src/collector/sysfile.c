// SPDX-License-Identifier: MIT
/* One read(2) is enough for files that the kernel makes at the read; those longer than a page take
 * several. */

#include "sysfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"

int sysfile_read(const char *path, char *buf, size_t len)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (n > 0 && used < len - 1) {
		n = read(fd, buf + used, len - 1 - used);
		if (n < 0)
			return -errno;
		used += (size_t)n;
	}
	if (used > 0 && buf[used - 1] == '\n')
		used--;
	buf[used] = '\0';
	return (int)used;
}

int sysfile_read_u64(const char *path, uint64_t *ret_value)
{
	char text[32];
	int r = sysfile_read(path, text, sizeof(text));

	if (r < 0)
		return r;
	return tocsin_parse_u64(text, ret_value);
}

int sysfile_field(const char *text, const char *name, char *buf, size_t len)
{
	size_t name_len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += line != text;
		if (strncmp(line, name, name_len) != 0)
			continue;
		line += name_len;
		line += strspn(line, " \t");
		(void)snprintf(buf, len, "%.*s", (int)strcspn(line, "\n"), line);
		return 0;
	}
	return -ENOENT;
}
