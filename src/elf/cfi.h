/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_CFI_H
#define TOCSIN_ELF_CFI_H

/*
 * The records of .eh_frame and .debug_frame. Both are lists of records with their length in front:
 * a CIE says how the FDEs that refer to it are encoded and which rules hold at the start of a
 * function; an FDE has the start and length of a stretch of code and the instructions that change
 * the rules inside it. They differ in how an FDE names its CIE and in how it writes addresses.
 */

#include "cursor.h"

struct cfi_cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t return_column;
	uint8_t fde_encoding;
	uint8_t lsda_encoding;
	bool has_data;       /* FDEs have an augmentation block */
	bool is_signal;      /* a signal's frame: what it returns to is no call */
	bool usable;         /* all of it was understood */
	struct cursor start; /* instructions that give the rules at the start of each function */
};

struct cfi_fde {
	uint64_t vaddr;
	uint64_t size; /* bytes, not 0, and vaddr + size does not wrap */
	uint64_t lsda; /* address of its exception table; 0: none */
	const struct cfi_cie *cie;
	struct cursor code;
};

/* Return: 0 to go on; anything else ends the enumeration and is its result. */
typedef int (*cfi_fn)(const struct cfi_fde *fde, void *arg);

/**
 * cfi_for_each() - call @fn for every stretch of code of a section, in the order of the section.
 * @section:        its bytes, and the address of the first; hostile
 * @is_debug_frame: .debug_frame, else .eh_frame
 *
 * Records with an augmentation or encoding that is not known are passed over; at the first one that
 * does not fit into the section it ends, as at the terminator.
 *
 * Return: 0, or what @fn returned. Thread-safe: yes.
 */
int cfi_for_each(struct cursor section, bool is_debug_frame, cfi_fn fn, void *arg);

#endif
