// SPDX-License-Identifier: MIT
/*
 * Compiling call frame information to a table.
 *
 * The FDEs of a file are gathered and sorted by address, each is run (cfa.c), and a row is kept
 * where the rule changes; what no FDE covers is a row of its own kind. Where two FDEs cover the
 * same code the one that begins first counts, and .eh_frame, which the program itself uses, before
 * .debug_frame. Equal rules are one entry of a dictionary: a C library has about 300.
 *
 * Nothing here grows faster than its input: a row takes an instruction of at least a byte, an FDE
 * some fifteen bytes, and a page an address inside an executable segment of the file.
 */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../elf/elf_internal.h"
#include "cfa.h"

#define PAGE_SHIFT 16
#define SPAN_MAX   (1ull << 32) /* bytes of code that one table may span */

struct fde {
	uint64_t vaddr;
	uint64_t end;
	uint32_t cie; /* index */
	uint32_t source;
	struct cursor code;
};

struct wide_row {
	uint64_t vaddr;
	uint32_t rule;
};

struct make {
	struct elf_file *file;
	const struct unwind_machine *machine;
	struct fde *fde;
	size_t nr_fdes, max_fdes;
	struct cfi_cie *cie;
	size_t nr_cies, max_cies;
	uint32_t source;
	struct wide_row *row;
	size_t nr_rows, max_rows;
	struct unwind_rule *rule;
	uint32_t nr_rules, max_rules;
	uint32_t *hash; /* index + 1 of a rule; a power of two places */
	uint32_t nr_hash;
	uint64_t source_bytes;
	uint32_t nr_overlaps;
};

static void make_done(struct make *m)
{
	free(m->fde);
	free(m->cie);
	free(m->row);
	free(m->rule);
	free(m->hash);
}

/* Room for one more. Return: 0, or -ENOMEM. */
static int grow(void *array, size_t nr, size_t *max, size_t size)
{
	void **a = array, *bigger;
	size_t more = *max ? 2 * *max : 256;

	if (nr < *max)
		return 0;
	bigger = reallocarray(*a, more, size);
	if (!bigger)
		return -ENOMEM;
	*a = bigger;
	*max = more;
	return 0;
}

/* --- gathering
 * ------------------------------------------------------------------------------------------------------
 */

static int fde_add(const struct cfi_fde *fde, void *arg)
{
	struct make *m = arg;

	if (elf_vaddr_room(m->file, fde->vaddr, PF_X) < fde->size)
		return 0;
	if (!m->nr_cies || memcmp(&m->cie[m->nr_cies - 1], fde->cie, sizeof(*fde->cie)) != 0) {
		if (grow(&m->cie, m->nr_cies, &m->max_cies, sizeof(*m->cie)))
			return -ENOMEM;
		m->cie[m->nr_cies++] = *fde->cie;
	}
	if (grow(&m->fde, m->nr_fdes, &m->max_fdes, sizeof(*m->fde)))
		return -ENOMEM;
	m->fde[m->nr_fdes++] = (struct fde){.vaddr = fde->vaddr,
					    .end = fde->vaddr + fde->size,
					    .cie = (uint32_t)(m->nr_cies - 1),
					    .source = m->source,
					    .code = fde->code};
	return 0;
}

static int fde_compare(const void *a, const void *b)
{
	const struct fde *x = a, *y = b;

	if (x->vaddr != y->vaddr)
		return x->vaddr < y->vaddr ? -1 : 1;
	return (x->source > y->source) - (x->source < y->source);
}

/* Without a table of sections the segment of .eh_frame_hdr leads to the records. */
static int gather_by_header(struct make *m)
{
	GElf_Phdr ph;
	size_t nr = 0;

	if (elf_getphdrnum(m->file->elf, &nr))
		return -ENOENT;
	for (size_t i = 0; i < nr && i < 4096; i++) {
		uint8_t head[12];
		struct cursor c;
		Elf_Data *data;
		uint64_t room;

		if (!gelf_getphdr(m->file->elf, (int)i, &ph) || ph.p_type != PT_GNU_EH_FRAME)
			continue;
		if (elf_read_vaddr(m->file, ph.p_vaddr, head, sizeof(head)) || head[0] != 1)
			return -ENOENT;
		c = (struct cursor){head + 4, head + sizeof(head), ph.p_vaddr + 4, false};
		c.vaddr = cursor_encoded(&c, head[1]);
		room = c.bad ? 0 : elf_vaddr_room(m->file, c.vaddr, 0);
		if (!room || room > ELF_SECTION_MAX ||
		    elf_vaddr_to_offset(m->file, c.vaddr, 0, &ph.p_offset))
			return -ENOENT;
		data = elf_getdata_rawchunk(m->file->elf, (int64_t)ph.p_offset, room, ELF_T_BYTE);
		if (!data || !data->d_buf)
			return -EBADMSG;
		c.at = data->d_buf;
		c.end = c.at + data->d_size;
		m->source_bytes += ph.p_filesz; /* of the records the end is not known */
		return cfi_for_each(c, false, fde_add, m);
	}
	return -ENOENT;
}

