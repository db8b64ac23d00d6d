// SPDX-License-Identifier: MIT
/*
 * Tables in files, by build id: FOLDER/unwind/AB/CDEF....v1. What is read is not trusted: every
 * index is checked before the table is used, so a damaged or planted file gives at worst wrong
 * rules, and the walk checks what rules give.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../elf/elf_file.h"
#include "table.h"

#define MAGIC          "TOCSINUW"
#define FILE_BYTES_MAX (256u << 20)

static bool rules_are_valid(const struct unwind_table *t)
{
	for (uint32_t i = 0; i < t->nr_rules; i++) {
		const struct unwind_rule *r = &t->rule[i];

		if (r->cfa >= UNWIND_CFA_NR || r->ra >= UNWIND_RA_NR || r->fp >= UNWIND_FP_NR ||
		    (r->flags & ~UNWIND_RULE_FLAGS))
			return false;
	}
	for (uint32_t i = 0; i < t->nr_rows; i++)
		if (t->row[i].rule >= t->nr_rules)
			return false;
	return true;
}

static bool pages_are_valid(const struct unwind_table *t)
{
	if (t->page[0] || t->page[t->nr_pages] != t->nr_rows)
		return false;
	for (uint32_t p = 0; p < t->nr_pages; p++) {
		uint32_t first = t->page[p], end = t->page[p + 1];

		if (end <= first || end > t->nr_rows || t->row[first].low)
			return false;
		for (uint32_t i = first + 1; i < end; i++)
			if (t->row[i].low <= t->row[i - 1].low)
				return false;
	}
	return true;
}

static void *copy(const uint8_t **at, size_t bytes)
{
	void *p = malloc(bytes);

	if (p)
		memcpy(p, *at, bytes);
	*at += bytes;
	return p;
}

int unwind_table_read(const void *bytes, size_t len, const uint8_t *build_id, size_t id_len,
		      struct unwind_table **ret)
{
	TOCSIN_CLEANUP(unwind_table_freep) struct unwind_table *t = NULL;
	struct unwind_table_head head;
	const uint8_t *at = bytes;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, at, sizeof(head));
	at += sizeof(head);
	if (memcmp(head.magic, MAGIC, sizeof(head.magic)) != 0)
		return -EBADMSG;
	if (head.version != UNWIND_TABLE_VERSION)
		return -EPROTO;
	if (head.build_id_bytes > sizeof(head.build_id) || !head.nr_rules || !head.nr_pages ||
	    head.nr_pages > 65537 || head.nr_rules > UNWIND_RULES_MAX || head.base & 0xffff)
		return -EBADMSG;
	if (build_id && (id_len != head.build_id_bytes || memcmp(build_id, head.build_id, id_len)))
		return -ESTALE;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->machine = head.machine;
	t->base = head.base;
	t->nr_rules = head.nr_rules;
	t->nr_pages = head.nr_pages;
	t->nr_rows = head.nr_rows;
	if (len - sizeof(head) != unwind_table_bytes(t) ||
	    unwind_hash(at, len - sizeof(head)) != head.check)
		return -EBADMSG;
	t->rule = copy(&at, t->nr_rules * sizeof(*t->rule));
	t->page = copy(&at, ((size_t)t->nr_pages + 1) * sizeof(*t->page));
	t->row = copy(&at, t->nr_rows * sizeof(*t->row));
	if (!t->rule || !t->page || !t->row)
		return -ENOMEM;
	if (!rules_are_valid(t) || !pages_are_valid(t))
		return -EBADMSG;
	*ret = tocsin_take_ptr(&t);
	return 0;
}

static int file_read(const char *path, const uint8_t *id, size_t id_len, struct unwind_table **ret)
{
	TOCSIN_CLEANUP(tocsin_close_fdp)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	TOCSIN_CLEANUP(tocsin_free_voidp) void *bytes = NULL;
	struct stat st;
	size_t done = 0, len;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	if (st.st_size > FILE_BYTES_MAX)
		return -EBADMSG;
	len = (size_t)st.st_size;
	bytes = malloc(len ?: 1);
	if (!bytes)
		return -ENOMEM;
	while (done < len) {
		ssize_t n = read(fd, (char *)bytes + done, len - done);

		if (n <= 0)
			return n ? -errno : -EBADMSG;
		done += (size_t)n;
	}
	return unwind_table_read(bytes, len, id, id_len, ret);
}

static int write_all(int fd, const void *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)bytes + done, len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* Under a name of its own first: whoever reads finds a whole table or none. */
static int file_write(const char *path, const struct unwind_table *t, const uint8_t *id,
		      size_t id_len)
{
	struct unwind_table_head head = {.version = UNWIND_TABLE_VERSION,
					 .machine = t->machine,
					 .build_id_bytes = (uint16_t)id_len,
					 .base = t->base,
					 .nr_rules = t->nr_rules,
					 .nr_pages = t->nr_pages,
					 .nr_rows = t->nr_rows};
	size_t rules = t->nr_rules * sizeof(*t->rule), len = unwind_table_bytes(t);
	size_t pages = ((size_t)t->nr_pages + 1) * sizeof(*t->page);
	TOCSIN_CLEANUP(tocsin_free_charp) char *bytes = malloc(len);
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	char temporary[PATH_MAX];
	int r;

	if (!bytes || snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= PATH_MAX)
		return -ENOMEM;
	memcpy(bytes, t->rule, rules);
	memcpy(bytes + rules, t->page, pages);
	memcpy(bytes + rules + pages, t->row, len - rules - pages);
	memcpy(head.magic, MAGIC, sizeof(head.magic));
	memcpy(head.build_id, id, id_len);
	head.check = unwind_hash(bytes, len);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_all(fd, &head, sizeof(head));
	r = r ?: write_all(fd, bytes, len);
	if (!r && rename(temporary, path))
		r = -errno;
	if (r)
		(void)unlink(temporary); /* the failure above is the one that matters */
	return r;
}

/* Folders on the way to a path that do not exist are made for the caller alone. */
static void folders_make(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700); /* the file's own opening tells */
		*slash = '/';
	}
}

int unwind_table_load(struct elf_file *f, const char *cache_dir, struct unwind_table **ret,
		      struct tocsin_err *err)
{
	uint8_t id[ELF_BUILD_ID_MAX];
	size_t len = cache_dir ? elf_build_id(f, id) : 0;
	char hex[2 * UNWIND_BUILD_ID_MAX + 1], path[PATH_MAX];
	int r;

	if (!len || len > UNWIND_BUILD_ID_MAX)
		return unwind_table_make(f, ret, err);
	for (size_t i = 0; i < len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
	if (snprintf(path, sizeof(path), "%s/unwind/%.2s/%s.v%d", cache_dir, hex, hex + 2,
		     UNWIND_TABLE_VERSION) >= PATH_MAX)
		return unwind_table_make(f, ret, err);
	if (file_read(path, id, len, ret) == 0)
		return 0;
	r = unwind_table_make(f, ret, err);
	if (r)
		return r;
	folders_make(path);
	(void)file_write(path, *ret, id, len); /* without a cache it is made each time */
	return 0;
}
