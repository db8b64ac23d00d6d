/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_LINES_H
#define TOCSIN_UNWIND_LINES_H

/* Debugging information of one file: source lines and inlined calls. */

#include "symbol.h"

struct elf_file;
struct unwind_lines;

/**
 * unwind_lines_open() - of a file, or of its separate debug file.
 *
 * Return: 0, or -ENOENT it has none, -ENOMEM.
 */
int unwind_lines_open(struct elf_file *f, struct unwind_lines **ret);

/**
 * unwind_lines_at() - the source line and the inlined calls at an address.
 * @sym: UNWIND_INLINED_MAX places; names are those of the debugging information, lent for as long
 *       as @lines; the real function, which comes last, may lack its name
 *
 * Return: how many, 0 when nothing is known.
 */
int unwind_lines_at(struct unwind_lines *lines, uint64_t vaddr, struct unwind_symbol *sym);

#endif
