/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_ATTACH_JOB_H
#define TOCSIN_COLLECTOR_ATTACH_JOB_H

/* What the files that attach share: the place at hand, and single probes. */

#include "../elf/bind.h"
#include "attach.h"
#include "attach_files.h"

struct attach_job {
	struct watch_kernel *k;
	const struct attach_targets *targets;
	struct attachment *out;
	struct tocsin_err *err;
	uint32_t *next_cookie;
	const char *role;         /* "start", "stop" */
	struct watch_probe probe; /* what each probe of this place does */
	enum watch_program program;
	int key; /* argument index, -1: none */
};

/* --- attach_probe.c: single probes, all with the job's probe --- */

/** attachment_add() - keep a link. Return: 0, or -ENOMEM. */
int attachment_add(struct attachment *a, void *link, uint32_t cookie);

/** attachment_note() - keep a sentence for people. Return: 0, or -ENOMEM. */
int attachment_note(struct attachment *a, const char *text);

/** attach_cookie() - a place in the table of probes, filled. Return: 0, or -ENOSPC, -errno. */
int attach_cookie(struct attach_job *j, uint32_t *ret);

/** attach_point() - one probe, for each target or for all, and a look whether it stands. Return: 0,
 * or -EPERM it does not, -ENOSPC, -errno. */
int attach_point(struct attach_job *j, const struct file *f, const struct bind_point *p,
		 bool is_return);

/** attach_say() - a sentence about a place that was bound. Return: 0, or -ENOMEM. */
int attach_say(struct attach_job *j, const struct file *f, const struct bind_point *p,
	       const char *what, const char *how);

/** attach_say_forced() - what was refused and given nevertheless: the causes since @causes_before
 * become sentences. Return: 0, or -ENOMEM. */
int attach_say_forced(struct attach_job *j, unsigned causes_before);

/** attach_causes() - how many causes there are by now. */
unsigned attach_causes(const struct attach_job *j);

/* --- attach_elf.c: places in files --- */

/** attach_usdt_sites() - every site of a USDT probe. Return: 0, or as attach_section(). */
int attach_usdt_sites(struct attach_job *j, struct elf_file *elf, const struct file *f,
		      const struct elf_usdt *sites, size_t nr);

/** attach_in_files() - a place in the files that it names or that the targets run. Return: as
 * attach_section(). */
int attach_in_files(struct attach_job *j, const struct section *s, const struct place *place);

#endif
