// SPDX-License-Identifier: MIT
/*
 * Units of a file's debugging information are found by an index of the code that each says it
 * covers, made once: .debug_aranges, which libdw's own look-up needs, is not always there. In the
 * unit the line table gives the line, and the scopes round the address give the calls that were
 * inlined there: each says from which line it was called.
 */
#include "lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"
#include "module.h"

#define RANGES_MAX (1u << 22)

struct unit_range {
	uint64_t start, end;
	Dwarf_Off die;
};

struct unwind_lines {
	Dwarf *dwarf;
	struct unit_range *range; /* by rising start */
	size_t nr_ranges, max_ranges;
};

struct unwind_lines *unwind_lines_free(struct unwind_lines *lines)
{
	if (!lines)
		return NULL;
	if (lines->dwarf)
		(void)dwarf_end(lines->dwarf); /* it was only read */
	free(lines->range);
	free(lines);
	return NULL;
}

static void lines_freep(struct unwind_lines **lines)
{
	(void)unwind_lines_free(*lines);
}

static int range_compare(const void *a, const void *b)
{
	const struct unit_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int ranges_add(struct unwind_lines *l, Dwarf_Die *unit)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(unit, at, &base, &start, &end)) > 0) {
		if (start >= end || l->nr_ranges == RANGES_MAX)
			continue;
		if (l->nr_ranges == l->max_ranges) {
			size_t more = l->max_ranges ? 2 * l->max_ranges : 256;
			struct unit_range *bigger = reallocarray(l->range, more, sizeof(*bigger));

			if (!bigger)
				return -ENOMEM;
			l->range = bigger;
			l->max_ranges = more;
		}
		l->range[l->nr_ranges++] = (struct unit_range){start, end, dwarf_dieoffset(unit)};
	}
	return 0;
}

int unwind_lines_open(struct elf_file *f, struct unwind_lines **ret)
{
	TOCSIN_CLEANUP(lines_freep) struct unwind_lines *l = calloc(1, sizeof(*l));
	Dwarf_Off off = 0, next;
	size_t head;
	int r = 0;

	if (!l)
		return -ENOMEM;
	if (f->debug_elf)
		l->dwarf = dwarf_begin_elf(f->debug_elf, DWARF_C_READ, NULL);
	if (!l->dwarf)
		l->dwarf = dwarf_begin_elf(f->elf, DWARF_C_READ, NULL);
	if (!l->dwarf)
		return -ENOENT;
	while (!r && dwarf_nextcu(l->dwarf, off, &next, &head, NULL, NULL, NULL) == 0) {
		Dwarf_Die unit;

		if (dwarf_offdie(l->dwarf, off + head, &unit))
			r = ranges_add(l, &unit);
		if (next <= off)
			break;
		off = next;
	}
	if (r)
		return r;
	if (!l->nr_ranges)
		return -ENOENT;
	qsort(l->range, l->nr_ranges, sizeof(*l->range), range_compare);
	*ret = tocsin_take_ptr(&l);
	return 0;
}

static bool unit_at(struct unwind_lines *l, uint64_t vaddr, Dwarf_Die *ret)
{
	size_t low = 0, high = l->nr_ranges;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->range[mid].start <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low && vaddr < l->range[low - 1].end &&
	       dwarf_offdie(l->dwarf, l->range[low - 1].die, ret);
}

/* The name that the linker saw tells more than the one of the source, if there is one. */
static const char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr))
		name = dwarf_formstring(&attr);
	if (!name)
		name = dwarf_diename(die);
	return name ? name : "";
}

/* From which line an inlined call was made. */
static void call_line(Dwarf_Die *unit, Dwarf_Die *die, struct unwind_symbol *outer)
{
	Dwarf_Files *files;
	Dwarf_Attribute attr;
	Dwarf_Word line = 0, file = 0;
	const char *name = NULL;
	size_t nr;

	if (dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attr), &line) == 0)
		outer->line = (unsigned)line;
	if (dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attr), &file) == 0 &&
	    dwarf_getsrcfiles(unit, &files, &nr) == 0 && file < nr)
		name = dwarf_filesrc(files, file, NULL, NULL);
	outer->file = name ? name : "";
}

int unwind_lines_at(struct unwind_lines *l, uint64_t vaddr, struct unwind_symbol *sym)
{
	Dwarf_Die unit, *scope TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	Dwarf_Line *line;
	const char *file = NULL;
	int nr_scopes, n = 0, number = 0;

	if (!unit_at(l, vaddr, &unit))
		return 0;
	sym[0] = (struct unwind_symbol){.function = "", .file = ""};
	line = dwarf_getsrc_die(&unit, vaddr);
	if (line)
		file = dwarf_linesrc(line, NULL, NULL);
	if (file)
		sym[0].file = file;
	if (line && dwarf_lineno(line, &number) == 0 && number > 0)
		sym[0].line = (unsigned)number;
	nr_scopes = dwarf_getscopes(&unit, vaddr, &scope);
	for (int i = 0; i < nr_scopes; i++) {
		int tag = dwarf_tag(&scope[i]);

		if (tag == DW_TAG_subprogram) {
			sym[n].function = name_of(&scope[i]);
			break;
		}
		if (tag != DW_TAG_inlined_subroutine || n + 1 == UNWIND_INLINED_MAX)
			continue;
		sym[n].function = name_of(&scope[i]);
		sym[n].is_inlined = true;
		n++;
		sym[n] = (struct unwind_symbol){.function = "", .file = ""};
		call_line(&unit, &scope[i], &sym[n]);
	}
	return n + 1;
}
