/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_ELF_INTERNAL_H
#define TOCSIN_ELF_ELF_INTERNAL_H

/* What the files of this folder share about an open ELF file. Tables are loaded when first asked
 * for. */

#include <gelf.h>
#include <libelf.h>

#include "elf_file.h"

#define ELF_SEGMENTS_MAX 64
#define ELF_SECTION_MAX  (1ull << 30) /* bytes of one section that we are willing to read */
#define ELF_LOADED_PATH  4096

struct elf_segment {
	uint64_t vaddr;
	uint64_t size; /* bytes that come from the file */
	uint64_t offset;
	uint32_t flags; /* PF_* */
};

#define SYM_LOCAL   0x01 /* file-local */
#define SYM_HIDDEN  0x02 /* not the default version */
#define SYM_IFUNC   0x04
#define SYM_NOTYPE  0x08 /* a label in code, not said to be a function */
#define SYM_GUESSED 0x10 /* size is not from the symbol table */

struct elf_sym {
	uint64_t vaddr;
	uint64_t size;       /* bytes; 0 only for the last label of a segment */
	const char *name;    /* lent from the string table; may end in @VERSION */
	const char *version; /* lent; NULL: none */
	uint8_t flags;       /* SYM_* */
};

/* One entry of the unwinding table: a function, or the cold part of one. */
struct elf_frame {
	uint64_t vaddr;
	uint64_t size;
	uint64_t lsda; /* address of its exception table; 0: none */
};

/* An exception that comes out of a call in here lands at the pad. */
struct elf_call_site {
	uint64_t vaddr;
	uint64_t size;
	uint64_t pad;
};

/* What the file or a library it names may do to a replaced return address. The texts are empty for
 * "no". */
struct elf_hazards {
	char throws[160];
	char switches[160];
	char walks[160]; /* looks at its own stack, and would find it cut */
};

struct elf_file {
	int fd;
	Elf *elf;
	int debug_fd; /* separate debug file; -1: none */
	Elf *debug_elf;
	char *path;
	uint64_t size_bytes;
	uint16_t machine;  /* EM_* */
	bool is_relocated; /* the addresses in it are corrected when it is loaded */
	unsigned kernel;   /* major << 16 | minor of the kernel whose rules are applied */

	struct elf_segment segment[ELF_SEGMENTS_MAX];
	size_t nr_segments;

	struct elf_sym *sym; /* by rising vaddr */
	size_t nr_syms;
	bool has_syms;
	bool has_symtab; /* a full symbol table, here or in the debug file */
	const char **version_name;
	size_t nr_versions;

	struct elf_frame *frame; /* by rising vaddr */
	size_t nr_frames;
	bool has_frames;

	uint64_t *pointer; /* addresses of code that its data holds, rising */
	size_t nr_pointers;
	bool has_pointers;

	struct elf_hazards *hazards;
	struct insn_decoder *decoder;
};

/* elf_file.c */
const char *elf_section_name(Elf *elf, const GElf_Shdr *shdr);
Elf_Scn *elf_section_find(Elf *elf, const char *name, GElf_Shdr *ret_shdr);
Elf_Scn *elf_section_at(Elf *elf, uint64_t vaddr, GElf_Shdr *ret_shdr);

/* The bytes of a section as they are in the file. Return: 0, or -ENOENT it has none, -EBADMSG,
 * -EFBIG. */
int elf_section_bytes(struct elf_file *f, Elf_Scn *scn, const GElf_Shdr *shdr,
		      const uint8_t **ret_bytes, size_t *ret_len, struct tocsin_err *err);

/* Return: 0, or -ENOENT not in a segment (an executable one if @flags has PF_X) or not from the
 * file. */
int elf_vaddr_to_offset(const struct elf_file *f, uint64_t vaddr, uint32_t flags,
			uint64_t *ret_offset);
int elf_offset_to_vaddr(const struct elf_file *f, uint64_t offset, uint32_t flags,
			uint64_t *ret_vaddr);

/* Bytes of a segment from @vaddr to its end in the file; 0: in none. */
uint64_t elf_vaddr_room(const struct elf_file *f, uint64_t vaddr, uint32_t flags);

/* Return: 0, or -ENOENT, -EBADMSG the file is shorter than it says, -errno. */
int elf_read_vaddr(const struct elf_file *f, uint64_t vaddr, void *buf, size_t len);

/* elf_symbol.c */
int elf_load_symbols(struct elf_file *f, struct tocsin_err *err);
const struct elf_sym *elf_sym_at(const struct elf_file *f,
				 uint64_t vaddr); /* covers @vaddr, or NULL */
bool elf_sym_starts(const struct elf_file *f, uint64_t vaddr,
		    const struct elf_sym **ret_first); /* begins there */

/* elf_demangle.c */
bool demangle_matches(const char *mangled, const char *wanted);
/* The readable name without arguments. Return: @buf, or NULL for one that is not C++. */
const char *demangle_name(const char *mangled, char *buf, size_t len);
/* Return: @buf with the readable name, or the mangled one where it has none. */
const char *demangle_text(const char *mangled, char *buf, size_t len);

/* elf_frame.c */
int elf_load_frames(struct elf_file *f, struct tocsin_err *err);
const struct elf_frame *elf_frame_at(const struct elf_file *f, uint64_t vaddr);
/*
 * The calls of a frame from which an exception lands in it, by rising address.
 * Return: 0 and an array to be freed (NULL for none), or -EBADMSG, -ENOMEM.
 */
int elf_frame_call_sites(struct elf_file *f, const struct elf_frame *frame,
			 struct elf_call_site **ret, size_t *ret_nr);

/* elf_pointers.c */
int elf_load_pointers(struct elf_file *f); /* 0, -ENOMEM, -EBADMSG, -errno */
bool elf_points_into(const struct elf_file *f, uint64_t vaddr, uint64_t size);

/* hazards.c */
int elf_find_hazards(struct elf_file *f, const struct elf_hazards **ret); /* 0, -ENOMEM */
bool hazards_returns_twice(const char *name);

/* insn.c */
struct insn_decoder *insn_decoder_free(struct insn_decoder *d);

#endif
