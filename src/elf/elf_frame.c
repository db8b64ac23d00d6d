// SPDX-License-Identifier: MIT
/*
 * Unwinding tables (.eh_frame), for two questions: where does the function around an address begin
 * and end, when the symbol table is stripped or says size 0; and where can an exception land in it,
 * since landing pads are reached by no jump.
 *
 * .eh_frame is a list of records, each with its length in front. A CIE says how the FDEs that point
 * back to it are encoded; an FDE has the start and length of a stretch of code and the address of
 * its exception table (LSDA), whose call site list has the landing pads. A part of a function that
 * the compiler moved away (.cold) has an FDE, and an LSDA, of its own. x86-64 uses only absolute
 * and pc-relative encodings; records with another one are passed over.
 */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "elf_internal.h"

/* Encodings of a pointer: low four bits the format, the next three what it is relative to. */
#define PE_OMIT   0xff
#define PE_PCREL  0x10
#define PE_FORMAT 0x0f

#define AUGMENTATION_MAX 16 /* characters; compilers write up to five */

/* Reading stays inside; the first attempt to leave sets bad, and from then on everything reads as
 * 0. */
struct cursor {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t vaddr; /* of at */
	bool bad;
};

static uint64_t read_bytes(struct cursor *c, unsigned len)
{
	uint64_t v = 0;

	if (c->bad || (size_t)(c->end - c->at) < len) {
		c->bad = true;
		return 0;
	}
	memcpy(&v, c->at, len); /* little endian, checked when the file was opened */
	c->at += len;
	c->vaddr += len;
	return v;
}

static uint64_t read_leb(struct cursor *c, bool is_signed)
{
	unsigned shift = 0;
	uint64_t v = 0;
	uint8_t b;

	do {
		b = (uint8_t)read_bytes(c, 1);
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		shift += 7;
	} while ((b & 0x80) && !c->bad);
	if (is_signed && (b & 0x40) && shift < 64)
		v |= ~0ull << shift;
	return v;
}

static uint64_t sign_extend(uint64_t v, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(v << shift) >> shift);
}

static uint64_t read_encoded(struct cursor *c, uint8_t encoding)
{
	uint64_t base = 0, v;

	if ((encoding & 0x70) == PE_PCREL)
		base = c->vaddr;
	else if (encoding & 0xf0)
		c->bad = true;
	switch (encoding & PE_FORMAT) {
	case 0x00:
	case 0x04:
	case 0x0c: v = read_bytes(c, 8); break;
	case 0x01: v = read_leb(c, false); break;
	case 0x02: v = read_bytes(c, 2); break;
	case 0x03: v = read_bytes(c, 4); break;
	case 0x09: v = read_leb(c, true); break;
	case 0x0a: v = sign_extend(read_bytes(c, 2), 2); break;
	case 0x0b: v = sign_extend(read_bytes(c, 4), 4); break;
	default: c->bad = true; return 0;
	}
	return v ? base + v : 0;
}

static void skip(struct cursor *c, uint64_t len)
{
	if (c->bad || (uint64_t)(c->end - c->at) < len) {
		c->bad = true;
		return;
	}
	c->at += len;
	c->vaddr += len;
}

struct cie {
	uint8_t fde_encoding;
	uint8_t lsda_encoding;
	bool has_data; /* FDEs have an augmentation block */
	bool usable;
};

static struct cie cie_read(struct cursor c)
{
	struct cie cie = {.lsda_encoding = PE_OMIT};
	uint8_t version = (uint8_t)read_bytes(&c, 1);
	const char *aug = (const char *)c.at;
	size_t room = c.bad ? 0 : (size_t)(c.end - c.at);
	size_t aug_len = strnlen(aug, room < AUGMENTATION_MAX ? room : AUGMENTATION_MAX);

