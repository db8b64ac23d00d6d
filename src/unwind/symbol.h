/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_SYMBOL_H
#define TOCSIN_UNWIND_SYMBOL_H

/*
 * Names of code: functions by the file's own symbol tables, source lines and inlined calls by its
 * debugging information where there is some. Files are read when first asked for.
 */

#include "space.h"

/* One function at an address: the innermost of inlined ones first, the real one last. */
struct unwind_symbol {
	const char *function; /* as people write it; "": not known */
	const char *file;     /* of the source; "": not known */
	unsigned line;        /* 0: not known */
	bool is_inlined;      /* into the one that follows */
};

#define UNWIND_INLINED_MAX 32

/**
 * unwind_symbol_at() - what stands at an address.
 * @m:     module of the mapping that covers it
 * @vaddr: as linked; of a return address the one before it
 * @sym:   UNWIND_INLINED_MAX places; the texts are lent until the next call
 *
 * Return: how many, at least 1, or -ENOENT nothing is known, -ENOMEM. Thread-safe: no.
 */
int unwind_symbol_at(struct unwind_module *m, uint64_t vaddr, struct unwind_symbol *sym);

/**
 * unwind_symbol_name() - only the function, as the symbol table has it: the fast part.
 *
 * Return: the mangled name, lent, or NULL; @ret_offset: bytes from its start.
 */
const char *unwind_symbol_name(struct unwind_module *m, uint64_t vaddr, uint64_t *ret_offset);

#endif
