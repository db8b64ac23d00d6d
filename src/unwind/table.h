/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_TABLE_H
#define TOCSIN_UNWIND_TABLE_H

/*
 * The unwinding table of one file: at which address which rule begins to hold. Rows are four bytes
 * in pages of 64 KiB of code, and each page begins with a row, so that a look-up is one index and
 * one search among the rows of a page: the same bytes can be searched in the kernel half.
 * Gaps between functions are rows too. docs/formats/unwind-table.md has the layout.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/err.h"
#include "rule.h"

#define UNWIND_TABLE_VERSION 1
#define UNWIND_BUILD_ID_MAX  32
#define UNWIND_RULES_MAX     65536

struct elf_file;

struct unwind_row {
	uint16_t low;  /* address in its page */
	uint16_t rule; /* index into the rules */
};

/* The head of a stored table; behind it the rules, the index of pages, the rows. */
struct unwind_table_head {
	char magic[8]; /* "TOCSINUW" */
	uint32_t version;
	uint16_t machine; /* EM_* */
	uint16_t build_id_bytes;
	uint8_t build_id[UNWIND_BUILD_ID_MAX];
	uint64_t base; /* address as linked of the first page, a multiple of 64 KiB */
	uint32_t nr_rules;
	uint32_t nr_pages;
	uint32_t nr_rows;
	uint32_t check; /* unwind_hash() of what is behind the head */
};

_Static_assert(sizeof(struct unwind_table_head) == 72, "docs/formats/unwind-table.md");
_Static_assert(sizeof(struct unwind_row) == 4, "docs/formats/unwind-table.md");

struct unwind_table {
	uint16_t machine;
	uint64_t base;
	uint32_t nr_rules;
	uint32_t nr_pages;
	uint32_t nr_rows;
	const struct unwind_rule *rule;
	const uint32_t *page; /* nr_pages + 1: the first row of each, and where the last ends */
	const struct unwind_row *row;
	/* How it was made; 0 for one that was read. */
	uint64_t source_bytes; /* of .eh_frame, .eh_frame_hdr and .debug_frame */
	uint32_t nr_fdes;
	uint32_t nr_overlaps; /* of those, left out since an earlier one covers the code */
};

/* Source: FNV-1a, 32 bits. */
static inline uint32_t unwind_hash(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

/**
 * unwind_table_make() - compile the tables of a file.
 * @f:   lent; .eh_frame, else what .eh_frame_hdr points to, and .debug_frame for code that these
 *       do not cover, the latter also of a separate debug file
 * @ret: the table, to be given to unwind_table_free()
 *
 * Return: 0, or -ENOENT the file has no unwinding tables, -ENOTSUP another machine, -EFBIG its code
 * spans more than 4 GiB, -EBADMSG, -ENOMEM. Thread-safe: yes. Signal-safe: no.
 */
int unwind_table_make(struct elf_file *f, struct unwind_table **ret, struct tocsin_err *err);

/** unwind_table_free() - accepts NULL. Return: NULL. */
struct unwind_table *unwind_table_free(struct unwind_table *t);
void unwind_table_freep(struct unwind_table **t);

/** unwind_table_bytes() - what rules, index and rows take, as in the stored form. */
size_t unwind_table_bytes(const struct unwind_table *t);

/**
 * unwind_table_find() - the rule at an address as linked.
 *
 * Return: NULL when the address is outside the table; the rule may be UNWIND_CFA_NONE.
 * Thread-safe: yes. Signal-safe: yes. Source: binary search for the last row at or before.
 */
static inline const struct unwind_rule *unwind_table_find(const struct unwind_table *t,
							  uint64_t vaddr)
{
	uint64_t page = (vaddr - t->base) >> 16;
	const struct unwind_row *row;
	uint32_t low, nr;

	if (vaddr < t->base || page >= t->nr_pages)
		return NULL;
	low = t->page[page];
	nr = t->page[page + 1] - low; /* at least one, whose address is 0 */
	row = t->row;
	while (nr > 1) {
		uint32_t half = nr / 2;

		low = row[low + half].low <= (uint16_t)vaddr ? low + half : low;
		nr -= half;
	}
	return &t->rule[row[low].rule];
}

/**
 * unwind_table_read() - a stored table.
 * @bytes: hostile; copied
 * @build_id: of the file that it must be for; NULL: any
 *
 * Return: 0, or -EPROTO another version, -ESTALE for another file, -EBADMSG damaged, -ENOMEM.
 */
int unwind_table_read(const void *bytes, size_t len, const uint8_t *build_id, size_t id_len,
		      struct unwind_table **ret);

/**
 * unwind_table_load() - the table of a file from the cache, or made and put there.
 * @cache_dir: folder for tables, by build id; NULL: no cache
 *
 * A file without a build id is never cached. A cache that cannot be written is no failure: the
 * table is made each time. Only tables that belong to the caller and that others may not write are
 * read.
 *
 * Return: as unwind_table_make().
 */
int unwind_table_load(struct elf_file *f, const char *cache_dir, struct unwind_table **ret,
		      struct tocsin_err *err);

#endif
