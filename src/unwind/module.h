/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_MODULE_H
#define TOCSIN_UNWIND_MODULE_H

/* One file, as space.c finds it and symbol.c reads its names. */

#include "../elf/elf_internal.h"
#include "space.h"

struct unwind_lines;
struct unwind_known;

struct unwind_module {
	char *path; /* as the process names it */
	dev_t dev;  /* of the open file */
	ino_t ino;
	int64_t changed_ns;   /* its mtime: a file may be written over in place */
	struct elf_file *elf; /* NULL: not a file that can be read */
	struct unwind_table *table;
	char why[256]; /* why there is no table */
	char build_id[2 * ELF_BUILD_ID_MAX + 1];
	bool is_replaced;
	bool has_symbols;           /* they have been loaded, or tried */
	struct unwind_lines *lines; /* NULL: not looked for yet, or none */
	bool has_lines;
	struct unwind_known *known; /* symbols of addresses; symbol.c */
	size_t nr_known;
	struct unwind_module *next;
};

/** unwind_lines_free() - accepts NULL. Return: NULL. */
struct unwind_lines *unwind_lines_free(struct unwind_lines *lines);

/** unwind_known_free() - forget the symbols of addresses. */
void unwind_known_free(struct unwind_module *m);

#endif
