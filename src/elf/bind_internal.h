/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_BIND_INTERNAL_H
#define TOCSIN_ELF_BIND_INTERNAL_H

/* What bind.c and bind_returns.c share. */

#include "bind.h"
#include "flow.h"

int bind_check_machine(const struct elf_file *f, struct tocsin_err *err);

/* Add the reason. Return: -EPERM; 0 with @force, the reason then being a warning. */
int bind_refuse(bool force, struct tocsin_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* May a probe on this instruction hurt the program or never fire? @fl may be NULL: an unknown
 * function. Then @buf says why. */
bool bind_danger(const struct flow *fl, const cs_insn *in, const struct insn_fate *fate, char *buf,
		 size_t len);

struct insn_fate bind_fate(const struct elf_file *f, const cs_insn *in);
void bind_fill(const struct elf_file *f, const cs_insn *in, const struct insn_fate *fate,
	       struct bind_point *ret);

/* The instruction at an address of the function, or NULL. */
const cs_insn *bind_insn_at(struct flow *fl, uint64_t vaddr);

/* noinstr.c: refuse what must not be traced. Return: 0, or -EPERM; with force 0 and a warning. */
int bind_check_noinstr(struct elf_file *f, uint64_t vaddr, bool force, struct tocsin_err *err);

#endif
