// SPDX-License-Identifier: MIT
/*
 * Code that says of itself that it must not be traced: the section of libtocsin's fast paths, and
 * restartable sequences, whoever wrote them: their descriptors (struct rseq_cs) stand in the
 * section
 * __rseq_cs, by a convention of the kernel's, which debuggers follow too. In a file that is
 * relocated when it is loaded the addresses in them are in the relocations.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../abi/noinstr.h"
#include "bind_internal.h"

#define DESCRIPTOR_BYTES  32
#define DESCRIPTORS_MAX   65536u
#define DESCRIPTOR_START  8
#define DESCRIPTOR_LENGTH 16

/* The addend of the relocation of the word at @vaddr, 0: none. */
static uint64_t relocated(const struct elf_file *f, uint64_t vaddr)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(f->elf, scn))) {
		Elf_Data *data;
		GElf_Rela rela;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_RELA ||
		    shdr.sh_size > ELF_SECTION_MAX)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 0; data && gelf_getrela(data, i, &rela); i++)
			if (rela.r_offset == vaddr)
				return (uint64_t)rela.r_addend;
	}
	return 0;
}

static bool in_sequence(struct elf_file *f, uint64_t vaddr)
{
	GElf_Shdr shdr;
	const uint8_t *bytes;
	size_t len;
	Elf_Scn *scn = elf_section_find(f->elf, "__rseq_cs", &shdr);

	/* What cannot be read has no descriptors that anybody could use. */
	if (!scn || elf_section_bytes(f, scn, &shdr, &bytes, &len, NULL) < 0)
		return false;
	for (size_t at = 0, n = 0; at + DESCRIPTOR_BYTES <= len && n < DESCRIPTORS_MAX;
	     at += DESCRIPTOR_BYTES, n++) {
		uint64_t start, length;

		memcpy(&start, bytes + at + DESCRIPTOR_START, sizeof(start));
		memcpy(&length, bytes + at + DESCRIPTOR_LENGTH, sizeof(length));
		if (!start)
			start = relocated(f, shdr.sh_addr + at + DESCRIPTOR_START);
		if (start && vaddr >= start && vaddr - start < length)
			return true;
	}
	return false;
}

int bind_check_noinstr(struct elf_file *f, uint64_t vaddr, bool force, struct tocsin_err *err)
{
	GElf_Shdr shdr;
	const char *name;

	if (elf_section_at(f->elf, vaddr, &shdr)) {
		name = elf_section_name(f->elf, &shdr);
		if (name && !strcmp(name, TOCSIN_NOINSTR_SECTION))
			return bind_refuse(
				force, err,
				"the code at 0x%lx of '%s' is what a program traces itself "
				"with (section " TOCSIN_NOINSTR_SECTION
				"): a probe there would trace the tracer",
				vaddr, f->path);
	}
	if (in_sequence(f, vaddr))
		return bind_refuse(
			force, err,
			"the code at 0x%lx of '%s' is a restartable sequence: a probe in "
			"it makes it begin anew for ever, or end unprotected",
			vaddr, f->path);
	return 0;
}
