/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_UNWIND_CFA_H
#define TOCSIN_UNWIND_CFA_H

#include "../elf/cfi.h"
#include "rule.h"

struct unwind_machine {
	uint16_t elf; /* EM_* */
	uint8_t sp;   /* DWARF's numbers of the registers */
	uint8_t fp;
	uint8_t ra;
};

/** unwind_machine_of() - Return: NULL for a machine that is not known. */
const struct unwind_machine *unwind_machine_of(uint16_t elf_machine);

/* Return: 0 to go on; anything else ends the run and is its result. */
typedef int (*unwind_row_fn)(uint64_t vaddr, const struct unwind_rule *rule, void *arg);

/**
 * unwind_cfa_run() - run the instructions of an FDE and call @fn for each change of the rule.
 * @fde: hostile
 *
 * The first row is at the FDE's start; addresses rise, and lie in it. An instruction that is not
 * known makes the rest of the FDE unsupported.
 *
 * Return: 0, or what @fn returned. Thread-safe: yes.
 */
int unwind_cfa_run(const struct unwind_machine *machine, const struct cfi_fde *fde,
		   unwind_row_fn fn, void *arg);

#endif
