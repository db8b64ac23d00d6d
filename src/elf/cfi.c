// SPDX-License-Identifier: MIT
/* x86-64 and aarch64 use only absolute and pc-relative encodings; records with another one are
 * passed over. */
#include "cfi.h"

#define AUGMENTATION_MAX 16 /* characters; compilers write up to five */

static void augmentation_read(struct cursor *c, const char *aug, size_t aug_len,
			      struct cfi_cie *cie)
{
	uint8_t encoding;

	for (size_t i = 1; i < aug_len && !c->bad; i++)
		switch (aug[i]) {
		case 'R': cie->fde_encoding = (uint8_t)cursor_bytes(c, 1); break;
		case 'L': cie->lsda_encoding = (uint8_t)cursor_bytes(c, 1); break;
		case 'P':
			encoding = (uint8_t)cursor_bytes(c, 1);
			(void)cursor_encoded(c, encoding & (uint8_t)~0x80);
			break;
		case 'S': cie->is_signal = true; break;
		case 'B': break; /* aarch64: return addresses are signed with the other key */
		default: c->bad = true; break;
		}
}

static struct cfi_cie cie_read(struct cursor c)
{
	struct cfi_cie cie = {.lsda_encoding = PE_OMIT};
	uint8_t version = (uint8_t)cursor_bytes(&c, 1);
	const char *aug = (const char *)c.at;
	size_t room = c.bad ? 0 : (size_t)(c.end - c.at);
	size_t aug_len = strnlen(aug, room < AUGMENTATION_MAX ? room : AUGMENTATION_MAX);
	uint64_t data;

	if (aug_len == AUGMENTATION_MAX)
		return cie;
	cursor_skip(&c, aug_len + 1);
	if (c.bad || (version != 1 && version != 3 && version != 4) || (aug_len && aug[0] != 'z'))
		return cie;
	if (version == 4 && (cursor_bytes(&c, 1) != 8 || cursor_bytes(&c, 1) != 0))
		return cie; /* size of an address and of a segment selector */
	cie.code_align = cursor_leb(&c, false);
	cie.data_align = (int64_t)cursor_leb(&c, true);
	cie.return_column = version == 1 ? cursor_bytes(&c, 1) : cursor_leb(&c, false);
	if (aug_len) {
		struct cursor block;

		cie.has_data = true;
		data = cursor_leb(&c, false);
		block = c;
		cursor_skip(&c, data);
		block.end = c.at;
		augmentation_read(&block, aug, aug_len, &cie);
		c.bad |= block.bad;
	}
	cie.start = c;
	cie.usable = !c.bad;
	return cie;
}

/* Return: whether the record describes code. */
static bool fde_read(struct cursor c, const struct cfi_cie *cie, struct cfi_fde *ret)
{
	*ret = (struct cfi_fde){.cie = cie};
	ret->vaddr = cursor_encoded(&c, cie->fde_encoding);
	ret->size = cursor_encoded(&c, cie->fde_encoding & PE_FORMAT);
	if (cie->has_data) {
		uint64_t len = cursor_leb(&c, false);
		struct cursor data = c;

		cursor_skip(&c, len);
		data.end = c.at;
		if (cie->lsda_encoding != PE_OMIT)
			ret->lsda = cursor_encoded(&data, cie->lsda_encoding);
		c.bad |= data.bad;
	}
	ret->code = c;
	return !c.bad && ret->vaddr && ret->size && ret->vaddr + ret->size > ret->vaddr;
}

struct record {
	struct cursor body; /* behind the id */
	const uint8_t *id_at;
	uint64_t id;
	bool is_cie;
	bool ends; /* the terminator, or damage: what follows cannot be found */
};

/* The record at the cursor, which moves behind it. */
static struct record record_read(struct cursor *c, bool is_debug_frame)
{
	struct record r = {.ends = true};
	uint64_t len = cursor_bytes(c, 4);
	bool is_wide = len == 0xffffffff;
	unsigned id_len = is_wide && is_debug_frame ? 8 : 4;

	if (is_wide)
		len = cursor_bytes(c, 8);
	if (!len || c->bad || (uint64_t)(c->end - c->at) < len)
		return r;
	r.ends = false;
	r.body = *c;
	r.body.end = c->at + len;
	r.id_at = c->at;
	r.id = cursor_bytes(&r.body, id_len);
	r.is_cie = is_debug_frame ? r.id == (id_len == 8 ? ~0ull : 0xffffffff) : r.id == 0;
	cursor_skip(c, len);
	return r;
}

int cfi_for_each(struct cursor section, bool is_debug_frame, cfi_fn fn, void *arg)
{
	struct cursor c = section;
	const uint8_t *cie_at = NULL;
	struct cfi_cie cie = {0};
	struct cfi_fde fde;
	int r = 0;

	while (c.end - c.at >= 8 && !r) {
		struct record rec = record_read(&c, is_debug_frame), of;
		uint64_t at;

		if (rec.ends)
			break;
		if (rec.is_cie || rec.body.bad)
			continue;
		at = is_debug_frame ? rec.id : (uint64_t)(rec.id_at - section.at) - rec.id;
		if (at >= (uint64_t)(section.end - section.at))
			continue;
		if (section.at + at != cie_at) {
			struct cursor back = section;

			cie_at = section.at + at;
			cursor_skip(&back, at);
			of = record_read(&back, is_debug_frame);
			cie.usable = false;
			if (!of.ends && of.is_cie && !of.body.bad)
				cie = cie_read(of.body);
		}
		if (cie.usable && fde_read(rec.body, &cie, &fde))
			r = fn(&fde, arg);
	}
	return r;
}
