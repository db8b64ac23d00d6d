/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_USDT_H
#define TOCSIN_ELF_USDT_H

/* User statically defined tracepoints: the notes that <sys/sdt.h> leaves in a file, and how to read
 * their arguments. */

#include <linux/types.h>

#include "../abi/watch.h"
#include "elf_file.h"

#define USDT_ARGS      12    /* as many as <sys/sdt.h> has */
#define USDT_SITES_MAX 65536 /* of one name in one file */

struct elf_usdt {
	char *provider;
	char *name;
	char *args;                       /* as in the note: `-4@%edi 8@$12` */
	uint64_t vaddr;                   /* as linked, corrected for prelinking */
	uint64_t offset;                  /* in the file */
	uint64_t semaphore_offset;        /* of its counter in the file; 0: none */
	unsigned nr_args;                 /* at most USDT_ARGS; more in the note are dropped */
	struct watch_arg arg[USDT_ARGS];  /* ARG_NONE: cannot be read */
	const char *arg_fault[USDT_ARGS]; /* why not, static text; NULL for those that can */
};

/**
 * elf_find_usdt() - all sites of one tracepoint; an inlined function has several.
 * @ret_sites: an array in the order of the file, to be given to elf_usdt_free()
 * @ret_nr:    its length, at least 1
 * @near:      gathers similar `provider:name` when there is none, may be NULL
 * @err:       the sentence on failure
 *
 * Return: 0, or -ENOENT, -EBADMSG damaged notes, -EFBIG too many, -ENOMEM.
 */
int elf_find_usdt(struct elf_file *f, const char *provider, const char *name,
		  struct elf_usdt **ret_sites, size_t *ret_nr, struct tocsin_nearest *near,
		  struct tocsin_err *err);

/** elf_usdt_free() - accepts NULL. Return: NULL. */
struct elf_usdt *elf_usdt_free(struct elf_usdt *sites, size_t nr);

typedef int (*elf_usdt_fn)(const char *provider, const char *name, void *arg);

/**
 * elf_for_each_usdt() - call @fn for every site, in the order of the file; one that returns
 * non-zero ends it.
 *
 * Return: 0, what @fn returned, -EBADMSG.
 */
int elf_for_each_usdt(struct elf_file *f, elf_usdt_fn fn, void *arg, struct tocsin_err *err);

/**
 * usdt_parse_args() - the arguments of an x86-64 note.
 * @text:      lent
 * @ret:       USDT_ARGS places; unused ones are zeroed
 * @ret_fault: USDT_ARGS places; why an argument cannot be read, or NULL
 *
 * Return: number of arguments, at most USDT_ARGS.
 */
unsigned usdt_parse_args(const char *text, struct watch_arg *ret, const char **ret_fault);

#endif
