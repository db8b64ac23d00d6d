/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_BIND_H
#define TOCSIN_ELF_BIND_H

/*
 * Where a probe may go without hurting the program. Each function either gives a place or refuses
 * with the reason and -EPERM; with @force a place is given in spite of it, and @err then holds what
 * may happen though the result is 0. x86-64 only: -ENOTSUP for other machines. bind.c has the rules
 * and what they were measured from.
 */

#include "usdt.h"

/* What one hit costs. BIND_NOP5 < BIND_EMULATED < BIND_STEPPED. */
enum bind_cost {
#define X(NAME, name, ns, text) BIND_##NAME,
#include "bind_costs.def"
#undef X
	BIND_COSTS,
};

/** bind_cost_name() - `nop5`, `emulated`, `stepped`. */
const char *bind_cost_name(enum bind_cost cost);

/** bind_cost_ns() - the same in nanoseconds, roughly. */
uint64_t bind_cost_ns(enum bind_cost cost);

/** bind_cost_text() - what to tell people: `~500 ns emulated`. */
const char *bind_cost_text(enum bind_cost cost);

struct bind_point {
	uint64_t offset;         /* in the file */
	uint64_t ref_ctr_offset; /* USDT semaphore in the file; 0: none */
	enum bind_cost cost;
	int32_t sp_adjust; /* added to rsp at the probe gives rsp at the function's first
			      instruction */
	uint8_t byte;      /* first byte of the instruction, as in the file */
	unsigned shift;    /* bytes behind the place that was asked for */
	char insn[64];     /* the instruction, for people */
};

/**
 * bind_func_entry() - the cheapest safe place among a function's first instructions.
 *
 * There the arguments in registers are as the caller set them, no branch has been taken, and rsp is
 * known.
 *
 * Return: 0, or -EPERM refused, -ENOTSUP, -EBADMSG, -ENOMEM, -errno.
 */
int bind_func_entry(struct elf_file *f, const struct elf_func *func, bool force,
		    struct bind_point *ret, struct tocsin_err *err);

/* How the end of a function is seen. */
struct bind_returns {
	bool by_return_probe; /* true: one return (or session) probe on point[0], the true entry;
				 else one on each point */
	bool switches_stacks; /* the file, or what it links with, may switch stacks */
	size_t nr;
	struct bind_point *point; /* owned: bind_returns_done() */
	char why[256];            /* which way and why, one sentence */
};

/* What the other files of the processes that map a file may do to a return address in it: an
 * exception that is thrown in one and caught in another goes through it, a stack that one leaves
 * may be its own. */
struct bind_around {
	char why[256]; /* a sentence; empty: nothing is known to */
	bool switches; /* stacks */
};

/**
 * bind_around_see() - add what one more file may do.
 * @name: of the file, for the sentence
 *
 * The C library and the dynamic linker, which have all of it to offer and use none by themselves,
 * are not to be shown.
 *
 * Return: 0, or -ENOMEM.
 */
int bind_around_see(struct bind_around *around, struct elf_file *f, const char *name);

/**
 * bind_func_returns() - where a function's end can be seen without hurting the program.
 * @around: what else is mapped with it, lent; NULL: nothing
 * @ret: to be given to bind_returns_done()
 *
 * A return probe replaces the return address on the stack: whoever unwinds through it (C++
 * exceptions) or moves it to another stack (coroutines) dies. It is chosen only where neither the
 * file nor what is round it does either; what stays open is a library of the kind that is loaded
 * later, and assembly that switches stacks by itself. Elsewhere every `ret` and every jump to
 * another function gets a probe, provided that all of them can be proved to be known.
 *
 * Return: as bind_func_entry().
 */
int bind_func_returns(struct elf_file *f, const struct elf_func *func,
		      const struct bind_around *around, bool force, struct bind_returns *ret,
		      struct tocsin_err *err);

/** bind_returns_done() - accepts a zeroed one. */
void bind_returns_done(struct bind_returns *r);

/** bind_usdt_site() - check a USDT site. Return: as bind_func_entry(); the place is never moved. */
int bind_usdt_site(struct elf_file *f, const struct elf_usdt *site, bool force,
		   struct bind_point *ret, struct tocsin_err *err);

/**
 * bind_offset() - check a place given as file offset; it is never moved and sp_adjust is 0.
 *
 * Return: as bind_func_entry(), or -EINVAL not in executable code.
 */
int bind_offset(struct elf_file *f, uint64_t file_offset, bool force, struct bind_point *ret,
		struct tocsin_err *err);

/**
 * bind_read_back() - the byte that a process has at a place of a file.
 * @pid:         process that has the file mapped
 * @path:        the file as we can open it
 * @file_offset: in the file
 * @ret_byte:    0xcc or 0xe8 when a probe is there
 *
 * An attach can succeed and never fire: this tells.
 *
 * Return: 0, or -ENOENT the process has not mapped this place, -ESRCH, -EACCES, -errno.
 */
int bind_read_back(pid_t pid, const char *path, uint64_t file_offset, uint8_t *ret_byte);

#endif