static int gather_section(struct make *m, Elf *elf, const char *name, bool is_debug_frame)
{
	struct cursor c = {0};
	GElf_Shdr shdr;
	Elf_Data *data;
	Elf_Scn *scn = elf ? elf_section_find(elf, name, &shdr) : NULL;

	if (!scn || shdr.sh_type == SHT_NOBITS || !shdr.sh_size)
		return -ENOENT;
	if (shdr.sh_size > ELF_SECTION_MAX)
		return -EFBIG;
	if (shdr.sh_flags & SHF_COMPRESSED) {
		GElf_Chdr ch;

		if (!gelf_getchdr(scn, &ch) || ch.ch_size > ELF_SECTION_MAX ||
		    elf_compress(scn, 0, 0) < 0)
			return -EBADMSG;
		data = elf_getdata(scn, NULL);
	} else {
		data = elf_rawdata(scn, NULL);
	}
	if (!data || !data->d_buf)
		return -EBADMSG;
	c.at = data->d_buf;
	c.end = c.at + data->d_size;
	c.vaddr = shdr.sh_addr;
	m->source_bytes += data->d_size;
	return cfi_for_each(c, is_debug_frame, fde_add, m);
}

static int gather(struct make *m)
{
	GElf_Shdr shdr;
	int r = gather_section(m, m->file->elf, ".eh_frame", false);

	if (r == -ENOENT)
		r = gather_by_header(m);
	if (r && r != -ENOENT)
		return r;
	if (elf_section_find(m->file->elf, ".eh_frame_hdr", &shdr))
		m->source_bytes += shdr.sh_size;
	m->source = 1;
	r = gather_section(m, m->file->elf, ".debug_frame", true);
	if (r == -ENOENT)
		r = gather_section(m, m->file->debug_elf, ".debug_frame", true);
	if (r && r != -ENOENT && r != -EBADMSG) /* a damaged debug file is as none */
		return r;
	if (!m->nr_fdes)
		return -ENOENT;
	qsort(m->fde, m->nr_fdes, sizeof(*m->fde), fde_compare);
	return 0;
}

/* --- rows
 * ------------------------------------------------------------------------------------------------------
 */

static int hash_make(struct make *m)
{
	uint32_t nr = m->nr_hash ? 2 * m->nr_hash : 1024;
	uint32_t *hash = calloc(nr, sizeof(*hash));

	if (!hash)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->nr_rules; i++) {
		uint32_t at = unwind_hash(&m->rule[i], sizeof(m->rule[i])) & (nr - 1);

		while (hash[at])
			at = (at + 1) & (nr - 1);
		hash[at] = i + 1;
	}
	free(m->hash);
	m->hash = hash;
	m->nr_hash = nr;
	return 0;
}

/* Its index; when the dictionary is full, that of the first rule: unsupported. */
static int rule_intern(struct make *m, const struct unwind_rule *rule, uint32_t *ret)
{
	size_t max = m->max_rules;
	uint32_t at;

	if (2 * (m->nr_rules + 1) > m->nr_hash && hash_make(m))
		return -ENOMEM;
	at = unwind_hash(rule, sizeof(*rule)) & (m->nr_hash - 1);
	for (; m->hash[at]; at = (at + 1) & (m->nr_hash - 1))
		if (!memcmp(&m->rule[m->hash[at] - 1], rule, sizeof(*rule))) {
			*ret = m->hash[at] - 1;
			return 0;
		}
	*ret = 0;
	if (m->nr_rules == UNWIND_RULES_MAX)
		return 0;
	if (grow(&m->rule, m->nr_rules, &max, sizeof(*m->rule)))
		return -ENOMEM;
	m->max_rules = (uint32_t)max;
	m->rule[m->nr_rules] = *rule;
	m->hash[at] = m->nr_rules + 1;
	*ret = m->nr_rules++;
	return 0;
}

static int row_add(uint64_t vaddr, const struct unwind_rule *rule, void *arg)
{
	struct make *m = arg;
	uint32_t index;

	if (rule_intern(m, rule, &index))
		return -ENOMEM;
	if (m->nr_rows && m->row[m->nr_rows - 1].vaddr == vaddr)
		m->nr_rows--; /* of two at one address the later counts */
	if (m->nr_rows && m->row[m->nr_rows - 1].rule == index)
		return 0;
	if (grow(&m->row, m->nr_rows, &m->max_rows, sizeof(*m->row)))
		return -ENOMEM;
	m->row[m->nr_rows++] = (struct wide_row){vaddr, index};
	return 0;
}

