// SPDX-License-Identifier: MIT
/* Files as a whole. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"
#include "cleanup.h"

static int all_read(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = NULL;
	size_t len = 0, capacity = 0;

	for (;;) {
		ssize_t n;

		if (len + 1 >= capacity) {
			char *more;

			capacity = capacity ? 2 * capacity : 16384;
			more = realloc(text, capacity);
			if (!more)
				return -ENOMEM;
			text = more;
		}
		n = read(fd, text + len, capacity - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	text[len] = '\0';
	*ret_text = tocsin_take_ptr(&text);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int file_load(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;

	if (strcmp(path, "-") == 0)
		return all_read(STDIN_FILENO, max, ret_text, ret_len);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	return all_read(fd, max, ret_text, ret_len); /* of a directory: EISDIR */
}
