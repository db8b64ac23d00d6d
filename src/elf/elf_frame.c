// SPDX-License-Identifier: MIT
/*
 * Unwinding tables (.eh_frame, read by cfi.h), for two questions: where does the function around an
 * address begin and end, when the symbol table is stripped or says size 0; and where can an
 * exception land in it, since landing pads are reached by no jump.
 *
 * An FDE has the start and length of a stretch of code and the address of its exception table
 * (LSDA), whose call site list has the landing pads. A part of a function that the compiler moved
 * away (.cold) has an FDE, and an LSDA, of its own.
 */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "cfi.h"
#include "elf_internal.h"

static int frame_compare(const void *a, const void *b)
{
	const struct elf_frame *x = a, *y = b;

	return (x->vaddr > y->vaddr) - (x->vaddr < y->vaddr);
}

struct gather {
	struct elf_file *f;
	size_t capacity;
};

static int frame_add(const struct cfi_fde *fde, void *arg)
{
	struct gather *g = arg;
	struct elf_file *f = g->f;

	if (elf_vaddr_room(f, fde->vaddr, PF_X) < fde->size)
		return 0;
	if (f->nr_frames == g->capacity) {
		size_t more = g->capacity ? 2 * g->capacity : 256;
		struct elf_frame *bigger = reallocarray(f->frame, more, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		f->frame = bigger;
		g->capacity = more;
	}
	f->frame[f->nr_frames++] =
		(struct elf_frame){.vaddr = fde->vaddr, .size = fde->size, .lsda = fde->lsda};
	return 0;
}

static int frames_parse(struct elf_file *f, struct cursor c)
{
	struct gather g = {.f = f};
	int r;

	free(tocsin_take_ptr(&f->frame)); /* what an attempt that ran out of memory left */
	f->nr_frames = 0;
	r = cfi_for_each(c, false, frame_add, &g);
	if (r < 0)
		return r;
	if (f->nr_frames)
		qsort(f->frame, f->nr_frames, sizeof(*f->frame), frame_compare);
	return 0;
}

int elf_load_frames(struct elf_file *f, struct tocsin_err *err)
{
	struct cursor c = {0};
	GElf_Shdr shdr;
	Elf_Scn *scn;
	size_t len;
	int r;

	if (f->has_frames)
		return 0;
	scn = elf_section_find(f->elf, ".eh_frame", &shdr);
	r = scn ? elf_section_bytes(f, scn, &shdr, &c.at, &len, err) : -ENOENT;
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0) {
		c.end = c.at + len;
		c.vaddr = shdr.sh_addr;
		r = frames_parse(f, c);
		if (r < 0)
			return r;
	}
	f->has_frames = true;
	return 0;
}

const struct elf_frame *elf_frame_at(const struct elf_file *f, uint64_t vaddr)
{
	size_t low = 0, high = f->nr_frames;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->frame[mid].vaddr <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || vaddr - f->frame[low - 1].vaddr >= f->frame[low - 1].size)
		return NULL;
	return &f->frame[low - 1];
}

/* Head of an exception table. Return: the cursor's place is that of the first call site, and its
 * end is theirs. */
static uint8_t lsda_open(struct cursor *c, uint64_t *base)
{
	uint8_t encoding = (uint8_t)cursor_bytes(c, 1);
	uint64_t table;

	if (encoding != PE_OMIT)
		*base = cursor_encoded(c, encoding);
	encoding = (uint8_t)cursor_bytes(c, 1);
	if (encoding != PE_OMIT)
		(void)cursor_leb(c, false); /* type table: where it ends does not matter here */
	encoding = (uint8_t)cursor_bytes(c, 1);
	table = cursor_leb(c, false);
	if (table > (uint64_t)(c->end - c->at))
		c->bad = true;
	else
		c->end = c->at + table;
	return encoding & PE_FORMAT;
}

static int call_sites_read(struct cursor c, uint64_t start, struct elf_call_site **ret,
			   size_t *ret_nr)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) struct elf_call_site *site = NULL;
	uint64_t base = start;
	uint8_t encoding = lsda_open(&c, &base);
	size_t nr = 0, capacity = 0;

	while (c.at < c.end && !c.bad) {
		uint64_t vaddr = cursor_encoded(&c, encoding), size = cursor_encoded(&c, encoding);
		uint64_t pad = cursor_encoded(&c, encoding);

		(void)cursor_leb(&c, false); /* what is done with it */
		if (!pad || c.bad)
			continue;
		if (nr == capacity) {
			struct elf_call_site *bigger;

			capacity = capacity ? 2 * capacity : 16;
			bigger = reallocarray(site, capacity, sizeof(*bigger));
			if (!bigger)
				return -ENOMEM;
			site = bigger;
		}
		site[nr++] = (struct elf_call_site){
			.vaddr = start + vaddr, .size = size, .pad = base + pad};
	}
	if (c.bad)
		return -EBADMSG;
	*ret = tocsin_take_ptr(&site);
	*ret_nr = nr;
	return 0;
}

int elf_frame_call_sites(struct elf_file *f, const struct elf_frame *frame,
			 struct elf_call_site **ret, size_t *ret_nr)
{
	struct cursor c = {.vaddr = frame->lsda};
	const uint8_t *bytes;
	GElf_Shdr shdr;
	Elf_Scn *scn;
	size_t len;

	if (!frame->lsda) {
		*ret = NULL;
		*ret_nr = 0;
		return 0;
	}
	scn = elf_section_at(f->elf, frame->lsda, &shdr);
	if (!scn || elf_section_bytes(f, scn, &shdr, &bytes, &len, NULL) < 0 ||
	    frame->lsda - shdr.sh_addr >= len)
		return -EBADMSG;
	c.at = bytes + (frame->lsda - shdr.sh_addr);
	c.end = bytes + len;
	return call_sites_read(c, frame->vaddr, ret, ret_nr);
}