	if (aug_len == AUGMENTATION_MAX)
		return cie;
	skip(&c, aug_len + 1);
	if (c.bad || (version != 1 && version != 3))
		return cie;
	(void)read_leb(&c, false); /* code alignment, data alignment, return column: not needed */
	(void)read_leb(&c, true);
	if (version == 1)
		skip(&c, 1);
	else
		(void)read_leb(&c, false);
	if (aug[0] == 'z') {
		cie.has_data = true;
		(void)read_leb(&c, false);
	}
	for (size_t i = cie.has_data ? 1 : 0; i < aug_len && !c.bad; i++)
		switch (aug[i]) {
		case 'R': cie.fde_encoding = (uint8_t)read_bytes(&c, 1); break;
		case 'L': cie.lsda_encoding = (uint8_t)read_bytes(&c, 1); break;
		case 'P': {
			uint8_t encoding = (uint8_t)read_bytes(&c, 1);

			(void)read_encoded(&c, encoding & (uint8_t)~0x80);
			break;
		}
		case 'S':
		case 'B': break;
		default: return cie;
		}
	cie.usable = !c.bad;
	return cie;
}

/* Return: whether the record describes code. */
static bool fde_read(struct cursor c, const struct cie *cie, struct elf_frame *ret)
{
	ret->vaddr = read_encoded(&c, cie->fde_encoding);
	ret->size = read_encoded(&c, cie->fde_encoding & PE_FORMAT);
	ret->lsda = 0;
	if (cie->has_data) {
		(void)read_leb(&c, false);
		if (cie->lsda_encoding != PE_OMIT)
			ret->lsda = read_encoded(&c, cie->lsda_encoding);
	}
	return !c.bad && ret->vaddr && ret->size && ret->vaddr + ret->size > ret->vaddr;
}

static int frame_compare(const void *a, const void *b)
{
	const struct elf_frame *x = a, *y = b;

	return (x->vaddr > y->vaddr) - (x->vaddr < y->vaddr);
}

static int frame_add(struct elf_file *f, size_t *capacity, const struct elf_frame *frame)
{
	if (f->nr_frames == *capacity) {
		size_t more = *capacity ? 2 * *capacity : 256;
		struct elf_frame *bigger = reallocarray(f->frame, more, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		f->frame = bigger;
		*capacity = more;
	}
	f->frame[f->nr_frames++] = *frame;
	return 0;
}

static int frames_parse(struct elf_file *f, struct cursor c)
{
	const uint8_t *start = c.at, *cie_at = NULL;
	uint64_t start_vaddr = c.vaddr;
	struct cie cie = {0};
	size_t capacity = 0;

	free(tocsin_take_ptr(&f->frame)); /* what an attempt that ran out of memory left */
	f->nr_frames = 0;
	while (c.end - c.at >= 8) {
		uint64_t len = read_bytes(&c, 4), id;
		struct elf_frame frame;
		struct cursor record;
		const uint8_t *id_at;
		int r;

		if (len == 0xffffffff)
			len = read_bytes(&c, 8);
		if (!len || c.bad || (uint64_t)(c.end - c.at) < len)
			break; /* the terminator, or damage: keep what was read */
		record = c;
		record.end = c.at + len;
		id_at = record.at;
		id = read_bytes(&record, 4);
		skip(&c, len);
		if (!id || record.bad || id > (uint64_t)(id_at - start))
			continue;
		if (id_at - id != cie_at) {
			struct cursor back = {.at = id_at - id, .end = c.end};

			cie_at = back.at;
			back.vaddr = start_vaddr + (uint64_t)(cie_at - start);
			len = read_bytes(&back, 4);
			if (len == 0xffffffff)
				len = read_bytes(&back, 8);
			if (!back.bad && len <= (uint64_t)(back.end - back.at))
				back.end = back.at + len;
			cie.usable = false;
			if (read_bytes(&back, 4) == 0 && !back.bad)
				cie = cie_read(back);
		}
		if (cie.usable && fde_read(record, &cie, &frame) &&
		    elf_vaddr_room(f, frame.vaddr, PF_X) >= frame.size) {
			r = frame_add(f, &capacity, &frame);
			if (r < 0)
				return r;
		}
	}
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
	uint8_t encoding = (uint8_t)read_bytes(c, 1);
	uint64_t table;

	if (encoding != PE_OMIT)
		*base = read_encoded(c, encoding);
	encoding = (uint8_t)read_bytes(c, 1);
	if (encoding != PE_OMIT)
		(void)read_leb(c, false); /* type table: where it ends does not matter here */
	encoding = (uint8_t)read_bytes(c, 1);
	table = read_leb(c, false);
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
		uint64_t vaddr = read_encoded(&c, encoding), size = read_encoded(&c, encoding);
		uint64_t pad = read_encoded(&c, encoding);

		(void)read_leb(&c, false); /* what is done with it */
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
