// SPDX-License-Identifier: MIT
#include "perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"

#define FILE_BYTES_MAX (64u << 20)
#define NAME_BYTES_MAX 512

struct entry {
	uint64_t start, end;
	size_t name; /* place in the text */
	size_t line; /* later ones count */
};

struct perf_map {
	char *text;
	struct entry *entry; /* by rising start, not overlapping */
	size_t nr;
};

struct perf_map *perf_map_free(struct perf_map *m)
{
	if (!m)
		return NULL;
	free(m->text);
	free(m->entry);
	free(m);
	return NULL;
}

static void perf_map_freep(struct perf_map **m)
{
	(void)perf_map_free(*m);
}

/* Return: the place behind the number and its blank, or NULL. */
static const char *hex_take(const char *at, const char *end, uint64_t *ret)
{
	const char *begin = at;
	uint64_t v = 0;

	for (; at < end && at - begin < 16; at++) {
		int digit;

		if (*at >= '0' && *at <= '9')
			digit = *at - '0';
		else if ((*at | 0x20) >= 'a' && (*at | 0x20) <= 'f')
			digit = (*at | 0x20) - 'a' + 10;
		else
			break;
		v = v << 4 | (uint64_t)digit;
	}
	*ret = v;
	return at > begin && at < end && *at == ' ' ? at + 1 : NULL;
}

/* A line, without its newline, which becomes a terminator. */
static bool line_read(struct perf_map *m, char *line, char *end, struct entry *ret)
{
	uint64_t start, size;
	const char *at = hex_take(line, end, &start);

	if (at)
		at = hex_take(at, end, &size);
	if (!at || at == end || !size || start + size < start)
		return false;
	*end = '\0';
	if (end - at > NAME_BYTES_MAX)
		m->text[at - m->text + NAME_BYTES_MAX] = '\0';
	ret->start = start;
	ret->end = start + size;
	ret->name = (size_t)(at - m->text);
	return true;
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->line < y->line) - (x->line > y->line); /* the later one first */
}

/* Of entries that overlap the later in the file stays whole; an earlier one keeps what stands
 * before it. */
static void overlaps_resolve(struct perf_map *m)
{
	size_t kept = 0;

	qsort(m->entry, m->nr, sizeof(*m->entry), entry_compare);
	for (size_t i = 0; i < m->nr; i++) {
		struct entry e = m->entry[i];

		while (kept && m->entry[kept - 1].end > e.start &&
		       m->entry[kept - 1].line < e.line) {
			if (m->entry[kept - 1].start < e.start) {
				m->entry[kept - 1].end = e.start;
				break;
			}
			kept--;
		}
		if (kept && m->entry[kept - 1].end > e.start)
			e.start = m->entry[kept - 1].end;
		if (e.start < e.end)
			m->entry[kept++] = e;
	}
	m->nr = kept;
}

int perf_map_read(const char *text, size_t len, struct perf_map **ret)
{
	TOCSIN_CLEANUP(perf_map_freep) struct perf_map *m = calloc(1, sizeof(*m));
	size_t max = 0, line = 0;

	if (!m)
		return -ENOMEM;
	m->text = malloc(len + 1);
	if (!m->text)
		return -ENOMEM;
	memcpy(m->text, text, len);
	m->text[len] = '\0';
	for (size_t at = 0; at < len; line++) {
		char *end = memchr(m->text + at, '\n', len - at);
		struct entry e = {.line = line};
		size_t next;

		if (!end)
			end = m->text + len;
		next = (size_t)(end - m->text) + 1;
		if (line_read(m, m->text + at, end, &e)) {
			if (m->nr == max) {
				size_t more = max ? 2 * max : 256;
				struct entry *bigger = reallocarray(m->entry, more, sizeof(e));

				if (!bigger)
					return -ENOMEM;
				m->entry = bigger;
				max = more;
			}
			m->entry[m->nr++] = e;
		}
		at = next;
	}
	if (m->nr)
		overlaps_resolve(m);
	*ret = tocsin_take_ptr(&m);
	return 0;
}

/* Its number where it was started, which is in the file's name. */
static int inner_pid(int pid)
{
	TOCSIN_CLEANUP(tocsin_fclosep) FILE *f = NULL;
	char path[64], line[256];
	int inner = pid;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		const char *last = strrchr(line, '\t');

		if (strncmp(line, "NSpid:", 6) == 0 && last)
			(void)sscanf(last, "%d", &inner);
	}
	return inner;
}

int perf_map_open(int pid, struct perf_map **ret)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = NULL;
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	struct stat st, process;
	char path[96];
	size_t done = 0, len;

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &process))
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/%d/root/tmp/perf-%d.map", pid, inner_pid(pid));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	/* /tmp is everybody's: names by another user would be lies about this process. */
	if (!S_ISREG(st.st_mode) || (st.st_uid != process.st_uid && st.st_uid != 0))
		return -EPERM;
	len = st.st_size > FILE_BYTES_MAX ? FILE_BYTES_MAX : (size_t)st.st_size;
	text = malloc(len ?: 1);
	if (!text)
		return -ENOMEM;
	while (done < len) {
		ssize_t n = read(fd, text + done, len - done);

		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return perf_map_read(text, done, ret);
}

const char *perf_map_find(const struct perf_map *m, uint64_t address)
{
	size_t low = 0, high = m->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->entry[mid].end <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == m->nr || address < m->entry[low].start)
		return NULL;
	return m->text + m->entry[low].name;
}