static int rows_make(struct make *m)
{
	const struct unwind_rule unsupported = {.cfa = UNWIND_CFA_UNSUPPORTED};
	const struct unwind_rule none = {.cfa = UNWIND_CFA_NONE};
	uint64_t covered = 0;
	uint32_t index;
	int r = rule_intern(m, &unsupported, &index); /* the first: see rule_intern() */

	for (size_t i = 0; i < m->nr_fdes && !r; i++) {
		const struct fde *f = &m->fde[i];
		struct cfi_fde fde = {.vaddr = f->vaddr,
				      .size = f->end - f->vaddr,
				      .cie = &m->cie[f->cie],
				      .code = f->code};

		if (f->vaddr < covered) {
			m->nr_overlaps++;
			continue;
		}
		if (f->end - m->fde[0].vaddr > SPAN_MAX)
			return -EFBIG;
		if (f->vaddr > covered && m->nr_rows)
			r = row_add(covered, &none, m);
		r = r ?: unwind_cfa_run(m->machine, &fde, row_add, m);
		covered = f->end;
	}
	return r ?: row_add(covered, &none, m);
}

/* --- pages
 * ------------------------------------------------------------------------------------------------------
 */

size_t unwind_table_bytes(const struct unwind_table *t)
{
	return t->nr_rules * sizeof(*t->rule) + ((size_t)t->nr_pages + 1) * sizeof(*t->page) +
	       t->nr_rows * sizeof(*t->row);
}

/* The rows in their pages; each page gets a first one. With @row NULL they are only counted. */
static size_t pages_fill(const struct make *m, uint64_t base, uint32_t nr_pages, uint32_t none,
			 uint32_t *page, struct unwind_row *row)
{
	uint32_t rule = none;
	size_t i = 0, nr = 0;

	for (uint32_t p = 0; p < nr_pages; p++) {
		uint64_t start = base + ((uint64_t)p << PAGE_SHIFT);
		uint64_t end = start + (1ull << PAGE_SHIFT);

		if (page)
			page[p] = (uint32_t)nr;
		if (i == m->nr_rows || m->row[i].vaddr != start) {
			if (row)
				row[nr] = (struct unwind_row){0, (uint16_t)rule};
			nr++;
		}
		for (; i < m->nr_rows && m->row[i].vaddr < end; i++, nr++) {
			rule = m->row[i].rule;
			if (row)
				row[nr] = (struct unwind_row){(uint16_t)(m->row[i].vaddr - start),
							      (uint16_t)rule};
		}
	}
	if (page)
		page[nr_pages] = (uint32_t)nr;
	return nr;
}

static int table_fill(struct make *m, struct unwind_table **ret)
{
	TOCSIN_CLEANUP(unwind_table_freep) struct unwind_table *t = calloc(1, sizeof(*t));
	const struct unwind_rule none = {.cfa = UNWIND_CFA_NONE};
	struct unwind_rule *rule;
	struct unwind_row *row;
	uint32_t *page, gap;
	uint64_t last;
	size_t nr;

	if (!t || rule_intern(m, &none, &gap))
		return -ENOMEM;
	t->machine = m->machine->elf;
	t->base = m->row[0].vaddr & ~((1ull << PAGE_SHIFT) - 1);
	last = m->row[m->nr_rows - 1].vaddr;
	t->nr_pages = (uint32_t)(((last - t->base) >> PAGE_SHIFT) + 1);
	nr = pages_fill(m, t->base, t->nr_pages, gap, NULL, NULL);
	if (nr > UINT32_MAX)
		return -EFBIG;
	t->nr_rows = (uint32_t)nr;
	t->nr_rules = m->nr_rules;
	t->rule = rule = malloc(t->nr_rules * sizeof(*rule));
	t->page = page = malloc(((size_t)t->nr_pages + 1) * sizeof(*page));
	t->row = row = malloc(t->nr_rows * sizeof(*row));
	if (!rule || !page || !row)
		return -ENOMEM;
	memcpy(rule, m->rule, t->nr_rules * sizeof(*rule));
	(void)pages_fill(m, t->base, t->nr_pages, gap, page, row); /* as many as counted */
	t->source_bytes = m->source_bytes;
	t->nr_fdes = (uint32_t)m->nr_fdes;
	t->nr_overlaps = m->nr_overlaps;
	*ret = tocsin_take_ptr(&t);
	return 0;
}

int unwind_table_make(struct elf_file *f, struct unwind_table **ret, struct tocsin_err *err)
{
	TOCSIN_CLEANUP(make_done) struct make m = {.file = f};
	int r;

	m.machine = unwind_machine_of(f->machine);
	if (!m.machine)
		return tocsin_err_fail(-ENOTSUP, err,
				       "'%s' is for a machine whose stacks are not read", f->path);
	r = gather(&m);
	r = r ?: rows_make(&m);
	r = r ?: table_fill(&m, ret);
	if (r == -ENOENT)
		return tocsin_err_fail(r, err, "'%s' has no unwinding tables", f->path);
	return r ? tocsin_err_fail(r, err, "cannot read the unwinding tables of '%s': %s", f->path,
				   strerror(-r))
		 : 0;
}

struct unwind_table *unwind_table_free(struct unwind_table *t)
{
	if (!t)
		return NULL;
	free((void *)(uintptr_t)t->rule);
	free((void *)(uintptr_t)t->page);
	free((void *)(uintptr_t)t->row);
	free(t);
	return NULL;
}

void unwind_table_freep(struct unwind_table **t)
{
	(void)unwind_table_free(*t);
}
