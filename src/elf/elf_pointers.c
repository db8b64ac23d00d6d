// SPDX-License-Identifier: MIT
/*
 * Does the data of a file hold an address inside this code? A program that jumps to its own labels
 * through pointers (`goto *p`) must have their addresses somewhere: in its code, where flow_walk.c
 * looks, or in its data. A file that is relocated when it is loaded lists every such place in its
 * relocations, with the address as addend (RELA), or as a bit map of places that hold it (RELR). In
 * one that is not, any 8 aligned bytes of data could be one. The addresses found are kept, sorted.
 */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "elf_internal.h"

#define CHUNK_BYTES  65536
#define POINTERS_MAX (16u << 20)

#ifndef SHT_RELR
#	define SHT_RELR 19
#endif

struct pointers {
	uint64_t *item;
	size_t nr, capacity;
};

static int pointer_add(const struct elf_file *f, struct pointers *p, uint64_t vaddr)
{
	if (!elf_vaddr_room(f, vaddr, PF_X))
		return 0;
	if (p->nr == p->capacity) {
		size_t more = p->capacity ? 2 * p->capacity : 256;
		uint64_t *bigger =
			more <= POINTERS_MAX ? reallocarray(p->item, more, sizeof(*bigger)) : NULL;

		if (!bigger)
			return -ENOMEM;
		p->item = bigger;
		p->capacity = more;
	}
	p->item[p->nr++] = vaddr;
	return 0;
}

static int from_rela(struct elf_file *f, Elf_Scn *scn, const GElf_Shdr *shdr, struct pointers *p)
{
	Elf_Data *data = shdr->sh_size <= ELF_SECTION_MAX ? elf_getdata(scn, NULL) : NULL;
	GElf_Shdr symbols;
	Elf_Scn *symbol_scn = elf_getscn(f->elf, shdr->sh_link);
	Elf_Data *symbol_data = symbol_scn && gelf_getshdr(symbol_scn, &symbols) &&
						symbols.sh_size <= ELF_SECTION_MAX
					? elf_getdata(symbol_scn, NULL)
					: NULL;
	GElf_Rela rela;
	int r = 0;

	for (int i = 0; r == 0 && data && gelf_getrela(data, i, &rela); i++) {
		uint64_t type = GELF_R_TYPE(rela.r_info), base = 0;
		GElf_Sym sym;

		if (type != R_X86_64_RELATIVE && type != R_X86_64_64 && type != R_X86_64_IRELATIVE)
			continue;
		if (type == R_X86_64_64 && symbol_data &&
		    gelf_getsym(symbol_data, (int)GELF_R_SYM(rela.r_info), &sym))
			base = sym.st_value;
		r = pointer_add(f, p, base + (uint64_t)rela.r_addend);
	}
	return r;
}

static int from_word(struct elf_file *f, uint64_t at, struct pointers *p)
{
	uint64_t value;

	return elf_read_vaddr(f, at, &value, sizeof(value)) < 0 ? 0 : pointer_add(f, p, value);
}

/* An even entry is a place; an odd one has a bit for each of the 63 places that follow. */
static int from_relr(struct elf_file *f, Elf_Scn *scn, const GElf_Shdr *shdr, struct pointers *p)
{
	const uint8_t *bytes;
	uint64_t at = 0, entry;
	size_t len;
	int r = elf_section_bytes(f, scn, shdr, &bytes, &len, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; r == 0 && i + 8 <= len; i += 8) {
		memcpy(&entry, bytes + i, 8);
		if (!(entry & 1)) {
			r = from_word(f, entry, p);
			at = entry + 8;
			continue;
		}
		for (unsigned bit = 1; r == 0 && bit < 64; bit++)
			if (entry >> bit & 1)
				r = from_word(f, at + 8ull * (bit - 1), p);
		at += 8ull * 63;
	}
	return r;
}

static int from_relocations(struct elf_file *f, struct pointers *p)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	int r = 0;

	while (r == 0 && (scn = elf_nextscn(f->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) || !(shdr.sh_flags & SHF_ALLOC))
			continue;
		if (shdr.sh_type == SHT_RELA)
			r = from_rela(f, scn, &shdr, p);
		else if (shdr.sh_type == SHT_RELR)
			r = from_relr(f, scn, &shdr, p);
	}
	return r;
}

static int from_data(struct elf_file *f, struct pointers *p)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) uint8_t *chunk = malloc(CHUNK_BYTES);
	int r = 0;

	if (!chunk)
		return -ENOMEM;
	for (size_t i = 0; i < f->nr_segments; i++) {
		const struct elf_segment *s = &f->segment[i];
		uint64_t at = (s->vaddr + 7) & ~7ull, end = s->vaddr + s->size;

		while (r == 0 && !(s->flags & PF_X) && at < end && end - at >= 8) {
			size_t len = end - at < CHUNK_BYTES ? (size_t)(end - at) & ~(size_t)7
							    : CHUNK_BYTES;

			r = elf_read_vaddr(f, at, chunk, len);
			for (size_t k = 0; r == 0 && k < len; k += 8) {
				uint64_t value;

				memcpy(&value, chunk + k, 8);
				r = pointer_add(f, p, value);
			}
			at += len;
		}
	}
	return r;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int elf_load_pointers(struct elf_file *f)
{
	struct pointers p = {0};
	int r;

	if (f->has_pointers)
		return 0;
	r = f->is_relocated ? from_relocations(f, &p) : from_data(f, &p);
	if (r < 0) {
		free(p.item);
		return r;
	}
	if (p.nr)
		qsort(p.item, p.nr, sizeof(*p.item), compare);
	f->pointer = p.item;
	f->nr_pointers = p.nr;
	f->has_pointers = true;
	return 0;
}

bool elf_points_into(const struct elf_file *f, uint64_t vaddr, uint64_t size)
{
	size_t low = 0, high = f->nr_pointers;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->pointer[mid] < vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->nr_pointers && f->pointer[low] - vaddr < size;
}
